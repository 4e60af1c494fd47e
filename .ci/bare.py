"""Make an environment with a wheel, what it requires, and nothing else: `python .ci/bare.py FOLDER WHEEL`

What the wheel requires is linked from this environment, which has it already: seconds, and no second copy of PyTorch."""
import os, shutil, subprocess, sys, sysconfig, venv
from functools import partial
from importlib.metadata import Distribution, distribution
from pathlib import Path
from packaging.requirements import Requirement

def needed(dist, extras=("",), seen=None):
    "The distributions that `dist` requires, and those that these require, by name"
    seen = {} if seen is None else seen
    for req in map(Requirement, dist.requires or []):
        if req.marker and not any(req.marker.evaluate({"extra": e}) for e in extras): continue
        key = req.name, *sorted(req.extras)
        if key in seen: continue
        seen[key] = found = distribution(req.name)
        if not req.specifier.contains(found.version, prereleases=True): sys.exit(f"{req} is required, {found.version} is here")
        needed(found, ("", *req.extras), seen)
    return seen

def link(dist, site):
    "Link the files of an installed distribution into `site`, its scripts left out"
    for f in dist.files or sys.exit(f"{dist.name} does not say which files it has"):
        if f.parts[0] == ".." or not (src := Path(f.locate())).is_file(): continue
        dst = site/f
        if dst.exists(): continue
        dst.parent.mkdir(parents=True, exist_ok=True)
        try: os.link(src, dst)
        except OSError: shutil.copy2(src, dst)

def main(folder, wheel):
    pip = sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"
    venv.create(folder, symlinks=os.name != "nt")
    python = Path(folder, "Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(sysconfig.get_path("purelib", "venv", {"base": folder, "platbase": folder}))
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} # with the checkout on it, pip would install nothing
    run = partial(subprocess.run, check=True, env=env)
    run([*pip, "--python", python, "install", "--no-deps", wheel])
    dists = needed(next(Distribution.discover(name="tpgm_fastai", path=[str(site)])))
    for d in {d.name: d for d in dists.values()}.values(): link(d, site)
    run([*pip, "--python", python, "check"])

if __name__ == "__main__": main(*sys.argv[1:])
