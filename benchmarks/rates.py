"""How much does the learning rate matter? The first picture of README.md. `python benchmarks/rates.py glyphs`

With `--field`: the methods of the literature, five seeds, into results/field.

Methods that are used with one setting, each at every learning rate and over ten seeds, on a benchmark: glyphs, vit (the glyphs with a transformer), emoji, sentiment or sentiment-plain (from a MiniLM
that has not learned of sentiment before). Every run is tested, after a choice on validation data has been written down. What was stopped goes on when it is started again. One thread for each run. Results that are there of other methods stay."""
from dataclasses import replace
from pathlib import Path

import matplotlib
matplotlib.use("agg")
import pandas as pd
from fastcore.script import call_parse, store_true
from matplotlib import pyplot as plt

from tpgm_fastai.callback.registry import register_method
from tpgm_fastai.callback.tpgm_posthoc import tpgm_posthoc_published
from tpgm_fastai.evaluate.results import comparison_table, Results
from tpgm_fastai.experiments.protocol import Comparison, Plan
from tpgm_fastai.methods.averaging import wise_ft
from tpgm_fastai.tasks.core import bind_task
from tpgm_fastai.viz.comparison import plot_rates

HERE = Path(__file__).resolve().parent
RESULTS = HERE/"results"/"rates"
METHODS = "lp", "lp_ft", "wise", "fine_tune_tpgm", "tpgm_authors", "lp_ft_capped", "capped_wise", "tpgm", "tpgm_capped", "capped_l2"
FIELD = "lp", "lp_ft", "wise", "ftp", "spd", "digrap", "lines", "soup", "model_stock", "ema", "beta_average", "swad"
TASKS = {d: bind_task(d) for d in ("glyphs", "vit", "emoji", "sentiment")} | {"sentiment-plain": bind_task("sentiment", foundation=False)}
RATES = dict(glyphs=(1e-3, 4e-3, 1e-2, 4e-2), vit=(1e-3, 4e-3, 4e-2), emoji=(1e-4, 1e-3, 3e-3)) # Data set → learning rates
RATES |= {d: (2e-5, 5e-4) for d in TASKS if d.startswith("sentiment")}

@register_method("capped_wise", "steps capped, then WiSE-FT", after="lp_ft_capped")
def _capped_wise(run, lr): return run.learner(wise_ft(run.start, run.finished("lp_ft_capped", lr=lr)[0], .5))

@register_method("capped_l2", "steps capped, then TPGM as published", after="lp_ft_capped", needs_radius_data=True)
def _capped_l2(run, lr):
    learn = run.learner(run.finished("lp_ft_capped", lr=lr)[0])
    learn.tpgm_project(run.start, dl=run.task.radius_dl, **tpgm_posthoc_published)
    return learn

def beside(results, folder):
    "Results, beside those in `folder` of other methods"
    if not (folder/"about.json").exists(): return results
    was, keys = Results.load(folder), set(results.labels)
    about = dict(results.about)
    for k in ("settings", "chosen", "labels"):
        both = was.about[k] | about[k]
        about[k] = {m: both[m] for m in sorted(both, key=METHODS.index)}
    def rows(k): return pd.concat([(t := getattr(was, k))[~t.method.isin(keys)], getattr(results, k)], ignore_index=True)
    def in_order(t): return t.sort_values("method", key=lambda m: m.map(METHODS.index), kind="stable", ignore_index=True)
    return replace(results, about=about, **{k: in_order(rows(k)) for k in ("trained", "tested", "layers")})

def picture(results):
    "The first picture of README.md"
    axs = plt.subplots(1, 2, figsize=(8.4, 3.6), sharex=True, layout="constrained")[1]
    plot_rates(results, names=["fine_tune_tpgm", "lp_ft", "wise", "tpgm_authors", "lp_ft_capped", "capped_wise"], axs=axs, floor=74)
    file = HERE.parent/"nbs"/"images"/"rates.png"
    file.parent.mkdir(exist_ok=True)
    axs[0].figure.savefig(file, dpi=150)

@call_parse(pos=["data"])
def main(
    field:store_true, # Methods of the literature, with five seeds
    data:str="glyphs", # A key of `TASKS`
    seeds:int=10, # Number of seeds, from 0
    methods:str="", # Keys of `methods`, with spaces between; nothing for all of `METHODS`, or of `FIELD`
    epochs:int=10, # Epochs of fine-tuning
    jobs:int=2, # Runs at a time
    work:str="runs/rates", # Folder for trained weights
    only_train:bool=False, # Choose and test nothing yet
):
    "Accuracy in and out of distribution at every learning rate"
    names = methods.split() or (FIELD if field else METHODS)
    c = Comparison(Plan(TASKS[data], Path(work)/data, epochs=epochs), names=names, lrs=RATES[data], seeds=5 if field else seeds, jobs=jobs)
    c.train()
    if only_train: return
    c.test(all=True)
    folder = HERE/"results"/"field"/data if field else RESULTS/data
    results = c.results if field else beside(c.results, folder)
    results.save(folder)
    if data == "glyphs" and not field: picture(Results.load(folder))
    print(comparison_table(results).to_string())
