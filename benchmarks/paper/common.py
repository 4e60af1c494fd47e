"What the scripts of the paper's tables share: a sentence where something is wrong, the check of DomainNet, the last lines"
import sys
from contextlib import contextmanager

from tpgm_fastai.domainnet import check_domainnet, domainnet_task
from tpgm_fastai.recipes import domainnet_rn50, published, run_table

@contextmanager
def sentences(script):
    "Stop with the sentence of an error that the user can mend"
    try: yield
    except (ImportError, OSError, ValueError) as e: sys.exit(f"{script}: {e}")

def weights_from(arg):
    "The option --weights as learners take it"
    return False if arg == "random" else arg

def checked_domainnet(root, **kwargs):
    "Print what is there, and make the task as published: the whole validation list is for the radii"
    print(check_domainnet(root, ["real", "sketch", "painting", "infograph", "clipart"], verify=False)[["listed", "found", "status"]].to_string(), flush=True)
    return domainnet_task(root, radius="valid", stats=domainnet_rn50.stats, **kwargs)

def report(models, task, name, out, **settings):
    "Run a table and print it beside the published one"
    table = run_table(models, task, published[name], out, **settings)
    print(f"\nAccuracy in per cent\n{table.to_string()}\n\nCalibration, detection, radii and settings are in {out}")
    return table
