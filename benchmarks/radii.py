"""The picture of radii in README.md: what a network learned to change. `python benchmarks/radii.py`

The verb on the embedded glyphs, as in the quickstart. The radii go to results/radii.pt, and the picture is drawn from that file."""
from pathlib import Path

import matplotlib
matplotlib.use("agg")
import torch
from fastai.torch_core import set_seed
from fastcore.script import call_parse

from tpgm_fastai.callback import recipe
from tpgm_fastai.tasks.glyphs import glyph_task
from tpgm_fastai.viz.radii import RadiiInterpretation

HERE = Path(__file__).resolve().parent

@call_parse
def main(
    seed:int=0, # Fonts, order of the batches, and head
    epochs:int=5, # Epochs of fine-tuning
    lr:float=2e-3, # Highest learning rate
):
    "Train, save the radii, draw them"
    torch.set_num_threads(1)
    task = glyph_task(seed=seed)
    set_seed(seed)
    learn = task.learner()
    learn.fine_tune_tpgm(epochs, lr, dl=task.radius_dl)
    learn.tpgm.save(file := HERE/"results"/"radii.pt")
    interp = RadiiInterpretation.from_file(file)
    interp.plot_blocks()[0].figure.savefig(HERE.parent/"nbs"/"images"/"radii.png", dpi=150)
    print(interp.top_changes(10).to_string())
