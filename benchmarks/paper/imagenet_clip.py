"""ImageNet with CLIP's ViT-B/16: `python benchmarks/paper/imagenet_clip.py ROOT --weights ViT-B-16.pt`

ROOT holds the extracted archives of ImageNet, -V2, -A, -R and -Sketch (`tpgm_fastai.imagenet` says which folders). One fine-tune from
the zero-shot model, and what can be made of it: WiSE-FT, and TPGM after the fact."""
from functools import partial

from common import report, sentences, weights_from
from fastcore.script import call_parse

from tpgm_fastai.clip import clip_learner, clip_model, imagenet_prompts
from tpgm_fastai.imagenet import imagenet_task
from tpgm_fastai.recipes import imagenet_models, imagenet_vit_posthoc as recipe, zero_shot_run

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
    out:str="imagenet_clip.json", # Where the results go
):
    "FT, zero-shot, WiSE-FT and TPGM with CLIP's ViT-B/16 on ImageNet, published beside measured"
    with sentences("imagenet_clip"):
        task = imagenet_task(root, learner=clip_learner, radius="valid", n_classes=classes, stats=recipe.stats, bs=bs, size=size, seed=seed, num_workers=workers)
        clip = clip_model(arch, weights_from(weights), size)
        task.learner = partial(task.learner, arch=clip)
        run = zero_shot_run(task, clip, *imagenet_prompts(task.dls.vocab), epochs, seed)
    return report(imagenet_models(run, recipe), task, "imagenet_clip", out, weights=weights, arch=arch, epochs=epochs, bs=bs, size=size, classes=classes, seed=seed)
