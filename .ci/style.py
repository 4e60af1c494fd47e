"""Check the shape of code cells: `python .ci/style.py [NOTEBOOK...]`.

A line that readers see has at most 88 columns, any other 120, and a cell 25 lines; lines that begin with `#|` are not
counted. No stored output names a folder of the machine that made it. On a page of the reference a cell with an import computes nothing: to build the documentation, such cells are
run, and no other."""
import ast, sys
from contextlib import suppress
from pathlib import Path
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import NBProcessor

SHOWN, HIDDEN, LINES = 88, 120, 25
UNSEEN = {"export", "exporti", "hide", "hide_input"}
EXPORTED = {"export", "exporti", "exports"}
ROOT = get_config().config_path

def unseen(cell):
    d = cell.directives_
    return UNSEEN & d.keys() or "false" in (d.get("echo"), d.get("include"))

def mixed(source):
    "Whether Python code imports and computes"
    with suppress(SyntaxError):                                               # a magic
        tree = ast.parse(source)
        imports = any(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.walk(tree))
        passive = ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef
        return imports and not all(isinstance(n, passive) for n in tree.body)

def faults(path):
    "What is wrong with each cell of the notebook at `path`: its place, and a sentence"
    cells = NBProcessor(path, rm_directives=False, process=True).nb.cells
    reference = any(EXPORTED & c.directives_.keys() for c in cells)
    for c in cells:
        if c.cell_type != "code": continue
        lines = [(i, l) for i, l in enumerate(c.source.strip("\n").splitlines(), 1) if not l.lstrip().startswith("#|")]
        most = HIDDEN if unseen(c) else SHOWN
        for i, l in lines:
            if len(l) > most: yield f"cell {c.idx_}, {c.id}, line {i}", f"{len(l)} columns, {most} allowed"
        if reference and not EXPORTED & c.directives_.keys() and c.directives_.get("eval") != "false" and mixed(c.source):
            yield f"cell {c.idx_}, {c.id}", "an import and other code: give imports a cell of their own"
        stored = "".join("".join(o.get("text", "")) for o in c.get("outputs", []))
        if "/site-packages/" in stored or str(ROOT) in stored: yield f"cell {c.idx_}, {c.id}", "a stored output names a folder of the machine that made it"
        if len(lines) > LINES: yield f"cell {c.idx_}, {c.id}", f"{len(lines)} lines, {LINES} allowed"

def main(args):
    paths = [Path(a).resolve() for a in args] or nbglob(get_config().nbs_path, as_path=True).sorted()
    bad = {str(p.relative_to(ROOT)): fs for p in paths if (fs := list(faults(p)))}
    for p, fs in bad.items(): print(f"{p}: {len(fs)}", *(f"    {where}: {what}" for where, what in fs), sep="\n")
    print(f"{sum(map(len, bad.values()))} faults of style in {len(bad)} of {len(paths)} notebooks")
    return bool(bad)

if __name__ == "__main__": sys.exit(main(sys.argv[1:]))
