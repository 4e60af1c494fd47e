"""What does the verb give where `fine_tune` is replaced by `fine_tune_tpgm`, and nothing else? `python benchmarks/verb.py`

The quickstart's task, five epochs, fastai's default learning rate, five seeds: the linear probe that the verb starts from, `learn.fine_tune(5)`, and `learn.fine_tune_tpgm(5)` with radius data of the
task's or with a tenth of the training set. Accuracy on test data, and seconds of this process. Results go to results/verb.json.

`python benchmarks/verb.py --ablation` leaves out one part of the verb at a time, at its default rate and at ten times that; results go to results/ablation.json."""
import json, time
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from fastai.torch_core import set_seed
from fastcore.script import call_parse

from tpgm_fastai.all import accuracies, BatchNormEval, evaluate_domains, linear_probe, StepCapCallback
from tpgm_fastai.tasks.core import find_task

RESULTS = Path(__file__).parent/"results"
WAYS = {"linear probe": lambda learn, task: linear_probe(learn),
        "fine_tune": lambda learn, task: learn.fine_tune(5),
        "fine_tune_tpgm": lambda learn, task: learn.fine_tune_tpgm(5, dl=task.radius_dl),
        "fine_tune_tpgm, a tenth held out": lambda learn, task: learn.fine_tune_tpgm(5)}

def verb(learn, task, lr, dl=None, **options): learn.fine_tune_tpgm(5, lr, dl=dl or task.radius_dl, **options)
def unprojected(learn, task, lr):
    linear_probe(learn).fit_one_cycle(5, lr, pct_start=.1, div=10., moms=(.9, .9, .9), cbs=[StepCapCallback(.5), BatchNormEval()])

PARTS = {"linear probe": lambda learn, task, lr: linear_probe(learn),
         "the verb": verb, "without the probe": partial(verb, probe=False), "without the cap": partial(verb, cap=None), "without the projection": unprojected,
         "radii from training data": lambda learn, task, lr: verb(learn, task, lr, dl=learn.dls.train)}

def one(data, seed, way, do):
    task = find_task(data).make(seed=seed)
    set_seed(seed)
    learn, began = task.learner(), time.process_time()
    with learn.no_bar(), learn.no_logging(): do(learn, task)
    seconds = time.process_time() - began
    found = accuracies(evaluate_domains(learn, task.tests))
    return dict(data=data, way=way, seed=seed, id=round(found["id"], 4), ood=round(found["ood_mean"], 4), seconds=round(seconds, 1))

def collect(file, data, rows):
    "Write rows in the place of those of the same data, and return them as a table"
    were = [r for r in (json.loads(file.read_text()) if file.exists() else []) if r["data"] != data]
    file.write_text(json.dumps(were + rows, indent=1) + "\n")
    return pd.DataFrame(rows)

@call_parse(pos=["data"])
def main(
    data:str="glyphs", # glyphs, vit or emoji
    seeds:int=5, # Number of seeds, from 0
    ablation:bool=False, # Leave out one part at a time
):
    "Accuracy in and out of distribution, with default arguments"
    torch.set_num_threads(1)
    if ablation:
        rows = [one(data, s, w, partial(do, lr=lr)) | dict(lr=lr) for s in range(seeds) for lr in (2e-3, 2e-2) for w,do in PARTS.items()]
        d = collect(RESULTS/"ablation.json", data, rows)
        print((100*d.groupby(["lr", "way"], sort=False)[["id", "ood"]].agg(["mean", "std"])).round(1).to_string())
        return
    d = collect(RESULTS/"verb.json", data, [one(data, s, w, do) for s in range(seeds) for w,do in WAYS.items()])
    print((100*d.groupby("way", sort=False)[["id", "ood"]].agg(["mean", "std"])).round(1).to_string())
    print(d.groupby("way", sort=False).seconds.median().to_string())
    for k in ("id", "ood"): print(k, "above the probe:", int((d[d.way == "fine_tune_tpgm"][k].values > d[d.way == "linear probe"][k].values).sum()), "of", seeds)
