"Build the documentation site with smalldocs, which needs no Quarto. `python .ci/docs.py [--katex DIR]`"
import argparse, json, re, shutil, sys, yaml
from urllib.parse import urlsplit
from nbdev.config import get_config
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs
from search_index import write_index

KATEX = re.compile(r"https://cdn\.jsdelivr\.net/npm/katex@[\d.]+/dist")

def relocate(txt, depth, base):
    "Make links to the published site relative"
    return txt.replace(base, "../" * depth or "./")

def markdown(source): return dict(cell_type="markdown", metadata={}, source=source)

def deeper(text): return re.sub(r"^(#{2,5} .*?)( ?{\.inside})?$", r"#\1", text, flags=re.M)

def sorted_sections(cells):
    "The cells of a page with its sections `## … {.inside}` at the end, one level deeper, under a heading that `fold` makes a fold"
    shown, inside, now = [], [], []
    for c in cells:
        head = re.match(r"## .*", "".join(c["source"])) if c["cell_type"] == "markdown" else None
        if head or not now: now = inside if head and ".inside" in head[0] else shown
        now.append(c)
    for c in inside:
        if c["cell_type"] == "markdown": c["source"] = deeper("".join(c["source"]))
        for o in c.get("outputs", []):
            if md := o.get("data", {}).get("text/markdown"): o["data"]["text/markdown"] = deeper("".join(md))
    return [*shown, markdown("## Inside"), *inside] if inside else cells

def fold(html):
    "Put what a page of the reference has under *Inside* into a fold"
    start, end = html.find('<section id="inside"'), html.rfind("</section>", 0, html.find("</main>"))
    if start < 0: return html
    body = html.index("</h2>", start) + len("</h2>")
    return f"{html[:body]}<details class='inside'><summary>Helpers, tests and bad input</summary>{html[body:end]}</details>{html[end:]}"

def notebook_links(path, cfg):
    "A line for a tutorial: open it in Colab, or download it"
    colab = f"https://colab.research.google.com/github/{cfg.user}/{cfg.repo}/blob/{cfg.branch}/{cfg.nbs_path.name}/{path.as_posix()}"
    return markdown(f'[Open in Colab]({colab}){{.notebook-link}} [Download the notebook]({path.name}){{.notebook-link download="{path.name}"}}\n')

def included(path, root):
    "Replace `{{< include FILE >}}` by the file without its title, whose path is from the repository's root; links to files of the repository lead to its pages"
    def text(m):
        body = re.sub(r"\A# .*\n", "", (root.config_path/m[1]).read_text(encoding="utf-8"))
        return re.sub(r"\]\((?!\w+:|#)(?:\./)?", f"]({root.git_url}/blob/{root.branch}/", body)
    rewrite(path, lambda s: re.sub(r"{{< include (?:\.\./)*(\S+) >}}", text, s))

def stage(src, dst, cfg):
    "Copy the processed notebooks, with links inside the site kept relative"
    shutil.copytree(src, dst, ignore=shutil.ignore_patterns("_docs", ".quarto", ".site"))
    base = cfg.doc_url.rstrip("/") + "/"
    for p in dst.rglob("*.ipynb"):
        path = p.relative_to(dst)
        nb, depth = json.loads(p.read_text(encoding="utf-8")), len(path.parts) - 1
        if path.parts[0] == "tutorials": nb["cells"].insert(1, notebook_links(path, cfg))
        if path.parts[0] == "api": nb["cells"] = sorted_sections(nb["cells"])
        for c in nb["cells"]:
            if c["cell_type"] == "raw": c["source"] = re.sub(r"^output-file:.*\n", "", "".join(c["source"]), flags=re.M)
            if c["cell_type"] == "markdown": c["source"] = relocate("".join(c["source"]), depth, base)
            for o in c.get("outputs", []):
                md = o.get("data", {}).get("text/markdown")
                if md: o["data"]["text/markdown"] = relocate("".join(md), depth, base)
                if html := o.get("data", {}).get("text/html"): o["data"]["text/html"] = re.sub(r'(href="(?!\w+:)[^"]+)\.ipynb', r"\1.html", "".join(html))
        p.write_text(json.dumps(nb), encoding="utf-8")
    for p in dst.rglob("*.qmd"):
        included(p, cfg)
        rewrite(p, lambda s: relocate(s, len(p.relative_to(dst).parts) - 1, base))
    for p in dst.glob("*.yml"):
        d = yaml.safe_load(p.read_text(encoding="utf-8"))
        d.pop("format-links", None)
        if "format" in d: d["format"] = {"html": d["format"]["html"]}
        p.write_text(yaml.safe_dump(d, sort_keys=False), encoding="utf-8")

