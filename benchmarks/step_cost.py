"""What a TPGM step costs, in time and in memory, beside a plain training step and beside TPGM by deep copies.

    python benchmarks/step_cost.py                 three networks on the CPU (a quarter of an hour on two free cores); writes results/step_cost.json
    python benchmarks/step_cost.py --quick         ResNet-18 and few repeats (a minute): prints only
    python benchmarks/step_cost.py --device cuda   the same on a GPU
    python benchmarks/step_cost.py --threads 1 --clock cpu    on a machine that is busy with other work

Four steps are timed, on one network with random weights:

- plain      zero_grad, forward, cross-entropy, backward, SGD with Nesterov momentum
- floor      plain, and a bare forward and backward over the radius batch: every step of TPGM needs these
- ours       plain, and `Radii.step_` on a radius batch of the same size (MARS norm, head excluded)
- deep copy  plain, and TPGM as its paper describes it, written the direct way: copy the network, project each layer of the copy with autograd,
             differentiate the loss with respect to one radius a layer, Adam, project each layer of the network

Time: the four alternate within each repeat, in turning order, so that a machine that is busy with something else slows them all. A ratio is
taken within its repeat; shown are the median and the quartiles of the ratios.

Memory: each step runs alone in a fresh process. Compared is the largest resident set that the kernel saw (VmHWM in /proc/self/status; on CUDA
the allocator's peak), while glibc returns every freed block of 64 kB or more at once: what is in use counts, not what is kept for later.
"""
import json, os, platform, resource, sys
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time

import torch
from fastcore.script import call_parse, store_true
from fastprogress.fastprogress import progress_bar
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torchvision import models

from tpgm_fastai import __version__
from tpgm_fastai.radii import Radii

NETS = dict(resnet18=dict(batch=8, size=64, exclude='fc', goal=2.15), resnet50=dict(batch=8, size=96, exclude='fc', goal=2.3),
            vit_b_16=dict(batch=2, size=224, exclude='heads', goal=2.3))
STEPS = ['plain', 'floor', 'ours', 'deep copy']
SGD = dict(lr=1e-3, momentum=.9, nesterov=True, weight_decay=5e-4)
OUT = Path(__file__).resolve().parent/'results'/'step_cost.json'

# ---- TPGM by deep copies

eps = 1e-8

def mars(delta): return delta.abs().sum(tuple(range(1, delta.ndim)) or (0,), keepdim=True)

def project(weight, anchor, radius):
    "Projection of one layer that autograd differentiates with respect to `radius`, which is first clipped in place"
    delta = weight - anchor
    norm = mars(delta)
    with torch.no_grad(): radius.copy_(radius.clamp(min=eps).minimum(norm.max()))
    return anchor + (radius/(norm + eps)).clamp(max=1)*delta

class DeepCopyTPGM:
    "One radius parameter a layer, a copy of the network at every step and loops over the layers"
    def __init__(self,
        model:nn.Module, # The network that is fine-tuned, at its pretrained weights
        exclude:str, # Name of the head, which is not constrained
        lr=1e-2, # Learning rate of the radii
    ):
        self.model, self.lr, self.radii = model, lr, {}
        self.anchor = dict(deepcopy(model).named_parameters())
        self.names = [n for n in self.anchor if not n.startswith(f'{exclude}.')]

    @torch.no_grad()
    def start(self, weights):
        self.radii = {n: nn.Parameter(mars(weights[n] - self.anchor[n]).min()/2) for n in self.names}
        self.opt = torch.optim.Adam(self.radii.values(), lr=self.lr)

    def step_(self, closure):
        "Learn the radii, then move every layer into its ball"
        if not self.radii: self.start(dict(self.model.named_parameters()))
        self.learn(deepcopy(self.model).eval(), closure)
        with torch.no_grad():
            for n,p in self.model.named_parameters():
                if n in self.radii: p.copy_(project(p, self.anchor[n], self.radii[n]))

    @property
    def values(self): return {n: r.item() for n,r in self.radii.items()}

    def learn(self, copy, closure):
        weights = {n: p.detach() for n,p in copy.named_parameters()}
        new = {n: project(weights[n], self.anchor[n].detach(), r) for n,r in self.radii.items()}
        self.opt.zero_grad()
        closure(lambda x: functional_call(copy, {**weights, **new}, x)).backward()
        self.opt.step()

