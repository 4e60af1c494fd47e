"""Rebuild the data of `tpgm_fastai.tasks.glyphs` from the fonts' own npm packages.

    python benchmarks/build_glyphs.py               fetch, render and pack: glyphs.npz, and the licence columns of fonts.tsv
    python benchmarks/build_glyphs.py --check       the same without writing: compare with the shipped glyphs.npz
    python benchmarks/build_glyphs.py --pretrain    also train the two foundation models (three minutes on two cores, and some thirteen on one)

Needs Node's `npm` and the packages fonttools, brotli and pillow. fonts.tsv pins what is fetched: one npm package `@fontsource/<font>` a line, with
its version, its domain, and whether the foundation model has seen the font.
"""
import argparse, csv, io, json, lzma, re, shutil, subprocess, sys, tarfile, tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np, torch
from fastprogress.fastprogress import progress_bar
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save
from torch.nn import functional as F

from tpgm_fastai.tasks.glyphs_vit import glyph_vit
from tpgm_fastai.tasks.glyphs import glyph_net, to_tensor, wild

DATA = Path(__file__).resolve().parents[1]/'tpgm_fastai'/'data'/'glyphs'
ID = 'handwriting'                                                       # the domain that is fine-tuned on
UPPER, LOWER, DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz', '0123456789'
SYMBOLS = '!?&@#$%*+=<>()[]{}/\\~^"' + '£¥€§¶©®«»¿¡±×÷ßÆæØøÞþÐðŒœ†‡™µ¢ªº'
ACCENTED = 'ÀÉÎÑÕÜÅÇàéîñõüåçýÿŠŽšž'
CYRILLIC = 'БДЖЗИЙЛПФЦЧШЩЪЫЬЭЮЯ' + 'бвгджзийклмнптфцчшщъыьэюя'
GREEK = 'ΓΔΘΛΞΠΣΦΨΩ' + 'αβγδεζηθλμξπρσςτφχψω'
CHARS = UPPER + LOWER + DIGITS + SYMBOLS + ACCENTED + CYRILLIC + GREEK   # everything that is rendered, in this order
VOCAB = UPPER + '23456789' + 'abdeghnqrt'                                # target classes: EMNIST-balanced without 0 (as O), 1 (as I) and f (as F)
COLUMNS = ['font', 'family', 'domain', 'foundation', 'licence', 'version', 'copyright']

# ---- fetch

def fetch(font, folder):
    "The npm package of one line of fonts.tsv as a tar file; one that lies in `folder` is not fetched again"
    name = f"@fontsource/{font['font']}@{font['version']}"
    path = folder/f"fontsource-{font['font']}-{font['version']}.tgz"
    if path.exists(): return path
    r = subprocess.run(['npm', 'pack', '--silent', name, '--pack-destination', folder, '--cache', folder/'cache'], capture_output=True, text=True)
    if r.returncode or not path.exists(): sys.exit(f"npm could not fetch {name}: {(r.stderr or r.stdout).strip()[-400:] or 'no message'}")
    return path

def members(path):
    "The files of a package that are of use: name → bytes"
    wanted = re.compile(r'package/(metadata\.json|LICENSE|files/.*-(latin|latin-ext|cyrillic|greek|all)-\d+-normal\.woff2)$')
    with tarfile.open(path) as tar: return {m.name.removeprefix('package/'): tar.extractfile(m).read() for m in tar if wanted.match(m.name)}

def attribution(files):
    "Licence identifier and copyright line of a package"
    licence = json.loads(files['metadata.json'])['license']
    spdx = {'mit': 'MIT'}.get(licence['type'], licence['type'])
    lines = [l for l in files['LICENSE'].decode('utf-8', 'replace').splitlines() if re.match(r'\s*(Copyright (\(c\)|©|\d)|Original work|Modified work)', l, re.I)]
    text = '; '.join(lines) if lines and spdx in ('OFL-1.1', 'MIT') else licence.get('attribution') or ''
    parts = (re.sub(r'\s+', ' ', part).strip() for part in re.split(r'\s\S+\.[ot]tf:', text))    # the same line for each file of a font
    return spdx, '; '.join(dict.fromkeys(parts)) or 'see the package'

# ---- render

def load_fonts(files):
    "The regular weight of a package: one (code points, font) pair for each of its subsets"
    from fontTools.ttLib import TTFont
    meta, fonts = json.loads(files['metadata.json']), []
    weight = min(meta['weights'], key=lambda w: abs(int(w) - 400))
    for name in sorted(n for n in files if n.endswith(f'-{weight}-normal.woff2')):
        ttf, raw = TTFont(io.BytesIO(files[name])), io.BytesIO()
        ttf.flavor = None
        ttf.save(raw)
        raw.seek(0)
        fonts.append((set(ttf.getBestCmap()), ImageFont.truetype(raw, 80)))
    return fonts

