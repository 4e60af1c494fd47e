"""A learning rate for every layer, from the gradient that the radii learn from. `python benchmarks/rated.py` checks it; benchmarks/variants.py measures it

TPGM's problem is stated over (λ, γ), where λ are the hyper-parameters of the optimizer and γ the radii; the paper learns γ alone. Here each layer's learning rate is multiplied by a λ_l
that learns as well. After a step u_l of the optimizer the layer is at θ_l = θ_l' + λ_l u_l, and with the gradient g of the loss on held-out data at the projected weights

    ∂L/∂log λ_l = Σ ⟨g, λ_l u_l⟩ over the rows inside the ball

(Baydin et al., ICLR 2018, learn one rate for all layers like that). On the embedded glyphs it did not mend a bad global rate, and a cap on the steps did: so it is not in the library."""
import math
from copy import deepcopy

import torch
from fastcore.test import ExceptionExpected, test_close, test_eq
from torch import nn
from torch.nn import functional as F

from tpgm_fastai.callback.registry import register_method
from tpgm_fastai.callback.step_cap import StepCapCallback
from tpgm_fastai.callback.tpgm import TPGMCallback
from tpgm_fastai.core.adam import adam_
from tpgm_fastai.core.checks import positive
from tpgm_fastai.core.displacement import flags
from tpgm_fastai.core.isolate import no_trace, pointing_at
from tpgm_fastai.experiments.run import Run
from tpgm_fastai.methods.tpgm import TPGM
from tpgm_fastai.tasks.toy import toy_task

class RatedTPGM(TPGM):
    "Radii, and a multiplier of every layer's learning rate, from one gradient; in one process"
    def __init__(self, model, *,
        rate_lr=.1, # Learning rate of the multipliers' logarithms
        most=100., # Multipliers stay between 1/most and most
        warmup=1, # Radius steps in which multipliers gather moments and do not move
        **kwargs # As for `TPGM`
    ):
        self.rate_lr, self.most, self.warmup = positive("rate_lr", rate_lr), positive("most", most), warmup
        if most < 1: raise ValueError(f"most={most!r}: multipliers stay between 1/most and most, so pass 1 or more.")
        super().__init__(model, **kwargs)
        self.before = [w.clone() for w in self.anchor.weights]
        self.state |= {f"rate{k}": torch.zeros_like(self.state["radius"]) for k in ("", "_exp_avg", "_exp_avg_sq", "_step")}

    @torch.no_grad()
    def note_(self):
        "Before the optimizer's step"
        self.follow_()
        self.before = [b.to(w) for b,w in zip(self.before, self.anchor.weights)]
        torch._foreach_copy_(self.before, self.anchor.weights)

    @torch.no_grad()
    def scale_(self):
        "After the optimizer's step: make it λ times as long, in place"
        self.rows.lerp_(self.anchor.weights, self.anchor.weights, self.before, self.rows.spread(self.state["rate"].exp()))

    @property
    def rates(self):
        "Layer name → multiplier of its learning rate"
        return self.displacement.named(self.state["rate"].exp())

    def gradients(self, closure, measured, new):
        "Loss at the weights `new`, gradients of radii and of the rates' logarithms, and which layers have one"
        a = self.anchor
        live = [p for p in a.params if p.requires_grad]
        with no_trace(a.model), pointing_at(a.params, new), torch.enable_grad():
            out = closure(a.model)
            loss = out[0] if isinstance(out, tuple) else out
            found = iter(torch.autograd.grad(loss, live, allow_unused=True))
        grads = [next(found) if p.requires_grad else None for p in a.params]
        radius_grad = self._radius_grad(self.rows.dots(grads, a.weights, a.values), measured.rows)
        binds = self.rows.spread(self.state["radius"]) < measured.rows
        rate_grad = self.rows.reduce(torch.where(binds, 0, self.rows.dots(grads, a.weights, self.before)), "sum")
        return loss.detach().as_subclass(torch.Tensor), radius_grad, rate_grad, flags(tuple(g is not None for g in grads), radius_grad.device)

    def _adam_step(self, closure, measured, new):
        new = self.displacement.blend(self.ratios(measured), new)
        loss, radius_grad, rate_grad, has_grad = self.gradients(closure, measured, new)
        sound = loss.isfinite() & radius_grad.isfinite().all() & rate_grad.isfinite().all()
        r, rate, has_grad = self.state["radius"], self.state["rate"], has_grad & sound
        self.state["skipped"] += ~sound
        adam_(r, radius_grad, self.state, self.lr, where=r.isfinite() & has_grad)
        state, was = {k: self.state[f"rate_{k}"] for k in ("exp_avg", "exp_avg_sq", "step")}, rate.clone()
        adam_(rate, rate_grad, state, self.rate_lr, where=has_grad)
        rate.copy_(torch.where(state["step"] > self.warmup, rate, was).clamp(-math.log(self.most), math.log(self.most)))
        return loss

