"""The numbers of the paper's text: other updates, bounds, activations and tasks."""

from __future__ import annotations

import numpy as np
import torch
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.cache import Results, write_values
from figures.drawing import COLORS, PAPER_MARK, mean_line
from figures.fig3.measure import R2_EVIDENCE, R2_INPUT
from figures.figS.measure import (
    ACCURACY,
    BOUNDS,
    ETA,
    PLAIN,
    SIZE_H,
    SIZE_M,
    VARIANTS,
    configs,
    measure,
)
from figures.networks import load_or_train
from figures.printed import printed_value
from mpn_lab.plotting.style import GREY, new_figure

BOUND_LINES = dict(zip(BOUNDS, ("-", "--", ":"), strict=True))


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Train what is missing (all of its own, if `fresh`), measure every seed, draw."""
    torch.set_num_threads(1)
    variant_of = {full: name for name in VARIANTS for full in configs(name)}
    all_configs = {full: config for name in VARIANTS for full, config in configs(name).items()}
    own = {full: config for full, config in all_configs.items() if full.startswith("figS/")}
    shared = {full: config for full, config in all_configs.items() if full not in own}
    networks = load_or_train(shared, processes=processes)
    networks |= load_or_train(own, fresh=fresh, processes=processes)
    jobs = [delayed(measure)(name, networks[full]) for full, name in variant_of.items()]
    values = Parallel(n_jobs=processes)(jobs)
    table = write_values(
        "figS",
        [
            (quantity, name, all_configs[full].seed, value)
            for (full, name), found in zip(variant_of.items(), values, strict=True)
            for quantity, value in found.items()
        ],
    )
    return draw(Results(table))


def draw(results: Results) -> Figure:
    """The figure, from the values of all seeds."""
    figure = new_figure(7.4, 5.2)
    a, b, c = (figure.add_axes((x, 0.45, 0.25, 0.5)) for x in (0.178, 0.455, 0.732))
    for ax, quantity, scale in ((a, ACCURACY, 100), (b, ETA, 1)):
        for y, name in enumerate(VARIANTS):
            values = scale * results(quantity, name)
            draw_seeds(ax, values, y, COLORS["MPN"])
            if ax is a:
                ax.vlines(values.mean(), y - 0.35, y + 0.35, color="black", lw=1)
                if (printed := printed_value("figS", ACCURACY, name)) is not None:
                    ax.plot(100 * printed, y + 0.3, **PAPER_MARK | {"ms": 4})
    b.axvline(0, color=GREY, lw=0.7)
    for y, name in enumerate(PLAIN):
        for quantity, color, label in (
            (R2_INPUT, "#262626", "present input"),
            (R2_EVIDENCE, "#CC79A7", "evidence"),
        ):
            draw_seeds(c, results(quantity, name), y, color, label if y == 0 else None)
    for ax in (a, b, c):
        ax.set_yticks(range(len(VARIANTS)), VARIANTS if ax is a else [])
        ax.set_ylim(len(VARIANTS) - 0.4, -0.6)
    c.legend(loc="lower center", ncols=2, handletextpad=0.1, columnspacing=0.8)
    a.set(xlabel="accuracy (%), bar: mean", title="a  accuracy")
    b.set(xlabel="$\\eta$", title="b  $\\eta$ after training")
    c.set(xlabel="$r^2$, mean over neurons", title="c  what h follows", xlim=(-0.02, 1.02))
    draw_sizes([figure.add_axes((x, 0.09, 0.38, 0.22)) for x in (0.1, 0.6)], results)
    return figure


def draw_seeds(
    ax: Axes, values: np.ndarray, y: float, color: str, label: str | None = None
) -> None:
    """(a to c) One dot per seed."""
    shift = np.linspace(-0.2, 0.2, len(values))
    ax.plot(values, y + shift, "o", ms=3, color=color, alpha=0.75, mew=0, label=label)


def draw_sizes(axes: list[Axes], results: Results) -> None:
    """(d) Root mean square of M and of h over the trial."""
    for ax, quantity, last, title in (
        (axes[0], SIZE_M, 19, "d  size of M, by bound"),
        (axes[1], SIZE_H, 20, "size of h"),
    ):
        steps = range(1, last + 1)
        for name, label in BOUNDS.items():
            values = np.stack(results.over(quantity, steps, name))  # (step, seed)
            style = {"color": COLORS["MPN"], "ls": BOUND_LINES[name], "lw": 1.3, "elinewidth": 0.8}
            mean_line(ax, steps, values, label=label, **style)
        ax.set(title=title, xlabel="step", xticks=(1, 5, 10, 15, 20))
    axes[0].set_ylabel("root mean square")
    axes[0].legend(loc="upper left", labelspacing=0.2)
