"""Mutation tests: what would the page of a module notice? `python .ci/mutate.py [--most N] [ROOM or MODULE...]`

A mutant is a module with one plausible mistake: another comparison, sign, constant, branch, a call left out. Of each
module as many as `--most` are drawn, always the same, and the page that writes the module is run against each, slow cells
left out; what it lets pass, then, against the pages that `mutants.json` names beside it. Who passes all has survived: a
behaviour that no test states, or a change that makes no difference. That file lists the second kind, with reasons. Scores and survivors go to `benchmarks/results/mutants.json`."""
import argparse, ast, copy, json, multiprocessing, os, random, shutil, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIB, PAGES, OUT = "tpgm_fastai", ROOT/"nbs"/"api", ROOT/"benchmarks"/"results"/"mutants.json"
ROOMS = "core", "methods", "callback"

SWAPS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
         ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
         ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.FloorDiv: ast.Div, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And}
NAMES = {a: b for pair in (("min", "max"), ("amin", "amax"), ("any", "all"), ("argmin", "argmax")) for a, b in (pair, pair[::-1])}

def swapped(op): return SWAPS[type(op)]() if type(op) in SWAPS else None
def negated(test): return ast.UnaryOp(ast.Not(), test)

def mistakes(node):
    "What could stand in the place of `node`, as pairs of an attribute and its other value, or None and another node"
    if isinstance(node, ast.Compare) and (op := swapped(node.ops[0])): yield "ops", [op, *node.ops[1:]]
    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and (op := swapped(node.op)): yield "op", op
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)): yield None, node.operand
    if isinstance(node, ast.Constant) and type(node.value) is bool: yield "value", not node.value
    if isinstance(node, ast.Constant) and type(node.value) in (int, float): yield "value", node.value + 1 if type(node.value) is int else 2*node.value or 1.
    if isinstance(node, (ast.If, ast.IfExp, ast.While)): yield "test", negated(node.test)
    if isinstance(node, ast.comprehension) and node.ifs: yield "ifs", []
    if isinstance(node, ast.Return) and node.value and not isinstance(node.value, ast.Constant): yield "value", ast.Constant(None)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call): yield None, ast.Pass()
    if isinstance(node, ast.Name) and node.id in NAMES: yield "id", NAMES[node.id]
    if isinstance(node, ast.Attribute) and node.attr in NAMES: yield "attr", NAMES[node.attr]
    if isinstance(node, ast.Break): yield None, ast.Continue()
    if isinstance(node, ast.Continue): yield None, ast.Break()

def sites(tree):
    "Paths to the nodes inside functions: no messages, annotations or declarations at the top of a module"
    def walk(node, path, inside):
        if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)): return
        if inside: yield path, node
        fun = isinstance(node, (ast.FunctionDef, ast.Lambda))
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list") or (fun and name == "args" and not inside and not isinstance(node, ast.FunctionDef)): continue
            for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST): yield from walk(child, (*path, (name, i)), inside or fun)
    yield from walk(tree, (), False)

def at(tree, path):
    for name, i in path: tree = getattr(tree, name) if i is None else getattr(tree, name)[i]
    return tree

def mutants(source):
    "The line, the change and the whole text of every mutant of a module"
    tree, lines = ast.parse(source), source.splitlines()
    for path, node in sites(tree):
        for attr, value in mistakes(node):
            other = copy.deepcopy(tree)
            if attr: setattr(at(other, path), attr, value)
            else:
                (name, i), parent = path[-1], at(other, path[:-1])
                setattr(parent, name, value) if i is None else getattr(parent, name).__setitem__(i, value)
            statement = next(p for k in range(len(path), -1, -1) if isinstance(at(tree, p := path[:k]), ast.stmt))
            was, now = (ast.unparse(ast.fix_missing_locations(at(t, statement))) for t in (tree, other))
            a, b = next(((a, b) for a, b in zip(was.splitlines(), now.splitlines()) if a != b), (was, now))
            if was != now: yield dict(line=getattr(node, "lineno", at(tree, statement).lineno), was=a.strip(), now=b.strip(), source=ast.unparse(other))

def path_of(module, root=ROOT): return (root/LIB).joinpath(*module.split(".")).with_suffix(".py")

