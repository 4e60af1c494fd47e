"""How the cost of TPGM, FTP and SPD grows, with forward and backward left out.

    python benchmarks/scaling.py                 on the CPU (six minutes on two free cores, 14 GB); writes results/scaling.json
    python benchmarks/scaling.py --quick         small sizes and few repeats (half a minute): writes only where --out is given
    python benchmarks/scaling.py --device cuda --largest 1e10 --out FILE    on a GPU

Timed are the passes of step_cost.py, over a stack of weights that belongs to no network and has its gradients already:

- foreach_add  one `torch._foreach_add_` of the gradients to the weights, the least that an optimizer does
- project      `FixedRadius.project_`: norms of the displacements, projection
- tpgm         what `TPGM.step_` does beside forward and backward
- ftp, spd     `FTP.step_` and `SPD.step_`

Three sweeps:

- parameters   48 square matrices that grow; float32 up to 2e8 parameters, bfloat16 above
- layers       more and more small layers, each a 32 × 32 weight and a bias of 32, which are two tensors
- batch size   `TPGM.update` on ResNet-18 at 64 px, beside a plain step (forward, backward, AdamW) on a batch of 64

What is compared alternates within each repeat, in turning order. The passes share one anchor, and FTP and SPD one last displacement, so that
all fit in memory. A sweep's large points have fewer repeats, at least two. A point that does not fit in memory is left out, and the file says why.

Memory: `held` are the pretrained weights that a method keeps and the last displacement of FTP and SPD, on the device; `peak` is the peak of a
fresh process beyond one that only adds the gradients. Both are multiples of the weights.
"""
import json, os
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from math import inf
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from fastcore.script import call_parse, store_true
from step_cost import high_water, machine, seconds, summary, tpgm_pass
from torch import nn
from torch.nn import functional as F
from torchvision import models

from tpgm_fastai import __version__
from tpgm_fastai.core.numba_rows import compile_all
from tpgm_fastai.methods import ftp_numba, spd_numba
from tpgm_fastai.methods.ftp import FTP
from tpgm_fastai.methods.fixed_radius import FixedRadius
from tpgm_fastai.methods.tpgm import TPGM
from tpgm_fastai.methods.spd import SPD

OUT = Path(__file__).resolve().parent/'results'/'scaling.json'
METHODS = dict(project=partial(FixedRadius, radius=.1), tpgm=TPGM, ftp=FTP, spd=SPD)
KINDS = ['foreach_add', *METHODS]
LAYERS, FLOAT32_UP_TO, PLAIN_BATCH = 48, 2e8, 64
FULL = dict(layers=[10, 30, 100, 300, 1000, 3000, 10000], batches=[1, 2, 4, 8, 16, 32, 64, 128], memory=[3e7, 1e8, 3e8], budget=10)
QUICK = dict(layers=[10, 100, 1000], batches=[1, 8, 64], memory=[3e7], budget=1) # `budget`: seconds for one point
ROOM = 7.5 # Copies of the weights: weights, gradients, two anchors, two displacements while SPD is made, projected weights, and the layer in work

# ---- the passes