# ---- the four steps

class Bench:
    "A network, its optimizer and two batches; every step of `STEPS` as a function, made once and called many times"
    def __init__(self, name, device='cpu', dtype=torch.float32):
        torch.manual_seed(0)
        net = NETS[name]
        self.model, self.exclude = getattr(models, name)(weights=None).to(device, dtype), net['exclude']
        self.opt = torch.optim.SGD(self.model.parameters(), **SGD)
        self.batches = [self.batch(net, device, dtype) for _ in range(2)]
        self.weights_mb = sum(p.numel()*p.element_size() for p in self.model.parameters())/1e6

    def batch(self, net, device, dtype):
        x = torch.randn(net['batch'], 3, net['size'], net['size'], dtype=dtype)
        return x.to(device), torch.randint(1000, (net['batch'],)).to(device)

    def loss(self, model, i):
        x,y = self.batches[i]
        return F.cross_entropy(model(x), y)
    def held_out(self, model): return self.loss(model, 1)

    def plain(self):
        self.model.train()
        self.opt.zero_grad()
        self.loss(self.model, 0).backward()
        self.opt.step()

    def floor(self):
        self.plain()
        self.model.eval()
        torch.autograd.grad(self.held_out(self.model), list(self.model.parameters()))

    def step(self, kind):
        "The step called `kind`, with what it keeps from one call to the next"
        if kind in ('plain', 'floor'): return getattr(self, kind)
        tpgm = (Radii if kind == 'ours' else DeepCopyTPGM)(self.model, exclude=self.exclude)
        def run():
            self.plain()
            tpgm.step_(self.held_out)
        run.tpgm = tpgm
        return run

def difference():
    "Largest difference between the radii of both forms of TPGM after three steps, in double precision: they are one method"
    found = []
    for kind in ('ours', 'deep copy'):
        step = Bench('resnet18', dtype=torch.float64).step(kind)
        for _ in range(3): step()
        found.append(step.tpgm.values)
    assert found[0].keys() == found[1].keys()
    return max(abs(found[0][n] - found[1][n]) for n in found[0])

# ---- time

CLOCKS = dict(wall=perf_counter, cpu=process_time)

def seconds(step, device, now):
    if device.startswith('cuda'): torch.cuda.synchronize(device)
    start = now()
    step()
    if device.startswith('cuda'): torch.cuda.synchronize(device)
    return now() - start

def timed(name, device, repeats, now):
    "Seconds of every step in every repeat"
    bench = Bench(name, device)
    steps = {kind: bench.step(kind) for kind in STEPS}
    for step in 2*list(steps.values()): step()                               # optimizer and radii make their state, caches fill
    times = {kind: [] for kind in STEPS}
    print(name, flush=True)
    for i in progress_bar(range(repeats)):
        for kind in STEPS[i%4:] + STEPS[:i%4]: times[kind].append(seconds(steps[kind], device, now))
    return times

def summary(xs):
    low,_,high = quantiles(xs, n=4, method='inclusive')
    return {k: round(v, 4) for k,v in dict(median=median(xs), q1=low, q3=high).items()}

# ---- memory

def high_water(device):
    "Most memory this process has held so far, bytes"
    if device.startswith('cuda'): return torch.cuda.max_memory_allocated(device)
    try: return 1024*int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])
    except OSError: return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss*(1 if sys.platform == 'darwin' else 1024)

def peak(name, kind, device, threads):
    "High-water mark of a process that does nothing but this step, three times, and the size of the weights, bytes"
    torch.set_num_threads(threads)
    bench = Bench(name, device)
    step = bench.step(kind)
    for _ in range(3): step()
    return high_water(device)

