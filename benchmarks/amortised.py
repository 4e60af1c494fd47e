"""What cheaper ways to learn the radii keep, on the embedded glyphs. `python benchmarks/amortised.py`

Every variant is fine-tuned at every learning rate and seed; the rate is chosen on the ID validation fonts, by mean accuracy over the seeds, and so is the
variant to recommend: the best on validation data of those that learn radii on held-out data and cost at most 1.15 times plain fine-tuning. Both are written down before
anything is tested. Radii learn from fonts of their own. A run that was stopped goes on where it stopped.

Cost is the time of two epochs, data loading included, in epochs of plain fine-tuning: one process, one thread, its own clock, the variants in turning order, median."""
import json, platform, time
from datetime import date
from pathlib import Path

import fastai, torch
from fastcore.script import call_parse
from fastprogress.fastprogress import progress_bar
from step_cost import machine, summary as quartiles

from tpgm_fastai import __version__
from tpgm_fastai.callback.tpgm import TPGMCallback, tpgm_published
from tpgm_fastai.experiments.protocol import Comparison, Plan
from tpgm_fastai.methods.ftp import FTP
from tpgm_fastai.tasks.glyphs import glyph_task
from tpgm_fastai.core.norms import eps
from tpgm_fastai.core.projection import clip_
from tpgm_fastai.core.radius_pass import radius_pass
from tpgm_fastai.core.adam import adam_
from tpgm_fastai.evaluate.results import summary
from tpgm_fastai.callback.registry import register_method
from tpgm_fastai.experiments.run import methods, Run

RESULTS = Path(__file__).parent/"results"

# ---- two ideas that the library does not have

class Hybrid(FTP):
    "FTP, whose gradient is now and then replaced by the true one on held-out data"
    def true_step_(self, closure):
        self.follow_()
        now, d = self.displacement.measure(out=self.memory.last), self.displacement
        r, norms = self.state["radius"], self.state["last_norms"].copy_(now.rows + eps)
        r.copy_(r.where(r.isfinite(), eps))
        clip_(r, now.layers + eps)
        found = radius_pass(closure, d, d.blend(self.ratios(now), [torch.empty_like(w) for w in self.anchor.weights]))
        grad = self.rows.reduce(torch.where(self.rows.spread(r) < norms, found.dots/norms, 0), "sum")
        adam_(r, grad, self.state, self.lr, where=grad.isfinite())
        clip_(r, now.layers + eps)
        d.blend(self.ratios(now))
        return found.loss

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

def fit(run, lr, bs=64, kind=TPGMCallback, **kwargs): return run.fit(lr, kind(run.task.radius_dl.new(bs=bs, shuffle=True), **kwargs))

@register_method("every_step", "every step")
def every_step(run, lr): return fit(run, lr, **tpgm_published)

@register_method("every_5", "every 5th step")
def every_5(run, lr): return fit(run, lr, **{**tpgm_published, "every": 5})

@register_method("small_batch", "every step, radius batches of 16")
def small_batch(run, lr): return fit(run, lr, bs=16, **tpgm_published)

@register_method("settling", "every step until the radii settle")
def settling(run, lr): return fit(run, lr, kind=Settling, **tpgm_published)

@register_method("hybrid_5", "every 5th step, FTP's gradient in between")
def hybrid_5(run, lr): return fit(run, lr, kind=HybridCallback, every=5)

@register_method("epoch_4", "once per epoch, 4 radius steps")
def epoch_4(run, lr): return fit(run, lr)

@register_method("epoch_2", "once per epoch, 2 radius steps")
def epoch_2(run, lr): return fit(run, lr, steps=2)

@register_method("epoch_1", "once per epoch, 1 radius step")
def epoch_1(run, lr): return fit(run, lr, steps=1)

@register_method("epoch_4_small", "once per epoch, 4 radius steps, batches of 16")
def epoch_4_small(run, lr): return fit(run, lr, bs=16)

held_out = {k: methods[k] for k in ("every_step", "every_5", "small_batch", "settling", "hybrid_5", "epoch_4", "epoch_2", "epoch_1", "epoch_4_small")}
others = dict(ft=methods["lp_ft"], ftp=methods["ftp"], spd=methods["spd"])   # `ft`: from the probed head, as all of them
variants = others | held_out

# ---- cost

def epochs_cost(repeats, seed=0, lr=1e-3):
    "Time of two epochs of every variant in those of plain fine-tuning"
    torch.set_num_threads(1)
    run, names = Run(glyph_task(seed), epochs=2, seed=seed, quiet=True), list(variants)
    times = {n: [] for n in names}
    run.start
    for i in progress_bar(range(repeats + 1)):
        for n in names[i%len(names):] + names[:i%len(names)]:
            began = time.process_time()
            variants[n](run, lr=lr)
            if i: times[n].append(time.process_time() - began)                # the first round warms up
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
    lrs = [float(x) for x in lrs.split(",")]
    plan = Plan(glyph_task, Path(work), epochs=epochs, methods={"lp": methods["lp"], **variants})
    c = Comparison(plan, names=list(variants), lrs=lrs, seeds=seeds, jobs=jobs)
    c.train()
    cost, trained, best = epochs_cost(repeats), c.results.trained, {n: x["lr"] for n,x in c.choose().items()}
    valid = trained[trained.chosen].groupby("method").valid.mean()
    cheap = [n for n in held_out if cost[n]["median"] <= 1.15]
    chosen = max(cheap, key=valid.get) if cheap else None
    print("Rates chosen on validation data:", best, "\nRecommended by validation data and cost:", chosen, flush=True)
    c.test()
    results, found = c.results, {}
    tables = {base: summary(results, base) for base in ("ft", "every_step")}
    for n,r in tables["ft"].iterrows():
        found[n] = dict(label=variants[n].label if n != "ft" else "plain fine-tuning", held_out=n in held_out, cost=cost[n], lr=best[n], valid=100*r["valid"])
        for k,mine in dict(id="id", ood="ood_mean").items():
            found[n] |= {mine: 100*r[f"{k}_mean"], f"{mine}_sd": 100*r[f"{k}_sd"]}
            for base,t in tables.items():
                if n != base: found[n] |= {f"{mine}_vs_{base}": 100*t.loc[n, f"{k}_diff"], f"{mine}_vs_{base}_sd": 100*t.loc[n, f"{k}_diff_sd"], f"{mine}_vs_{base}_p": t.loc[n, f"{k}_p"]}
    settings = dict(date=str(date.today()), version=__version__, seeds=seeds, lrs=lrs, epochs=epochs, steps_per_epoch=len(glyph_task(0).dls.train), limit=1.15,
                    machine=machine("cpu"), fastai=fastai.__version__, python=platform.python_version())
    Path(out).write_text(json.dumps(dict(settings=settings, chosen=chosen, variants=found, trained=trained.to_dict("records")), indent=1) + "\n")
    print(tables["ft"][["setting", "valid", "id_mean", "id_sd", "ood_mean", "ood_sd"]].assign(cost=[cost[m]["median"] for m in found]).to_string())
