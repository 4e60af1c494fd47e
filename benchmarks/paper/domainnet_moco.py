"""DomainNet with MoCo v3's ResNet-50: `python benchmarks/paper/domainnet_moco.py ROOT --weights r-50-1000ep.pth.tar`

ROOT holds DomainNet's image lists and folders (https://ai.bu.edu/M3SDA/), the weights are the checkpoint that MoCo v3 published
(https://github.com/facebookresearch/moco-v3). FT and TPGM run as published; WiSE-FT, which the table does not have, starts from a probed head."""
from functools import partial
from pathlib import Path

from common import check_folder, published_domainnet, report, sentences, weights_from
from fastcore.script import call_parse

from tpgm_fastai.experiments.paper import domainnet_rn50_moco as recipe, probed_methods, recipe_job
from tpgm_fastai.models.vision import image_learner

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
    out:str="runs/domainnet_moco", # Folder for everything; what was stopped goes on from there
):
    "FT and TPGM with MoCo v3's ResNet-50 on DomainNet, WiSE-FT beside them, published beside measured"
    kwargs = dict(epochs=epochs, seed=seed, quiet=False)
    with sentences("domainnet_moco"):
        check_folder(root)
        make = partial(published_domainnet, root, learner=partial(image_learner, arch=arch, weights=weights_from(weights)),
                       percent=percent, bs=bs, size=size, num_workers=workers)
        jobs = [recipe_job(recipe, make, Path(out)/"tuned", ["ft", "tpgm"], **kwargs),
                recipe_job(recipe, make, Path(out)/"wise", ["wise_5"], methods=probed_methods, **kwargs)]
    return report("domainnet_moco", out, *(job.run() for job in jobs))
