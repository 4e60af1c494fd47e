"""DomainNet with MoCo v3's ResNet-50: `python benchmarks/paper/domainnet_moco.py ROOT --weights r-50-1000ep.pth.tar`

ROOT holds DomainNet's image lists and folders (https://ai.bu.edu/M3SDA/), the weights are the checkpoint that MoCo v3 published
(https://github.com/facebookresearch/moco-v3). FT and TPGM run as published; WiSE-FT, which the table does not have, starts from a probed head."""
from functools import partial

from common import checked_domainnet, report, sentences, weights_from
from fastcore.script import call_parse

from tpgm_fastai.runs import Run
from tpgm_fastai.domains import image_learner
from tpgm_fastai.recipes import domainnet_models, domainnet_rn50_moco as recipe, probed_run

@call_parse
def main(
    root:str, # Folder with DomainNet's lists and images
    weights:str, # MoCo v3's checkpoint; `random` is for a trial
    arch:str=recipe.arch, # Architecture of torchvision
    epochs:int=recipe.epochs, # Epochs of fine-tuning
    bs:int=recipe.bs, # Batch size
    size:int=224, # Pixels of a side
    percent:float=100, # Of the training and validation images
    seed:int=0, # Of everything random
    workers:int=None, # Processes that read images
    out:str="domainnet_moco.json", # Where the results go
):
    "FT and TPGM with MoCo v3's ResNet-50 on DomainNet, WiSE-FT beside them, published beside measured"
    with sentences("domainnet_moco"):
        task = checked_domainnet(root, learner=partial(image_learner, arch=arch, weights=weights_from(weights)), percent=percent, bs=bs, size=size, seed=seed, num_workers=workers)
        wise = probed_run(task, epochs, seed)
    models = domainnet_models(Run(task, epochs, seed), recipe, wise)
    return report(models, task, "domainnet_moco", out, weights=weights, arch=arch, epochs=epochs, bs=bs, size=size, percent=percent, seed=seed)
