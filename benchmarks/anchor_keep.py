"""What it costs to keep the anchor (the pretrained weights) in half precision, in a file, or off the GPU.

    python benchmarks/anchor_keep.py                 on the CPU (a minute); writes results/anchor_keep.json
    python benchmarks/anchor_keep.py --device cuda   on a GPU, with pinned and ordinary memory of the host; writes results/anchor_keep_cuda.json

Measured is `FixedRadius.project_`, which reads the anchor twice and does little else, over 48 linear layers of 1024 × 1024 in single precision. The ways take turns
within each repeat, so that a machine that is busy with something else slows them all; a ratio is taken within its repeat, shown are the
median and the quartiles. The file lies in the system's cache after the first repeat: where it does not fit there, count its size at the disk's bandwidth, twice a step.

Memory is what a fresh process holds more than one without the anchor: its own memory (RssAnon in /proc/self/status), and pages of files that it
has mapped and touched (RssFile), which the system may take back at any time.
"""
import json, os, tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import torch
from fastcore.script import call_parse
from step_cost import OUT, machine
from torch import nn

from tpgm_fastai import __version__
from tpgm_fastai.methods.fixed_radius import FixedRadius

LAYERS, WIDTH = 48, 1024
WAYS = dict(cpu=['none', 'bfloat16', 'file'], cuda=['none', 'bfloat16', 'cpu, pinned', 'cpu, ordinary', 'file'])

def network(device):
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS))).to(device)

def balls(way, device, folder):
    "A network that has moved, and its balls, none of which binds"
    net = network(device)
    b = FixedRadius(net, keep={'bfloat16': torch.bfloat16, 'file': Path(folder)/'anchor.safetensors'}.get(way, 'cpu' if 'cpu' in way else None))
    if way == 'cpu, ordinary': b.anchor.values = [v.clone() for v in b.anchor.values]
    with torch.no_grad():
        for p in net.parameters(): p += 1e-3
    return b

def seconds(f, device):
    start = perf_counter()
    f()
    if device != 'cpu': torch.cuda.synchronize()
    return perf_counter() - start

def summary(x):
    q1, m, q3 = quantiles(x, n=4)
    return dict(median=round(m, 3), q1=round(q1, 3), q3=round(q3, 3))

def timed(device, repeats, folder):
    steps, times = {w: balls(w, device, folder).project_ for w in WAYS[device]}, {w: [] for w in WAYS[device]}
    for f in steps.values(): f()
    for i in range(repeats):
        order = list(steps)
        for w in order[i % len(order):] + order[:i % len(order)]: times[w].append(seconds(steps[w], device))
    return {w: dict(milliseconds=round(1000*median(t), 2), ratio=summary([a/b for a,b in zip(t, times['none'])])) for w,t in times.items()}

def held_here(way, device, folder):
    "This process's own memory, its mapped files, and the GPU's memory, in bytes"
    if way: b = balls(way, device, folder); b.project_()
    else: net = network(device)
    status = dict(l.split(':\t') for l in Path('/proc/self/status').read_text().splitlines() if ':\t' in l)
    return [int(status[k].split()[0])*1024 for k in ('RssAnon', 'RssFile')] + [torch.cuda.memory_allocated() if device != 'cpu' else 0]

def held(way, device, folder):
    os.environ['MALLOC_MMAP_THRESHOLD_'] = str(2**16)                         # glibc then gives larger blocks back when they are freed
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool: return pool.submit(held_here, way, device, folder).result()

@call_parse
def main(device:str='cpu', # cpu or cuda
         repeats:int=31, # Of each way
         threads:int=1): # Of torch, on the CPU
    "Time and memory of the ways to keep the anchor"
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        results, none = timed(device, repeats, folder), held(None, device, folder)
        for w,r in results.items(): r.update(zip(('own_mb', 'file_mb', 'gpu_mb'), (round((a - b)/1e6) for a,b in zip(held(w, device, folder), none))))
    half = network('cpu')[0].weight
    rounding = ((half.bfloat16() - half).abs()/half.abs()).mean().item()
    head = dict(date=str(date.today()), version=__version__, machine=machine(device), load=os.getloadavg()[0], weights_mb=LAYERS*WIDTH*WIDTH*4/1e6, bfloat16_rounding=rounding)
    path = OUT/('anchor_keep.json' if device == 'cpu' else 'anchor_keep_cuda.json')
    path.write_text(json.dumps({**head, 'ways': results}, indent=1) + '\n')
    for w,r in results.items(): print(f"{w:15} {r['milliseconds']:8.1f} ms  {r['ratio']['median']:5.2f} ×  own {r['own_mb']:5} MB  file {r['file_mb']:5} MB")