class RatedTPGMCallback(TPGMCallback):
    "TPGM that learns every layer's learning rate as well as its radius"
    make = RatedTPGM
    def __init__(self,
        dl="valid", # Held-out data, as in `TPGMCallback`
        *,
        every=5, # Optimizer steps between updates
        init=math.inf, # First radius; infinite: rates are learned, and no radius
        rate_lr=.1, # Learning rate of the multipliers' logarithms
        most=100., # Multipliers stay between 1/most and most
        **kwargs # As for `TPGMCallback`
    ):
        super().__init__(dl, every=every, init=init, **{"steps": 1} | kwargs)
        self.options |= dict(rate_lr=rate_lr, most=most)

    def before_step(self):
        if not self.aside: self.method.note_()

    def stepped(self):
        self.method.scale_()
        super().stepped()

    def epoch_ended(self): return super().epoch_ended() | dict(rate=self.method.rates)

register_method("lp_ft_rated", "LP-FT, rates learned", RatedTPGMCallback, paper="Baydin et al., ICLR 2018", needs_radius_data=True,
                help="LP-FT with a learned learning rate for every layer")

@register_method("lp_ft_rated_capped", "LP-FT, rates learned, steps capped", paper="Baydin et al., ICLR 2018",
                 needs_radius_data=True, help="LP-FT with learned learning rates and capped steps")
def lp_ft_rated_capped(run, lr): return run.fit(lr, [RatedTPGMCallback(run.task.radius_dl), StepCapCallback()])

# ---- checks

class One(nn.Module):
    def __init__(self): super().__init__(); self.w = nn.Parameter(torch.zeros(1))

def rate_after(step, n=3, **kw):
    "The multiplier after n steps from 0, with a loss of (w - 1)² and no ball"
    model = One()
    rated = RatedTPGM(model, init=math.inf, warmup=0, **kw)
    for _ in range(n):
        model.w.data.zero_()
        rated.note_()
        model.w.data += step
        rated.scale_()
        rated.step_(lambda m: (m.w - 1).square().sum())
    return rated.rates["w"]

def check():
    test_close([rate_after(.1, 1), rate_after(3., 1)], [math.exp(.1), math.exp(-.1)], eps=1e-4) # Adam's first step, whatever the size of the gradient
    assert rate_after(.1, 20) > 2 and rate_after(3., 20) < .7
    test_close(rate_after(1e-6, 200, most=5.), 5.)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, y = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 3
    start, step = ([f(p.detach()) for p in model.parameters()] for f in (torch.clone, lambda p: .1*torch.randn_like(p)))
    def loss_at(log_rates):
        weights = {n: s + r.exp()*u for (n,_),s,u,r in zip(model.named_parameters(), start, step, log_rates)}
        return F.cross_entropy(torch.func.functional_call(model, weights, (x,)), y)
    def moved(**kw):
        for p,s in zip(model.parameters(), start): p.data.copy_(s)
        rated = RatedTPGM(model, **kw)
        rated.note_()
        for p,u in zip(model.parameters(), step): p.data += u
        return rated

    rated, logs = moved(init=math.inf), torch.zeros(4, dtype=torch.float64, requires_grad=True)
    found = rated.gradients(lambda m: F.cross_entropy(m(x), y), rated.measure(), rated.anchor.weights)
    test_close(found[2], torch.autograd.grad(loss_at(logs), logs)[0], eps=1e-12)       # autograd's, through the step itself

    rated = moved(init=100.)
    was = [p.detach().clone() for p in model.parameters()]
    rated.scale_()
    for p,w in zip(model.parameters(), was): test_eq(p, w)                             # multipliers of 1 change nothing
    rated.step_(lambda m: F.cross_entropy(m(x), y), 3)
    other = RatedTPGM(deepcopy(model), anchor=dict(zip(rated.anchor.names, rated.anchor.values)), init=100.)
    other.load_state_dict(rated.state_dict())
    test_eq(other.rates, rated.rates)
    assert len(set(other.rates.values())) > 1
    with ExceptionExpected(ValueError, "rate_lr must be a number above 0"): RatedTPGM(model, rate_lr=0.)
    with ExceptionExpected(ValueError, "most=0.5: .* so pass 1 or more"): RatedTPGM(model, most=.5)

    run = Run(toy_task(), epochs=10, quiet=True)                                        # a learning rate thirty times too low
    plain, rated = run.fit(1e-4), run.fit(1e-4, cb := RatedTPGMCallback(run.task.radius_dl, every=1))
    rates = cb.log()["rate"]
    assert rates["0.0.weight"].iloc[-1] > 30 and rates.drop(columns="0.0.weight").iloc[-1].max() < 1
    assert rated.validate()[0] < plain.validate()[0] - 1e-3
    print(rates.round(1).to_string())

if __name__ == "__main__": check()