def fit(im, box=28, size=32):
    "Crop a drawing to its ink, scale its longer side to `box` and centre it: (32, 32) in 0..255; None if there is no ink"
    ys, xs = np.where(np.asarray(im) > 40)
    if len(ys) < 5: return None
    im = im.crop((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    scale = box/max(im.size)
    w, h = (max(1, round(s*scale)) for s in im.size)
    out = Image.new('L', (size, size))
    out.paste(im.resize((w, h), Image.LANCZOS if scale < 1 else Image.BICUBIC), ((size - w)//2, (size - h)//2))
    return np.asarray(out)

def draw(font, char):
    im = Image.new('L', (224, 224))
    ImageDraw.Draw(im).text((72, 48), char, font=font, fill=255)
    return fit(im)

def render(files):
    "Every glyph of a package that says something of its own: character → (32, 32) in 0..15"
    fonts, glyphs = load_fonts(files), {}
    for char in CHARS:
        for points, font in fonts:
            if ord(char) in points and (a := draw(font, char)) is not None:
                glyphs[char] = np.round(a/17.).astype(np.uint8)
                break
    return drop_repeats(drop_small_capitals(glyphs))

def drop_small_capitals(glyphs):
    "Without the lower-case letters that a font draws as its capitals"
    same = lambda a, b: np.abs(a.astype(int) - b).mean() < 1.2
    return {c: a for c, a in glyphs.items() if not (c in LOWER and c not in 'ckosuvwxz' and c.upper() in glyphs and same(a, glyphs[c.upper()]))}

def drop_repeats(glyphs):
    "Without pictures that stand under two codes (placeholders), letters and digits aside"
    seen, out = {}, {}
    for char, a in glyphs.items():
        first = seen.get(a.tobytes())
        if first is None or {char, first} <= set(UPPER + LOWER + DIGITS): out[char], seen[a.tobytes()] = a, char
    return out

# ---- pack

def pack(pixels):
    "(n, 32, 32) of 16 grey levels → bytes: two pixels a byte, LZMA"
    return np.frombuffer(lzma.compress((pixels[..., ::2] << 4 | pixels[..., 1::2]).tobytes(), preset=9), dtype=np.uint8)

def target_set(fonts, glyphs):
    "The arrays of glyphs.npz: the target classes, from all unseen fonts and from the foundation's fonts of the ID domain"
    rows = [(a, VOCAB.index(c), i) for i, (font, g) in enumerate(zip(fonts, glyphs)) if font['foundation'] == 'no' or font['domain'] == ID
            for c, a in g.items() if c in VOCAB]
    pixels, label, font = zip(*rows)
    return dict(pixels=np.stack(pixels), label=np.array(label, np.uint8), font=np.array(font, np.uint16), vocab=np.array(list(VOCAB)),
                fonts=np.array([f['font'] for f in fonts]), domains=np.array([f['domain'] for f in fonts]), foundation=np.array([f['foundation'] == 'yes' for f in fonts]))

def differences(new, path):
    "Sentences on how a fresh build differs from the file at `path`; empty if in nothing"
    from tpgm_fastai.tasks.glyphs import load_glyphs
    old, out = vars(load_glyphs(path)), []
    for k, v in new.items():
        if old[k].shape != v.shape: out.append(f'{k}: {old[k].shape} shipped, {v.shape} built')
        elif (n := int((old[k] != v).sum())): out.append(f"{k}: {n} of {v.size} values differ" + (f", by at most {np.abs(old[k].astype(int) - v).max()} of 15 grey levels" if k == 'pixels' else ''))
    return out

# ---- the foundation model

def foundation_classes():
    "character → class of the foundation model: symbols, Cyrillic and Greek; a letter and its capital are one where they look alike"
    alike = {'Π': 'П', 'Φ': 'Ф', 'φ': 'Ф', 'μ': 'µ'}
    return ({c: c for c in SYMBOLS if c not in 'ªº'} | {c: 'б' if c == 'б' else c.upper() for c in CYRILLIC if c not in 'вкмнтг'} | {c: alike.get(c, c) for c in GREEK})

def pretrain(fonts, glyphs, make=glyph_net, epochs=16, bs=128, lr=4e-3, decay=2e-2, warmup=.3, seed=0):
    "Train a network on the foundation classes in the foundation fonts of all five domains, one font in twelve held out; vectors are decayed in the convolutional net alone"
    classes = foundation_classes()
    vocab, seen = sorted(set(classes.values())), [i for i, f in enumerate(fonts) if f['foundation'] == 'yes']
    rows = [(a, vocab.index(classes[c]), i) for i in seen for c, a in glyphs[i].items() if c in classes]
    pixels, label, font = (np.array(o) for o in zip(*rows))
    held = np.isin(font, np.random.RandomState(seed).choice(seen, len(seen)//12, replace=False))
    x, y = to_tensor(pixels[~held]), torch.from_numpy(label[~held])
    torch.manual_seed(seed)
    model, rng, n = make(len(vocab)), torch.Generator().manual_seed(seed), len(x)//bs
    if make is glyph_net: model = model.to(memory_format=torch.channels_last)
    vectors, matrices = ([p for p in model.parameters() if (p.ndim < 2) == v] for v in (True, False))
    opt = torch.optim.AdamW([dict(params=matrices), dict(params=vectors, weight_decay=decay if make is glyph_net else 0.)], lr=lr, weight_decay=decay)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, lr, epochs*n, pct_start=warmup)
    for _ in progress_bar(range(epochs)):
        order = torch.randperm(len(x), generator=rng)
        for ix in order[:n*bs].split(bs):
            loss = F.cross_entropy(model(wild(x[ix], rng)), y[ix], label_smoothing=.1)
            opt.zero_grad()
            loss.backward()
            opt.step()
            sched.step()
    model.eval()
    with torch.no_grad(): right = model(wild(to_tensor(pixels[held]), torch.Generator().manual_seed(9))).argmax(1) == torch.from_numpy(label[held])
    print(f'foundation: {len(vocab)} classes, {len(x)} glyphs, {right.float().mean():.1%} right on {held.sum()} glyphs of held-out fonts')
    return model

def save_foundation(model, path):
    "Write the body's weights, fp16, with what they are"
    weights = {k: v.half() if v.is_floating_point() else v for k, v in model[0].state_dict().items()}
    about = dict(format='pt', model=f'body of tpgm_fastai.{"glyph_vit.glyph_vit" if "vit" in path.stem else "glyphs.glyph_net"}', input='(n, 1, 32, 32), -1 paper to 1 ink',
                 trained_on='99 classes of symbols, Cyrillic and Greek letters in 141 open fonts of five domains (fonts.tsv, foundation = yes); no target class',
                 made_by='benchmarks/build_glyphs.py --pretrain', licence='Apache-2.0')
    path.write_bytes(save({k: v.contiguous() for k, v in weights.items()}, metadata=about))

# ---- command line

def read_fonts(path):
    with open(path, newline='', encoding='utf-8') as f: return list(csv.DictReader(f, delimiter='\t', quoting=csv.QUOTE_NONE))

def write_fonts(fonts, path):
    with open(path, 'w', newline='', encoding='utf-8') as f: f.writelines('\t'.join(r[c] for c in COLUMNS) + '\n' for r in [dict(zip(COLUMNS, COLUMNS)), *fonts])

def collect(fonts, folder):
    "Fetch four packages at a time, render each as it comes: list of character → pixels; `fonts` gets its licence columns"
    out = []
    with ThreadPoolExecutor(4) as pool:
        for font, path in progress_bar(zip(fonts, pool.map(lambda f: fetch(f, folder), fonts)), total=len(fonts)):
            files = members(path)
            font['licence'], font['copyright'] = attribution(files)
            out.append(render(files))
    return out

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--check', action='store_true', help='write nothing, compare with the shipped file; exit status 1 if they differ')
    p.add_argument('--pretrain', action='store_true', help='also train the foundation model')
    p.add_argument('--data', type=Path, default=DATA, help='folder of fonts.tsv, where the results go (default: inside the package)')
    p.add_argument('--packages', type=Path, help='keep the npm packages here and use those that are there (default: a temporary folder)')
    args = p.parse_args()
    if not (args.data/'fonts.tsv').is_file(): p.error(f'{args.data} holds no fonts.tsv')
    if not shutil.which('npm'): p.error('npm is needed to fetch the fonts; it comes with Node.js')
    if missing := [n for n in ('fontTools', 'brotli') if find_spec(n) is None]: p.error(f'{" and ".join(missing)} missing: pip install "tpgm_fastai[data]"')
    fonts = read_fonts(args.data/'fonts.tsv')
    with tempfile.TemporaryDirectory() as tmp:
        folder = (args.packages or Path(tmp)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        glyphs = collect(fonts, folder)
    new = target_set(fonts, glyphs)
    if args.check:
        diff = differences(new, args.data/'glyphs.npz')
        print('\n'.join(diff) or f"{len(new['pixels'])} glyphs: every pixel, label and font as shipped")
        if diff: sys.exit(1)
    else:
        np.savez(args.data/'glyphs.npz', **new | {'pixels': pack(new['pixels'])})
        write_fonts(fonts, args.data/'fonts.tsv')
        print(f"{len(new['pixels'])} glyphs packed into {args.data/'glyphs.npz'}")
    if args.pretrain:
        save_foundation(pretrain(fonts, glyphs), args.data/'foundation.safetensors')
        save_foundation(pretrain(fonts, glyphs, glyph_vit, 60, lr=2e-3, decay=5e-2, warmup=.1), args.data/'foundation-vit.safetensors')

if __name__ == '__main__': main()
