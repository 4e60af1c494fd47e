"""ImageNet with CLIP's ViT-B/16: `python benchmarks/paper/imagenet_clip.py ROOT --weights ViT-B-16.pt`

ROOT holds the extracted archives of ImageNet, -V2, -A, -R and -Sketch (`tpgm_fastai.tasks.imagenet` says which folders). One fine-tune from
the zero-shot model, and what can be made of it: WiSE-FT, and TPGM after the fact."""
from functools import partial

from common import clip_weights, report, sentences
from fastcore.script import call_parse

from tpgm_fastai.experiments.paper import imagenet_vit_posthoc as recipe, recipe_job, zero_shot_task
from tpgm_fastai.models.clip import clip_learner, clip_model, imagenet_prompts
from tpgm_fastai.tasks.imagenet import imagenet_task

def make_task(root, arch, weights, size, **kwargs):
    "ImageNet with a CLIP, whose head is made of words"
    clip = clip_model(arch, clip_weights(weights), size)
    task = imagenet_task(root, learner=partial(clip_learner, arch=clip), radius_data="valid", stats=recipe.stats, size=size, **kwargs)
    return zero_shot_task(task, clip, *imagenet_prompts(task.dls.vocab))

@call_parse
def main(
    root:str, # Folder with the extracted archives
    weights:str=None, # Checkpoint of CLIP; OpenAI's is downloaded by default, `random` is for a trial
    arch:str=recipe.arch, # Architecture of open_clip
    epochs:int=recipe.epochs, # Epochs of fine-tuning
    bs:int=recipe.bs, # Batch size
    size:int=224, # Pixels of a side
    classes:int=1000, # Classes that the training folder has
    seed:int=0, # Of everything random
    workers:int=None, # Processes that read images
    out:str="runs/imagenet_clip", # Folder for everything; what was stopped goes on from there
):
    "FT, zero-shot, WiSE-FT and TPGM with CLIP's ViT-B/16 on ImageNet, published beside measured"
    with sentences("imagenet_clip"):
        make = partial(make_task, root, arch, weights, size, n_classes=classes, bs=bs, num_workers=workers)
        job = recipe_job(recipe, make, out, ["ft", "lp", "wise_5", "wise_7", "tpgm_posthoc"], epochs=epochs, seed=seed, quiet=False)
    return report("imagenet_clip", out, job.run())
