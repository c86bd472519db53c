"""The panels on stale states, from stored values."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from figures.cache import Results
from figures.causal.intervals import median_line
from figures.causal.networks import OLD
from figures.drawing import COLORS
from mpn_lab.plotting.style import GREY

CHANGES = {
    "M": ("the older $M$", COLORS["MPN"], "o-"),
    "random": ("as large, random", "#8C8C8C", "D-"),
    "other units": ("as large, other units", "#CC79A7", "^-"),
    "common": ("its common part", "#56B4E9", "s--"),
}
PREDICTORS = {
    "gradient": ("gradient · d$M$", "#262626", "o-"),
    "samples": ("d$M$ along samples", "#009E73", "s-"),
    "dM": ("size of d$M$", "#E69F00", "D-"),
}
SCORES = {
    "dM": "size of\nd$M$",
    "samples": "d$M$ along\nsamples",
    "lead": "small lead",
    "gradient": "lead, gradient\n· d$M$",
}


def draw_flips(ax: Axes, values: Results) -> None:
    """The answers that flip with an older network's M, and with changes as large."""
    for j, (name, (label, color, mark)) in enumerate(CHANGES.items()):
        by_age = values.over(f"stale {{}}, {name}: flipped", OLD, "MPN")
        x = [i + 0.08 * (j - 1.5) for i in range(len(OLD))]
        median_line(ax, x, by_age, fmt=mark, color=color, ms=4, lw=1.2, label=label)
    ages(ax)
    ax.set(ylim=(-0.02, 0.8), ylabel="answers flipped", yticks=(0, 0.2, 0.4, 0.6, 0.8))
    ax.legend(loc="upper right", bbox_to_anchor=(1.04, 1.04), labelspacing=0.3)


def draw_predictors(ax: Axes, values: Results) -> None:
    """How well the change of the lead is predicted, within conditions."""
    for j, (name, (label, color, mark)) in enumerate(PREDICTORS.items()):
        quantity = f"stale {{}}, rank correlation within conditions, {name}"
        x = [i + 0.08 * (j - 1) for i in range(len(OLD))]
        by_age = values.over(quantity, OLD, "MPN")
        median_line(ax, x, by_age, fmt=mark, color=color, ms=4, lw=1.2, label=label)
    ax.axhline(0, color=GREY, ls=":", lw=1)
    ages(ax)
    ax.set(ylim=(-1.02, 1.04), ylabel="rank correlation with\nthe change of the lead")
    ax.set_yticks((-1, -0.5, 0, 0.5, 1))
    ax.legend(loc="lower right", bbox_to_anchor=(1.04, -0.04), labelspacing=0.3)


def draw_scores(ax: Axes, values: Results) -> None:
    """Which answers flip at the oldest age, in the networks where some do."""
    for i, name in enumerate(SCORES):
        found = values(f"stale {OLD[0]}, AUC of {name}", "MPN")
        found = found[np.isfinite(found)]
        spread = np.linspace(-0.22, 0.22, len(found))
        ax.plot(found, i + spread, "o", ms=3.4, color=COLORS["MPN"], alpha=0.8, mew=0)
        ax.vlines(np.median(found), i - 0.3, i + 0.3, color=COLORS["MPN"], lw=2)
    ax.axvline(0.5, color=GREY, ls=":", lw=1)
    ax.set_yticks(range(len(SCORES)), list(SCORES.values()))
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(0, 1.02), ylim=(len(SCORES) - 0.5, -0.5), xticks=(0, 0.5, 1))
    ax.set_xlabel("area under the curve")


def ages(ax: Axes) -> None:
    """Label the ages, in trials of training."""
    ax.set_xticks(range(len(OLD)), [f"{age:,}" for age in OLD])
    ax.set(xlim=(-0.35, len(OLD) - 0.65), xlabel="$M$ of the network after … trials")
