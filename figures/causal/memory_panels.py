"""The panels on whether the memory lives in M, from stored values."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.cache import Results
from figures.causal.intervals import median_line, seeds_and_median
from figures.causal.memory import LAST, LONGER, SIZES
from figures.causal.networks import CONTEXT, CORES, INTEGRATION, MATCHING
from figures.drawing import COLORS
from mpn_lab.plotting.style import GREY

NAMES = {MATCHING: "matching", CONTEXT: "context", INTEGRATION: "integration"}
DONORS = {
    "other": "donor, other answer",
    "same": "donor, same answer",
    "within": "… difference enlarged",
    "as other, other units": "as large, other units",
    "as other, random": "as large, random",
}
MOMENTS = ("after sample", "after delay", "after test")
PERIODS = {
    "frozen": ("frozen in it", "o--", "#009E73"),
    "zero": ("set to 0", "s-", "#262626"),
    "mean": ("set to the mean", "^-", "#CC79A7"),
    "as zero, random": ("as far as 0, random", "D-", "#8C8C8C"),
}
WAYS = {
    "other": ("other sample", "#262626", "o-"),
    "within": ("same, enlarged", "#009E73", "s-"),
    "as other, other units": ("other units", "#CC79A7", "^-"),
    "as other, random": ("random", "#8C8C8C", "D-"),
}
ATTRACTORS = {
    "attractor": "attractor of $M$",
    "as attractor, random": "as far, random",
    "as attractor, other units": "as far, other units",
    "attractor, mean kept": "attractor, mean kept",
    "attractor, mean and size kept": "… and its size",
}
LEGEND = {
    "loc": "lower left",
    "bbox_to_anchor": (0.02, -0.03),
    "labelspacing": 0.2,
    "fontsize": 7.5,
}


def draw_donors(axes: Sequence[Axes], values: Results) -> None:
    """Three axes side by side: the answers turned by a donor's state, and by the controls."""
    for ax, (task, name) in zip(axes, NAMES.items(), strict=True):
        for i, edit in enumerate(DONORS):
            for core, up in zip(CORES, (-0.2, 0.2), strict=True):
                turned = values(f"{task}, {LAST[task]}, {edit}: turned", core)
                seeds_and_median(ax, i + up, turned, COLORS[core], 0.34)
        ax.set(xlim=(-0.02, 1.02), ylim=(len(DONORS) - 0.45, -0.55), xticks=(0, 0.5, 1))
        ax.set_xticklabels(["0", "0.5", "1"])
        ax.set_xlabel("answers turned")
        ax.set_title(name, loc="center", weight="normal", size=9)
        ax.tick_params(axis="y", length=0)
        ax.set_yticks(range(len(DONORS)), list(DONORS.values()) if ax is axes[0] else [])
    handles = [Line2D([], [], marker="o", ls="none", ms=4, color=COLORS[c]) for c in CORES]
    axes[-1].legend(handles, ["MPN, $M$", "GRU, $h$"], loc="lower right", handletextpad=0.1)


def draw_periods(axes: Sequence[Axes], values: Results) -> None:
    """MPN and GRU: matching if the state is wiped after a period, or frozen during it."""
    for ax, core in zip(axes, CORES, strict=True):
        for j, (edit, (label, mark, color)) in enumerate(PERIODS.items()):
            by_moment = [values(f"{MATCHING}, {m}, {edit}: preferred", core) for m in MOMENTS]
            x = [i + 0.09 * (j - 1.5) for i in range(len(MOMENTS))]
            median_line(ax, x, by_moment, fmt=mark, color=color, ms=4, lw=1.1, label=label)
        ax.axhline(0.5, color=GREY, ls=":", lw=1)
        ax.set_xticks(range(3), ["sample", "delay", "test"])
        room_for_legend(ax)
        ax.set(xlim=(-0.35, 2.35), xlabel="until the end of")
        ax.set_title(core, loc="center", weight="normal", size=9, color=COLORS[core])
    axes[0].set_ylabel("correct choice\npreferred", y=0.7)
    axes[1].set_yticklabels([])
    axes[0].legend(**LEGEND)


def draw_sizes(axes: Sequence[Axes], values: Results) -> None:
    """MPN and GRU: answers kept, by the size and the direction of a change before the test."""
    for ax, core in zip(axes, CORES, strict=True):
        for name, (label, color, mark) in WAYS.items():
            kept = [1 - v for v in values.over(f"size {{:g}}, {name}: flipped", SIZES, core)]
            median_line(ax, SIZES, kept, fmt=mark, color=color, ms=3.5, lw=1.2, label=label)
        room_for_legend(ax)
        ax.set(xlim=(0.2, 1.05), xticks=SIZES)
        ax.set_xticklabels(["¼", "½", "¾", "1"])
        ax.set_xlabel("size of the change")
        ax.set_title(core, loc="center", weight="normal", size=9, color=COLORS[core])
    axes[0].set_ylabel("answers\nunchanged", y=0.7)
    axes[1].set_yticklabels([])
    axes[0].legend(**LEGEND)


def draw_delays(ax: Axes, values: Results) -> None:
    """The answers after longer delays, and from the attractors of M with their controls."""
    steps = [max(k, 3) for k in LONGER]  # 0 has a place of its own
    for core in CORES:
        by_delay = values.over("delay + {}: preferred", LONGER, core)
        median_line(ax, steps, by_delay, fmt="o-", color=COLORS[core], ms=3.5, lw=1.3, label=core)
    ax.axhline(0.5, color=GREY, ls=":", lw=1)
    ax.set(xscale="log", ylim=(0.25, 1.04), ylabel="correct choice\npreferred")
    ax.set_xticks(steps, [str(k) if k < 1_000 else f"{k // 1000}k" for k in LONGER])
    ax.minorticks_off()
    ax.set_xlabel("further steps of delay")
    ax.legend(loc="lower left")


def draw_attractors(ax: Axes, values: Results) -> None:
    """Matching from the attractors of the delay, and from the controls."""
    for i, name in enumerate(ATTRACTORS):
        found = values(f"{name}: preferred", "MPN")
        seeds_and_median(ax, i, found, COLORS["MPN"], 0.5)
    ax.axvline(0.5, color=GREY, ls=":", lw=1)
    ax.set_yticks(range(len(ATTRACTORS)), list(ATTRACTORS.values()))
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(0.25, 1.02), ylim=(len(ATTRACTORS) - 0.5, -0.5), xticks=(0.5, 1))
    ax.set_xlabel("correct choice preferred")


def room_for_legend(ax: Axes) -> None:
    """A share from 0 to 1 along the vertical axis, and room for four entries below it."""
    ax.set(ylim=(-0.75, 1.04), yticks=(0, 0.5, 1))
    ax.spines["left"].set_bounds(0, 1)
