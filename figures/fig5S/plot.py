"""The supplement of figure 5: the silence of an MPN, and an input in the delay that breaks it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import figures.fig5.measure as fig5
from figures.cache import Results
from figures.drawing import COLORS, mean_line
from figures.fig5.plot import H, M, mark_periods
from figures.fig5S.measure import (
    DECODED_ACROSS,
    EVERY,
    INPUTS,
    NETWORKS,
    activity_by_step,
    by_kind,
    compute_values,
    configs,
    decoding_matrix,
)
from figures.networks import load_or_train
from mpn_lab.plotting.style import GREY, new_figure

LINES = dict(zip(NETWORKS, ("-", "--", ":", "-"), strict=True))
LABELS = {"MPN": "MPN, 0", "GRU": "GRU, 0"} | {name: f"MPN, {x}" for name, x in INPUTS.items()}


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Train and measure what is missing (all of its own, if `fresh`), draw."""
    networks = load_or_train(fig5.configs(), processes=processes)
    networks |= load_or_train(configs(), fresh=fresh, processes=processes)
    own = compute_values(networks, fresh, processes)
    of_5 = fig5.compute_values(networks, False, processes)
    kinds = by_kind(networks)
    curves = {}
    for kind, by_seed in kinds.items():
        pairs = Parallel(n_jobs=processes)(delayed(activity_by_step)(one) for one in by_seed)
        activity, variation = (np.stack(values) for values in zip(*pairs, strict=True))
        curves[kind] = activity, variation
    matrices = {kind: decoding_matrix(kinds[kind][0]) for kind in DECODED_ACROSS}
    return draw(curves, Results(pd.concat([of_5, own])), matrices)


def draw(
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    results: Results,
    matrices: dict[str, xr.DataArray],
) -> Figure:
    """The figure.

    Args:
        curves: network -> activity and variation, [seed, step].
        results: the values of this figure and of figure 5.
        matrices: network -> accuracies [train_time, time].
    """
    figure = new_figure(7.4, 4.7)
    a, b, c = figure.add_gridspec(
        1, 3, left=0.075, right=0.985, top=0.935, bottom=0.6, wspace=0.36
    ).subplots()
    draw_curves(a, {name: pair[0] for name, pair in curves.items()})
    a.set(ylabel="mean $|h_i|$", ylim=(0, 1.02), title="a   activity")
    a.legend(loc="upper right", title="input in the delay", labelspacing=0.25)
    draw_decoding(b, results)
    b.set_title("b   the label, read off $h$")
    draw_curves(c, {name: pair[1] for name, pair in curves.items()}, first=5)
    c.set(ylabel="variance / mean square", ylim=(0, 1.02), title="c   variation over 5 steps")
    ax = figure.add_axes((0.075, 0.1, 0.2, 0.33))
    draw_error(ax, results)
    ax.set_title("d   error of the theory")
    for k, (name, matrix) in enumerate(matrices.items()):
        ax = figure.add_axes((0.36 + 0.185 * k, 0.1, 0.165, 0.33))
        steps = 1 + EVERY * np.arange(len(matrix))
        low, high = steps[0] - EVERY / 2, steps[-1] + EVERY / 2
        extent = (low, high, low, high)
        image = ax.imshow(matrix, "viridis", vmin=1 / 3, vmax=1, origin="lower", extent=extent)
        ax.set(xlabel="tested at step", xticks=(1, 20, 40), yticks=(1, 20, 40))
        ax.set_title(("e   " if k == 0 else "") + LABELS[name], loc="left")
        if k == 0:
            ax.set_ylabel("trained at step")
        else:
            ax.tick_params(labelleft=False)
    bar = figure.colorbar(image, cax=figure.add_axes((0.925, 0.15, 0.01, 0.23)))
    bar.set_ticks([1 / 3, 2 / 3, 1], labels=["1/3", "2/3", "1"])
    bar.ax.set_title("accuracy", fontsize=8)
    return figure


def draw_curves(ax: Axes, curves: dict[str, np.ndarray], first: int = 1) -> None:
    """(a, c) Means over the networks, of [seed, step]; the first step of a curve is `first`."""
    mark_periods(ax)
    for name, values in curves.items():
        steps = np.arange(first, first + values.shape[1])
        ax.plot(steps, values.mean(0), LINES[name], color=_color(name), lw=1.4, label=LABELS[name])
    ax.set(xlabel="step")


def draw_decoding(ax: Axes, results: Results) -> None:
    """(b) Mean accuracy of decoding the label."""
    mark_periods(ax)
    steps = [step + 1 for step in fig5.DECODED]
    for name, line in LINES.items():
        means = [values.mean() for values in results.over("decoding, step {}", steps, name)]
        ax.plot(steps, means, line, color=_color(name), lw=1.4, marker="o", ms=2.5)
    ax.axhline(1 / 3, color=GREY, ls="--", lw=1)
    ax.set(ylim=(0, 1.04), xlabel="step", ylabel="decoding accuracy")


def draw_error(ax: Axes, results: Results) -> None:
    """(d) Error of equations 4 and 5, mean and standard error."""
    mark_periods(ax)
    steps = np.arange(1, fig5.GO + 2)
    for name, color in (("h", H), ("M", M)):
        values = np.stack(results.over(f"error of {name}, step {{}}", steps, "MPN"))  # (step, seed)
        mean_line(ax, steps, values, color=color, lw=1.3, elinewidth=0.7)
        ax.text(30, 1.12 * values.mean(1)[30], f"${name}$", color=color, va="bottom")
    ax.set(xlabel="step", ylabel="relative error", yscale="log", ylim=(0.015, 1.1))


def _color(name: str) -> str:
    """Of the kind of network, whatever its input in the delay."""
    return COLORS[name.split(",")[0]]
