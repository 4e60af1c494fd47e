"""Compare the outputs of a cell with those stored in the notebook, leaving out what differs from run to run.

Words and whole numbers must be the same. The values of other numbers are not compared: they come from training, which
ends elsewhere on another processor (0.71 became 0.59 on one page); what must hold of them, the cells assert. Of a
picture only its presence is compared, and so of all that a cell shows which says `#| volatile`: tables in an order,
with stars or with whole numbers that come from training, and counts of what stands in other notebooks."""
import difflib, re

MASKS = [(re.compile(p, re.S), s) for p, s in (
    (r"\x1b\[[\d;]*m", ""),                                          # colours
    (r"<style.*?</style>|<progress.*?</progress>|<[a-z/][^>]*>", " "), # tags
    (r"<IPython\.core\.display\.\w+ object>", ""),
    (r" at 0x[0-9a-f]+|\bT_[0-9a-f]{5}_?", ""),                       # addresses, and names of pandas's styled tables
    (r"(?:/tmp|/private|/var/folders|/home|/root|/Users|[A-Z]:\\)[^\s'\"<>,)]*", "PATH"),
    (r"\b20\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?)?", "DATE"),
    (r"\b\d+:\d\d(?::\d\d)?\b", "TIME"),
    (r"\b\d+(?:\.\d+)? ?(?:ns|µs|us|ms|s|min|seconds|minutes)\b", "TIME"),
    (r"\b\d+\.\d+\.\d+(?:[.+]?\w+)*", "VERSION"),
    (r"[-─=]{3,}", "---"),
    (r"\s+", " "),
)]
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?%?(?![\w])")

def masked(txt):
    for pattern, by in MASKS: txt = pattern.sub(by, txt)
    return txt.strip()

def alike(a, b):
    "Whether two numbers, as they are printed, are the same, or not both whole"
    whole = a.strip("+-").isdigit() and b.strip("+-").isdigit()
    return a == b or not whole

def same_text(a, b):
    a, b = masked(a), masked(b)
    na, nb = NUMBER.findall(a), NUMBER.findall(b)
    return NUMBER.sub("0", a) == NUMBER.sub("0", b) and all(map(alike, na, nb))

def parts(outputs, plain=False):
    "What a reader sees of `outputs`: pairs of a kind and its text, in an order that Jupyter and execnb agree on"
    joined = lambda t: t if isinstance(t, str) else "".join(t)
    out = "".join(joined(o["text"]) for o in outputs if o["output_type"] == "stream" and o["name"] == "stdout")
    shown = sorted((o for o in outputs if "data" in o), key=lambda o: o["output_type"])
    # a reader sees the table, not its plain form, whose lines break where its numbers are long
    hidden = lambda o, k: not plain and k == "text/plain" and "text/html" in o["data"]
    data = [(k, joined(v) if k.startswith("text/") else "") for o in shown for k, v in sorted(o["data"].items()) if not hidden(o, k)]
    return [(k, v) for k, v in [("stdout", out), *data] if masked(v) or k.startswith("image/")]

def differs(stored, new, volatile=False):
    "Whether a reader would see something else, or, of what is `volatile`, something of another kind"
    a, b = parts(stored), parts(new)
    same = volatile or all(same_text(s, t) for (_, s), (_, t) in zip(a, b))
    return [k for k, _ in a] != [k for k, _ in b] or not same

def difference(stored, new):
    "Where the two outputs differ, for a person to read"
    a, b = parts(stored, plain=True), parts(new, plain=True)
    if [k for k, _ in a] != [k for k, _ in b]: k, s, t = "kinds", *("\n".join(k for k, _ in p) for p in (a, b))
    else: k, s, t = min(((k, s, t) for (k, s), (_, t) in zip(a, b) if not same_text(s, t)), key=lambda p: p[0] != "text/plain")
    lines = ([l for l in map(str.rstrip, x.splitlines()) if masked(l)] for x in (s, t))
    return "\n".join(difflib.unified_diff(*lines, f"stored {k}", f"{k} now", lineterm="", n=1)) + "\n"
