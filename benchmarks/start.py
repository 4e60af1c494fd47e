"""How soon does a command answer, and how soon does it train? `python benchmarks/start.py`

Seconds of wall clock, medians of alternating runs: importing fastai; a mistake that is answered; from the command to its first training step (of those that it times first). Writes results/start.json."""
import json, platform, statistics, subprocess, sys, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
FASTAI = "from fastai.vision.all import *"
FIRST = """
import os, sys
from fastai.learner import Learner       # the command imports it anyway
Learner.one_batch = lambda self, i, b: os._exit(0)
from tpgm_fastai.cli import main
main(["finetune", "--dry-run"])"""

def timed(*command):
    began = time.perf_counter()
    subprocess.run([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began

def main(repeats=7):
    jobs = dict(fastai=(sys.executable, "-c", FASTAI), mistake=(BIN/"tpgm-finetune", "--method", "tpmg"),
                help=(BIN/"tpgm-finetune", "--help"), first_step=(sys.executable, "-c", FIRST))
    seconds = {k: [] for k in jobs}
    for _ in range(repeats + 1):
        for k,job in jobs.items(): seconds[k].append(timed(*job))
    found = {k: round(statistics.median(v[1:]), 3) for k,v in seconds.items()} # the first fills the disk's cache
    found |= dict(ratio=round(found["first_step"]/found["fastai"], 2), repeats=repeats, machine=platform.machine())
    (HERE/"results"/"start.json").write_text(json.dumps(found, indent=1) + "\n")
    print(found)

if __name__ == "__main__": main()
