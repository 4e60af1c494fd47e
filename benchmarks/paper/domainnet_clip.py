"""DomainNet with CLIP's ResNet-50, TPGM's first table: `python benchmarks/paper/domainnet_clip.py ROOT --weights RN50.pt`

ROOT holds DomainNet's image lists and folders (https://ai.bu.edu/M3SDA/). FT and TPGM run as published; WiSE-FT, which the
table does not have, starts from CLIP with a head made of the class names."""
from functools import partial
from pathlib import Path

from common import check_folder, clip_weights, published_domainnet, report, sentences
from fastcore.script import call_parse

from tpgm_fastai.experiments.paper import domainnet_rn50 as recipe, recipe_job, zero_shot_task
from tpgm_fastai.models.clip import clip_learner, clip_model

def make_task(root, arch, weights, size, head, **kwargs):
    "DomainNet with a CLIP, whose head is new or made of words"
    clip = clip_model(arch, clip_weights(weights), size)
    task = published_domainnet(root, learner=partial(clip_learner, arch=clip, stats=recipe.stats), size=size, **kwargs)
    return zero_shot_task(task, clip, task.dls.vocab) if head == "words" else task

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
    out:str="runs/domainnet_clip", # Folder for everything; what was stopped goes on from there
):
    "FT and TPGM with CLIP's ResNet-50 on DomainNet, WiSE-FT beside them, published beside measured"
    kwargs = dict(epochs=epochs, seed=seed, quiet=False)
    with sentences("domainnet_clip"):
        check_folder(root)
        make = partial(make_task, root, arch, weights, size, percent=percent, bs=bs, num_workers=workers)
        jobs = [recipe_job(recipe, partial(make, head="new"), Path(out)/"tuned", ["ft", "tpgm"], **kwargs),
                recipe_job(recipe, partial(make, head="words"), Path(out)/"wise", ["wise_5"], **kwargs)]
    return report("domainnet_clip", out, *(job.run() for job in jobs))
