"""The numbers of the paper's text: other updates, bounds, activations and tasks.

Every network is trained on two-class integration, or on what its name says, with the paper's
settings; a dot is a network. (a) Accuracy on 2,000 fresh trials; diamond: printed in the paper.
(b) The learned eta. (c) r2 of h, as in figure 3. Five of the additive networks never came to 98 %
and kept lam at 0.95, those with the lower accuracy in a; the others lowered it, to 0.5 to 0.8.
(d) Size of M and of h where |M_ij| is bounded: norm / root of the number of entries, mean and
standard error of ten networks.
"""

from __future__ import annotations

from typing import Any

import fig3
import numpy as np
import torch
import xarray as xr
from integration import PAPER_MARK, accuracy_of, evidence_of, record_of
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, save_figure, save_numbers, trained
from table import said

from mpn_lab import SupervisedConfig, plotting
from mpn_lab.analysis import participation_ratio, variance_explained
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, INTEGRATION

ACCURACY, ETA = "accuracy", "eta after training"
SIZE_M, SIZE_H = "size of M, step {}", "size of h, step {}"
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MPN": ("MPN", INTEGRATION, {}),
    "MPNpost": ("MPNpost", INTEGRATION, {}),
    "MPNpre": ("MPNpre", INTEGRATION, {}),
    "bound 1": ("bound 1", INTEGRATION, {}),
    "bound 0.1": ("bound 0.1", INTEGRATION, {}),
    "additive": ("additive", INTEGRATION, {}),
    "ReLU": ("ReLU", INTEGRATION, {}),
    "three classes": ("MPN", INTEGRATION, {"n_classes": 3}),
    "prospective context": ("MPN", CONTEXT_INTEGRATION, {"context": "prospective"}),
    "true-anti": ("MPN", INTEGRATION, {"anti": True}),
}
"""Name -> network, task and the task's arguments."""
SHARED = {"MPN": "fig3/MPN", "MPNpre": "fig3/MPNpre"}  # the same training as figure 3's
PLAIN = [name for name, (_, _, changes) in VARIANTS.items() if not changes]  # all one task
BOUNDS = {"MPN": "no bound", "bound 1": "1", "bound 0.1": "0.1"}
BOUND_LINES = dict(zip(BOUNDS, ("-", "--", ":"), strict=True))
Rows = list[tuple[str, str, int, float]]


def main(fresh: bool = False, processes: int = 2) -> None:
    torch.set_num_threads(1)
    named = {full: name for name in VARIANTS for full in jobs(name)}
    configs = {full: config for name in VARIANTS for full, config in jobs(name).items()}
    own = {full: config for full, config in configs.items() if full.startswith("figS/")}
    shared = {full: config for full, config in configs.items() if full not in own}
    found = trained(shared, processes=processes)
    found |= trained(own, fresh=fresh, processes=processes)
    work = [delayed(measure)(name, configs[full].seed, found[full]) for full, name in named.items()]
    rows = [row for rows in Parallel(n_jobs=processes)(work) for row in rows]
    save_numbers("figS", rows)
    with plotting.style():
        save_figure(draw(rows), "figS")


def jobs(name: str) -> dict[str, SupervisedConfig]:
    """What is trained of one of `VARIANTS`, by seed."""
    kind, task, task_kwargs = VARIANTS[name]
    where = SHARED.get(name, f"figS/{name.replace(' ', '-')}")
    return {
        f"{where}-seed{seed}": config_of(kind, seed, task, task_kwargs=task_kwargs)
        for seed in SEEDS
    }


def measure(name: str, seed: int, one: Trained) -> Rows:
    """All numbers of one variant's network."""
    torch.set_num_threads(1)
    layer = one.network.mpn_layers()[0]
    values = {ACCURACY: accuracy_of(one), ETA: float(layer.eta.detach())}
    if name in PLAIN:
        trials = record_of(one)
        r2 = variance_explained(trials, evidence_of(trials), "h", None, trials["shown"])
        values |= {
            fig3.R2_EVIDENCE: float(r2["evidence"].mean()),
            fig3.R2_INPUT: float(r2["input"].mean()),
            fig3.RATIO: float(participation_ratio(trials, "h")),
        }
        if name in BOUNDS:
            values |= sizes(trials, "h", SIZE_H)
            values |= sizes(trials.isel(time=slice(0, -1)), "M", SIZE_M)  # M_T is never read
    return [(quantity, name, seed, value) for quantity, value in values.items()]


