"""Figure 3's supplement: the same picture in other MPNs, and three classes.

a to c: a network of each variant (ReLU: two), 80 trials, each panel in a plane of principal
components, each axis to its own scale. (a) h at all steps by the present input; arrows: the
directions of the readout vectors. (b) The same by the evidence. (c) M before go by the evidence;
up: of its first five components the one that follows the evidence best (r: their correlation),
along: the largest other.

d: three classes, by the right answer: h of RNN and GRU from step 10 to 19, h of the MPN at go and
its M before go; seed 0, 200 trials. (e) Participation ratio of h over all steps, ten networks of
two classes (left) and ten of three (right).

Half of our ReLU networks end with eta > 0, and their M and h, which nothing bounds, feed on each
other: whichever class is ahead runs away. Those with eta < 0 look like the others, and like the one
that the paper shows.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import fig3
import figS
import numpy as np
import xarray as xr
from integration import (
    SHOWN,
    SHOWN_COLORS,
    by_seed,
    evidence_bar,
    evidence_of,
    following,
    points,
    readouts,
    record_of,
)
from kept import Found, Measured, Number, measured, numbers
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, config_of, save_figure, trained

from mpn_lab import SupervisedConfig, plotting
from mpn_lab.analysis import participation_ratio, pca
from mpn_lab.plotting.style import new_figure

VARIANTS = {  # title -> network, sign of eta; the first such seed is shown
    "MPNpre": ("MPNpre", None),
    "MPNpost": ("MPNpost", None),
    "additive": ("additive", None),
    "bound 0.1": ("bound 0.1", None),
    "ReLU, $\\eta$ < 0": ("ReLU", -1),
    "ReLU, $\\eta$ > 0": ("ReLU", 1),
}
RECURRENT = ("RNN", "GRU")
KINDS = (*RECURRENT, "MPN")
LARGEST = "largest |M|"
TRIALS_SHOWN = 80
CLASS_COLORS = (*SHOWN_COLORS[:2], "#CC79A7")


def jobs(kind: str) -> dict[str, SupervisedConfig]:
    """Networks of three classes, by seed; the MPNs are figure S's."""
    if kind == "MPN":
        return figS.jobs("three classes")
    return {
        f"fig3S/three-{kind}-seed{seed}": config_of(kind, seed, task_kwargs={"n_classes": 3})
        for seed in SEEDS
    }


def measure(one: Trained) -> Measured:
    """(e)"""
    trials = record_of(one)
    return {
        fig3.RATIO: float(participation_ratio(trials, "h")),
        "accuracy": float(trials["correct"].mean()),
        "updates": one.updates,
    }


def measure_relu(one: Trained) -> Measured:
    largest = float(np.abs(record_of(one)["M"]).max())
    return {LARGEST: largest, "eta": eta_of(one)}


def eta_of(one: Trained) -> float:
    return float(one.network.mpn_layers()[0].eta.detach())


def work(networks: dict[str, list[Trained]], relu: list[Trained]) -> dict[Number, Any]:
    """What measures each number."""
    result: dict[Number, Any] = {}
    for seed in SEEDS:
        for kind in KINDS:
            number = Number(fig3.RATIO, f"{kind}, three classes", seed)
            result[number] = partial(measure, networks[kind][seed])
        result[Number(LARGEST, "ReLU", seed)] = partial(measure_relu, relu[seed])
    return result


def draw_hidden(a: Axes, b: Axes, trials: xr.Dataset) -> None:
    """(a), (b)"""
    found = pca(trials, "h", 2)
    where = found["trajectory"].values[:TRIALS_SHOWN].reshape(-1, 2)
    shown = trials["shown"].values[:TRIALS_SHOWN].ravel()
    for k, (name, color) in enumerate(zip(SHOWN, SHOWN_COLORS, strict=True)):
        here = where[shown == k]
        a.plot(*here.T, "o", ms=1.8, mew=0, color=color, label=name, rasterized=True)
    points(b, *where.T, evidence_of(trials).values[:TRIALS_SHOWN].ravel())
    arrows = trials["readout"].values @ found["axes"].values.T
    shares = 100 * found["explained_variance_ratio"].values
    reach = np.abs(where).max() * arrows / np.linalg.norm(arrows, axis=1, keepdims=True)
    for ax in (a, b):
        readouts(ax, arrows, 0.25 * np.abs(where).max())
        ax.update_datalim(0.4 * reach)  # room for the arrows and their names
        ax.margins(0.14)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"PC 1, 2 ({shares[0]:.0f}, {shares[1]:.0f} %)", fontsize=7.5)


