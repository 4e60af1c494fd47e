"""What was tried on the way to `StepCapCallback`: radii and steps in other units, on other data, learned otherwise. `python benchmarks/variants.py glyphs`

Every variant is a class of a few lines below, with one setting for all learning rates, and starts from the probed head. Nothing here looks at test data: accuracy in distribution is that on
validation data, and out of distribution on *development* data, glyphs of fonts (or emoji) that no table of results is made from. Runs go to results/variants.csv; those that are there are not made again."""
import csv, math
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np, torch
from fastai.callback.core import Callback
from fastcore.script import call_parse
from fastprogress.fastprogress import progress_bar
from rated import RatedTPGMCallback

from tpgm_fastai.callback.core import new_layers
from tpgm_fastai.callback.radius_data import Batches, batch_loss
from tpgm_fastai.callback.tpgm import TPGMCallback, tpgm_published
from tpgm_fastai.evaluate.domains import evaluate_domains
from tpgm_fastai.evaluate.metrics import accuracies
from tpgm_fastai.tasks.arrays import ArrayLoader, ArraySet
from tpgm_fastai.tasks.core import find_task
from tpgm_fastai.tasks.emoji import STYLES, load_emoji, split_emoji, to_images
from tpgm_fastai.tasks.glyphs import DOMAINS, ID, GlyphLoader, glyph_set, load_glyphs
from tpgm_fastai.callback.step_cap import StepCapCallback
from tpgm_fastai.core.norms import eps
from tpgm_fastai.core.projection import ratio
from tpgm_fastai.core.adam import adam_
from tpgm_fastai.core.displacement import Displacement
from tpgm_fastai.core.radius_pass import radius_pass
from tpgm_fastai.experiments.run import Run

FILE = Path(__file__).parent/"results"/"variants.csv"

# ---- the common part: a ball in units of the pretrained weights, learned every five steps as a logarithm

class Relative(Callback):
    "γ = ρ · mean norm of the layer's pretrained rows; log ρ learns with Adam; projection after every step; no upper clip"
    order, run_valid, rho, every, lr, head = 12, False, .1, 5, .02, False
    def __init__(self, dl, **kw): self.dl = dl; vars(self).update(kw)

    def before_fit(self):
        head = () if self.head else tuple(new_layers(self.learn))
        self.D = Displacement(self.learn.model, exclude=head)
        self.A, self.R = self.D.anchor, self.D.rows
        self.batches, self.t, self.top, self.T = Batches(lambda: self.dl), 0, 0., self.learn.n_epoch*len(self.learn.dls.train)
        rows = self.R.norms(self.A.weights, [torch.zeros_like(w) for w in self.A.weights])
        entries = torch.tensor([w[0].numel() if w.ndim > 1 else w.numel() for w in self.A.weights])
        self.scale = torch.maximum(self.R.reduce(rows, "sum")/self.R.lengths, 1e-3*entries)
        self.log = torch.full_like(self.scale, math.log(self.rho))
        self.last = [w.clone() for w in self.A.weights]
        self.begin()

    def begin(self): self.adam = {k: torch.zeros_like(self.log) for k in ("exp_avg", "exp_avg_sq", "step")}
    def radius(self): return self.R.spread(self.log.exp()*self.scale)            # one a row
    def weight(self, radius, flat): return (radius < flat + eps).float()         # how much a row has to say
    def found(self, new):
        found = radius_pass(lambda m: batch_loss(self.learn, m, next(self.batches), self.learn.loss_func), self.D, new)
        return found.loss, found.dots
    def to_learned(self, grad): return self.R.reduce(grad, "sum")
    def rate(self): return self.lr

    def update(self, flat):
        r = self.radius()
        loss, dots = self.found(self.R.lerp_([torch.empty_like(w) for w in self.A.weights], self.A.weights, self.A.values, ratio(r, flat)))
        grad = self.to_learned(self.weight(r, flat)*dots/(flat + eps)*r)
        if loss.isfinite() and grad.isfinite().all(): adam_(self.log, grad, self.adam, self.rate(), where=torch.ones_like(grad, dtype=torch.bool))

    def limit(self): "Shorten the step that has just been made"
    def corrected(self, flat): "After the projection"

    @torch.no_grad()
    def after_step(self):
        self.now = self.learn.opt.hypers[-1]["lr"]
        self.top = max(self.top, self.now)
        self.limit()
        flat = self.R.norms(self.A.weights, self.A.values)
        if self.every and self.t % self.every == 0: self.update(flat)
        self.R.lerp_(self.A.weights, self.A.weights, self.A.values, ratio(self.radius(), flat))
        self.corrected(flat)
        torch._foreach_copy_(self.last, self.A.weights)
        self.t += 1

