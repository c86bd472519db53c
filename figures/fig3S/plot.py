"""The supplement of figure 3: the same picture in other MPNs, and three classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import figures.figS.measure as figS
from figures.cache import Results, compute_missing, load_values
from figures.drawing import (
    COLORS,
    SHOWN_COLORS,
    component_by_evidence,
    dots,
    dots_by_evidence,
    evidence_bar,
    readout_arrows,
    seeds_and_mean,
)
from figures.fig3.measure import RATIO
from figures.fig3S.measure import KINDS, RECURRENT, configs, measurements
from figures.integration import SHOWN, evidence_of, record_of
from figures.networks import load_or_train
from mpn_lab.analysis import pca
from mpn_lab.plotting.style import new_figure

VARIANTS = {  # title -> network, sign of eta; the first such seed is shown
    "MPNpre": ("MPNpre", None),
    "MPNpost": ("MPNpost", None),
    "additive": ("additive", None),
    "bound 0.1": ("bound 0.1", None),
    "ReLU, $\\eta$ < 0": ("ReLU", -1),
    "ReLU, $\\eta$ > 0": ("ReLU", 1),
}
TRIALS_SHOWN = 80
CLASS_COLORS = (*SHOWN_COLORS[:2], "#CC79A7")


def make(fresh: bool = False, processes: int = 2) -> Figure:
    """Train what is missing (all of RNN and GRU, if `fresh`), measure, draw."""
    networks = {}
    for kind in KINDS:
        anew = fresh and kind in RECURRENT
        networks[kind] = list(
            load_or_train(configs(kind), fresh=anew, processes=processes).values()
        )
    others = {
        name: list(load_or_train(figS.configs(name), processes=processes).values())
        for name in dict.fromkeys(name for name, _ in VARIANTS.values())
    }
    jobs = measurements(networks, others["ReLU"])
    table = compute_missing("fig3S", jobs, fresh=fresh, processes=processes)
    variants = {
        title: record_of(next(o for o in others[name] if sign in (None, np.sign(o.eta))))
        for title, (name, sign) in VARIANTS.items()
    }
    three = {kind: record_of(by_seed[0]) for kind, by_seed in networks.items()}
    return draw(variants, three, Results(load_values("fig3")), Results(table))


def draw(
    variants: dict[str, xr.Dataset],
    three: dict[str, xr.Dataset],
    of_two: Results,
    of_three: Results,
) -> Figure:
    """The figure.

    Args:
        variants: title -> record, of two classes.
        three: one of `KINDS` -> record, of three classes.
        of_two, of_three: the values of networks of two and of three classes.
    """
    figure = new_figure(7.4, 6.6)
    left, width = [0.035 + 0.1625 * k for k in range(6)], 0.14
    rows = (0.81, 0.6, 0.4, 0.085)
    heights = (0.155, 0.155, 0.125, 0.155)
    axes = [
        [figure.add_axes((x, y, width, height)) for x in left]
        for y, height in zip(rows, heights, strict=True)
    ]
    for k, (name, trials) in enumerate(variants.items()):
        draw_hidden(axes[0][k], axes[1][k], trials)
        draw_modulations(axes[2][k], trials)
        axes[0][k].set_title(("a  " if k == 0 else "") + name)
    axes[1][0].set_title("b")
    axes[2][0].set_title("c", loc="left")
    key: dict[str, Any] = {"markerscale": 2, "handletextpad": 0.1, "columnspacing": 0.8}
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.03, 0.325), ncols=4, **key)
    evidence_bar(figure, (0.62, 0.345, 0.3, 0.008))
    late, go, last = slice(9, 19), slice(19, 20), slice(18, 19)
    for ax, kind, variable, steps, title in (
        (axes[3][0], "RNN", "h", late, "d  RNN: h"),
        (axes[3][1], "GRU", "h", late, "GRU: h"),
        (axes[3][2], "MPN", "h", go, "MPN: h at go"),
        (axes[3][3], "MPN", "M", last, "MPN: M"),
    ):
        draw_three_classes(ax, three[kind].isel(time=steps), variable)
        ax.set_title(title)
    for ax in axes[3][4:]:
        ax.remove()
    ax = figure.add_axes((left[4] + 0.045, rows[3], 2 * width - 0.04, heights[3]))
    draw_dimensions(ax, of_two, of_three)
    ax.set_title("e  dimensions of h")
    handles, labels = axes[3][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.03, 0.0), ncols=3, **key)
    return figure


def draw_hidden(a: Axes, b: Axes, trials: xr.Dataset) -> None:
    """(a) h by the present input, (b) by the evidence."""
    components = pca(trials, "h", 2)
    where = components["trajectory"].values[:TRIALS_SHOWN]  # (trial, time, 2)
    shown = trials["shown"].values[:TRIALS_SHOWN]
    for k, (name, color) in enumerate(zip(SHOWN, SHOWN_COLORS, strict=True)):
        dots(a, where[shown == k], color, label=name)
    dots_by_evidence(b, where, evidence_of(trials).values[:TRIALS_SHOWN])
    arrows = trials["readout"].values @ components["axes"].values.T  # (class, 2)
    ends = np.abs(where).max() * arrows / np.linalg.norm(arrows, axis=1, keepdims=True)
    for ax in (a, b):
        readout_arrows(ax, arrows, 0.25 * np.abs(where).max())
        ax.update_datalim(0.4 * ends)  # room for the arrows and their names
        ax.margins(0.14)
        name_both_components(ax, components)


def draw_modulations(ax: Axes, trials: xr.Dataset) -> None:
    """(c) M before go: the component that follows the evidence, against the largest other."""
    before = trials.isel(time=slice(0, -1))
    scores = pca(before, "M", 5)["trajectory"].values
    best, along, r = component_by_evidence(ax, scores, evidence_of(before).values, TRIALS_SHOWN)
    ax.set_xlabel(f"PC {along + 1}", fontsize=7.5, labelpad=1)
    ax.set_ylabel(f"PC {best + 1}", fontsize=7.5, labelpad=1)
    box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
    ax.text(0.03, 0.98, f"r = {r:.2f}", transform=ax.transAxes, va="top", bbox=box)


def draw_three_classes(ax: Axes, trials: xr.Dataset, variable: str) -> None:
    """(d) h or M in its plane, by the correct response."""
    components = pca(trials, variable, 2)
    where, correct = components["trajectory"].values, trials["correct_response"].values
    for k, color in enumerate(CLASS_COLORS):
        dots(ax, where[correct == k], color, label=f"class {k + 1}")
    if variable == "h":
        arrows = trials["readout"].values @ components["axes"].values.T
        readout_arrows(ax, arrows, 0.55 * np.abs(where).max())
    ax.margins(0.12)
    name_both_components(ax, components)


def name_both_components(ax: Axes, components: xr.Dataset) -> None:
    """The shares of variance of both axes, below."""
    shares = 100 * components["explained_variance_ratio"].values
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"PC 1, 2 ({shares[0]:.0f}, {shares[1]:.0f} %)", fontsize=7.5)


def draw_dimensions(ax: Axes, of_two: Results, of_three: Results) -> None:
    """(e) Participation ratio of h, two classes on the left, three on the right."""
    for x, kind in enumerate(KINDS):
        seeds_and_mean(ax, x - 0.2, of_two(RATIO, kind), COLORS[kind], 0.32)
        seeds_and_mean(ax, x + 0.2, of_three(RATIO, f"{kind}, three classes"), COLORS[kind], 0.32)
    ax.set_xticks(range(len(KINDS)), KINDS, fontsize=7.5)
    ax.set(xlim=(-0.6, len(KINDS) - 0.4), ylabel="participation ratio")
