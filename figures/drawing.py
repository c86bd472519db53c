"""Colours and marks that the figures share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.printed import printed_value

COLORS = {"MPN": "#0072B2", "MPNpre": "#56B4E9", "RNN": "#E69F00", "GRU": "#D55E00"}
SHOWN_COLORS = ("#00783C", "#7B3294", "#A6A6A6", "#262626")  # of `integration.SHOWN`
CLASS_SHADES = (("#7FBC9B", "#00783C"), ("#BC9AC8", "#7B3294"))  # light and dark of class 1, 2
# Neither blue nor orange, which are networks, nor white at zero, which is the page.
EVIDENCE_COLORS = LinearSegmentedColormap.from_list(
    "evidence", ["#4D0073", "#9A5BB0", "#CCCCCC", "#3FA66B", "#004D26"]
)
MOST = 12  # the evidence at which the colours end
EVIDENCE_LABEL = "evidence, class 1 $-$ class 2"
PAPER_MARK = {"marker": "D", "ms": 5, "mfc": "white", "mec": "black", "mew": 1.1, "ls": "none"}


def dots(ax: Axes, where: np.ndarray, color: str, size: float = 1.8, **options: Any) -> None:
    """Points [..., 2] of one colour, as pixels within the SVG."""
    options = {"ms": size, "mew": 0, "color": color, "rasterized": True} | options
    ax.plot(*where.reshape(-1, 2).T, "o", **options)


def dots_by_evidence(ax: Axes, where: np.ndarray, evidence: np.ndarray) -> None:
    """Points [..., 2] coloured by the evidence [...], as pixels within the SVG."""
    where, evidence = where.reshape(-1, 2), evidence.ravel()
    order = np.random.default_rng(0).permutation(len(where))  # no colour lies above the others
    ax.scatter(
        *where[order].T,
        c=evidence[order],
        s=5,
        lw=0,
        cmap=EVIDENCE_COLORS,
        norm=Normalize(-MOST, MOST),
        rasterized=True,
    )


def component_by_evidence(
    ax: Axes, scores: np.ndarray, evidence: np.ndarray, trials: int | None = None
) -> tuple[int, int, float]:
    """The component that follows the evidence best, against the largest other one.

    Args:
        ax: where to draw.
        scores: principal components, the largest first, [trial, time, component].
        evidence: [trial, time].
        trials: how many of them are drawn; None: all.

    Returns:
        the two components, from 0, and |r| of the first with the evidence.
    """
    r = [
        abs(np.corrcoef(score, evidence.ravel())[0, 1])
        for score in scores.reshape(-1, scores.shape[2]).T
    ]
    best = int(np.argmax(r))
    other = 0 if best else 1
    dots_by_evidence(ax, scores[:trials, :, [other, best]], evidence[:trials])
    ax.set(xticks=[], yticks=[])
    return best, other, r[best]


def name_components(ax: Axes, shares: np.ndarray, of: str = "", ticks: bool = False) -> None:
    """Label the plane of two principal components, with their shares of variance."""
    if not ticks:
        ax.set(xticks=[], yticks=[])
    ax.set(xlabel=f"PC 1{of} ({100 * shares[0]:.0f} %)", ylabel=f"PC 2 ({100 * shares[1]:.0f} %)")


def evidence_bar(figure: Figure, where: Sequence[float]) -> None:
    """The scale of the evidence's colours, in a box (left, bottom, width, height)."""
    ax = figure.add_axes(tuple(where))
    scale = ScalarMappable(Normalize(-MOST, MOST), EVIDENCE_COLORS)
    bar = figure.colorbar(scale, cax=ax, orientation="horizontal")
    bar.set_ticks([-MOST, 0, MOST], labels=[f"≤ $-${MOST}", "0", f"≥ {MOST}"])
    bar.outline.set_linewidth(0.5)
    ax.set_xlabel(EVIDENCE_LABEL, labelpad=1)


def readout_arrows(ax: Axes, directions: np.ndarray, length: float) -> None:
    """The readout vectors of the classes as arrows from the origin, all of one length.

    Args:
        ax: where to draw.
        directions: [class, 2], projected onto the plane that is drawn.
        length: of the arrows.
    """
    for k, direction in enumerate(directions):
        end = length * direction / np.linalg.norm(direction)
        arrow = {"arrowstyle": "-|>", "color": "black", "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", end, (0, 0), arrowprops=arrow, annotation_clip=False, zorder=5)
        away = 9 * direction / np.linalg.norm(direction) + (0, 3 if abs(end[1]) < 1 else 0)
        ax.annotate(
            f"$\\mathbf{{r}}_{k + 1}$", end, away, textcoords="offset points", fontsize=9,
            ha="center", va="center", annotation_clip=False, zorder=6,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )  # fmt: skip


def mean_line(ax: Axes, x: Sequence[float], values: np.ndarray, **style: Any) -> None:
    """Mean and standard error over seeds, of values [x, seed]."""
    error = values.std(1, ddof=1) / np.sqrt(values.shape[1])
    ax.errorbar(x, values.mean(1), error, **style)


def seeds_and_mean(
    ax: Axes,
    x: float,
    values: np.ndarray,
    color: str,
    width: float = 0.6,
    label: str | None = None,
) -> None:
    """One point per seed, and their mean as a line."""
    spread = np.linspace(-0.3, 0.3, len(values)) * width
    ax.plot(x + spread, values, "o", ms=2.6, color=color, alpha=0.75, mew=0, label=label)
    ax.hlines(values.mean(), x - width / 2, x + width / 2, color=color, lw=2)


def mark_paper(ax: Axes, x: float, figure: str, quantity: str, network: str) -> None:
    """The number that the paper prints, where it prints one."""
    if (value := printed_value(figure, quantity, network)) is not None:
        ax.plot(x, value, **PAPER_MARK)


def paper_key() -> Line2D:
    """The legend's entry for the paper's numbers."""
    return Line2D([], [], label="printed in the paper", **PAPER_MARK)


def room_above(ax: Axes, share: float) -> None:
    """Extend the vertical axis by a share of its length, for a legend."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + share * (high - low))


def save_figure(figure: Figure, folder: Path, name: str = "figure") -> None:
    """Write `NAME.svg` and `NAME.png`; the same figure gives the same bytes."""
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", dpi=160)
