"""The benchmark table: methods, learning rates and seeds on the embedded glyphs. `python benchmarks/glyphs.py`

Learning rates are chosen on the ID validation fonts, by mean accuracy over the seeds; they are written down before anything is
tested. Radii learn from fonts of their own, which no choice is made on. One thread for each run."""
import json, platform, time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import fastai, numpy as np, pandas as pd, torch
from fastcore.script import call_parse
from fastprogress.fastprogress import progress_bar
from scipy.stats import ttest_rel

from tpgm_fastai import __version__
from tpgm_fastai.compare import Run, methods, try_method
from tpgm_fastai.domains import domain_accuracy
from tpgm_fastai.glyphs import glyph_task

RESULTS = Path(__file__).parent/"results"

def train(seed, lrs, epochs, work, names=tuple(methods)):
    "Every method at every learning rate for one seed: weights into `work`, validation accuracies and seconds back; what is there already is kept"
    torch.set_num_threads(1)
    run, rows = Run(glyph_task(seed), epochs, seed), []
    with run.learner().no_bar():
        for m,lr in product(names, lrs):
            if m=="lp" and lr!=lrs[0]: continue
            file = work/f"{m}-{lr}-{seed}.json"
            if not file.exists():
                learn, r = try_method(run, m, lr, test=False)
                torch.save(learn.model.state_dict(), file.with_suffix(".pt"))
                file.write_text(json.dumps(dict(method=m, lr=lr, seed=seed, **r)))
            rows.append(json.loads(file.read_text()))
    return rows

def choose(trained):
    "Method → the learning rate of the best mean validation accuracy"
    mean = trained.groupby(["method", "lr"]).valid.mean().reset_index()
    return mean.loc[mean.groupby("method").valid.idxmax()].set_index("method").lr.to_dict()

def test(method, lr, seed, work):
    "Accuracies of one trained model on every domain"
    task = glyph_task(seed)
    learn = task.learner()
    learn.model.load_state_dict(torch.load(work/f"{method}-{lr}-{seed}.pt", weights_only=True))
    return domain_accuracy(learn, task.tests)

def summary(runs, bases=("ft", "lp")):
    "Mean and sd over the seeds, in per cent, paired differences to the `bases`, and median seconds"
    rows = {}
    for m in runs:
        rows[m] = dict(lr=runs[m][0]["lr"])
        for k in ("valid", "id", "ood_mean", "seconds"):
            v = np.array([r[k] for r in runs[m]])*(1 if k=="seconds" else 100)
            rows[m] |= {k: np.median(v) if k=="seconds" else v.mean(), f"{k}_sd": v.std(ddof=1)}
            for base in () if k=="seconds" else bases:
                if m==base: continue
                d = v - 100*np.array([r[k] for r in runs[base]])
                rows[m] |= {f"{k}_vs_{base}": d.mean(), f"{k}_vs_{base}_sd": d.std(ddof=1), f"{k}_vs_{base}_p": float(ttest_rel(d, 0*d).pvalue)}
    return pd.DataFrame(rows).T

@call_parse
def main(
    seeds:int=5, # Number of seeds, from 0
    lrs:str="0.001,0.004,0.01", # Learning rates to choose from
    epochs:int=10, # Epochs of fine-tuning
    jobs:int=2, # Seeds at a time
    work:str="runs/benchmark", # Folder for the trained weights
    out:str=str(RESULTS/"glyphs.json"), # Where the results go
):
    "The table of README.md: what every method gains in distribution and keeps out of distribution"
    work, lrs, began = Path(work), [float(x) for x in lrs.split(",")], time.time()
    work.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(train, s, lrs, epochs, work) for s in range(seeds)]
        rows = [r for f in progress_bar(as_completed(futures), total=seeds) for r in f.result()]
    trained = pd.DataFrame(rows).sort_values(["method", "lr", "seed"])
    best = choose(trained)
    print("Chosen on validation data:", best, flush=True)
    runs = {m: [{**r, **test(m, best[m], r["seed"], work)} for r in trained[(trained.method==m) & (trained.lr==best[m])].to_dict("records")] for m in methods}
    machine = dict(processor=platform.processor() or platform.machine(), threads=1, python=platform.python_version(), torch=torch.__version__, fastai=fastai.__version__)
    settings = dict(version=__version__, seeds=seeds, lrs=lrs, epochs=epochs, chosen=best, machine=machine, minutes=round((time.time()-began)/60, 1))
    table = summary(runs)
    Path(out).write_text(json.dumps(dict(settings=settings, summary=table.to_dict("index"), runs=runs, trained=rows), indent=1))
    print(table[["lr", "valid", "id", "id_sd", "ood_mean", "ood_mean_sd", "seconds"]].round(3).to_string())
