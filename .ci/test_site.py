"""What a reader meets: the built site in a real browser, served as GitHub Pages serves it, with nothing else to be reached.

    python -m pytest .ci/test_site.py          checks _docs (or the folder in $SITE), with the browser in $CHROME or on the path"""
import http.server, os, re, shutil, struct, threading, xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest, yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

REPO = Path(__file__).parent.parent
SITE = Path(os.environ.get("SITE") or REPO/"_docs").resolve()
PUBLIC = yaml.safe_load((REPO/"nbs/nbdev.yml").read_text())["website"]["site-url"].rstrip("/") + "/"
BASE = urlsplit(PUBLIC).path                     # the folder that GitHub Pages puts the site in
NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
# In a container there is no user namespace for a sandbox; no name but localhost resolves; nothing is fetched for the browser itself
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"]
PAGES = sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob("*.html"))
CALLBACK = "api/methods/tpgm.html" # a page of the reference
PICTURES_PAGE = "explanations/in_pictures.html" # the page with a picture that moves
KINDS = ["index.html", "help/which_method.html", "help/how_to.html", "tutorials/quickstart.html", "explanations/method.html", PICTURES_PAGE,
         "explanations/benchmarks.html", CALLBACK, "verification/golden.html", "404.html"]
WIDE, NARROW = (1280, 900), (390, 844)

# ---------------------------------------------------------------- a server, a browser, a tab that keeps what went wrong

class Pages(http.server.SimpleHTTPRequestHandler):
    "As GitHub Pages: the site in its folder, and its own 404 for whatever is not there"
    def translate_path(self, path):
        path = unquote(urlsplit(path).path)
        return str(SITE/path.removeprefix(BASE)) + ("index.html" if path == BASE else "") if path.startswith(BASE) else str(SITE/"no such file")
    def send_error(self, code, *args):
        body = (SITE/"404.html").read_bytes() if code == 404 and (SITE/"404.html").exists() else str(code).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass

class Tab:
    "A page in a browser's tab, with `went_wrong`: its console's complaints, its failed requests and those that would have left this machine"
    def __init__(self, browser, home, size=WIDE, scheme="light", **kw):
        self.home, self.went_wrong = home, []
        self.context = browser.new_context(viewport=dict(zip(("width", "height"), size)), color_scheme=scheme, reduced_motion="reduce", **kw)
        self.context.set_default_timeout(10_000)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.went_wrong.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda e: self.went_wrong.append(f"script: {e}"))
        self.page.on("request", self.asked)
        self.page.on("requestfailed", self.failed)
        self.page.on("response", lambda r: r.status >= 400 and self.went_wrong.append(f"{r.status}: {r.url}"))
    def failed(self, r):
        "A request that the browser itself gave up, as it does on the way to the next page, is no failure; what was not found answers 404, and a picture that is not there does not decode"
        if r.failure != "net::ERR_ABORTED": self.went_wrong.append(f"failed: {r.url}: {r.failure}")
    def asked(self, r):
        if not r.url.startswith((self.home, "data:", "blob:")): self.went_wrong.append(f"outside: {r.url}")
    def open(self, path="index.html"):
        self.page.goto(self.home + path)
        return self.page
    def at(self): return self.page.url.removeprefix(self.home)
    def __enter__(self): return self
    def __exit__(self, *args): self.context.close()

@pytest.fixture(scope="session")
def home():
    server = http.server.ThreadingHTTPServer(("localhost", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}{BASE}"
    server.shutdown()

@pytest.fixture(scope="session")
def browser():
    path = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if not path: pytest.exit("No browser: install Chromium or Chrome, or set CHROME", 1)
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=path, args=FLAGS)
        yield b
        b.close()

@pytest.fixture
def tab(browser, home):
    "Make tabs, close them afterwards, and fail if any of them complained"
    tabs = []
    def make(*args, **kw):
        tabs.append(Tab(browser, home, *args, **kw))
        return tabs[-1]
    yield make
    wrong = [w for t in tabs for w in t.went_wrong]
    for t in tabs: t.context.close()
    assert not wrong, "\n".join(wrong)