def peaks(name, device, threads):
    "Peak of every step, each in a fresh process"
    os.environ['MALLOC_MMAP_THRESHOLD_'] = '65536'                           # read by glibc when the process starts
    found = {}
    for kind in STEPS:
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool: found[kind] = pool.submit(peak, name, kind, device, threads).result()
    del os.environ['MALLOC_MMAP_THRESHOLD_']
    return found

# ---- report

def machine(device):
    try: cpu = Path('/proc/cpuinfo').read_text().split('model name')[1].split('\n')[0].strip('\t :')
    except (OSError, IndexError): cpu = platform.processor() or platform.machine()
    gpu = dict(gpu=torch.cuda.get_device_name(device)) if device.startswith('cuda') else {}
    return dict(cpu=cpu, cores=os.cpu_count(), **gpu, python=platform.python_version(), torch=torch.__version__, threads=torch.get_num_threads())

def measure(name, device, repeats, now):
    "Times, ratios to the plain step of the same repeat, and memory beyond the plain step"
    times, mem, mb = timed(name, device, repeats, now), peaks(name, device, torch.get_num_threads()), Bench(name).weights_mb
    ratios = {k: summary([t/p for t,p in zip(times[k], times['plain'])]) for k in STEPS[1:]}
    extra = {k: (mem[k] - mem['plain'])/1e6 for k in STEPS[1:]}
    return dict(**NETS[name], repeats=repeats, weights_mb=round(mb, 1), seconds={k: round(median(v), 4) for k,v in times.items()}, ratio=ratios,
                plain_peak_mb=round(mem['plain']/1e6), extra_mb={k: round(v) for k,v in extra.items()},
                extra_weights={k: round(v/mb, 2) for k,v in extra.items()})

def rows(name, r):
    "One line of the table for each step"
    yield f"{name:10} {'plain':10} {1000*r['seconds']['plain']:7.0f}  {1:5.2f}"
    for k in STEPS[1:]:
        q, goal = r['ratio'][k], f"{r['goal']:.2f}" if k == 'ours' else ''
        yield (f"{'':10} {k:10} {1000*r['seconds'][k]:7.0f}  {q['median']:5.2f}  {q['q1']:5.2f}–{q['q3']:.2f}  {goal:>5}"
               f"  {r['extra_mb'][k]:9,d}  {r['extra_weights'][k]:7.2f}")

def table(results):
    head = f"{'network':10} {'step':10} {'ms':>7}  {'× plain':>5} {'quartiles':>10}  {'goal':>5}  {'extra MB':>9}  {'weights':>7}"
    return '\n'.join([head, '─'*len(head), *(line for name,r in results.items() for line in rows(name, r))])

@call_parse
def main(
    quick:store_true, # ResNet-18, 7 repeats; writes only where --out is given
    device:str='cpu', # Where to run: cpu or cuda
    threads:int=0, # CPU threads; 0 for torch's choice
    repeats:int=25, # Repeats per network; half as many for vit_b_16
    clock:str='wall', # wall, or cpu: the process's own time, which other work disturbs less; with one thread and no GPU only
    out:str='', # Where to write the results; nothing for results/step_cost.json beside this file
):
    "Time and memory of a TPGM step, as multiples of a plain step"
    if threads: torch.set_num_threads(threads)
    if quick: repeats = 7
    same = difference()
    print(f'largest difference between our radii and the deep-copy form after three steps in double precision: {same:.1e}\n')
    results = {n: measure(n, device, (repeats + 1)//2 if n == 'vit_b_16' else repeats, CLOCKS[clock]) for n in (['resnet18'] if quick else NETS)}
    print(f'\n{table(results)}\n\nextra: peak memory beyond the plain step, in MB and as multiples of the weights')
    if quick and not out: return
    path = Path(out or OUT)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = dict(device=device, clock=clock, optimizer='SGD', **SGD, norm='mars', every=1)
    head = dict(date=str(date.today()), version=__version__, machine=machine(device), settings=settings)
    path.write_text(json.dumps(dict(**head, radii_difference=same, networks=results), indent=1) + '\n')
    print(f'written: {path}')
