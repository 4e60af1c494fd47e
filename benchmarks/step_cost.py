"""What a step of TPGM, FTP and SPD costs, in time and in memory, beside a plain training step and beside the same methods written the direct way.

    python benchmarks/step_cost.py                 on the CPU (a quarter of an hour on two free cores); writes results/step_cost.json
    python benchmarks/step_cost.py --threads 1     with one thread; writes results/step_cost_one_thread.json
    python benchmarks/step_cost.py --quick         ResNet-18 and few repeats (two minutes): prints only
    python benchmarks/step_cost.py --device cuda   on a GPU, with networks and batches fit for one; writes results/step_cost_cuda.json
    python benchmarks/step_cost.py --threads 1 --clock cpu    on a machine that is busy with other work

First the pass alone, over ResNet-50's weights and with forward and backward left out, as multiples of one `torch._foreach_add_` of one set of
weights to another:

- project    `FixedRadius.project_`: norms of the displacements and projection, at once
- tpgm       what `TPGM.step_` does beside forward and backward: norms, projected weights, inner products with the gradients, Adam, projection
- ftp, spd   `FTP.step_` and `SPD.step_`

And once more over as many numbers in one weight with rows of 4,096: what is left there is memory, and not rows, layers or Python.

Then whole steps, on networks with random weights:

- plain         zero_grad, forward, cross-entropy, backward, optimizer
- floor         plain, and a bare forward and backward over the radius batch: every step of TPGM needs these
- tpgm          plain, and `TPGM.step_` on a radius batch of the same size (MARS norm, head excluded)
- ftp, spd      plain, and `FTP.step_` or `SPD.step_`
- deep copy     plain, and TPGM as its paper describes it: copy the network, project each layer of the copy with autograd, differentiate the
                loss with respect to one radius a layer, Adam, project each layer of the network
- ftp by layer  plain, and FTP as a loop over the layers

Time: the steps alternate within each repeat, in turning order, so that a machine that is busy with something else slows them all. A ratio is
taken within its repeat; shown are the median and the quartiles of the ratios.

Memory: each step runs alone in a fresh process. Compared is the largest resident set that the kernel saw (VmHWM in /proc/self/status; on CUDA
the allocator's peak), while glibc returns every freed block of 64 kB or more at once: what is in use counts, not what is kept for later.
"""
import json, os, platform, resource, sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time

import torch
from direct import DeepCopyTPGM, FTPByLayer
from fastcore.script import call_parse, store_true
from fastprogress.fastprogress import progress_bar
from torch import nn
from torch.nn import functional as F
from torchvision import models

from tpgm_fastai import __version__
from tpgm_fastai.methods.ftp import FTP
from tpgm_fastai.core.norms import eps
from tpgm_fastai.methods.fixed_radius import FixedRadius
from tpgm_fastai.methods.tpgm import TPGM
from tpgm_fastai.core.adam import adam_
from tpgm_fastai.methods.spd import SPD

OUT = Path(__file__).resolve().parent/'results'

# ---- networks

