"""A pytest plugin that runs nbdev notebooks: `PYTHONPATH=.ci pytest -p nbtests`.

Each notebook is a test, in a process of its own (see `nbrun`). Of one that writes modules the exported cells are left
out, and their names come from the installed package, so that coverage is the package's: `.ci/run sync` proves that the
two are the same. With `--nb-modes=notebook` its cells run as they stand, before `nbdev-export`."""
import functools, json, multiprocessing, os, signal, sys, tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from nbdev.config import get_config
from nbdev.test import nb_test_cells

UNMEASURED = {"tutorials", "explanations", "help"} # coverage would double their time, and says how far the modules' own pages go

def pytest_addoption(parser):
    group = parser.getgroup("notebooks")
    group.addoption("--nb-flags", default="", help="test flags to run that are normally skipped")
    group.addoption("--nb-modes", default="module", choices=["module", "notebook"], help="where exported names come from")
    group.addoption("--nb-compare", action="store_true", help="fail where an output is not the stored one")
    group.addoption("--no-nb-compare", dest="nb_compare", action="store_false", help="let outputs be")
    group.addoption("--nb-update", action="store_true", help="store the outputs in the notebooks")
    group.addoption("--nb-hung", type=float, default=None, help="seconds after which a cell hangs (nbdev's cell_timeout)")
    group.addoption("--nb-memory", type=float, default=None, help="GB that a notebook may take")

def pytest_collect_file(file_path, parent):
    if file_path.suffix != ".ipynb" or file_path.name[0] in "._": return
    if get_config(file_path.parent).nbs_path in file_path.parents: return NbFile.from_parent(parent, path=file_path)

def pytest_ignore_collect(collection_path, config):
    if collection_path.name[0] in "._": return True
    if (collection_path.parent/".notest").exists(): return True

def pytest_collection_modifyitems(config, items):
    "Begin with those that took longest the last time; before them, new ones, of which verification takes longest"
    last = config.cache.get("nb/cpu", {}) if hasattr(config, "cache") else {}
    items.sort(key=lambda i: (last.get(i.nodeid, 1e9), i.nodeid), reverse=True)

class NbFile(pytest.File):
    def collect(self):
        cfg, opt = get_config(self.path.parent), self.config.getoption
        if nb_test_cells(self.path, cfg.tst_flags.split(), opt("--nb-flags").split()): yield NbItem.from_parent(self, name="nb")

@functools.cache
def processes():
    "Where processes come from that have imported the heavy libraries, but nothing of the package, before coverage begins"
    coverage = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    linux = sys.platform == "linux"                       # elsewhere a process that has imported much cannot fork safely
    ctx = multiprocessing.get_context("forkserver" if linux else "spawn")
    if linux: ctx.set_forkserver_preload(["nbrun"])
    return ctx, coverage

def begin(*args):
    from nbrun import child
    child(*args)

class NbItem(pytest.Item):
    def runtest(self):
        opt = self.config.getoption
        kw = dict(installed=opt("--nb-modes") == "module", compare=opt("nb_compare"), update=opt("--nb-update"),
                  flags=opt("--nb-flags").split(), limit=opt("--nb-hung"))
        ctx, coverage = processes()
        with tempfile.TemporaryDirectory() as tmp:
            log, result = Path(tmp)/"log", Path(tmp)/"result"
            if self.path.parent.name in UNMEASURED: coverage = None
            p = ctx.Process(target=begin, args=(str(log), str(result), coverage, str(self.path), kw))
            p.start()
            try: p.join()
            finally: kill(p.pid)
            said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            if said: self.add_report_section("call", "output of the process", said[-20000:])
            if not result.exists(): raise NbError(f"The process ended with {p.exitcode}: it crashed, or a cell hung; what it said last stands below")
            res = json.loads(result.read_text(encoding="utf-8"))
        self.user_properties += [(k, res[k]) for k in ("cpu", "peak")]
        if res["error"]: raise NbError(res["error"])
        if (most := opt("--nb-memory")) and res["peak"] > most:
            raise NbError(f"The notebook took {res['peak']:.1f} GB; the limit is {most:g}")

    def repr_failure(self, excinfo): return str(excinfo.value) if isinstance(excinfo.value, NbError) else super().repr_failure(excinfo)
    def reportinfo(self): return self.path, None, self.path.name

class NbError(Exception): "A cell of a notebook failed"

def kill(group):
    "End a process and all that it started"
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError): os.killpg(group, signal.SIGKILL)

def pytest_terminal_summary(terminalreporter, config):
    "The slowest ten, and the largest three of the others"
    runs = {}
    for r in (r for rs in terminalreporter.stats.values() for r in rs if getattr(r, "when", None) == "call"):
        if p := dict(r.user_properties): runs[r.nodeid] = p["cpu"], r.duration, p["peak"]
    if not runs: return
    if hasattr(config, "cache"): config.cache.set("nb/cpu", config.cache.get("nb/cpu", {}) | {n: round(t[0], 1) for n, t in runs.items()})
    order = sorted(runs, key=runs.get, reverse=True)
    largest = sorted(order[10:], key=lambda n: runs[n][2], reverse=True)[:3]
    say = terminalreporter.write_line
    terminalreporter.section("the slowest ten, and the largest of the others")
    say("processor s  elapsed s  GB")
    for n in order[:10] + largest: say("{:11.1f} {:10.1f} {:3.1f}  ".format(*runs[n]) + n.removesuffix("::nb"))
    say("{:11.1f} {:10.1f} {:3.1f}  in all, and at most".format(*(f(t) for f, t in zip((sum, sum, max), zip(*runs.values())))))
