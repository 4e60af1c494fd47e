"""TPGM and FTP written the direct way, from their papers: what `step_cost.py` compares the library with"""
from copy import deepcopy

import torch
from torch import nn
from torch.func import functional_call

eps = 1e-8

def mars(delta): return delta.abs().sum(tuple(range(1, delta.ndim)) or (0,), keepdim=True)

def project(weight, anchor, radius):
    "Projection of one layer that autograd differentiates with respect to `radius`, which is first clipped in place"
    delta = weight - anchor
    norm = mars(delta)
    with torch.no_grad(): radius.copy_(radius.clamp(min=eps).minimum(norm.max()))
    return anchor + (radius/(norm + eps)).clamp(max=1)*delta

class DeepCopyTPGM:
    "TPGM: one radius parameter a layer, a copy of the network at every step and loops over the layers"
    def __init__(self,
        model:nn.Module, # The network that is fine-tuned, at its pretrained weights
        exclude:str, # Name of the head, which is not constrained
        lr=1e-2, # Learning rate of the radii
    ):
        self.model, self.lr, self.radii = model, lr, {}
        self.anchor = dict(deepcopy(model).named_parameters())
        self.names = [n for n in self.anchor if not n.startswith(f'{exclude}.')]

    @torch.no_grad()
    def start(self, weights):
        self.radii = {n: nn.Parameter(mars(weights[n] - self.anchor[n]).min()/2) for n in self.names}
        self.opt = torch.optim.Adam(self.radii.values(), lr=self.lr)

    def step_(self, closure):
        "Learn the radii, then move every layer into its ball"
        if not self.radii: self.start(dict(self.model.named_parameters()))
        self.learn(deepcopy(self.model).eval(), closure)
        with torch.no_grad():
            for n,p in self.model.named_parameters():
                if n in self.radii: p.copy_(project(p, self.anchor[n], self.radii[n]))

    @property
    def values(self): return {n: r.item() for n,r in self.radii.items()}

    def learn(self, copy, closure):
        weights = {n: p.detach() for n,p in copy.named_parameters()}
        new = {n: project(weights[n], self.anchor[n].detach(), r) for n,r in self.radii.items()}
        self.opt.zero_grad()
        closure(lambda x: functional_call(copy, {**weights, **new}, x)).backward()
        self.opt.step()

class FTPByLayer:
    "FTP: a loop over the layers, each with its own radius and its own Adam"
    def __init__(self,
        model:nn.Module, # The network that is fine-tuned, at its pretrained weights
        exclude:str, # Name of the head, which is not constrained
        lr=1e-2, # Learning rate of the radii
    ):
        self.lr, self.t = lr, 0
        self.layers = [dict(p=p, anchor=p.detach().clone(), radius=p.new_tensor(eps), m=0., v=0., last=None) for n,p in model.named_parameters() if not n.startswith(f'{exclude}.')]

    @torch.no_grad()
    def step_(self):
        self.t += 1
        for s in self.layers:
            delta = s['p'] - s['anchor']
            norm = mars(delta) + eps
            if s['last'] is not None: self.learn(s, norm)
            s['p'].copy_(s['anchor'] + (s['radius']/norm).clamp(max=1)*delta)
            s['last'] = delta, norm

    def learn(self, s, norm):
        last, last_norm = s['last']
        grad = ((s['p'].grad*last).sum_to_size(last_norm.shape)/last_norm).sum()
        s['m'], s['v'] = .9*s['m'] + .1*grad, .999*s['v'] + .001*grad*grad
        s['radius'] -= self.lr*s['m']/(1 - .9**self.t)/((s['v']/(1 - .999**self.t)).sqrt() + eps)
        s['radius'].copy_(s['radius'].clamp(min=eps).minimum(norm.max()))

    @property
    def values(self): return [s['radius'].item() for s in self.layers]
