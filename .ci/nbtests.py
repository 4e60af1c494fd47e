"""A pytest plugin that runs nbdev notebooks: `PYTHONPATH=.ci pytest -p nbtests`.

Each notebook is a test (`notebook`: as `nbdev-test` runs it). One that exports a module is a second test (`module`):
its exported cells are left out, and their names come from the installed package, so the coverage is the package's.
A slow notebook with `#| once` in any cell, say beside `#| default_exp`, is only the second."""
import os, re, sys
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.config import get_config
from nbdev.process import NBProcessor
from nbdev.test import nb_test_cells

EXPORTS = {"export", "exports", "exporti"}
DEFAULT_EXP = re.compile(r"^#\|\s*default_exp\s+(\S+)", re.M)

def pytest_addoption(parser):
    parser.addoption("--nb-flags", default="", help="test flags to run that are normally skipped")
    parser.addoption("--nb-modes", default="notebook,module", help="notebook, module or both")

def pytest_collect_file(file_path, parent):
    if file_path.suffix != ".ipynb" or file_path.name[0] in "._": return
    if get_config(file_path.parent).nbs_path in file_path.parents: return NbFile.from_parent(parent, path=file_path)

def pytest_ignore_collect(collection_path, config):
    if collection_path.name[0] in "._": return True
    if (collection_path.parent/".notest").exists(): return True

def of_package(f, lib): return str(getattr(getattr(f, "fget", f), "__module__", "")).split(".")[0] == lib

@contextmanager
def patches_undone(lib):
    "Give classes back the package's methods that a notebook's own `@patch` cells replace, for the notebooks that follow"
    mods = [m for n, m in sys.modules.items() if n.split(".")[0] == lib]
    classes = {c for m in mods for c in vars(m).values() if isinstance(c, type)}
    before = [(c, n, f) for c in classes for n, f in vars(c).items() if of_package(f, lib)]
    try: yield
    finally:
        for c, n, f in before:
            if vars(c).get(n) is not f: setattr(c, n, f)

class NbFile(pytest.File):
    def collect(self):
        cfg, conf = get_config(self.path.parent), self.config
        skip = cfg.tst_flags.split() if isinstance(cfg.tst_flags, str) else cfg.tst_flags
        cells = nb_test_cells(self.path, skip, conf.getoption("--nb-flags").split())
        if not cells: return
        modes = conf.getoption("--nb-modes").split(",")
        exported = any(EXPORTS & c.directives_.keys() for c in cells)
        if not exported: modes = modes[:1]
        elif any("once" in c.directives_ for c in cells): modes = modes[-1:]
        for m in modes: yield NbItem.from_parent(self, name=m, cells=cells, cfg=cfg)

class NbItem(pytest.Item):
    def __init__(self, *, cells, cfg, **kw):
        super().__init__(**kw)
        self.cells, self.cfg = cells, cfg

    def runtest(self):
        old = os.environ.get("IN_TEST")
        os.environ["IN_TEST"] = "1"
        try:
            with working_directory(self.path.parent), patches_undone(self.cfg.lib_path.name): self.run_cells()
        finally:
            os.environ.pop("IN_TEST") if old is None else os.environ.update(IN_TEST=old)

    def run_cells(self):
        keep = {c.id for c in self.cells}
        nb = NBProcessor(self.path, rm_directives=False, process=True).nb
        k = CaptureShell(self.path, profile=False)
        if self.name == "module":
            name = next(m[1] for c in nb.cells if (m := DEFAULT_EXP.search(c.source)))
            mod = import_module(f"{self.cfg.lib_path.name}.{name}")
            k.user_ns.update({n: v for n, v in vars(mod).items() if not n.startswith("__")})
            keep -= {c.id for c in nb.cells if c.cell_type == "code" and EXPORTS & c.directives_.keys()}
        try: k.run_all(nb, exc_stop=True, preproc=lambda c: c.get("id") not in keep, cell_timeout=self.cfg.cell_timeout or None)
        except BaseException as e: raise NbError(k.prettytb(fname=self.path) or repr(e)) from None

    def repr_failure(self, excinfo): return str(excinfo.value) if isinstance(excinfo.value, NbError) else super().repr_failure(excinfo)
    def reportinfo(self): return self.path, None, f"{self.path.name}::{self.name}"

class NbError(Exception): "A cell of a notebook failed"
