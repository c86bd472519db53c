"""The supplement of figure 6: panels a to e with the presynaptic and the additive MPN."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

import figures.fig6.measure as fig6
from figures.cache import Results
from figures.drawing import COLORS
from figures.fig6.plot import (
    TITLES,
    draw_capacities,
    draw_forgetting,
    draw_noise,
    draw_readout_alone,
)
from figures.fig6S.measure import compute_values, configs
from figures.networks import load_or_train
from mpn_lab.plotting.style import new_figure

LINES = {"MPN": COLORS["MPN"], "MPNpre": COLORS["MPNpre"], "additive": "#009E73"} | COLORS


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Measure what is missing (all, if `fresh`) in stored networks or ones trained now; draw."""
    own = compute_values(load_or_train(configs(), processes=processes), fresh, processes)
    networks = load_or_train(fig6.configs(), processes=processes)
    of_6 = fig6.compute_values(networks, False, processes)
    return draw(Results(pd.concat([of_6, own])))


def draw(results: Results) -> Figure:
    """The figure, from the values of both figures."""
    figure = new_figure(7.2, 4.9)
    a, b, c = figure.add_gridspec(
        1, 3, left=0.08, right=0.985, top=0.945, bottom=0.61, wspace=0.3
    ).subplots()
    d, e = figure.add_gridspec(
        1, 2, left=0.08, right=0.985, top=0.47, bottom=0.11, wspace=0.24, width_ratios=(1, 1.25)
    ).subplots()
    draw_capacities(a, b, results, LINES)
    draw_noise(c, results, LINES)
    b.legend(loc="lower left", bbox_to_anchor=(0.02, 0.14))
    draw_readout_alone(d, results, LINES)
    draw_forgetting(e, results, {kind: color for kind, color in LINES.items() if kind != "RNN"})
    e.tick_params(axis="x", labelsize=6.5)
    for ax, title in zip((a, b, c, d, e), TITLES[:5], strict=True):
        ax.set_title(title)
    return figure
