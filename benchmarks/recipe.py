"""Which recipe should `fine_tune_tpgm` be? The search, on development data. `python benchmarks/recipe.py glyphs`

Each recipe has one setting for all learning rates. Accuracy in distribution is that on validation data; out of distribution it is that on *development* data, as in `variants.py`. Nothing here looks
at test data, and the seeds are apart from those that tables of results are made from. Rows go to results/recipe.csv; those that are there are not made again."""
import re
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from fastcore.script import call_parse
from variants import BENCHMARKS, collect, done

from tpgm_fastai.callback.core import new_layers
from tpgm_fastai.callback.radius_data import Batches, batch_loss
from tpgm_fastai.callback.tpgm_posthoc import tpgm_posthoc_published
from tpgm_fastai.core.adam import adam_
from tpgm_fastai.core.displacement import Displacement
from tpgm_fastai.core.radius_pass import radius_pass
from tpgm_fastai.evaluate.domains import evaluate_domains
from tpgm_fastai.evaluate.metrics import accuracies
from tpgm_fastai.experiments.run import Run
from tpgm_fastai.methods.averaging import wise_ft
from tpgm_fastai.tasks.core import find_task

FILE = Path(__file__).parent/"results"/"recipe.csv"
SEEDS, RATES = (20, 21, 22), dict(glyphs=(1e-3, 4e-3, 1e-2, 4e-2), vit=(1e-3, 4e-3, 4e-2), emoji=(1e-4, 1e-3, 3e-3))

# ---- what is done with a finished fine-tune: functions of a run and a state dict, which return a state dict

def as_it_is(run, tuned): return tuned

def average(run, tuned, alpha=.5): return wise_ft(run.start, tuned, alpha)

def project(run, tuned, **options):
    "TPGM after the fact"
    learn = run.learner(tuned)
    learn.tpgm_project(run.start, dl=run.task.radius_dl, **tpgm_posthoc_published | options)
    return learn.model.state_dict()

def ratios(run, tuned, steps=50, lr=.02, prior=0.):
    "One α for every layer, learned from .5: WiSE-FT with a ratio for each layer. `prior` draws them to their mean"
    learn = run.learner(run.start)
    D = Displacement(learn.model, exclude=new_layers(learn))
    learn.model.load_state_dict(tuned)
    R, A = D.rows, D.anchor
    far = [w.detach().clone() for w in A.weights]
    alpha, batches = torch.full((int(R.layer.max()) + 1,), .5), Batches(lambda: run.task.radius_dl)
    adam = {k: torch.zeros_like(alpha) for k in ("exp_avg", "exp_avg_sq", "step")}
    def at(a): return R.lerp_([torch.empty_like(w) for w in far], far, A.values, R.spread(a))
    for _ in range(steps):
        found = radius_pass(lambda m: batch_loss(learn, m, next(batches), learn.loss_func), D, at(alpha))
        grad = R.reduce(found.dots, "sum") + prior*(alpha - alpha.mean())
        adam_(alpha, grad, adam, lr, where=torch.ones_like(alpha, dtype=torch.bool))
        alpha.clamp_(0, 1)
    with torch.no_grad():
        for p,w in zip(A.params, at(alpha)): p.copy_(w)
    return learn.model.state_dict()

def then(*acts):
    def both(run, tuned):
        for act in acts: tuned = act(run, tuned)
        return tuned
    return both

def both_norms(**kw): return {f", {n} {' '.join(f'{k}={v}' for k,v in kw.items())}".rstrip(): partial(project, norm=n, **kw) for n in ("l2", "mars")}

def shares(lr, steps):
    "Radius steps in shares of the layer's distance, from a half of it"
    return {f", {n} share {lr:g} steps={steps}": partial(project, norm=n, steps=steps, lr=lr, relative=True, init="max/2") for n in ("l2", "mars")}

AFTER = {
    "": as_it_is, ", averaged": average,
    **both_norms(), **both_norms(steps=25), **both_norms(steps=50), **both_norms(init="max/2"), **both_norms(steps=50, lr=1e-3), **both_norms(steps=50, lr=1e-1),
    **{f", {n}, averaged": then(partial(project, norm=n), average) for n in ("l2", "mars")},
    ", mars steps=50, averaged": then(partial(project, norm="mars", steps=50), average),
    **shares(.005, 50), **shares(.01, 25),
    ", ratios": ratios, ", ratios prior=.1": partial(ratios, prior=.1), ", ratios lr=.005": partial(ratios, lr=.005)}
BASES = {"LP-FT": "lp_ft", "LP-FT capped": "lp_ft_capped", "TPGM once per epoch, capped": "tpgm_capped"}
LESS = "", ", averaged", ", l2", ", mars", ", l2 init=max/2", ", mars init=max/2", ", l2 share 0.01 steps=25", ", mars share 0.01 steps=25"
ON = {"LP-FT": LESS, "TPGM once per epoch, capped": ("", ", averaged", ", mars", ", l2")}
RECIPES = {"linear probe": None, **{b + a: (BASES[b], AFTER[a]) for b in BASES for a in ON.get(b, AFTER)}}

def of_a_seed(data, seed, lr, names):
    "Rows of all recipes that start from the same trainings"
    torch.set_num_threads(1)
    run = Run(find_task(data).make(seed=seed), seed=seed, folder=f"runs/recipe/{data}", quiet=True)
    rows = []
    for name in names:
        if RECIPES[name] is None: state = run.start
        else:
            base, after = RECIPES[name]
            state = after(run, run.finished(base, lr=lr)[0])
        learn = run.learner(state)
        found = accuracies(evaluate_domains(learn, {"valid": learn.dls.valid, **BENCHMARKS[data](seed)}))
        rows.append(dict(benchmark=data, recipe=name, lr=lr, seed=seed, valid=round(found["id"], 4), ood=round(found["ood_mean"], 4)))
    return rows

def table(data):
    "Points over the linear probe of the same seed, mean over seeds: ID / OOD at every rate"
    d = pd.DataFrame([r for r in done(FILE) if r["benchmark"] == data]).astype(dict(valid=float, ood=float))
    probe = d[d.recipe == "linear probe"].set_index(["seed", "lr"])
    d = d.set_index(["seed", "lr"])
    for k in ("valid", "ood"): d[k] = 100*(d[k] - probe[k].reindex(d.index))
    m = d.groupby(["recipe", "lr"], sort=False)[["valid", "ood"]].mean()
    return (m.valid.map("{:+.1f}".format) + " / " + m.ood.map("{:+.1f}".format)).unstack("lr")

@call_parse(pos=["data"])
def main(
    data:str="glyphs", # glyphs, vit or emoji
    lrs:str="", # Learning rates, with spaces between; by default those of the benchmark
    jobs:int=2, # Runs at a time
    seeds:int=3, # How many of the seeds
    only:str="", # Recipes whose name has a match of this regular expression
):
    "Accuracy on validation and development data"
    have = {(r["benchmark"], r["seed"], r["recipe"], r["lr"]) for r in done(FILE)}
    rates = [*map(float, lrs.split())] or RATES[data]
    todo = [(data, s, lr, [n for n in RECIPES if re.search(only, n) and (data, s, n, lr) not in have]) for s in SEEDS[:seeds] for lr in rates]
    collect(of_a_seed, [t for t in todo if t[-1]], jobs, FILE)
    print(table(data).to_string())
