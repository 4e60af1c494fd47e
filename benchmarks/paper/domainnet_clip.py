"""DomainNet with CLIP's ResNet-50, TPGM's first table: `python benchmarks/paper/domainnet_clip.py ROOT --weights RN50.pt`

ROOT holds DomainNet's image lists and folders (https://ai.bu.edu/M3SDA/). FT and TPGM run as published; WiSE-FT, which the
table does not have, starts from CLIP with a head made of the class names."""
from functools import partial

from common import checked_domainnet, report, sentences, weights_from
from fastcore.script import call_parse

from tpgm_fastai.clip import clip_learner, clip_model
from tpgm_fastai.runs import Run
from tpgm_fastai.recipes import domainnet_models, domainnet_rn50 as recipe, zero_shot_run

@call_parse
def main(
    root:str, # Folder with DomainNet's lists and images
    weights:str=None, # Checkpoint of CLIP; OpenAI's is downloaded by default, `random` is for a trial
    arch:str=recipe.arch, # Architecture of open_clip
    epochs:int=recipe.epochs, # Epochs of fine-tuning
    bs:int=recipe.bs, # Batch size
    size:int=224, # Pixels of a side
    percent:float=100, # Of the training and validation images
    seed:int=0, # Of everything random
    workers:int=None, # Processes that read images
    out:str="domainnet_clip.json", # Where the results go
):
    "FT and TPGM with CLIP's ResNet-50 on DomainNet, WiSE-FT beside them, published beside measured"
    with sentences("domainnet_clip"):
        task = checked_domainnet(root, learner=partial(clip_learner, stats=recipe.stats), percent=percent, bs=bs, size=size, seed=seed, num_workers=workers)
        clip = clip_model(arch, weights_from(weights), size)
        task.learner = partial(task.learner, arch=clip)
        wise = zero_shot_run(task, clip, task.dls.vocab, ["a photo of a {}."], epochs, seed)
    models = domainnet_models(Run(task, epochs, seed), recipe, wise)
    return report(models, task, "domainnet_clip", out, weights=weights, arch=arch, epochs=epochs, bs=bs, size=size, percent=percent, seed=seed)