class Blocks(nn.Module):
    "A stack of transformer blocks over random tokens: 1.3 billion parameters at its defaults"
    def __init__(self, width=2048, depth=26, classes=1000):
        super().__init__()
        layer = partial(nn.TransformerEncoderLayer, width, width//128 or 1, 4*width, dropout=0., batch_first=True, norm_first=True)
        self.blocks, self.head = nn.ModuleList(layer() for _ in range(depth)), nn.Linear(width, classes)
    def forward(self, x):
        for b in self.blocks: x = b(x)
        return self.head(x.mean(1))

def sgd(params): return torch.optim.SGD(params, lr=1e-3, momentum=.9, nesterov=True, weight_decay=5e-4)
def adamw(params): return torch.optim.AdamW(params, lr=1e-4, foreach=True)
def picture(net, size, batch, exclude, opt, **kwargs): return dict(make=partial(getattr(models, net), weights=None), shape=(3, size, size), batch=batch, exclude=exclude, opt=opt, **kwargs)

NETS = dict(
    cpu=dict(resnet18=picture('resnet18', 64, 8, 'fc', sgd, goals=dict(tpgm=2.15)),
             resnet50=picture('resnet50', 96, 8, 'fc', sgd, goals=dict(tpgm=2.3)),
             vit_b_16=picture('vit_b_16', 224, 2, 'heads', sgd, goals=dict(tpgm=2.3)),
             resnet50_adamw=picture('resnet50', 128, 16, 'fc', adamw, goals=dict(ftp=1.10, spd=1.10))),
    cuda=dict(resnet50_amp=picture('resnet50', 224, 64, 'fc', adamw, amp=torch.float16, channels_last=True, goals=dict(ftp=1.03)),
              vit_b_16_bf16=picture('vit_b_16', 224, 64, 'heads', adamw, amp=torch.bfloat16, goals=dict(ftp=1.03)),
              blocks_bf16=dict(make=Blocks, shape=(512, 2048), batch=8, exclude='head', opt=adamw, amp=torch.bfloat16, goals=dict(ftp=1.03))))

# ---- the steps

STEPS = ['plain', 'floor', 'tpgm', 'ftp', 'spd', 'deep copy', 'ftp by layer']
WEIGHED = ['plain', 'floor', 'tpgm', 'ftp', 'deep copy'] # Those whose memory is measured
METHODS = {'tpgm': TPGM, 'ftp': FTP, 'spd': SPD, 'deep copy': DeepCopyTPGM, 'ftp by layer': FTPByLayer}

class Bench:
    "A network, its optimizer and two batches; every step of `STEPS` as a function, made once and called many times"
    def __init__(self, net, device='cpu', dtype=torch.float32):
        torch.manual_seed(0)
        self.net, self.exclude = net, net['exclude']
        self.model, self.batches = net['make']().to(device, dtype), [self.batch(device, dtype) for _ in range(2)]
        if net.get('channels_last'): self.model = self.model.to(memory_format=torch.channels_last)
        self.opt = net['opt'](self.model.parameters())
        self.amp = torch.autocast(torch.device(device).type, net['amp']) if 'amp' in net else nullcontext()
        self.scaler = torch.amp.GradScaler(torch.device(device).type, enabled=net.get('amp') == torch.float16)
        self.weights_mb = sum(p.numel()*p.element_size() for p in self.model.parameters())/1e6

    def batch(self, device, dtype):
        x = torch.randn(self.net['batch'], *self.net['shape'], dtype=dtype)
        if self.net.get('channels_last'): x = x.contiguous(memory_format=torch.channels_last)
        return x.to(device), torch.randint(1000, (self.net['batch'],)).to(device)

    def loss(self, model, i):
        x,y = self.batches[i]
        with self.amp: return F.cross_entropy(model(x).float() if self.net.get('amp') else model(x), y)
    def held_out(self, model): return self.loss(model, 1)

    def plain(self):
        self.model.train()
        self.opt.zero_grad()
        self.scaler.scale(self.loss(self.model, 0)).backward()
        self.scaler.step(self.opt)
        self.scaler.update()

    def floor(self):
        self.plain()
        self.model.eval()
        torch.autograd.grad(self.held_out(self.model), list(self.model.parameters()))

    def step(self, kind):
        "The step called `kind`, with what it keeps from one call to the next"
        if kind in ('plain', 'floor'): return getattr(self, kind)
        method = METHODS[kind](self.model, exclude=self.exclude)
        args = (self.held_out,) if kind in ('tpgm', 'deep copy') else ()
        def run():
            self.plain()
            method.step_(*args)
        run.method = method
        return run

def difference(one, two):
    "Largest difference between the radii of two forms of one method after three steps, in double precision"
    found = []
    for kind in (one, two):
        step = Bench(NETS['cpu']['resnet18'], dtype=torch.float64).step(kind)
        for _ in range(3): step()
        values = step.method.values
        found.append(list(values.values()) if isinstance(values, dict) else values)
    assert len(found[0]) == len(found[1])
    return max(abs(a - b) for a,b in zip(*found))

# ---- the pass

@torch.no_grad()
def tpgm_pass(radii, grads):
    "`TPGM.step_` without forward and backward: the gradients are there already"
    a, d, r = radii.anchor, radii.displacement, radii.state['radius']
    radii.follow_()
    if radii._all_begun(): measured = d.confine_to(radii._room(), r)
    else:
        radii._start(measured := d.measure())
        radii.confine(measured, radii._room())
    grad = radii._radius_grad(d.rows.dots(grads, a.weights, a.values), measured.rows)
    adam_(r, grad, radii.state, radii.lr, where=r.isfinite() & grad.isfinite())
    radii.confine(measured)

READS_AND_WRITES = dict(add=3, project=3, tpgm=9, ftp=6, spd=6) # Of a set of weights; the second look at a row or a block is free

class Pass:
    "What the methods do beside forward and backward, over the weights of one network"
    def __init__(self, net, device='cpu'):
        torch.manual_seed(0)
        model, exclude = net['make']().to(device), net['exclude']
        self.params = [p for n,p in model.named_parameters() if not n.startswith(exclude)] if exclude else list(model.parameters())
        self.methods = {k: make(model, exclude=exclude) for k,make in dict(project=FixedRadius, tpgm=TPGM, ftp=FTP, spd=SPD).items()}
        self.methods['project'].state['radius'].fill_(.1)
        for p in self.params: p.grad = 1e-3*torch.randn_like(p)

    @torch.no_grad()
    def step(self, kind):
        "One pass, after a move that is not timed"
        torch._foreach_add_(self.params, [p.grad for p in self.params], alpha=-1)
        weights, grads = [p.data for p in self.params], [p.grad for p in self.params]
        if kind == 'add': return lambda: torch._foreach_add_(weights, grads)
        if kind == 'tpgm': return lambda: tpgm_pass(self.methods['tpgm'], grads)
        return self.methods[kind].project_ if kind == 'project' else self.methods[kind].step_

def one_weight(net):
    "A network of one weight, with as many numbers as another's constrained weights have"
    n = sum(p.numel() for k,p in net['make']().named_parameters() if not k.startswith(net['exclude']))
    return dict(make=partial(nn.Linear, 4096, n//4096, bias=False), exclude=())

def passes(net, device, repeats, now):
    "Milliseconds, multiples of `torch._foreach_add_`, and bandwidth of every pass"
    bench, kinds = Pass(net, device), list(READS_AND_WRITES)
    times = {k: [] for k in kinds}
    for i in range(repeats + 3):
        for k in kinds[i%len(kinds):] + kinds[:i%len(kinds)]:
            took = seconds(bench.step(k), device, now)
            if i >= 3: times[k].append(took)
    size = sum(p.numel()*p.element_size() for p in bench.params)
    return {k: dict(milliseconds=round(1000*median(v), 2), ratio=summary([t/a for t,a in zip(v, times['add'])]), gb_per_second=round(READS_AND_WRITES[k]*size/median(v)/1e9, 1))
            for k,v in times.items()}

def graphed(device):
    "Whether FTP's step, captured in a CUDA graph together with a move of the weights, gives what it gives without"
    nets = [nn.Linear(256, 256).to(device) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    ftps, grads = [FTP(n) for n in nets], [torch.randn_like(p) for p in nets[0].parameters()]
    for n in nets:
        for p,g in zip(n.parameters(), grads): p.grad = g
    @torch.no_grad()
    def step(i):
        torch._foreach_add_(list(nets[i].parameters()), grads, alpha=-.1)
        ftps[i].step_()
    for i in (0, 1, 0, 1): step(i)                                            # warm up both
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph): step(1)
    for _ in range(5): step(0); graph.replay()
    return max((p - q).abs().max().item() for p,q in zip(*(n.parameters() for n in nets)))

# ---- time

CLOCKS = dict(wall=perf_counter, cpu=process_time)

def seconds(step, device, now):
    if device.startswith('cuda'): torch.cuda.synchronize(device)
    start = now()
    step()
    if device.startswith('cuda'): torch.cuda.synchronize(device)
    return now() - start

def timed(name, net, device, repeats, now):
    "Seconds of every step in every repeat"
    bench = Bench(net, device)
    steps = {kind: bench.step(kind) for kind in STEPS}
    for step in 2*list(steps.values()): step()                               # optimizer and radii make their state, caches fill
    times, n = {kind: [] for kind in STEPS}, len(STEPS)
    print(name, flush=True)
    for i in progress_bar(range(repeats)):
        for kind in STEPS[i%n:] + STEPS[:i%n]: times[kind].append(seconds(steps[kind], device, now))
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
    "High-water mark of a process that does nothing but this step, three times, bytes"
    torch.set_num_threads(threads)
    bench = Bench(NETS[torch.device(device).type][name], device)
    step = bench.step(kind)
    for _ in range(3): step()
    return high_water(device)

def peaks(name, device, threads):
    "Peak of every step, each in a fresh process"
    os.environ['MALLOC_MMAP_THRESHOLD_'] = '65536'                           # read by glibc when the process starts
    found = {}
    for kind in WEIGHED:
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool: found[kind] = pool.submit(peak, name, kind, device, threads).result()
    del os.environ['MALLOC_MMAP_THRESHOLD_']
    return found

# ---- report

def machine(device):
    try: cpu = Path('/proc/cpuinfo').read_text().split('model name')[1].split('\n')[0].strip('\t :')
    except (OSError, IndexError): cpu = platform.processor() or platform.machine()
    gpu = dict(gpu=torch.cuda.get_device_name(device), cuda=torch.version.cuda) if device.startswith('cuda') else {}
    return dict(cpu=cpu, cores=os.cpu_count(), **gpu, python=platform.python_version(), torch=torch.__version__, threads=torch.get_num_threads())

def measure(name, net, device, repeats, now):
    "Times, ratios to the plain step of the same repeat, and memory beyond the plain step"
    times, mem, mb = timed(name, net, device, repeats, now), peaks(name, device, torch.get_num_threads()), Bench(net).weights_mb
    ratios = {k: summary([t/p for t,p in zip(times[k], times['plain'])]) for k in STEPS[1:]}
    extra = {k: (mem[k] - mem['plain'])/1e6 for k in WEIGHED[1:]}
    return dict(batch=net['batch'], shape=net['shape'], optimizer=net['opt'].__name__, amp=str(net.get('amp')), goals=net['goals'], repeats=repeats, weights_mb=round(mb, 1),
                seconds={k: round(median(v), 4) for k,v in times.items()}, ratio=ratios, tpgm_over_floor=summary([t/f for t,f in zip(times['tpgm'], times['floor'])]),
                plain_peak_mb=round(mem['plain']/1e6), extra_mb={k: round(v) for k,v in extra.items()}, extra_weights={k: round(v/mb, 2) for k,v in extra.items()})

def rows(name, r):
    "One line of the table for each step"
    yield f"{name:15} {'plain':13} {1000*r['seconds']['plain']:7.0f}  {1:5.2f}"
    for k in STEPS[1:]:
        q, goal = r['ratio'][k], f"{r['goals'][k]:.2f}" if k in r['goals'] else ''
        yield (f"{'':15} {k:13} {1000*r['seconds'][k]:7.0f}  {q['median']:5.2f}  {q['q1']:5.2f}–{q['q3']:.2f}  {goal:>5}"
               + (f"  {r['extra_mb'][k]:9,d}  {r['extra_weights'][k]:7.2f}" if k in WEIGHED else ''))

def table(results):
    head = f"{'network':15} {'step':13} {'ms':>7}  {'× plain':>5} {'quartiles':>10}  {'goal':>5}  {'extra MB':>9}  {'weights':>7}"
    return '\n'.join([head, '─'*len(head), *(line for name,r in results.items() for line in rows(name, r))])

@call_parse
def main(
    quick:store_true, # The first network, 7 repeats; writes only where --out is given
    device:str='cpu', # Where to run: cpu or cuda
    threads:int=0, # CPU threads; 0 for torch's choice
    repeats:int=15, # Repeats per network
    clock:str='wall', # wall, or cpu: the process's own time, which other work disturbs less; with one thread and no GPU only
    out:str='', # Where to write the results; nothing for results/step_cost.json beside this file
):
    "Time and memory of a step, as multiples of a plain step"
    if threads: torch.set_num_threads(threads)
    kind, now = torch.device(device).type, CLOCKS[clock]
    nets = dict(list(NETS[kind].items())[:1 if quick else None])
    same = {f'{a}, {b}': difference(a, b) for a,b in (('tpgm', 'deep copy'), ('ftp', 'ftp by layer'))}
    if kind == 'cuda': same['ftp, ftp in a CUDA graph'] = graphed(device)
    for k,v in same.items(): print(f'largest difference after a few steps, {k}: {v:.1e}')
    net = NETS['cpu']['resnet50'] if kind == 'cpu' else list(NETS[kind].values())[-1]
    alone, lone = (passes(n, device, 7 if quick else 4*repeats, now) for n in (net, one_weight(net)))
    for k,v in alone.items():
        print(f"pass {k:8} {v['milliseconds']:8.2f} ms  {v['ratio']['median']:5.2f} × foreach_add_  {v['gb_per_second']:7.1f} GB/s; "
              f"in one weight {lone[k]['ratio']['median']:5.2f} ×")
    results = {n: measure(n, net, device, 7 if quick else repeats, now) for n,net in nets.items()}
    print(f'\n{table(results)}\n\nextra: peak memory beyond the plain step, in MB and as multiples of the weights')
    if quick and not out: return
    path = Path(out or OUT/f"step_cost{'_one_thread' if threads == 1 else ''}{'_cuda' if kind == 'cuda' else ''}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    head = dict(date=str(date.today()), version=__version__, machine=machine(device), settings=dict(device=device, clock=clock, norm='mars', every=1))
    path.write_text(json.dumps({**head, 'difference': same, 'pass': alone, 'pass_one_weight': lone, 'networks': results}, indent=1) + '\n')
    print(f'written: {path}')
