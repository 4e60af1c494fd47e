"""How much does the learning rate matter? The first picture of README.md. `python benchmarks/rates.py glyphs`

Methods that are used with one setting, each at every learning rate and over ten seeds, on an embedded benchmark: glyphs, vit (the glyphs with a transformer) or emoji. Every run is tested, after a
choice on validation data has been written down. What was stopped goes on when it is started again. One thread for each run."""
from pathlib import Path

import matplotlib
matplotlib.use("agg")
from fastcore.script import call_parse
from matplotlib import pyplot as plt

from tpgm_fastai.evaluate.results import comparison_table, Results
from tpgm_fastai.experiments.protocol import Comparison, Plan
from tpgm_fastai.tasks.core import find_task
from tpgm_fastai.viz.comparison import plot_rates

HERE = Path(__file__).resolve().parent
RESULTS = HERE/"results"/"rates"
METHODS = "lp", "lp_ft", "wise", "tpgm", "tpgm_authors", "lp_ft_capped", "tpgm_capped"
RATES = dict(glyphs=(1e-3, 4e-3, 1e-2, 4e-2), vit=(1e-3, 4e-3, 4e-2), emoji=(1e-4, 1e-3, 3e-3)) # Data set → learning rates

def picture(results):
    "The first picture of README.md"
    axs = plt.subplots(1, 2, figsize=(8.4, 3.2), sharex=True, layout="constrained")[1]
    plot_rates(results, names=["lp_ft", "wise", "tpgm_authors", "tpgm", "lp_ft_capped", "tpgm_capped"], axs=axs, floor=70)
    file = HERE.parent/"nbs"/"images"/"rates.png"
    file.parent.mkdir(exist_ok=True)
    axs[0].figure.savefig(file, dpi=150)

@call_parse(pos=["data"])
def main(
    data:str="glyphs", # glyphs, vit or emoji
    seeds:int=10, # Number of seeds, from 0
    methods:str=" ".join(METHODS), # Keys of `runs.methods`, with spaces between
    epochs:int=10, # Epochs of fine-tuning
    jobs:int=2, # Runs at a time
    work:str="runs/rates", # Folder for trained weights
    only_train:bool=False, # Choose and test nothing yet
):
    "Accuracy in and out of distribution at every learning rate"
    c = Comparison(Plan(find_task(data).make, Path(work)/data, epochs=epochs), names=methods.split(), lrs=RATES[data], seeds=seeds, jobs=jobs)
    c.train()
    if only_train: return
    c.test(all=True)
    c.results.save(RESULTS/data)
    if data == "glyphs": picture(Results.load(RESULTS/data))
    print(comparison_table(c.results).to_string())
