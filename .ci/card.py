"Draw the card that a shared link shows: the ball, the weights that left it, and their projection. `python .ci/card.py` writes nbs/images/card.png"
from pathlib import Path
import matplotlib; matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

PAPER, INK, SOFT, BLUE, ORANGE = "#14191f", "#f2f5f8", "#a9b6c2", "#56b4e9", "#e69f00"

fig = plt.figure(figsize=(12, 6.3), dpi=100, facecolor=PAPER)
ax = fig.add_axes([0, 0, 1, 1], xlim=(0, 12), ylim=(0, 6.3)); ax.axis("off")

centre, r = np.array([8.7, 2.75]), 1.85
ax.add_patch(plt.Circle(centre, r, facecolor=BLUE, alpha=.16))
ax.add_patch(plt.Circle(centre, r, fill=False, edgecolor=BLUE, lw=4))
t = np.linspace(0, 1, 60)                                    # fine-tuning walks out of the ball, in wider and wider steps
away = np.array([1.9, 2.15])
path = centre + t[:, None]*away + np.array([.55, -.5])*np.sin(2.2*np.pi*t**.8)[:, None]*(1 - t)[:, None]**.3
ax.plot(*path.T, color=ORANGE, lw=3, ls=(0, (1, 1.6)), dash_capstyle="round")
on = centre + away*r/np.linalg.norm(away)
ax.annotate("", on, path[-1], arrowprops=dict(arrowstyle="-|>,head_width=.5,head_length=.8", color=ORANGE, lw=3, shrinkA=9, shrinkB=9))
ax.scatter(*centre, s=170, color=BLUE, zorder=3)
ax.scatter(*path[-1], s=170, color=ORANGE, zorder=3)
ax.scatter(*on, s=330, color=ORANGE, edgecolor=PAPER, lw=3, zorder=4)
ax.text(*(centre + [-.2, -.5]), r"$\theta_0$", color=BLUE, fontsize=26, ha="center")
ax.text(*(path[-1] + [.28, -.05]), r"$\theta$", color=ORANGE, fontsize=26)
edge = centre + r*np.array([-.94, -.342])
ax.plot(*np.stack([centre, edge]).T, color=BLUE, lw=2.5)
ax.text(*((centre + edge)/2 + [-.05, .14]), r"$\gamma$", color=BLUE, fontsize=26, ha="center")

ax.text(.8, 4.25, "tpgm_fastai", color=INK, fontsize=54, weight="bold")
ax.text(.84, 2.75, "Fine-tune a pretrained model\nand keep what it already knows", color=INK, fontsize=25, linespacing=1.5)
ax.text(.84, 1.45, "Learned projection radii for fastai and PyTorch", color=SOFT, fontsize=17)

fig.savefig(Path(__file__).parent.parent/"nbs/images/card.png", facecolor=PAPER, metadata={"Software": None})