def shapes_of(parameters): return [(round((parameters/LAYERS)**.5),)*2]*LAYERS
def small_layers(tensors): return [(32, 32), (32,)]*(tensors//2)
def dtype_of(parameters): return torch.float32 if parameters <= FLOAT32_UP_TO else torch.bfloat16

def stack(shapes, dtype, device):
    "Weights with gradients, as a module; the numbers of every shape are drawn once"
    torch.manual_seed(0)
    drawn = {s: (.02*torch.randn(s, device=device)).to(dtype) for s in set(shapes)}
    model = nn.ParameterList(nn.Parameter(drawn[s].clone()) for s in shapes)
    for p in model: p.grad = drawn[tuple(p.shape)].flip(0)
    return model

class Passes:
    "The passes over one stack of weights, each as a function"
    def __init__(self, shapes, dtype, device, kinds=KINDS, **kwargs):
        self.model, self.methods, shared = stack(shapes, dtype, device), {}, {}
        for k in kinds:
            if k not in METHODS: continue
            m = self.methods[k] = METHODS[k](self.model, **kwargs)
            for owner, name in ((m.displacement, 'anchor'), (m.memory, 'last')):
                if owner: setattr(owner, name, shared.setdefault(name, getattr(owner, name)))

    @torch.no_grad()
    def step(self, kind):
        "One pass, after a move that is not timed"
        weights, grads = [p.data for p in self.model], [p.grad for p in self.model]
        torch._foreach_add_(weights, grads, alpha=-1)
        if kind == 'foreach_add': return lambda: torch._foreach_add_(weights, grads)
        method = self.methods[kind]
        if kind == 'tpgm': return lambda: tpgm_pass(method, [p.grad for p in method.anchor.params])
        return method.project_ if kind == 'project' else method.step_

# ---- time

def alternate(steps, device, repeats, budget=inf):
    "Seconds of every step in every round: `steps` is name → function that makes a step. The first round warms up"
    names, times, began = list(steps), {k: [] for k in steps}, perf_counter()
    for i in range(repeats + 1):
        for k in names[i%len(names):] + names[:i%len(names)]:
            took = seconds(steps[k](), device, perf_counter)
            if i: times[k].append(took)
        if i >= 2 and perf_counter() - began > budget: break
    return times

def milliseconds(times): return summary([1000*t for t in times])
def ratio(times, to): return summary([a/b for a,b in zip(times, to)])

def free(device):
    "Bytes of memory that can be had, as far as the system tells"
    if device.startswith('cuda'):
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    try: return 1024*int(Path('/proc/meminfo').read_text().split('MemAvailable:')[1].split()[0])
    except (OSError, IndexError): return inf

def size(shapes, dtype): return sum(torch.Size(s).numel() for s in shapes)*dtype.itemsize

def timed(shapes, dtype, device, repeats, budget):
    "Seconds of every pass in every round (`MemoryError` where memory is not enough)"
    need, have = ROOM*size(shapes, dtype)/1e9, free(device)/1e9
    if need > have: raise MemoryError(f"This needs about {need:.1f} GB, and {have:.1f} GB are free.")
    passes = Passes(shapes, dtype, device)
    return alternate({k: partial(passes.step, k) for k in KINDS}, device, repeats, budget)

def point(shapes, dtype, device, repeats, budget):
    "Times of all passes over one stack, and their ratios to `foreach_add`"
    mb = size(shapes, dtype)/1e6
    head = dict(parameters=round(1e6*mb/dtype.itemsize), tensors=len(shapes), dtype=str(dtype).removeprefix('torch.'), weights_mb=round(mb, 3))
    try: times = timed(shapes, dtype, device, repeats, budget)
    except (MemoryError, torch.OutOfMemoryError) as e: found = dict(skipped=str(e).split('\n')[0])
    else: found = dict(rounds=len(times['project']), milliseconds={k: milliseconds(v) for k,v in times.items()},
                       ratio={k: ratio(v, times['foreach_add']) for k,v in times.items()})
    print(line({**head, **found}), flush=True)
    return {**head, **found}

def bandwidth(device, repeats, numbers=2**26):
    "Bytes that a copy reads and writes in a second, in GB"
    a, b = torch.ones(numbers, device=device), torch.empty(numbers, device=device)
    times = alternate(dict(copy=lambda: partial(b.copy_, a)), device, repeats)['copy']
    return round(2*a.nbytes/median(times)/1e9, 1)

# ---- size of the radius batch

def batch_sizes(device, repeats, sizes):
    "Time of a radius update at every batch size, and as a multiple of a plain step"
    torch.manual_seed(0)
    n, model = max(*sizes, PLAIN_BATCH), models.resnet18(weights=None).to(device)
    x, y, opt, radii = torch.randn(n, 3, 64, 64, device=device), torch.randint(1000, (n,), device=device), torch.optim.AdamW(model.parameters(), lr=1e-4), TPGM(model, exclude='fc')
    def loss(model, n): return F.cross_entropy(model(x[:n]), y[:n])
    def plain():
        model.train()
        opt.zero_grad()
        loss(model, PLAIN_BATCH).backward()
        opt.step()
    steps = dict(plain=lambda: plain) | {b: partial(partial, radii.update, partial(loss, n=b)) for b in sizes}
    times = alternate(steps, device, repeats)
    updates = [dict(batch=b, milliseconds=milliseconds(times[b]), ratio=ratio(times[b], times['plain'])) for b in sizes]
    for u in updates: print(f"radius batch {u['batch']:4}  {u['ratio']['median']:6.2f} × a plain step", flush=True)
    return dict(network='resnet18', size=64, optimizer='AdamW', plain_batch=PLAIN_BATCH, plain=milliseconds(times['plain']), updates=updates)

# ---- memory

def options(device):
    "Ways to keep less of the pretrained weights"
    found = {'keep=torch.bfloat16': dict(keep=torch.bfloat16), 'exclude= half of the layers': dict(exclude=[str(i) for i in range(LAYERS//2)])}
    return found | ({"keep='cpu'": dict(keep='cpu')} if device.startswith('cuda') else {})

def held(method, device):
    kept = [*method.anchor.values, *(method.memory.last if method.memory else [])]
    return sum(t.nbytes for t in kept if t.device.type == torch.device(device).type)

def alone(n, kind, kwargs, device, threads):
    "Bytes that a process needs at most which does nothing but this pass, and what the method holds"
    torch.set_num_threads(threads)
    if device == 'cpu': compile_all(ftp_numba.loop, spd_numba.loop)           # what Numba takes, about 130 MB, is not the methods'
    passes = Passes(shapes_of(n), dtype_of(n), device, [kind], **kwargs)
    for _ in range(2): passes.step(kind)()
    return high_water(device), sum(held(m, device) for m in passes.methods.values())

def in_fresh_process(*args):
    os.environ['MALLOC_MMAP_THRESHOLD_'] = '65536'                           # read by glibc when the process starts: freed blocks go back at once
    try:
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool: return pool.submit(alone, *args).result()
    finally: del os.environ['MALLOC_MMAP_THRESHOLD_']

def memory(n, device, quick, cheaper):
    "Multiples of the weights that every method holds and needs at most, beyond the weights and their gradients"
    mb, threads = size(shapes_of(n), dtype_of(n)), torch.get_num_threads()
    if ROOM*mb > free(device): return [dict(parameters=n, skipped=f"This needs about {ROOM*mb/1e9:.1f} GB, and {free(device)/1e9:.1f} GB are free.")]
    cases = [(k, '', {}) for k in (('tpgm', 'ftp') if quick else METHODS)]
    if cheaper: cases += [(k, name, kwargs) for k in ('tpgm', 'ftp') for name,kwargs in options(device).items()]
    base, found = in_fresh_process(n, 'foreach_add', {}, device, threads)[0], []
    for kind,name,kwargs in cases:
        peak, kept = in_fresh_process(n, kind, kwargs, device, threads)
        found.append(dict(parameters=n, dtype=str(dtype_of(n)).removeprefix('torch.'), kind=kind, option=name, held=round(kept/mb, 3), peak=round((peak - base)/mb, 3)))
        print(f"memory {n:.0e} {kind:8} {name:28} held {found[-1]['held']:5.2f}  peak {found[-1]['peak']:5.2f}", flush=True)
    return found

# ---- report

def line(p):
    head = f"{p['parameters']:13,d} parameters {p['tensors']:6,d} tensors {p['dtype']:9}"
    return f"{head} {p['skipped']}" if 'skipped' in p else f"{head} " + '  '.join(f"{k} {p['milliseconds'][k]['median']:.3g} ms" for k in KINDS)

def sweeps(device, repeats, largest, plan, quick):
    "All that is measured"
    speed = bandwidth(device, repeats)
    print(f"copy: {speed} GB/s", flush=True)
    sizes = [m*10**e for e in range(5, 13) for m in ((1,) if quick else (1, 3)) if m*10**e <= largest]
    in_memory = [round(n) for n in plan['memory'] if n <= largest]
    large = max((n for n in in_memory if n <= FLOAT32_UP_TO), default=0)
    return dict(bandwidth_gb_per_second=speed,
        parameters=[point(shapes_of(n), dtype_of(n), device, repeats, plan['budget']) for n in sizes],
        layers=[point(small_layers(n), torch.float32, device, repeats, plan['budget']/2) for n in plan['layers']],
        batches=batch_sizes(device, max(2, repeats//3), plan['batches']),
        memory=[m for n in in_memory for m in memory(n, device, quick, cheaper=not quick and n == large)])

@call_parse
def main(
    quick:store_true, # Up to 1e7 parameters, 5 repeats; writes only where --out is given
    device:str='cpu', # Where to run: cpu or cuda
    threads:int=0, # CPU threads; 0 for torch's choice
    repeats:int=15, # Repeats per point; the large ones have fewer
    largest:float=1e9, # Largest number of parameters
    out:str='', # Where to write the results; nothing for results/scaling.json beside this file
):
    "Time and memory of the passes against parameters, layers and size of the radius batch"
    if threads: torch.set_num_threads(threads)
    if quick: repeats, largest = 5, min(largest, 3e7)
    found = sweeps(device, repeats, largest, QUICK if quick else FULL, quick)
    if quick and not out: return
    path = Path(out or OUT)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = dict(device=device, repeats=repeats, matrices=LAYERS, small_layer='32 × 32 and 32', norm='mars')
    path.write_text(json.dumps(dict(date=str(date.today()), version=__version__, machine=machine(device), settings=settings, **found), indent=1) + '\n')
    print(f'written: {path.name}')
