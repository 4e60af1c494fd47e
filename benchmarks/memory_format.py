"""How much sooner is a training step with channels-last weights? `python benchmarks/memory_format.py`

Forward and backward pass of a batch of 32 on the processor, default threads, alternating, medians. Writes results/memory_format.json."""
import json, statistics, time
from pathlib import Path

import torch

from tpgm_fastai.models.vision import image_net

HERE = Path(__file__).resolve().parent
NETS = dict(resnet18=64, resnet50=96, tf_efficientnet_lite0=64) # Architecture → pixels of a side
FORMATS = dict(contiguous=torch.contiguous_format, channels_last=torch.channels_last)

def step(model, x):
    began = time.perf_counter()
    model(x).sum().backward()
    return time.perf_counter() - began

def main(repeats=7):
    found = dict(threads=torch.get_num_threads(), repeats=repeats)
    for arch,size in NETS.items():
        x = torch.randn(32, 3, size, size)
        nets = {k: image_net(arch, 10, False).to(memory_format=f).train() for k,f in FORMATS.items()}
        seconds = {k: [] for k in nets}
        for _ in range(repeats + 1):
            for k,model in nets.items(): seconds[k].append(step(model, x))
        medians = {k: statistics.median(v[1:]) for k,v in seconds.items()} # the first step sets things up
        found[arch] = {k: round(v, 4) for k,v in medians.items()} | dict(ratio=round(medians["contiguous"]/medians["channels_last"], 2))
    (HERE/"results"/"memory_format.json").write_text(json.dumps(found, indent=1) + "\n")
    print(found)

if __name__ == "__main__": main()
