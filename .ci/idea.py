"Draw the idea in four frames, for light pages and for dark ones. `python .ci/idea.py` writes nbs/images/idea.svg and idea-dark.svg"
from math import hypot
from pathlib import Path

LIGHT = dict(paper="#fff", panel="#f5f7f9", line="#dfe5ea", ink="#1d2630", soft="#55626f", blue="#00639c", orange="#d55e00", digit="#b04e00", green="#0f6b3c")
DARK = dict(paper="#14191f", panel="#1c232b", line="#313c47", ink="#dbe2e9", soft="#9fadba", blue="#74bdf0", orange="#f0924a", digit="#f0924a", green="#8fd8a8")
TITLE = "TPGM in four frames"
ALT = ("Pretrained weights lie in a valley of low loss. A fine-tuning step leaves it. Projection brings the weights back onto a ball around the "
       "pretrained ones. The loss on held-out data makes the radius of the ball grow or shrink.")
CAPTIONS = [("Pretrained weights", "The model knows a lot."), ("Fine-tuning", "A step goes too far."),
            ("Projection", "The ball brings it back."), ("Learned radius", '<tspan fill="{green}">Held-out loss</tspan> resizes it.')]

# ---- one plane for all frames: pretrained weights, fine-tuned weights, the ball, and the lowest held-out loss
W, H, GAP, BELOW = 352, 240, 16, 86              # a frame, the space between two, and the caption under one
X0, Y0, X, Y, R = 138, 130, 304, 46, 70
LENGTH = hypot(X - X0, Y - Y0)
UX, UY = (X - X0)/LENGTH, (Y - Y0)/LENGTH        # the direction of fine-tuning
def along(r): return f"{X0 + r*UX:.1f} {Y0 + r*UY:.1f}"
def at(r): return 'cx="{}" cy="{}"'.format(*along(r).split())

def dot(r, colour, more=""): return f'<circle {at(r)} r="8" fill="{colour}" {more}/>'
def name(x, y, colour, txt): return f'<text x="{x}" y="{y}" fill="{colour}" class="name">{txt}</text>'
def ball(r, c, more=""): return f'<circle {at(0)} r="{r}" fill="none" stroke="{c["blue"]}" stroke-width="3" {more}/>'
def arrow(a, b, colour):
    "From one distance to another along the direction of fine-tuning"
    s = 1 if b > a else -1
    tip, base = f"M{along(b)}", b - s*13
    wing = [f"{X0 + base*UX + k*7*UY:.1f} {Y0 + base*UY - k*7*UX:.1f}" for k in (1, -1)]
    return f'<path d="M{along(a)} L{along(base)}" stroke="{colour}" stroke-width="3.5" fill="none"/><path d="{tip} L{wing[0]} L{wing[1]}Z" fill="{colour}"/>'
def contours(x, y, rs, colour, turn, flat=.62):
    return "".join(f'<ellipse rx="{r}" ry="{r*flat:.0f}" transform="translate({x} {y}) rotate({turn})" fill="{colour}" fill-opacity=".07" stroke="{colour}" stroke-opacity=".28"/>' for r in rs)

def frames(c):
    blue, orange, green = c["blue"], c["orange"], c["green"]
    known = contours(X0, Y0, (32, 60, 88, 117), blue, 14)
    start, theta0 = dot(0, blue), name(X0 - 34, Y0 + 30, blue, "θ₀")
    far = dot(LENGTH, orange) + name(X + 12, Y + 30, orange, "θ")
    path = f'<path d="M{X0 + 6} {Y0 - 13}C154 84 186 60 206 84S236 124 258 104 282 70 {X - 7} {Y + 9}" fill="none" stroke="{orange}" stroke-width="3.5" stroke-dasharray=".1 8" stroke-linecap="round"/>'
    disc = f'<circle {at(0)} r="{R}" fill="{blue}" fill-opacity=".16"/>' + ball(R, c)
    on = dot(R, orange, f'stroke="{c["panel"]}" stroke-width="3"').replace('r="8"', 'r="11"')
    back = f'<circle {at(LENGTH)} r="7" fill="none" stroke="{orange}" stroke-width="3"/>' + name(X + 12, Y + 30, orange, "θ") + arrow(LENGTH - 14, R + 13, orange)
    held = contours(252, 100, (20, 44, 68, 94), green, -38, .7) + f'<circle cx="252" cy="100" r="5" fill="{green}"/>'
    both = arrow(R + 12, R + 45, orange) + arrow(R - 12, R - 45, orange)
    return [known + start + theta0, known + path + start + theta0 + far, known + disc + start + theta0 + back + on,
            held + ball(R + 30, c, 'stroke-dasharray="5 7" stroke-opacity=".7"') + ball(R - 30, c, 'stroke-dasharray="5 7" stroke-opacity=".7"') + disc + both + on]

def draw(c):
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2*W + GAP} {2*(H + BELOW)}" role="img"><title>{TITLE}</title><desc>{ALT}</desc>',
           '<style>text{font:18px Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif}.name{font:italic 25px Georgia,"DejaVu Serif",serif}.head{font-weight:650}'
           '@media(max-width:560px){text{font-size:24px}.name{font-size:30px}}</style>',
           f'<rect width="100%" height="100%" fill="{c["paper"]}"/>']
    for i, (drawing, (head, line)) in enumerate(zip(frames(c), CAPTIONS)):
        x, y = i % 2*(W + GAP), i//2*(H + BELOW)
        out += [f'<svg x="{x}" y="{y}" width="{W}" height="{H}"><rect x=".5" y=".5" width="{W - 1}" height="{H - 1}" rx="10" fill="{c["panel"]}" stroke="{c["line"]}"/>{drawing}</svg>',
                f'<text x="{x + 4}" y="{y + H + 28}" fill="{c["ink"]}" class="head"><tspan fill="{c["digit"]}">{i + 1}</tspan>\u2002{head}</text>',
                f'<text x="{x + 4}" y="{y + H + 58}" fill="{c["soft"]}">{line.format(**c)}</text>']
    return "\n".join([*out, "</svg>"]) + "\n"

if __name__ == "__main__":
    for name_, colours in ("idea", LIGHT), ("idea-dark", DARK):
        (Path(__file__).parent.parent/f"nbs/images/{name_}.svg").write_text(draw(colours), encoding="utf-8")