@pytest.fixture(scope="module")
def reader(browser, home):
    "One tab that reads all pages, one after the other, so that it fetches fonts and scripts once"
    with Tab(browser, home) as t: yield t

# ---------------------------------------------------------------- every page

PICTURES = """async () => (await Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode().then(() => 0, () => i.currentSrc.slice(0, 120)) }))).filter(Boolean)"""
NAMELESS = """() => [...document.images].filter(i => !i.hasAttribute('alt') && i.getClientRects().length).map(i => {
    const h = [...document.querySelectorAll('main :is(h1,h2,h3,h4)')].filter(h => h.compareDocumentPosition(i) & 4).pop(); return h ? h.innerText : '' })"""
FORMULAS = r"""() => { const main = document.querySelector('main'), bad = [];
    main.querySelectorAll('.math').forEach(m => m.querySelector('.katex') && !m.querySelector('.katex-error') || bad.push(m.textContent));
    const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
    for (let n; n = walk.nextNode();) if (!n.parentElement.closest('pre, code, .katex, script, svg') && /\$[^$]*[\\^_{][^$]*\$|\\\(|\\\[|\\begin\{/.test(n.data)) bad.push(n.data);
    return bad.map(s => s.trim().slice(0, 120)) }"""
# Markdown that was not rendered, and addresses in memory, in what a reader sees
RAW = r"""() => { const bad = [], walk = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    for (let n; n = walk.nextNode();) if (!n.parentElement.closest('script, style, svg')) {
        if (/ at 0x[0-9a-f]{6,}/.test(n.data) || (!n.parentElement.closest('pre, code, .katex, .math') && /\]\(|\]\[|\*\*\S|^#+ |^:::|{\.\w/.test(n.data))) bad.push(n.data) }
    return bad.map(s => s.trim().slice(0, 120)) }"""
# Code that a reader must scroll to read, on a screen
LONG = """() => [...document.querySelectorAll('main pre.sourceCode')].filter(e => !e.closest('details:not([open])') && e.scrollWidth > e.clientWidth + 1).map(e =>
    e.innerText.split('\\n').sort((a, b) => b.length - a.length)[0].slice(0, 140))"""
# What reaches over the edge of the window and can't be scrolled to inside its own box, its own size aside
WIDER = """() => { const w = document.documentElement.clientWidth, bad = document.documentElement.scrollWidth > w ? ['the page itself'] : [];
    const boxed = e => { for (let p = e.parentElement; p && p.tagName != 'MAIN' && p.tagName != 'BODY'; p = p.parentElement)
        if (/auto|scroll/.test(getComputedStyle(p).overflowX) || p.matches('.katex-mathml, svg')) return true; return false };
    document.querySelectorAll('body *').forEach(e => { const r = e.getBoundingClientRect();
        if (r.width && r.height && (r.right > w + 1 || r.left < -1) && !e.closest('#quarto-sidebar, .skip-link, .katex-mathml, svg > *') && !boxed(e)) bad.push(e.outerHTML.slice(0, 120)) });
    return bad }"""

@pytest.mark.parametrize("path", PAGES)
def test_page_is_whole(reader, path):
    "Pictures load and have a text, formulas are rendered, nothing complains or leaves this machine, and nothing is cut off at the width of a phone or of a screen"
    reader.went_wrong.clear()
    reader.page.set_viewport_size(dict(width=WIDE[0], height=WIDE[1]))
    page = reader.open(path)
    wrong = [f"picture did not load: {o}" for o in page.evaluate(PICTURES)]
    wrong += [f"picture without a text (give its cell `#| fig-alt: …`), under: {o}" for o in page.evaluate(NAMELESS)]
    wrong += [f"formula not rendered: {o}" for o in page.evaluate(FORMULAS)]
    wrong += [f"not rendered: {o}" for o in page.evaluate(RAW)]
    if path != "help/contributing.html": wrong += [f"a line of code is wider than its column: {o}" for o in page.evaluate(LONG)] # its code has the width of modules
    for size in WIDE, NARROW:
        page.set_viewport_size(dict(width=size[0], height=size[1]))
        wrong += [f"cut off at {size[0]} pixels: {o}" for o in page.evaluate(WIDER)]
    wrong += reader.went_wrong
    assert not wrong, "\n".join(dict.fromkeys(wrong))