def sizes(trials: xr.Dataset, variable: str, quantity: str) -> dict[str, float]:
    """Root mean square of a variable's entries at every step, mean over trials."""
    values = trials[variable].values
    rms = np.sqrt((values.reshape(*values.shape[:2], -1) ** 2).mean(2)).mean(0)
    return {quantity.format(t + 1): float(value) for t, value in enumerate(rms)}


def draw(rows: Rows) -> Figure:
    table: dict[tuple[str, str], list[float]] = {}
    for quantity, name, _, value in rows:
        table.setdefault((quantity, name), []).append(value)
    found = {key: np.array(values) for key, values in table.items()}
    figure = plotting.new_figure(7.4, 5.2)
    a, b, c = (figure.add_axes((x, 0.45, 0.25, 0.5)) for x in (0.178, 0.455, 0.732))
    for ax, quantity, scale in ((a, ACCURACY, 100), (b, ETA, 1)):
        for y, name in enumerate(VARIANTS):
            values = scale * found[quantity, name]
            _dots(ax, values, y, "#0072B2")
            if ax is a:
                ax.vlines(values.mean(), y - 0.35, y + 0.35, color="black", lw=1)
                if (printed := said("figS", ACCURACY, name)) is not None:
                    ax.plot(100 * printed, y + 0.3, **PAPER_MARK | {"ms": 4})
    b.axvline(0, color="#8C8C8C", lw=0.7)
    for y, name in enumerate(PLAIN):
        for quantity, color, label in (
            (fig3.R2_INPUT, "#262626", "present input"),
            (fig3.R2_EVIDENCE, "#CC79A7", "evidence"),
        ):
            _dots(c, found[quantity, name], y, color, label if y == 0 else None)
    for ax in (a, b, c):
        ax.set_yticks(range(len(VARIANTS)), VARIANTS if ax is a else [])
        ax.set_ylim(len(VARIANTS) - 0.4, -0.6)
    c.legend(loc="lower center", ncols=2, handletextpad=0.1, columnspacing=0.8)
    a.set(xlabel="accuracy (%), bar: mean", title="a  accuracy")
    b.set(xlabel="$\\eta$", title="b  $\\eta$ after training")
    c.set(xlabel="$r^2$, mean over neurons", title="c  what h follows", xlim=(-0.02, 1.02))
    draw_sizes([figure.add_axes((x, 0.09, 0.38, 0.22)) for x in (0.1, 0.6)], found)
    return figure


def draw_sizes(axes: list[Axes], found: dict[tuple[str, str], np.ndarray]) -> None:
    """(d): root mean square of M and of h over the trial."""
    for ax, quantity, last, title in (
        (axes[0], SIZE_M, 19, "d  size of M, by bound"),
        (axes[1], SIZE_H, 20, "size of h"),
    ):
        steps = range(1, last + 1)
        for name, label in BOUNDS.items():
            lines = np.stack([found[quantity.format(t), name] for t in steps])
            mean, sem = lines.mean(1), lines.std(1, ddof=1) / np.sqrt(lines.shape[1])
            ax.errorbar(
                steps,
                mean,
                sem,
                color=COLORS["MPN"],
                ls=BOUND_LINES[name],
                lw=1.3,
                elinewidth=0.8,
                label=label,
            )
        ax.set(title=title, xlabel="step", xticks=(1, 5, 10, 15, 20))
    axes[0].set_ylabel("root mean square")
    axes[0].legend(loc="upper left", labelspacing=0.2)


def _dots(ax: Axes, values: np.ndarray, y: float, color: str, label: str | None = None) -> None:
    shift = np.linspace(-0.2, 0.2, len(values))
    ax.plot(values, y + shift, "o", ms=3, color=color, alpha=0.75, mew=0, label=label)


if __name__ == "__main__":
    main()
