"""The tables of README.md and of the benchmarks page: eleven methods on an embedded benchmark. `python benchmarks/embedded.py glyphs`

Every method has as many settings to choose from, and five seeds. The choice is made on ID validation data and written down before anything is tested; for the glyphs every
setting is tested after that, and rates beyond those to choose from, to see how much the learning rate matters. Radii learn from data of their own. With `--train-bn` BatchNorm's running statistics follow the batches, and every method
is run once more with the setting that was chosen in evaluation mode. What was stopped goes on when it is started again. One thread for each run."""
from pathlib import Path

from fastcore.script import call_parse

from tpgm_fastai.evaluate.results import comparison_table, Results
from tpgm_fastai.experiments.protocol import Comparison, Plan
from tpgm_fastai.tasks.core import find_task

RESULTS = Path(__file__).parent/"results"
RATES = dict(glyphs=((1e-3, 2e-3, 4e-3, 1e-2), dict.fromkeys(("lp_ft", "wise", "tpgm", "tpgm_authors", "tpgm_posthoc"), (2e-2, 4e-2))),
             emoji=((1e-4, 3e-4, 1e-3, 3e-3), {})) # Data set → learning rates to choose from, and beyond

@call_parse(pos=["data"])
def main(
    data:str="glyphs", # glyphs or emoji
    train_bn:bool=False, # BatchNorm in training mode, with the settings chosen in evaluation mode
    seeds:int=5, # Number of seeds, from 0
    epochs:int=10, # Epochs of fine-tuning
    jobs:int=2, # Runs at a time
    work:str="runs/embedded", # Folder for trained weights
):
    "What every method gains in distribution and keeps out of distribution"
    mode = f"{data}-train_bn" if train_bn else data
    lrs, beyond = RATES[data]
    chosen = {n: [x] for n,x in Results.load(RESULTS/data).about["chosen"].items()} if train_bn else None
    plan = Plan(find_task(data).make, Path(work)/mode, epochs=epochs, train_bn=train_bn)
    c = Comparison(plan, lrs=lrs, seeds=seeds, jobs=jobs, settings=chosen, beyond=None if train_bn else beyond)
    c.train()
    print("Chosen on validation data:", c.choose(), flush=True)
    c.test(all=bool(beyond))
    results = c.results
    results.save(RESULTS/mode)
    print(comparison_table(results).to_string())