@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", KINDS)
def test_page_is_accessible(tab, path, scheme, size):
    "axe-core finds nothing serious; its rules include the contrast of every text"
    page = tab(size, scheme).open(path)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    wrong = [f"{v['impact']}: {v['id']}: {n['html'][:160]}: {n.get('failureSummary', '')}" for v in found if v["impact"] in ("minor", "moderate", "serious", "critical") for n in v["nodes"][:4]]
    assert not wrong, "\n".join(wrong)

# ---------------------------------------------------------------- journeys

def in_sight(page, selector):
    "Whether the top of an element is inside the window"
    return page.evaluate("s => { const r = document.querySelector(s).getBoundingClientRect(); return r.top >= 0 && r.top < innerHeight }", selector)

def sidebar(page, *names):
    "Click through the sidebar: sections by their names, opened where they are closed, then the page of that name"
    for s in names[:-1]:
        head = page.locator("#quarto-sidebar .sidebar-item-section > .sidebar-item-container").filter(has_text=re.compile(rf"^\s*{s}\s*$")).locator("a").first
        if head.get_attribute("aria-expanded") != "true": head.click()
    page.locator("#quarto-sidebar a[href]").filter(has_text=re.compile(rf"^\s*{names[-1]}\s*$")).click()

def test_from_home_to_the_tutorial_to_the_reference_by_clicks(tab):
    t = tab()
    page = t.open()
    page.locator('main a[href*="tutorials/quickstart"]').first.click()
    expect(page.locator("h1")).to_be_visible()
    assert t.at() == "tutorials/quickstart.html"
    sidebar(page, "Reference", "Methods", "TPGM")
    page.wait_for_url(f"**/{CALLBACK}")
    page.locator('#TOC a[href="#tpgmcallback"]').click()
    page.wait_for_url("**#tpgmcallback")
    assert in_sight(page, "#tpgmcallback")
    source = page.locator("main a", has_text="source").first.get_attribute("href")
    assert re.fullmatch(r"https://github\.com/.+/tpgm_fastai/callback/tpgm\.py#L\d+", source), source

def test_the_menus_of_a_phone_lead_to_the_same_places(tab):
    t = tab(NARROW, has_touch=True)
    page = t.open()
    assert not page.locator("#quarto-sidebar").is_visible()
    page.locator(".quarto-btn-toggle").tap()
    sidebar(page, "Reference", "Methods", "TPGM")
    page.wait_for_url(f"**/{CALLBACK}")
    page.locator(".navbar-toggler").tap()
    page.locator("#quarto-search input").fill("TPGMCallback")
    page.locator(".search-result").first.tap()
    page.wait_for_url(f"**/{CALLBACK}#tpgmcallback")

