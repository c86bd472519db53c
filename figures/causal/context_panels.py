"""When the context is applied: what is compared over seeds, and the panels of the figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from figures.cache import Results
from figures.causal.context import MOMENTS, SHOWN
from figures.causal.intervals import Median, holm, median, sign_flip_p
from figures.causal.networks import CORES
from figures.drawing import COLORS
from mpn_lab.plotting.style import GREY

REPLACED = list(MOMENTS)[1:]  # before the stimulus there is no evidence in a donor's state
PERIODS = ("fixation", "stimulus", "delay", "decision")
WHEN = ("fixation", "stimulus", "delay", "decision", "first two", "last two", "always")  # SHOWN


def compare(values: Results) -> dict[tuple[str, str], tuple[Median, float]]:
    """Early minus late selection, and a swapped cue minus raised ones.

    Returns:
        (core, moment) -> the influence of the evidence that was relevant to the donor, minus that
        of the evidence that is relevant to the recipient, after the whole state is replaced;
        (core, "cue, PERIOD") -> the influence of the evidence that the swapped cue calls for, minus
        the same with raised cues. Each with the p value of exact sign flips over seeds, after
        Holm's correction for all that are returned.
    """
    differences: dict[tuple[str, str], np.ndarray] = {}
    for core in CORES:
        for moment in REPLACED:
            late, early = (
                values(f"selection: {moment}, whole: donor {which}", core)
                for which in ("relevant", "other")
            )
            differences[core, moment] = early - late
        for when in PERIODS:
            swapped, raised = (
                values(f"selection: {name}, {when}: own other", core)
                for name in ("cue", "raised cues")
            )
            differences[core, f"cue, {when}"] = swapped - raised
    p = holm([sign_flip_p(d) for d in differences.values()])
    return {k: (median(d), float(x)) for (k, d), x in zip(differences.items(), p, strict=True)}


def draw(axes: Sequence[Axes], values: Results) -> None:
    """Draw three panels: a foreign state in MPNs, in GRUs, and a swapped cue.

    Args:
        axes: of the three panels, from left to right; titles are left to the caller.
        values: of `context.measurements`.
    """
    for ax, core in zip(axes, CORES, strict=False):
        draw_replaced(ax, values, core)
        ax.legend(loc="lower left", fontsize=6.5)
    draw_cues(axes[2], values)
    axes[2].legend(loc="lower right", fontsize=6.5)


def draw_replaced(ax: Axes, values: Results, core: str) -> None:
    """Which of the donor's evidence decides, against the moment of the swap."""
    rows = (
        ("same context", "donor relevant", "D", GREY, GREY, "control: donor of the same context"),
        (
            "whole",
            "donor relevant",
            "o",
            COLORS[core],
            COLORS[core],
            "recipient's cue asks for it: late",
        ),
        ("whole", "donor other", "o", COLORS[core], "white", "donor's cue asked for it: early"),
    )
    for k, (state, signal, marker, color, fill, label) in enumerate(rows):
        for i, moment in enumerate(REPLACED):
            found = values(f"selection: {moment}, {state}: {signal}", core)
            _seeds(ax, i + 0.24 * (k - 1), found, marker, color, fill, None if i else label)
    ax.axhline(0, color=GREY, lw=0.8, ls=":")
    ax.set_xticks(range(len(REPLACED)), REPLACED)
    ax.set(ylim=(-1.2, 1.08), ylabel="influence on the choice", xlim=(-0.5, len(REPLACED) - 0.5))


def draw_cues(ax: Axes, values: Results) -> None:
    """Whether the choice follows the evidence that a swapped cue calls for."""
    for k, core in enumerate(CORES):
        for j, name in enumerate(("cue", "raised cues")):
            for i, when in enumerate(SHOWN):
                found = values(f"selection: {name}, {when}: own other", core)
                at = i + 0.4 * (k - 0.5) + 0.18 * (j - 0.5)
                fill = "white" if j else COLORS[core]
                label = f"{core}, {'both cues raised' if j else 'other cue'}"
                _seeds(ax, at, found, "o", COLORS[core], fill, None if i else label)
    ax.axhline(0, color=GREY, lw=0.8, ls=":")
    ax.set_xticks(range(len(SHOWN)), WHEN)
    ax.set(
        ylim=(-0.85, 1.08), ylabel="influence of the other evidence", xlim=(-0.6, len(SHOWN) - 0.4)
    )


def _seeds(
    ax: Axes, x: float, found: np.ndarray, marker: str, color: str, fill: str, label: str | None
) -> None:
    """One small point per seed, and the median with its interval."""
    spread = np.linspace(-0.07, 0.07, len(found))
    ax.plot(x + spread, found, "o", ms=2.2, color=color, alpha=0.6, mew=0)
    middle, low, high = median(found)
    ax.errorbar(
        x, middle, ([middle - low], [high - middle]), fmt=marker, ms=4.5, color=color, mfc=fill,
        lw=1, label=label,
    )  # fmt: skip
