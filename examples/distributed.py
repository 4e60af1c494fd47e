"""Fine-tune within learned radii on several processes, on the glyphs that come with the package.

    python -m torch.distributed.run --standalone --nproc_per_node 2 examples/distributed.py

Two processes, on two GPUs if there are any, else on the CPU (a minute, with Accelerate installed). Accelerate starts it, too: `accelerate launch
--multi_gpu --num_processes 2 examples/distributed.py`, with or without a GPU (`--cpu` would start one process). Several machines: nbs/tutorials/several_machines.ipynb. The same training three ways:

    --how fastai     `learn.distrib_ctx()` and `TPGMCallback` (the default)
    --how loop       a loop of one's own around Accelerate's model and `TPGM`
    --how sharded    the same loop around a model whose weights lie in parts on the processes (`fully_shard`)
"""
import os, sys

import torch
if not torch.cuda.is_available(): os.environ.setdefault('ACCELERATE_USE_CPU', 'true')
import torch.distributed as dist
from accelerate import Accelerator
from fastai.distributed import *
from fastcore.script import call_parse
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F

from tpgm_fastai.callback.tpgm import TPGMCallback
from tpgm_fastai.core.collective import n_processes, rank
from tpgm_fastai.evaluate.domains import evaluate_domains
from tpgm_fastai.tasks.glyphs import glyph_task
from tpgm_fastai.methods.tpgm import TPGM
from tpgm_fastai.callback.radius_data import mend_broadcast, own_share

def with_fastai(learn, task, epochs):
    learn.add_cb(TPGMCallback(task.radius_dl))                                   # each process takes its share of the radius data
    with learn.no_bar(), learn.distrib_ctx(sync_bn=False): learn.fit(epochs, 1e-3)  # BatchNorm is in evaluation mode here
    return learn.tpgm.method

def batches(dl, device):
    "Batches of this process's share, without end"
    while True: yield from ([t.to(device) for t in b] for b in own_share(dl))

def in_a_loop(learn, task, epochs, sharded):
    accelerator = Accelerator()
    model = learn.model.to(accelerator.device).eval()                         # BatchNorm in evaluation mode
    if sharded:
        fully_shard(model.to(memory_format=torch.contiguous_format))          # a large model: each of its blocks first
    radii = TPGM(model, exclude='1', init='max/2')                           # after `fully_shard`, before training
    net = model if sharded else accelerator.prepare(model)
    opt, train, held_out = torch.optim.AdamW(net.parameters(), 1e-3), batches(learn.dls.train, accelerator.device), batches(task.radius_dl, accelerator.device)
    def loss(model): x, y = next(held_out); return F.cross_entropy(model(x), y), len(y)
    for i in range(epochs):
        for _ in range(len(learn.dls.train)//n_processes()):
            x, y = next(train)
            F.cross_entropy(net(x), y).backward()
            opt.step()
            opt.zero_grad()
        radii_loss = radii.step_(loss, steps=4)                               # once an epoch: four radius steps and a projection
        if rank() == 0: print(f'epoch {i}: radius loss {radii_loss:.3f}', flush=True)
    return radii

@call_parse
def main(how:str='fastai', # fastai, loop or sharded
         epochs:int=2): # Over the training set
    "Fine-tune within learned radii on several processes"
    torch.manual_seed(0)                                                      # the same new head on all processes
    mend_broadcast()                                                          # for `evaluate_domains` without a GPU; `TPGMCallback` does it by itself
    task = glyph_task(bs=64)
    learn = task.learner()
    radii = with_fastai(learn, task, epochs) if how == 'fastai' else in_a_loop(learn, task, epochs, how == 'sharded')
    values, distances = radii.values, radii.distances                         # all processes ask: where weights lie in parts, it takes all to answer
    if how != 'sharded':
        with learn.distrib_ctx(sync_bn=False): right = evaluate_domains(learn, task.tests).accuracy
    if rank() == 0:
        for n in list(values)[:4]: print(f'{n:20} radius {values[n]:.4f}  distance {distances[n]:.4f}')
        if how != 'sharded': print(f"accuracy: handwriting {right[task.id]:.3f}, mean of the other domains {right['OOD mean']:.3f}")
    if dist.is_initialized():
        dist.barrier()                                                        # nobody leaves before the last has finished
        dist.destroy_process_group()
        sys.stdout.flush()
        os._exit(0)                                                           # gloo's threads may abort Python's own way out
