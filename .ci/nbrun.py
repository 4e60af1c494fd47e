"""Run one notebook in a process of its own, and compare what it shows with what is stored.

This module is what such a process begins with: it imports the heavy libraries once, before the fork, starts no thread
and computes nothing, so that each notebook gets a fresh copy at no cost, and gives all its memory back."""
import builtins, faulthandler, json, multiprocessing, os, sys
from importlib import import_module
from pathlib import Path

class ZMQInteractiveShell: kernel = None
builtins.get_ipython = ZMQInteractiveShell # pandas and fastprogress, which ask on import, shall find what a reader has: Jupyter
import matplotlib.pyplot, sklearn.linear_model, torch, torch._dynamo # noqa: F401
import fastai.vision.all, nbdev.showdoc # noqa: F401
del builtins.get_ipython

from execnb.shell import CaptureShell
from fastcore.nbio import write_nb
from nbdev.clean import clean_nb
from nbdev.config import get_config
from nbdev.export import ExportModuleProc
from nbdev.process import NBProcessor
from nbdev.test import nb_test_cells

from nbcompare import difference, differs

EXPORTS = {"export", "exporti", "exports"}

class Shell(CaptureShell):
    "A shell whose outputs are those of Jupyter: of something that is updated, such as a progress bar, the last state"
    def _run_res(self, result, captured):
        res, last = super()._run_res(result, captured), {}
        for i, o in enumerate(res.display_objects): last[(o.transient or {}).get("display_id", i)] = o
        res.display_objects = [o for o in last.values() if any(o.data.values())]
        return res

def exports(path):
    "The modules that a notebook writes"
    exp = ExportModuleProc()
    NBProcessor(path, [exp]).process()
    code = lambda cells: any(c.cell_type == "code" and "exportd" not in c.directives_ for c in cells)
    return [exp.default_exp if m == "#" else m for m, cells in exp.modules.items() if code(cells)]

def names(path, lib):
    "What the installed modules of a notebook define, in the place of its exported cells"
    mods = [import_module(f"{lib}.{m}") for m in exports(path)]
    return {n: v for m in mods for n, v in vars(m).items() if not n.startswith("__")}

def run(path, installed=True, compare=False, update=False, flags=(), limit=None):
    "Run the notebook at `path`; return what is wrong with it, or None"
    os.chdir(path.parent)
    cfg = get_config()
    keep = {c.id for c in nb_test_cells(path, cfg.tst_flags.split(), flags)}
    nb = NBProcessor(path, rm_directives=False, process=True).nb
    shell = Shell(path, profile=False)
    if installed and (ns := names(path, cfg.lib_path.name)):
        shell.user_ns.update(ns)
        keep -= {c.id for c in nb.cells if c.cell_type == "code" and EXPORTS & c.directives_.keys()}
    stored = {c.id: c.get("outputs", []) for c in nb.cells}
    def watch(_=None): faulthandler.dump_traceback_later(limit or cfg.cell_timeout, exit=True)
    watch()
    try: shell.run_all(nb, exc_stop=True, preproc=lambda c: c.id not in keep, postproc=watch)
    except BaseException as e: return shell.prettytb(fname=path) or repr(e)
    finally: faulthandler.cancel_dump_traceback_later()
    ran = [c for c in nb.cells if c.id in keep]
    if update: return save(nb, path, ran, stored)
    stale = [c for c in ran if compare and differs(stored[c.id], c.outputs, volatile="volatile" in c.directives_)]
    return "\n".join(report(c, stored[c.id]) for c in stale) + REFRESH + str(path.relative_to(cfg.config_path)) if stale else None

REFRESH = "\nWhere the new output is right, store it: python3 run.py test --nb-update "

def report(cell, stored):
    "How the output of a cell differs from the stored one"
    return f"Cell {cell.idx_}, {cell.id}, shows something else than what is stored:\n{cell.source.strip()}\n\n" + \
        difference(stored, cell.outputs)

def save(nb, path, ran, stored):
    "Store the new outputs, except where the old ones, without pictures, agree with them, so that a diff shows what changed"
    for c in ran:
        outs = c.outputs
        if any(o.output_type == "execute_result" for o in outs): outs.sort(key=picture) # as Jupyter: pictures come last
        if not any(map(picture, outs)) and not differs(stored[c.id], outs): c.outputs = stored[c.id]
    clean_nb(nb)
    write_nb(nb, path)

def picture(output): return "image/png" in output.get("data", {})

def child(log, result, coverage, path, kw):
    "What the process does: run the notebook at `path`, and leave the files `log`, its own output, and `result`"
    if hasattr(os, "setsid"): os.setsid() # a group that can be ended as one
    with open(log, "wb") as f:
        for fd in 1, 2: os.dup2(f.fileno(), fd)
    faulthandler.enable()
    sys.dont_write_bytecode = False # as xdist's workers are told
    os.environ["IN_TEST"] = "1"
    multiprocessing.set_start_method(None, force=True) # Python's own, not that of this process: loaders' workers know what a notebook defines
    cov = None
    if coverage:
        from coverage import process_startup
        os.environ["COVERAGE_PROCESS_CONFIG"] = coverage
        cov = process_startup()
    res = dict(error=run(Path(path), **kw), cpu=sum(os.times()[:4]), peak=peak())
    if cov: cov.stop(); cov.save()
    Path(result).write_text(json.dumps(res), encoding="utf-8")
    os._exit(0) # no thread that the notebook left is waited for

def peak():
    "Memory in GB that this process had at most, with the largest of those that it started"
    if sys.platform == "win32": return 0
    import resource
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return sum(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / unit