# ---- other radii

class PerRow(Relative):
    "A radius for every row, drawn to the mean of its layer"
    def begin(self): self.log = self.R.spread(self.log).clone(); super().begin()
    def radius(self): return self.log.exp()*self.R.spread(self.scale)
    def to_learned(self, grad): return grad + 1e-4*(self.log - self.R.spread(self.R.reduce(self.log, "sum")/self.R.lengths))

class PerBlock(Relative):
    "One radius for all layers of a block"
    def begin(self):
        super().begin()
        blocks = [".".join(n.split(".")[:2]) for n in self.A.names]
        self.block = torch.tensor([sorted(set(blocks)).index(b) for b in blocks])
    def to_learned(self, grad): return torch.zeros(self.block.max() + 1).index_add(0, self.block, super().to_learned(grad))[self.block]

class Soft(Relative):
    "Rows inside the ball have something to say too, the less the farther inside"
    def weight(self, radius, flat): return torch.where(radius < flat + eps, 1., torch.exp(-(radius - flat)/(.2*radius)))

class Momentum(Relative):
    "After the projection, what Adam's momentum would push outwards is taken from it"
    def corrected(self, flat):
        means = [self.learn.opt.opt.state[p]["exp_avg"] for p in self.A.params]
        dots, deltas = self.R.dots(means, self.A.weights, self.A.values), torch._foreach_sub(self.A.weights, self.A.values)
        k = torch.where((self.radius() < flat) & (dots < 0), dots/(self.R.dots(deltas, self.A.weights, self.A.values) + 1e-20), 0)
        for i,(m,d) in enumerate(zip(means, deltas)):
            share = k[self.R.layer == i]
            m -= d*(share.view(-1, *[1]*(d.ndim - 1)) if d.ndim > 1 else share[0])

class Scheduled(Relative):
    "The radii's learning rate follows the schedule"
    def rate(self): return self.lr*self.now/self.top

class Averaged(Relative):
    "A gradient from four batches"
    def found(self, new):
        losses, dots = zip(*(super(Averaged, self).found(new) for _ in range(4)))
        return torch.stack(losses).mean(), torch.stack(dots).mean(0)

class Regularised(Relative):
    "Small radii are asked for (after Bao et al., NeurIPS 2021)"
    def to_learned(self, grad): return super().to_learned(grad) + 1e-3

class Folds(Relative):
    "Radius data from a fifth of the training data, another one each epoch, which is not trained on in it"
    def before_fit(self):
        super().before_fit()
        dl = self.learn.dls.train
        order = torch.randperm(len(dl.dataset), generator=torch.Generator().manual_seed(3))
        part = lambda keep: dl.new(dataset=ArraySet(*dl.dataset[order[keep]], dl.dataset.vocab))
        fold = torch.arange(len(order)) % 5
        self.folds = [(part(fold != k), Batches(partial(part, fold == k))) for k in range(5)]
    def before_epoch(self): self.learn.dls.loaders[0], self.batches = self.folds[self.learn.epoch % 5]

# ---- other steps

class Path(Relative):
    "No row moves farther in a step than a share of its radius; the shares of a fit sum to `path` radii"
    path, normalised, every = 2., False, 0
    def limit(self):
        share = self.path*self.now/self.top/(self.T/2)
        k = share*self.radius()/(self.R.norms(self.A.weights, self.last) + eps)
        self.R.lerp_(self.A.weights, self.A.weights, self.last, k.clamp(max=1e4) if self.normalised else k.clamp(max=1))

