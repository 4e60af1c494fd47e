"""What `StepCap` adds to a training step. `python benchmarks/cap_cost.py`

Plain steps and capped ones take turns in one process on one thread; medians and quartiles of the ratio, on the process clock. Writes results/cap_cost.json."""
import json
from datetime import date
from pathlib import Path
from time import process_time

import torch
from fastcore.script import call_parse

from step_cost import NETS, Bench, summary
from tpgm_fastai.methods.step_cap import StepCap

class Capped(Bench):
    def __init__(self, net):
        super().__init__(net)
        self.cap = StepCap(self.model.parameters())

    def capped(self):
        self.model.train()
        self.opt.zero_grad()
        loss = self.loss(self.model, 0)
        loss.backward()
        self.cap.note_()
        self.opt.step()
        self.cap.limit_(loss)

def timed(f):
    start = process_time()
    f()
    return process_time() - start

@call_parse
def main(
    repeats:int=7, # Pairs of steps that count; three more come first
):
    "Ratios of a capped step to a plain one"
    torch.set_num_threads(1)
    found = {}
    for name,net in NETS["cpu"].items():
        bench = Capped(net)
        pairs = [(timed(bench.plain), timed(bench.capped)) if i % 2 else tuple(reversed((timed(bench.capped), timed(bench.plain)))) for i in range(repeats + 3)][3:]
        found[name] = summary([c/p for p,c in pairs])
        print(name, found[name], flush=True)
    (Path(__file__).parent/"results"/"cap_cost.json").write_text(json.dumps(dict(date=str(date.today()), torch=torch.__version__, threads=1, repeats=repeats, ratio=found), indent=1) + "\n")