def entries(contents):
    "The paths and globs in the `contents` of a sidebar"
    for o in [contents] if isinstance(contents, str) else contents:
        if isinstance(o, str): yield o
        else: yield from entries(o["contents"]) if "contents" in o else [o["href"]]

def check_sidebar(root):
    "Fail if a notebook has no entry in the sidebar, or an entry no page; both builders expand globs such as `api/core/*.ipynb`"
    side = yaml.safe_load((root/"_quarto.yml").read_text(encoding="utf-8"))["website"]["sidebar"]
    found = {o: set(root.glob(o)) for o in entries(side["contents"])}
    lost = {*root.rglob("*.ipynb"), *root.rglob("*.qmd")}.difference(*found.values()) - {root/"404.qmd"}
    if lost: sys.exit("_quarto.yml has no entry in its sidebar for " + ", ".join(sorted(str(p.relative_to(root)) for p in lost)))
    if empty := [o for o, ps in found.items() if not ps]: sys.exit("_quarto.yml lists what is not there: " + ", ".join(empty))

def rewrite(path, fn):
    "Replace a text file by what `fn` makes of it"
    path.write_text(fn(path.read_text(encoding="utf-8")), encoding="utf-8")

def vendor_katex(site, katex):
    "Point the pages at a local copy of KaTeX, so that the site works with no network"
    shutil.copytree(katex, site/"site_libs/katex", dirs_exist_ok=True)
    for p in site.rglob("*.html"): rewrite(p, lambda s: KATEX.sub("../" * (len(p.relative_to(site).parts) - 1) + "site_libs/katex", s))

def finish(site, base):
    "Ask no other host for fonts, show no backticks in a shared link, and give the 404 page links that hold at any address, because it is served at all that are wrong"
    for p in (site/"site_libs").rglob("*.css"): rewrite(p, lambda s: re.sub(r"@import url\(https?:[^)]*\);", "", s))
    for p in site.rglob("*.html"): rewrite(p, lambda s: re.sub(r'<meta [^>]*?(?:name|property)="[\w:]*description"[^>]*>', lambda m: m[0].replace("`", ""), s))
    for p in (site/"api").rglob("*.html"): rewrite(p, fold)
    rewrite(site/"404.html", lambda s: re.sub(r'((?:href|src)="|"smalldocs:offset" content=")(?![\w+.-]+:|[#/])(?:\./)?', rf"\1{base}", s))
    (site/"404.llms.md").unlink()

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--katex", help="folder with katex's dist/")
    ap.add_argument("--workers", type=int, default=2)
    args = ap.parse_args()
    cfg = get_config()
    refresh_quarto_yml()
    proc = proc_nbs(n_workers=args.workers)
    dst = proc/".site"
    shutil.rmtree(dst, ignore_errors=True)
    check_sidebar(proc)
    stage(proc, dst, cfg)
    from smalldocs.cli import main as smalldocs
    rc, site = smalldocs(["render", "--strict", str(dst)]), dst/cfg.doc_path.name
    if not site.exists(): return rc or 1
    if args.katex: vendor_katex(site, args.katex)
    finish(site, urlsplit(cfg.doc_url).path.rstrip("/") + "/")
    for p in (cfg.nbs_path/"tutorials").glob("*.ipynb"):
        shutil.copy(p, site/"tutorials")
        rewrite(site/"tutorials"/f"{p.stem}.html", lambda s: re.sub(r'<a [^>]*download="[^>]*>', lambda m: m[0].replace(f"{p.stem}.html", p.name), s))
    write_index(site)
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(site, cfg.doc_path)
    return rc

if __name__ == "__main__": sys.exit(main())
