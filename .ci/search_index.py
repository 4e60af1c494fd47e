"The site's search index: one entry a section, its words apart from its code, and how much a page of its kind counts"
import json, re
from html.parser import HTMLParser

# How much a hit counts, by the first pattern that its address has: what a newcomer reads before what a developer does
KINDS = [(r"^(index|help/|tutorials/)", 1.), (r"^(explanations|api/viz)/", .9), (r"^api/(all|cli|methods/|callback/|trainers/)", .8),
         (r"^api/(tasks|models|evaluate)/", .7), (r"^api/", .4), (r"^verification/", .3)]
HOOK = re.compile(r"\.(_\w*|(before|after)_\w+)$")
BLOCKS = re.compile("h[1-6]|p|li|div|t[dhr]|dt|dd|blockquote|figcaption") # their words do not touch those before
SILENT = {"script", "style", "svg", "button", "nav", "summary"}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}

class Sections(HTMLParser):
    "What a page says under each heading, formulas left out"
    def __init__(self, page):
        super().__init__()
        self.page, self.open, self.title = page, [], ""
        self.found = [dict(id="", section="", text=[], code=[], inside=False)]
    def within(self, *kinds): return any(k in o for o in self.open for k in kinds)
    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if re.fullmatch("h[2-6]", tag) and "data-anchor-id" in attrs and self.within("main"):
            self.found.append(dict(id=attrs["data-anchor-id"], section="", text=[], code=[], inside=self.within("details.inside")))
        if BLOCKS.fullmatch(tag): self.found[-1]["text"].append(" ")
        if tag not in VOID: self.open.append(f"{tag} {tag}.{attrs.get('class') or ''}")
    def handle_endtag(self, tag):
        while tag not in VOID and self.open and self.open.pop().split()[0] != tag: pass
    def handle_data(self, data):
        tags = [o.split()[0] for o in self.open]
        if "main" not in tags or SILENT & {*tags} or self.within("span.math"): return
        if "h1" in tags: self.title += data
        elif re.fullmatch("h[2-6]", next((t for t in tags if re.fullmatch("h[1-6]", t)), "")): self.found[-1]["section"] += data
        else: self.found[-1]["code" if "pre" in tags else "text"].append(data)

def entries(page, html):
    "Entries of one page, in the order of its sections"
    parser = Sections(page)
    parser.feed(html)
    kind = next((w for r, w in KINDS if re.search(r, page)), .2)
    for s in parser.found:
        href, text = page + (f"#{s['id']}" if s["id"] else ""), " ".join("".join(s["text"]).split())
        code = " ".join(sorted({*re.findall(r"[A-Za-z_]\w{2,}", " ".join(s["code"]))}))
        weight = kind*(.2 if s["inside"] or HOOK.search(s["section"]) else 1)
        if text or s["id"]: yield dict(objectID=href, href=href, title=" ".join(parser.title.split()), section=s["section"].strip(), text=text, code=code, weight=weight)

def write_index(site):
    "Write `search.json` anew, from the pages as they are"
    pages = sorted(p for p in site.rglob("*.html") if p.name != "404.html" and "site_libs" not in p.parts)
    found = [e for p in pages for e in entries(p.relative_to(site).as_posix(), p.read_text(encoding="utf-8"))]
    (site/"search.json").write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