def draw_modulations(ax: Axes, trials: xr.Dataset) -> None:
    """(c)"""
    before = trials.isel(time=slice(0, -1))
    where = pca(before, "M", 5)["trajectory"].values.reshape(-1, 5)
    evidence = evidence_of(before).values.ravel()
    best, along, r = following(where, evidence)
    some = slice(0, TRIALS_SHOWN * before.sizes["time"])
    points(ax, where[some, along], where[some, best], evidence[some])
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"PC {along + 1}", fontsize=7.5, labelpad=1)
    ax.set_ylabel(f"PC {best + 1}", fontsize=7.5, labelpad=1)
    box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.8}
    ax.text(0.03, 0.98, f"r = {r:.2f}", transform=ax.transAxes, va="top", bbox=box)


def draw_three(ax: Axes, trials: xr.Dataset, variable: str, steps: slice) -> None:
    """(d)"""
    found = pca(trials.isel(time=steps), variable, 2)
    where, answer = found["trajectory"].values, trials["correct_response"].values
    for k, color in enumerate(CLASS_COLORS):
        here = where[answer == k].reshape(-1, 2)
        ax.plot(*here.T, "o", ms=1.8, mew=0, color=color, label=f"class {k + 1}", rasterized=True)
    if variable == "h":
        arrows = trials["readout"].values @ found["axes"].values.T
        readouts(ax, arrows, 0.55 * np.abs(where).max())
    shares = 100 * found["explained_variance_ratio"].values
    ax.margins(0.12)
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"PC 1, 2 ({shares[0]:.0f}, {shares[1]:.0f} %)", fontsize=7.5)


def draw_dimensions(ax: Axes, two: Found, three: Found) -> None:
    """(e)"""
    for x, kind in enumerate(KINDS):
        for found, shift, name in ((two, -0.2, kind), (three, 0.2, f"{kind}, three classes")):
            by_seed(ax, x + shift, found(fig3.RATIO, name), COLORS[kind], 0.32)
    ax.set_xticks(range(len(KINDS)), KINDS, fontsize=7.5)
    ax.set(xlim=(-0.6, len(KINDS) - 0.4), ylabel="participation ratio")


def draw(
    variants: dict[str, xr.Dataset], three: dict[str, xr.Dataset], found: tuple[Found, Found]
) -> Figure:
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
        draw_three(ax, three[kind], variable, steps)
        ax.set_title(title)
    for ax in axes[3][4:]:
        ax.remove()
    ax = figure.add_axes((left[4] + 0.045, rows[3], 2 * width - 0.04, heights[3]))
    draw_dimensions(ax, *found)
    ax.set_title("e  dimensions of h")
    handles, labels = axes[3][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.03, 0.0), ncols=3, **key)
    return figure


def main(fresh: bool = False, processes: int = 2) -> None:
    """Train what is missing (all of RNN and GRU, if `fresh`), measure, draw."""
    networks = {}
    for kind in KINDS:
        anew = fresh and kind in RECURRENT
        networks[kind] = list(trained(jobs(kind), fresh=anew, processes=processes).values())
    others = {
        name: list(trained(figS.jobs(name), processes=processes).values())
        for name in dict.fromkeys(name for name, _ in VARIANTS.values())
    }
    found = measured("fig3S", work(networks, others["ReLU"]), fresh=fresh, processes=processes)
    variants = {
        title: record_of(next(o for o in others[name] if sign in (None, np.sign(eta_of(o)))))
        for title, (name, sign) in VARIANTS.items()
    }
    three = {kind: record_of(of[0]) for kind, of in networks.items()}
    with plotting.style():
        figure = draw(variants, three, (Found(numbers("fig3")), Found(found)))
    save_figure(figure, "fig3S")


if __name__ == "__main__":
    main()
