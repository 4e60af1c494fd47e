"What the scripts of the paper's tables share: a sentence where something is wrong, the check of DomainNet, the last lines"
import sys
from contextlib import contextmanager
from pathlib import Path

from openai_clip import read_clip

from tpgm_fastai.experiments.paper import beside, domainnet_rn50, measured, published
from tpgm_fastai.tasks.domainnet import check_domainnet, domainnet_task

@contextmanager
def sentences(script):
    "Stop with the sentence of an error that the user can mend"
    try: yield
    except (ImportError, OSError, ValueError) as e: sys.exit(f"{script}: {e}")

def weights_from(arg):
    "The option --weights as learners take it"
    return False if arg == "random" else arg

def clip_weights(arg):
    "The option --weights as `clip_model` takes it: OpenAI's own files are read too"
    return read_clip(arg) if arg and arg != "random" else weights_from(arg)

def check_folder(root):
    "Print what is there of DomainNet"
    found = check_domainnet(root, ["real", "sketch", "painting", "infograph", "clipart"], verify=False)
    print(found[["listed", "found", "status"]].to_string(), flush=True)

def published_domainnet(root, **kwargs):
    "The task as published: the whole validation list is for the radii"
    return domainnet_task(root, radius_data="valid", stats=domainnet_rn50.stats, **kwargs)

def report(name, out, *results):
    "Print what was measured beside what was published, and write it down"
    table = beside(measured(*results), published[name])
    table.to_csv(Path(out)/"table.csv")
    print(f"\nAccuracy in per cent\n{table.to_string()}\n\nCalibration, detection, radii and settings are in {out}")
    return table
