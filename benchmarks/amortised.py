"""What cheaper ways to learn the radii keep, on the embedded glyphs. `python benchmarks/amortised.py`

Every variant is fine-tuned at every learning rate and seed; the rate is chosen on the ID validation fonts, by mean accuracy over the seeds, and so is the
variant to recommend: the best on validation data of those that learn radii on held-out data and cost at most 1.15 times plain fine-tuning. Both are written down before
anything is tested. Radii learn from fonts of their own. A run that was stopped goes on where it stopped.

Cost is the time of two epochs, data loading included, in epochs of plain fine-tuning: one process, one thread, its own clock, the variants in turning order, median."""
import json, platform, time
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import fastai, pandas as pd, torch
from fastcore.script import call_parse
from fastprogress.fastprogress import progress_bar
from glyphs import RESULTS, choose, summary, test, train
from step_cost import machine, summary as quartiles

from tpgm_fastai import __version__
from tpgm_fastai.callback import TPGMCallback, authors
from tpgm_fastai.compare import Run, methods
from tpgm_fastai.ftp import FTP, FTPCallback
from tpgm_fastai.glyphs import glyph_task
from tpgm_fastai.projection import eps
from tpgm_fastai.radii import _radius_pass, adam_
from tpgm_fastai.spd import SPDCallback

# ---- two ideas that the library does not have

class Hybrid(FTP):
    "FTP, whose gradient is now and then replaced by the true one on held-out data"
    def true_step_(self, closure):
        flat = self._measure(keep=self.last)
        self.last_norms, r = flat + eps, self.state["radius"]
        r.copy_(r.where(r.isfinite(), eps))
        self._clip(self._furthest + eps)
        new = self._blend(self._ratios(flat), [torch.empty_like(w) for w in self.anchor.weights])
        loss, dots, _ = _radius_pass(closure, self.anchor, self.rows, new)
        binds = self.rows.spread(self.state["radius"]) < self.last_norms
        grad = self.rows.reduce(torch.where(binds, dots/self.last_norms, 0), "sum")
        adam_(self.state["radius"], grad, self.state, self.lr, where=grad.isfinite())
        self._clip(self._furthest + eps)
        self._blend(self._ratios(flat))
        return loss

class HybridCallback(TPGMCallback):
    make = Hybrid
    def __init__(self, dl, every):
        super().__init__(dl, every=every, between="project")
        del self.options["init"]
    def stepped(self):
        due, self.n_steps = self.n_steps % self.every == 0, self.n_steps + 1
        if due: self.losses.append(self.method.true_step_(self.closure))
        else: self.method.step_()

class Settling(TPGMCallback):
    "Stop learning the radii once they change by less than `tol` in an epoch, in the median"
    tol, settled, last = .1, False, None
    def stepped(self):
        if self.settled: self.method.project_()
        else: super().stepped()
    def epoch_ended(self):
        now, found = self.method.state["radius"].clone(), super().epoch_ended()
        if self.last is not None: self.settled |= ((now - self.last).abs()/now).nanmedian().item() < self.tol
        self.last = now
        return found

# ---- the variants

def tpgm(run, lr, bs=64, kind=TPGMCallback, **kwargs): return run.fit(lr, kind(run.task.radius.new(bs=bs, shuffle=True), **kwargs))

held_out = dict(
    every_step=("every step", partial(tpgm, **authors)),
    every_5=("every 5th step", partial(tpgm, **{**authors, "every": 5})),
    small_batch=("every step, radius batches of 16", partial(tpgm, bs=16, **authors)),
    settling=("every step until the radii settle", partial(tpgm, kind=Settling, **authors)),
    hybrid_5=("every 5th step, FTP's gradient in between", partial(tpgm, kind=HybridCallback, every=5)),
    epoch_4=("once per epoch, 4 radius steps", tpgm),
    epoch_2=("once per epoch, 2 radius steps", partial(tpgm, steps=2)),
    epoch_1=("once per epoch, 1 radius step", partial(tpgm, steps=1)),
    epoch_4_small=("once per epoch, 4 radius steps, batches of 16", partial(tpgm, bs=16)))
others = dict(
    ft=("plain fine-tuning", methods["ft"]),
    ftp=("FTP", lambda run, lr: run.fit(lr, FTPCallback())),
    spd=("SPD", lambda run, lr: run.fit(lr, SPDCallback())))
variants = others | held_out
methods.update({name: f for name,(_,f) in variants.items()})

# ---- cost

def epochs_cost(repeats, seed=0, lr=1e-3):
    "Time of two epochs of every variant in those of plain fine-tuning"
    torch.set_num_threads(1)
    run, names = Run(glyph_task(seed), 2, seed), list(variants)
    times = {n: [] for n in names}
    with run.learner().no_bar():
        run.start
        for i in progress_bar(range(repeats + 1)):
            for n in names[i%len(names):] + names[:i%len(names)]:
                run.tuned.clear()
                began = time.process_time()
                methods[n](run, lr)
                if i: times[n].append(time.process_time() - began)            # the first round warms up
    return {n: quartiles([t/f for t,f in zip(times[n], times["ft"])]) for n in names}

@call_parse
def main(
    seeds:int=5, # Number of seeds, from 0
    lrs:str="0.001,0.004,0.01", # Learning rates to choose from
    epochs:int=10, # Epochs of fine-tuning
    jobs:int=2, # Seeds at a time
    repeats:int=5, # Of the measurement of cost
    work:str="runs/amortised", # Folder for the trained weights
    out:str=str(RESULTS/"amortised.json"), # Where the results go
):
    "ID, OOD and cost of cheaper ways to learn the radii"
    work, lrs = Path(work), [float(x) for x in lrs.split(",")]
    work.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(train, s, lrs, epochs, work, tuple(variants)) for s in range(seeds)]
        rows = [r for f in progress_bar(as_completed(futures), total=seeds) for r in f.result()]
    trained, cost = pd.DataFrame(rows).sort_values(["method", "lr", "seed"]), epochs_cost(repeats)
    best, valid = choose(trained), trained.groupby(["method", "lr"]).valid.mean()
    cheap = [n for n in held_out if cost[n]["median"] <= 1.15]
    chosen = max(cheap, key=lambda n: valid[n, best[n]]) if cheap else None
    print("Rates chosen on validation data:", best, "\nRecommended by validation data and cost:", chosen, flush=True)
    runs = {m: [{**r, **test(m, best[m], r["seed"], work)} for r in trained[(trained.method==m) & (trained.lr==best[m])].to_dict("records")] for m in variants}
    table = summary(runs, ("ft", "every_step"))
    settings = dict(date=str(date.today()), version=__version__, seeds=seeds, lrs=lrs, epochs=epochs, steps_per_epoch=len(glyph_task(0).dls.train), limit=1.15,
                    machine=machine("cpu"), fastai=fastai.__version__, python=platform.python_version())
    found = {m: dict(label=variants[m][0], held_out=m in held_out, cost=cost[m], **table.loc[m].dropna().to_dict()) for m in variants}
    Path(out).write_text(json.dumps(dict(settings=settings, chosen=chosen, variants=found, runs=runs, trained=rows), indent=1) + "\n")
    print(table.assign(cost=[cost[m]["median"] for m in table.index])[["lr", "valid", "id", "id_sd", "ood_mean", "ood_mean_sd", "cost"]].astype(float).round(2).to_string())
