"""Ways to take the norms of all rows and their inner products with the gradients. `python benchmarks/pass_variants.py`

Each as a multiple of one `torch._foreach_add_` over the same weights: ResNet-50's, and four thousand small layers. Variants alternate within a repeat; medians and quartiles.

- tensor by tensor  a displacement, its absolute values and their sum, one tensor after the other
- foreach           `torch._foreach_sub` and `torch._foreach_abs_` for all tensors at once, then a sum for each
- flat              all weights in one vector, `torch.segment_reduce` over the rows
- compiled layers   `torch.compile` of one tensor's norm, dynamic shapes
- compiled model    `torch.compile` of the loop over all tensors
- kernels           `tpgm_fastai.core.rows.Rows`: row by row, compiled by Numba"""
import json
from datetime import date
from pathlib import Path
from statistics import median

import torch
from fastcore.script import call_parse, store_true
from step_cost import CLOCKS, machine, seconds, summary
from torchvision import models

from tpgm_fastai import __version__
from tpgm_fastai.core.norms import as_rows
from tpgm_fastai.core.rows import Rows

def weights(name):
    if name == "resnet50": return [p.data for n,p in models.resnet50(weights=None).named_parameters() if not n.startswith("fc")]
    return [torch.randn(s) for _ in range(2000) for s in ((32, 32), (32,))]

def norm(w, a): return (as_rows(w) - as_rows(a)).abs().sum(1)
def dot(g, w, a): return ((as_rows(w) - as_rows(a))*as_rows(g)).sum(1)

class Variants:
    def __init__(self, ws, compiled):
        self.ws, self.anchors, self.grads = ws, [w.clone() for w in ws], [1e-3*torch.randn_like(w) for w in ws]
        torch._foreach_add_(self.ws, self.grads)
        self.rows, self.compiled = Rows(ws), compiled
        self.lengths = torch.tensor([n for m in map(as_rows, ws) for n in [m.shape[1]]*len(m)])

    def flat(self, ts): return torch.cat([t.flatten() for t in ts])
    def segments(self, x): return torch.segment_reduce(x, "sum", lengths=self.lengths, unsafe=True)
    def add(self): torch._foreach_add_(self.ws, self.grads, alpha=1e-9)

    def norms(self):
        c = self.compiled
        def foreach():
            ds = torch._foreach_sub(self.ws, self.anchors)
            torch._foreach_abs_(ds)
            return [as_rows(d).sum(1) for d in ds]
        return {"tensor by tensor": lambda: [norm(w, a) for w,a in zip(self.ws, self.anchors)], "foreach": foreach,
                "flat": lambda: self.segments(self.flat(self.ws).sub_(self.flat(self.anchors)).abs_()),
                **({"compiled layers": lambda: [c["norm"](w, a) for w,a in zip(self.ws, self.anchors)], "compiled model": lambda: c["norms"](self.ws, self.anchors)} if c else {}),
                "kernels": lambda: self.rows.norms(self.ws, self.anchors)}

    def dots(self):
        c, all_ = self.compiled, (self.grads, self.ws, self.anchors)
        def foreach():
            ds = torch._foreach_sub(self.ws, self.anchors)
            torch._foreach_mul_(ds, self.grads)
            return [as_rows(d).sum(1) for d in ds]
        return {"tensor by tensor": lambda: [dot(*t) for t in zip(*all_)], "foreach": foreach,
                "flat": lambda: self.segments(self.flat(self.ws).sub_(self.flat(self.anchors)).mul_(self.flat(self.grads))),
                **({"compiled layers": lambda: [c["dot"](*t) for t in zip(*all_)], "compiled model": lambda: c["dots"](*all_)} if c else {}),
                "kernels": lambda: self.rows.dots(*all_)}

def compiled_forms():
    "Compiled once and for all shapes; the whole model's form is compiled for its shapes at its first call"
    return dict(norm=torch.compile(norm, dynamic=True), dot=torch.compile(dot, dynamic=True),
                norms=torch.compile(lambda ws, anchors: [norm(w, a) for w,a in zip(ws, anchors)], dynamic=False),
                dots=torch.compile(lambda gs, ws, anchors: [dot(*t) for t in zip(gs, ws, anchors)], dynamic=False))

def same(forms):
    "All forms must give the same numbers"
    first, *others = (torch.cat(list(r)) if isinstance(r, (list, tuple)) else r for r in (f() for f in forms.values()))
    for o in others: torch.testing.assert_close(o, first, rtol=1e-3, atol=1e-5)

@torch.no_grad()
def measure(name, compiled, repeats, now):
    v, found = Variants(weights(name), compiled), {}
    for what in ("norms", "dots"):
        forms = getattr(v, what)()
        same(forms)
        times = {k: [] for k in ("add", *forms)}
        for i in range(repeats + 2):
            for k,f in {"add": v.add, **forms}.items():
                took = seconds(f, "cpu", now)
                if i > 1: times[k].append(took)
        found[what] = {k: summary([t/a for t,a in zip(x, times["add"])]) for k,x in times.items() if k != "add"}
    return dict(tensors=len(v.ws), weights=sum(w.numel() for w in v.ws), add_milliseconds=round(1000*median(times["add"]), 3), **found)

@call_parse
def main(
    quick:store_true, # Without torch.compile, few repeats; writes only where --out is given
    threads:int=0, # CPU threads; 0 for torch's choice
    repeats:int=15, # Repeats
    clock:str="wall", # wall, or cpu: the process's own time
    out:str="", # Where to write the results; nothing for results/pass_variants.json beside this file
):
    "Multiples of one `torch._foreach_add_`"
    if threads: torch.set_num_threads(threads)
    results = {}
    for name in ("resnet50", "small layers"):
        results[name] = measure(name, None if quick or name != "resnet50" else compiled_forms(), 5 if quick else repeats, CLOCKS[clock]) # four thousand tensors would compile for hours
        for what in ("norms", "dots"):
            for k,q in results[name][what].items(): print(f"{name:13} {what:6} {k:17} {q['median']:6.2f}  {q['q1']:6.2f}–{q['q3']:.2f}")
    if quick and not out: return
    path = Path(out or Path(__file__).resolve().parent/"results"/"pass_variants.json")
    path.write_text(json.dumps(dict(date=str(date.today()), version=__version__, machine=machine("cpu"), settings=dict(clock=clock), results=results), indent=1) + "\n")
    print(f"written: {path}")