VARIANTS = { # Name → callbacks, made with the radius data; None: the head is probed and nothing else
    "linear probe": None,
    "LP-FT": lambda dl: [],
    "TPGM, once per epoch": lambda dl: [TPGMCallback(dl)],
    "TPGM, authors' form": lambda dl: [TPGMCallback(dl, **tpgm_published)],
    "relative radius 0.1, fixed": lambda dl: [Relative(dl, every=0)],
    "relative radius 0.1, learned": lambda dl: [Relative(dl)],
    **{f"relative radius, {n}": partial(lambda c, dl: [c(dl)], c) for n,c in {"one a row": PerRow, "one a block": PerBlock, "soft threshold": Soft, "momentum corrected": Momentum,
       "rate on schedule": Scheduled, "four batches": Averaged, "regularised": Regularised, "training folds": Folds}.items()},
    "steps within 0.1 × 2": lambda dl: [Path(dl)],
    "steps within 0.1 × 2, radius learned": lambda dl: [Path(dl, every=5)],
    "steps within 0.05 × 6": lambda dl: [Path(dl, rho=.05, path=6.)],
    "steps within 0.03 × 2": lambda dl: [Path(dl, rho=.03)],
    "steps within 0.1 × 2, lengthened as well": lambda dl: [Path(dl, normalised=True)],
    "rates learned": lambda dl: [RatedTPGMCallback(dl)],
    "rates learned, steps capped": lambda dl: [RatedTPGMCallback(dl), StepCapCallback(.5)],
    **{f"steps capped at {c:g} of the loss": partial(lambda c, dl: [StepCapCallback(c)], c) for c in (.2, .5, 1.)},
    **{f"TPGM once per epoch, steps capped at {c:g}": partial(lambda c, dl: [TPGMCallback(dl), StepCapCallback(c)], c) for c in (.5, 1.)},
    "TPGM, authors' form, steps capped at 0.5": lambda dl: [TPGMCallback(dl, **tpgm_published), StepCapCallback(.5)],
}

# ---- development data and runs

def dev_glyphs(seed):
    g = load_glyphs()
    return {d: GlyphLoader(glyph_set(g, np.where((g.domains==d) & ~g.foundation)[0][14:]), bs=256, device="cpu") for d in DOMAINS if d != ID}

def dev_emoji(seed):
    e = load_emoji()
    ix = [i for k in ("valid", "radius") for i in split_emoji(e.rows, seed)[k]]
    return {s: ArrayLoader(ArraySet(to_images(e.pixels[s][ix]), torch.from_numpy(e.label[ix]), e.vocab), bs=len(ix), device="cpu") for s in STYLES if s != "noto"}

BENCHMARKS = dict(glyphs=dev_glyphs, vit=dev_glyphs, emoji=dev_emoji)

def one(data, seed, name, lr):
    torch.set_num_threads(1)
    run = Run(find_task(data).make(seed=seed), seed=seed, folder=f"runs/variants/{data}", quiet=True)
    learn = run.fit(lr, VARIANTS[name](run.task.radius_dl)) if VARIANTS[name] else run.learner(run.start)
    found = accuracies(evaluate_domains(learn, {"valid": learn.dls.valid, **BENCHMARKS[data](seed)}))
    sound = all(p.isfinite().all() for p in learn.model.parameters())
    return [dict(benchmark=data, variant=name, lr=lr, seed=seed, valid=round(found["id"], 4), ood=round(found["ood_mean"], 4), diverged=not sound)]

def done(file=FILE): return [dict(r, lr=float(r["lr"]), seed=int(r["seed"])) for r in csv.DictReader(file.open())] if file.exists() else []

def collect(work, todo, jobs, file=FILE):
    "Add the rows that `work` returns for each set of arguments, as soon as they are known"
    new = not file.exists()
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool, file.open("a", newline="") as f:
        for rows in progress_bar([pool.submit(work, *t) for t in todo]):
            for row in rows.result():
                w = csv.DictWriter(f, row)
                if new: w.writeheader(); new = False
                w.writerow(row); f.flush()

@call_parse(pos=["data"])
def main(
    data:str="glyphs", # glyphs, vit or emoji
    lrs:str="0.004 0.04", # Learning rates
    seeds:int=2, # Number of seeds, from 0
    only:str="", # Variants whose name contains this
    jobs:int=2, # Runs at a time
):
    "Accuracy on validation and development data"
    have = {(r["benchmark"], r["seed"], r["variant"], r["lr"]) for r in done()}
    todo = [(data, s, n, lr) for n in VARIANTS if only in n for s in range(seeds) for lr in map(float, lrs.split()) if (data, s, n, lr) not in have]
    collect(one, todo, jobs)