def test_search_finds_the_callback_and_lands_on_it(tab):
    t = tab()
    page = t.open("tutorials/quickstart.html")
    page.keyboard.press("/")
    page.keyboard.type("TPGMCallback")
    expect(page.locator(".search-result").first).to_have_attribute("href", re.compile(r"#tpgmcallback$"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{CALLBACK}#tpgmcallback")
    assert in_sight(page, "#tpgmcallback")

# What readers type, and the pages of which one must be among the first three hits
FINDS = {
    "exclude layers": "help/how_to", "how to exclude layers": "help/how_to", "DDP": "explanations/distributed", "overfit": "explanations/radius_data help/glossary",
    "radius": "explanations/in_pictures help/glossary api/methods/tpgm", "resume": "help/how_to api/callback/checkpoint", "install": "help/install", "cite": "help/cite",
    "LoRA": "help/how_to", "learning rate": "help/how_to explanations/beyond", "fine_tune_tpgm": "api/callback/recipe", "TPGMCallback": "api/methods/tpgm",
    "quickstart": "tutorials/quickstart", "validation set": "help/how_to", "mixed precision": "help/how_to", "export": "help/how_to tutorials/your_pictures",
    "timm": "help/how_to", "out of memory": "help/how_to", "BatchNorm": "explanations/batchnorm", "Hugging Face": "api/trainers/transformers", "Lightning": "api/trainers/lightning",
    "cost": "explanations/cost", "WiSE-FT": "api/methods/averaging", "FTP": "api/methods/ftp", "checkpoint": "api/callback/checkpoint", "my own images": "tutorials/your_pictures",
    "which method": "help/which_method", "several GPUs": "explanations/distributed help/how_to", "radii": "api/viz/radii explanations/in_pictures", "licence": "help/licence",
    # synonyms, and a word that is spelled wrong
    "forgetting": "api/evaluate/forgetting", "catastrophic forgetting": "help/glossary api/evaluate/forgetting", "fine-tune": "tutorials/quickstart tutorials/your_pictures api/callback/recipe",
    "head": "help/glossary api/callback/head", "trust region": "help/glossary", "proximal": "help/glossary", "quickstrat": "tutorials/quickstart"}

def hits(page, query):
    "The pages of the first three results"
    page.locator("#quarto-search input").fill(query)
    page.wait_for_timeout(250)                             # the search waits for a pause in the typing
    expect(page.locator(".search-result").first).to_be_visible()
    return [urljoin(page.url, e.get_attribute("href")).split("#")[0].removeprefix(page.url).removesuffix(".html") for e in page.locator(".search-result").all()[:3]]

def test_search_finds_what_a_maintainer_would_name(tab):
    t = tab()
    page = t.open("404.html")
    wrong = {q: found for q,where in FINDS.items() if not {*where.split()} & {*(found := [h.removeprefix(t.home) for h in hits(page, q)])}}
    assert not wrong, "\n".join(f"{q}: {found}, not {FINDS[q]}" for q,found in wrong.items())

@pytest.mark.parametrize("word,where", [("fine_tune_tpgm", "api/callback/recipe"), ("radii", "api/viz/radii"), ("quickstart", "tutorials/quickstart")])
def test_search_puts_the_best_page_first(tab, word, where):
    t = tab()
    assert hits(t.open("404.html"), word)[0].removeprefix(t.home) == where

def test_snippets_are_plain_text(tab):
    page = tab().open()
    for query in ("radius", "projection", "gradient"):
        hits(page, query)
        texts = page.locator(".search-result-text").all_inner_texts()
        assert texts and not [s for s in texts if re.search(r"\]\(|\\\\|`|\$", s)], texts

def test_previous_and_next_lead_through_the_site(tab):
    order, page = [], "index.html"
    while page:
        order.append(page)
        assert len(order) <= len(PAGES), "the pages go round in a circle"
        link = re.search(r'class="nav-page nav-page-next"><a href="([^"]+)"', (SITE/page).read_text())
        page = link and (SITE/page).parent.joinpath(link[1]).resolve().relative_to(SITE).as_posix()
    assert {*order} == {*PAGES} - {"404.html"}
    t = tab()
    t.open(order[1]).locator(".nav-page-next a").click()
    t.page.wait_for_url(f"**/{order[2]}")
    t.page.locator(".nav-page-previous a").click()
    t.page.wait_for_url(f"**/{order[1]}")

def test_everything_is_reached_and_seen_with_the_keyboard_alone(tab):
    t = tab()
    page = t.open(CALLBACK)
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    expect(skip).to_have_text("Skip to content")
    assert skip.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => !!document.activeElement.closest('main')"), "the link does not skip the menus"
    page = t.open(CALLBACK)
    # round the page once: what has the focus is outlined and in sight, and the focus comes out at the end
    state = """() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect(); return e === document.body ? null :
        [e.outerHTML.slice(0, 120), (s.outlineStyle != 'none' && parseFloat(s.outlineWidth) >= 1) || s.boxShadow != 'none', r.width > 0 && r.bottom > 0 && r.top < innerHeight && r.right > 0] }"""
    want = page.evaluate("() => [...document.querySelectorAll('a[href], button, input, [tabindex=\"0\"]')].filter(e => e.checkVisibility({visibilityProperty: true}) && e.tabIndex >= 0).length")
    seen, bad = 0, []
    for _ in range(want + 50):
        page.keyboard.press("Tab")
        if (now := page.evaluate(state)) is None: break
        seen += 1
        if not all(now[1:]): bad.append(now)
    assert not bad, bad[:5]
    assert seen >= want, f"{seen} of {want} controls were reached"

def test_the_sidebar_opens_with_the_keyboard(tab):
    page = tab().open("tutorials/quickstart.html")
    group = page.locator("#quarto-sidebar a.sidebar-link", has_text="Fine-tune with fastai").first
    group.focus()
    assert group.get_attribute("aria-expanded") == "false"
    page.keyboard.press("Enter")
    expect(page.locator("#quarto-sidebar a[href*='api/callback/core']")).to_be_visible()
    assert group.get_attribute("aria-expanded") == "true"

LUMINANCE = """() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number); return (.2126*r + .7152*g + .0722*b)/255 }"""

def test_an_address_inside_a_fold_opens_it(tab):
    page = tab().open(CALLBACK)
    inside = page.locator("details.inside [data-anchor-id]").last.get_attribute("data-anchor-id")
    assert not page.locator("details.inside").get_attribute("open") and not page.locator(f'#TOC a[href="#{inside}"]').count()
    page = tab().open(f"{CALLBACK}#{inside}")
    page.wait_for_function("() => document.querySelector('details.inside').open")

def test_a_tutorial_can_be_downloaded_and_opened_in_colab(tab):
    t = tab()
    page = t.open("tutorials/quickstart.html")
    colab, download = page.locator("a.notebook-link").all()
    assert colab.get_attribute("href").endswith("/blob/main/nbs/tutorials/quickstart.ipynb")
    assert page.request.get(urljoin(page.url, download.get_attribute("href"))).json()["nbformat"] == 4

def test_dark_mode_follows_the_reader_and_is_kept(tab):
    assert tab(scheme="dark").open().evaluate(LUMINANCE) < .1
    t = tab()
    page = t.open()
    assert page.evaluate(LUMINANCE) > .9
    page.locator(".quarto-color-scheme-toggle").click()
    page.wait_for_function(f"({LUMINANCE})() < .1")
    assert t.open(CALLBACK).evaluate(LUMINANCE) < .1

def test_code_can_be_copied(tab):
    page = tab(permissions=["clipboard-read", "clipboard-write"]).open("tutorials/quickstart.html")
    block = page.locator(".code-copy-outer-scaffold").first
    block.hover()
    block.locator(".code-copy-button").click()
    assert page.evaluate("() => navigator.clipboard.readText()").strip() == block.locator("code").inner_text().strip()

# ---------------------------------------------------------------- TPGM in pictures

def theta(page): return page.locator("#ball-picture [role=slider]")
NEAR = re.compile("θ₁ = −(1.0|0.9)., θ₂ = −(1.0|0.9).")          # to a pixel
def on_ball(page): return [round(float(page.locator("#ball-picture .on").get_attribute(k)), 1) for k in ("cx", "cy")]
def middle(box): return box["x"] + box["width"]/2, box["y"] + box["height"]/2
def ways(page):
    "From where θ is to the picture's point (-1, -1), in pixels of the window"
    theta(page).scroll_into_view_if_needed()
    box = page.locator("#ball-picture svg").bounding_box()
    x, y = middle(box)
    unit = box["width"]/4
    return middle(theta(page).locator(".hit").bounding_box()), (x - unit, y + unit)

def test_the_picture_computes_what_the_library_does(tab):
    page = tab().open(PICTURES_PAGE)
    cases = page.evaluate("() => JSON.parse(document.getElementById('ball-cases').textContent)")
    assert len(cases) == 60
    for c in cases:
        ours = page.evaluate("""({theta, radius, norm}) => { const f = document.getElementById('ball-picture'), p = f.project(theta, radius, norm);
            return {projected: p, loss: f.loss(p), slope: f.slope(theta, radius, norm)} }""", c)
        for k, v in ours.items(): assert v == pytest.approx(c[k], abs=1e-12), (c, k, v)

@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_pictures_weights_follow_the_mouse(tab, size):
    page = tab(size).open(PICTURES_PAGE)
    start, end = ways(page)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()
    page.mouse.move(*start)                        # let go, they stay
    expect(theta(page)).to_have_attribute("aria-valuetext", NEAR)
    expect(page.locator("#ball-picture output")).to_contain_text("the radius wants to shrink")
    page.get_by_role("button", name="Learn the radius").click()
    expect(page.locator("#ball-picture output")).to_contain_text("Held-out loss 0.75: the radius wants to stay at zero")
    assert on_ball(page) == [0, 0]

def test_the_pictures_weights_follow_a_finger_and_the_page_stays(tab):
    page = tab(NARROW, has_touch=True).open(PICTURES_PAGE)
    start, end = ways(page)
    scrolled, cdp = page.evaluate("scrollY"), page.context.new_cdp_session(page)
    for kind, points in ("touchStart", [start]), *(("touchMove", [(start[0] + k*(end[0] - start[0])/5, start[1] + k*(end[1] - start[1])/5)]) for k in range(1, 6)), ("touchEnd", []):
        cdp.send("Input.dispatchTouchEvent", dict(type=kind, touchPoints=[dict(x=x, y=y) for x, y in points]))
    expect(theta(page)).to_have_attribute("aria-valuetext", NEAR)
    assert page.evaluate("scrollY") == scrolled

def test_the_picture_is_moved_with_the_keyboard_alone(tab):
    page = tab().open(PICTURES_PAGE)
    while not page.evaluate("() => document.activeElement.getAttribute('role') == 'slider'"): page.keyboard.press("Tab")
    assert page.evaluate("() => getComputedStyle(document.querySelector('#ball-picture .halo')).stroke != 'rgba(0, 0, 0, 0)'"), "the focus is not seen"
    for key in ["ArrowLeft"]*9 + ["ArrowUp"]*3: page.keyboard.press(key)
    expect(theta(page)).to_have_attribute("aria-valuetext", "θ₁ = 0.60, θ₂ = 1.60")
    for key in "Tab", "ArrowDown", "ArrowDown", "Tab", "Home": page.keyboard.press(key)      # to the norms, to the last of them, to the radius, to 0
    assert page.locator("#ball-picture [value=rows]").is_checked() and on_ball(page) == [0, 0]
    for key in ["ArrowRight"]*80: page.keyboard.press(key)
    expect(page.locator("#ball-picture output")).to_contain_text("the radius wants to shrink")
    assert on_ball(page) == [60, -80]              # one row is inside, the other is clipped
    for key in "Tab", "Enter": page.keyboard.press(key)
    expect(page.locator("#ball-picture output")).to_contain_text("the radius wants to stay")
    expect(page.locator("#ball-picture .value")).to_have_text("0.60")

@pytest.mark.parametrize("norm,where", [("L2", [60.5, -52.4]), ("MARS, both weights in one row", [42.9, -37.1]), ("MARS, each weight in its own row", [80, -80])])
def test_the_pictures_norm_is_chosen(tab, norm, where):
    page = tab().open(PICTURES_PAGE)
    page.get_by_label(norm, exact=True).check()
    assert on_ball(page) == where
    page.get_by_role("button", name="Learn the radius").click()
    expect(page.locator("#ball-picture output")).to_contain_text("the radius wants to stay")

def test_the_radius_is_seen_to_move_where_motion_is_welcome(tab):
    page = tab().open(PICTURES_PAGE)
    page.emulate_media(reduced_motion="no-preference")
    page.get_by_role("button", name="Learn the radius").click()
    expect(page.locator("#ball-picture output")).to_contain_text("the radius wants to stay")
    expect(page.locator("#ball-picture .value")).to_have_text(re.compile(r"0\.9[89]"))

def test_without_scripts_the_picture_stands_still(tab):
    page, moving = tab(java_script_enabled=False).open(PICTURES_PAGE), tab().open(PICTURES_PAGE)
    expect(page.locator("#ball-picture svg")).to_be_visible()
    expect(page.locator("#ball-picture .controls")).to_be_hidden()
    expect(page.locator("#ball-picture .still")).to_be_visible()
    expect(moving.locator("#ball-picture .controls")).to_be_visible()
    expect(moving.locator("#ball-picture .still")).to_be_hidden()
    for shape, keys in {".ball": ["d"], ".back": ["d"], ".on": ["cx", "cy"], "[role=slider]": ["transform", "aria-valuetext", "aria-valuenow"]}.items():
        for k in keys: assert page.locator(f"#ball-picture {shape}").get_attribute(k) == moving.locator(f"#ball-picture {shape}").get_attribute(k), (shape, k)
    assert page.locator("#ball-picture output").inner_text() == moving.locator("#ball-picture output").inner_text()

def test_the_four_frames_are_dark_on_dark_pages(tab):
    at = "() => getComputedStyle(document.querySelector('main img[src$=\\'idea.svg\\']')).content"
    assert "idea-dark.svg" in tab(scheme="dark").open(PICTURES_PAGE).evaluate(at)
    assert "idea-dark.svg" not in tab().open(PICTURES_PAGE).evaluate(at)

# ---------------------------------------------------------------- what lies beside the pages

@pytest.mark.parametrize("path", ["nowhere.html", "api/deep/nowhere.html"])
def test_a_wrong_address_gets_the_404_page_with_its_looks_and_a_way_home(tab, path):
    t = tab()
    page = t.open(path)
    assert t.went_wrong and all(path in w or "404" in w for w in t.went_wrong), t.went_wrong
    t.went_wrong.clear()
    assert page.evaluate("() => [...document.styleSheets].every(s => s.cssRules.length) && getComputedStyle(document.querySelector('#quarto-content')).display == 'grid'")
    page.locator("#quarto-search input").fill("TPGMCallback")
    page.locator(".search-result").first.click()
    page.wait_for_url(f"{t.home}{CALLBACK}#tpgmcallback")
    page.go_back()
    t.went_wrong.clear()
    page.locator("main a").first.click()
    page.wait_for_url(re.compile(re.escape(t.home) + "(index.html)?$"))

def local(url):
    "The file that a public address of the site stands for"
    assert url.startswith(PUBLIC), url
    return SITE/url.removeprefix(PUBLIC)

def test_llms_txt_lists_every_page():
    txt = (SITE/"llms.txt").read_text()
    files = [local(u) for u in re.findall(r"\]\((http[^)]+)\)", txt)]
    assert txt.startswith("# tpgm_fastai\n") and all(f.stat().st_size for f in files)
    assert len({*files}) == len(PAGES) - 1                     # all but the 404

def test_the_sitemap_lists_every_page():
    urls = {e.text for e in ET.parse(SITE/"sitemap.xml").iter() if e.tag.endswith("loc")}
    assert {local(u).relative_to(SITE).as_posix() for u in urls} | {"404.html"} == {*PAGES}

@pytest.mark.parametrize("path", [p for p in KINDS if p != "404.html"])
def test_a_shared_link_has_a_title_a_description_and_the_card(tab, path):
    page = tab().open(path)
    meta = dict(page.evaluate("() => [...document.querySelectorAll('meta[property], meta[name]')].map(m => [m.getAttribute('property') || m.name, m.content])"))
    assert meta["og:title"] and meta["description"] and "`" not in meta["description"] + meta["og:description"]
    assert meta["twitter:card"] == "summary_large_image" and meta["og:image"] == meta["twitter:image"]
    head = local(meta["og:image"]).read_bytes()[:24]
    assert struct.unpack(">II", head[16:]) == (1200, 630)
    icon = page.locator("link[rel=icon]").get_attribute("href")
    assert ET.fromstring(page.request.get(urljoin(page.url, icon)).text()).tag.endswith("svg")
