"""What does the verb give where `fine_tune` is replaced by `fine_tune_tpgm`, and nothing else? `python benchmarks/verb.py`

The quickstart's task, five epochs, fastai's default learning rate, five seeds: the linear probe that the verb starts from, `learn.fine_tune(5)`, and `learn.fine_tune_tpgm(5)` with radius data of the
task's or with a tenth of the training set. Accuracy on test data, and seconds of this process. Results go to results/verb.json."""
import json, time
from pathlib import Path

import pandas as pd
import torch
from fastai.torch_core import set_seed
from fastcore.script import call_parse

from tpgm_fastai.all import accuracies, evaluate_domains, linear_probe
from tpgm_fastai.tasks.core import find_task

FILE = Path(__file__).parent/"results"/"verb.json"
WAYS = {"linear probe": lambda learn, task: linear_probe(learn),
        "fine_tune": lambda learn, task: learn.fine_tune(5),
        "fine_tune_tpgm": lambda learn, task: learn.fine_tune_tpgm(5, dl=task.radius_dl),
        "fine_tune_tpgm, a tenth held out": lambda learn, task: learn.fine_tune_tpgm(5)}

def one(data, seed, way):
    task = find_task(data).make(seed=seed)
    set_seed(seed)
    learn, began = task.learner(), time.process_time()
    with learn.no_bar(), learn.no_logging(): WAYS[way](learn, task)
    seconds = time.process_time() - began
    found = accuracies(evaluate_domains(learn, task.tests))
    return dict(data=data, way=way, seed=seed, id=round(found["id"], 4), ood=round(found["ood_mean"], 4), seconds=round(seconds, 1))

@call_parse(pos=["data"])
def main(
    data:str="glyphs", # glyphs, vit or emoji
    seeds:int=5, # Number of seeds, from 0
):
    "Accuracy in and out of distribution, with default arguments"
    torch.set_num_threads(1)
    rows = [r for r in (json.loads(FILE.read_text()) if FILE.exists() else []) if r["data"] != data]
    rows += [one(data, s, w) for s in range(seeds) for w in WAYS]
    FILE.write_text(json.dumps(rows, indent=1) + "\n")
    d = pd.DataFrame([r for r in rows if r["data"] == data])
    print((100*d.groupby("way", sort=False)[["id", "ood"]].agg(["mean", "std"])).round(1).to_string())
    print(d.groupby("way", sort=False).seconds.median().to_string())
    for k in ("id", "ood"): print(k, "above the probe:", int((d[d.way == "fine_tune_tpgm"][k].values > d[d.way == "linear probe"][k].values).sum()), "of", seeds)