def drawn(module, most):
    "Up to `most` mutants of a module; which, only its text decides"
    found = list(mutants(path_of(module).read_text(encoding="utf-8")))
    return random.Random(module).sample(found, min(most, len(found)))

def key(mutant): return f"{mutant['was']} -> {mutant['now']}"

def pages():
    "The page that writes each module"
    from nbrun import exports
    return {m: p for room in ROOMS for p in sorted((PAGES/room).glob("*.ipynb")) for m in exports(p)}

def child(module, source, page, result):
    "Run the page with a copy of the package that has the mutant, and say whether it noticed"
    import nbrun
    os.setsid()
    null = os.open(os.devnull, os.O_WRONLY)
    for fd in 1, 2: os.dup2(null, fd)
    multiprocessing.set_start_method(None, force=True)
    root = Path(result).parent
    shutil.copytree(ROOT/LIB, root/LIB, ignore=shutil.ignore_patterns("__pycache__", "data"))
    path_of(module, root).write_text(source, encoding="utf-8")
    if (ROOT/LIB/"data").exists(): (root/LIB/"data").symlink_to(ROOT/LIB/"data")
    sys.path.insert(0, str(root)) # for this process, and for those that the page starts
    os.environ |= dict(IN_TEST="1", PYTHONPATH=os.pathsep.join([str(root), os.environ["PYTHONPATH"]]))
    try: said = nbrun.run(Path(page))
    except BaseException as e: said = repr(e)
    Path(result).write_text(json.dumps(said), encoding="utf-8")
    os._exit(0)

def noticed(ctx, module, source, page, limit):
    "Whether the page fails; one that takes longer than `limit` seconds does"
    from nbtests import kill
    with tempfile.TemporaryDirectory() as d:
        result = Path(d)/"result"
        p = ctx.Process(target=child, args=(module, source, str(page), str(result)))
        p.start()
        p.join(limit)
        kill(p.pid)
        p.join()
        return not result.exists() or json.loads(result.read_text(encoding="utf-8")) is not None

def score(ctx, module, proofs, most, equal):
    "Run the mutants of a module: how many there were, how many its pages noticed, and which they did not"
    source = path_of(module).read_text(encoding="utf-8")
    alive = found = [m for m in drawn(module, most) if key(m) not in equal]
    for page in proofs:
        if not alive: break
        start = time.time()
        if noticed(ctx, module, source, page, 600): raise SystemExit(f"{page} fails as it is")
        limit = 30 + 5*(time.time() - start)
        alive = [m for m in alive if not noticed(ctx, module, m["source"], page, limit)]
    alive = [key(m) for m in alive]
    return dict(mutants=len(found), noticed=len(found) - len(alive), alive=sorted(alive))

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=ROOMS, help="rooms or modules, as core or core.norms")
    parser.add_argument("--most", type=int, default=30, help="mutants of a module")
    parser.add_argument("--list", action="store_true", help="only print them")
    args = parser.parse_args()
    of = pages()
    chosen = [m for m in of if any(m == w or m.startswith(w + ".") for w in args.modules)]
    known = json.loads((ROOT/".ci"/"mutants.json").read_text(encoding="utf-8"))
    if args.list: return print(*(f"{m} {x['line']}: {key(x)}" for m in chosen for x in drawn(m, args.most)), sep="\n")
    from nbtests import processes
    ctx, _ = processes()
    results = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    for m in chosen:
        proofs = of[m], *(ROOT/"nbs"/f"{p}.ipynb" for p in known["also"].get(m, ()))
        results[m] = r = score(ctx, m, proofs, args.most, known["no difference"].get(m, {}))
        print(f"{r['noticed']:3} of {r['mutants']:3}  {m}", *(f"            {a}" for a in r["alive"]), sep="\n", flush=True)
        OUT.write_text(json.dumps({m: results[m] for m in sorted(results)}, indent=1) + "\n", encoding="utf-8")

if __name__ == "__main__":
    here = str(Path(__file__).resolve().parent)
    sys.path.insert(0, here)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])) # the process that others are forked from imports `nbrun`
    os.environ |= dict(OMP_NUM_THREADS="1", MPLBACKEND="agg", PYTHONHASHSEED="0", PYTHONPATH=path)
    main()
