"""What the panels of a trial share: the moment, the cursor, the periods, and what moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.patches import Rectangle
from matplotlib.transforms import blended_transform_factory

from mpn_lab.analysis.schema import check_trials, time_step, trial_length, trial_position
from mpn_lab.plotting.style import DIVERGING, PERIODS, action_color

CURSOR: dict[str, Any] = {"color": "black", "linewidth": 1.1, "alpha": 0.9}
MOST_ENTRIES = 10  # of a legend beside a panel


@dataclass(frozen=True)
class AnimatedPanel:
    """What changes with time in a panel: the artists, and a function that takes the step.

    `under` is what changes too, but more seldom and with something else (the age of a stored
    state); its function takes the position of that. It lies beneath the artists of time.
    """

    artists: Sequence[Artist]
    to: Callable[[int], None]
    under: AnimatedPanel | None = None


def together(panels: Sequence[AnimatedPanel]) -> AnimatedPanel:
    """Several panels as one."""
    under = [panel.under for panel in panels if panel.under is not None]

    def to(step: int) -> None:
        for panel in panels:
            panel.to(step)

    artists = [artist for panel in panels for artist in panel.artists]
    return AnimatedPanel(artists, to, together(under) if under else None)


def moment(record: xr.Dataset, trial: int, time: float | int) -> tuple[int, int, np.ndarray]:
    """Position of the trial, step, and the times of all its steps."""
    check_trials(record)
    i = trial_position(record, trial)
    step = time_step(record, i, time)
    return i, step, record["time"].values[: trial_length(record, i)]


def side_legend(ax: Axes, entries: int, title: str | None = None) -> None:
    """Beside the panel, where it hides nothing; none where it would be too long."""
    if entries <= MOST_ENTRIES:
        beside: dict[str, Any] = {
            "loc": "center left",
            "bbox_to_anchor": (1.0, 0.62),
            "labelspacing": 0.25,
        }
        ax.legend(**beside, title=title, title_fontsize=8, alignment="left")


def action_row(
    ax: Axes, times: np.ndarray, actions: np.ndarray, height: float | int, label: str
) -> PathCollection:
    """A row of squares, one for each step, in the colours of the actions; -1: none.

    Args:
        ax: where to draw.
        times: of the steps, in ms.
        actions: their indices, one for each time.
        height: of the row, as a share of the panel's.
        label: written at its right end.
    """
    across = blended_transform_factory(ax.transData, ax.transAxes)
    row = ax.scatter(times, np.full(len(times), height), s=18, marker="s", linewidths=0)
    row.set(facecolors=row_colors(actions), offset_transform=across)
    ax.text(1.01, height, label, transform=ax.transAxes, va="center", fontsize=7.5, color="#404040")
    return row


def row_colors(actions: np.ndarray) -> list[str]:
    """The colours of actions, -1: none."""
    return [action_color(int(k)) if k >= 0 else "none" for k in actions]


def matrix_panel(
    ax: Axes,
    record: xr.Dataset,
    position: int,
    step: int,
    at: Callable[[int], np.ndarray],
    scale: float,
) -> AnimatedPanel:
    """Hidden units by inputs as a heat map that is centred on zero, under the period's colour.

    Args:
        ax: where to draw.
        record: whose periods are meant.
        position: of the trial.
        step: that is shown first.
        at: the matrix [hidden, input] at a step.
        scale: the largest magnitude of the colours.
    """
    matrix = at(step)
    n, d = matrix.shape
    image = ax.imshow(
        matrix, aspect="auto", cmap=DIVERGING, vmin=-scale, vmax=scale, extent=(-0.5, d - 0.5, n, 0)
    )
    ax.set(xlabel="input", ylabel="hidden unit")
    ax.set_xticks(np.arange(0, d, max(1, d // 5)))
    colors, periods = period_colors(record), record["period"].values[position]
    strip = Rectangle((0, 1), 1, 0.04, lw=0, clip_on=False, transform=ax.transAxes)
    ax.add_artist(strip)

    def to(step: int) -> None:
        image.set_data(at(step))
        strip.set_facecolor(colors.get(str(periods[step]), "white"))

    to(step)
    return AnimatedPanel([image, strip], to)


def period_colors(record: xr.Dataset) -> dict[str, str]:
    """A colour for each period, the same in every panel and every trial of the record."""
    periods = record["period"].values
    names = dict.fromkeys(str(name) for name in periods.reshape(-1) if name)
    return {name: PERIODS[k % len(PERIODS)] for k, name in enumerate(names)}


def over_time(
    ax: Axes,
    record: xr.Dataset,
    position: int,
    step: int,
    times: np.ndarray,
    name_periods: bool = False,
    bands: Literal["behind", "strip"] = "behind",
) -> AnimatedPanel:
    """Period bands (behind the lines, or as a strip above a heat map) and the cursor."""
    dt = float(record.attrs["dt"])
    colors = period_colors(record)
    span: dict[str, Any] = {"alpha": 0.22} if bands == "behind" else {"ymin": 1, "ymax": 1.04}
    inches = ax.get_position().width * ax.figure.get_figure(root=True).get_size_inches()[0]
    for name, start, end in period_spans(record["period"].values[position, : len(times)]):
        left, right = times[start] - dt / 2, times[end - 1] + dt / 2
        ax.axvspan(
            left, right, color=colors[name], lw=0, clip_on=bands == "behind", zorder=0, **span
        )
        if name_periods:
            across = blended_transform_factory(ax.transData, ax.transAxes)
            share = (right - left) / (len(times) * dt)
            letters = share * inches / 0.054  # of the size below
            label = name if letters > len(name) else f"{name[: max(1, int(letters) - 1)]}."
            height = 1.03 if bands == "behind" else 1.055
            text = ax.text((left + right) / 2, height, label, transform=across, ha="center")
            text.set(fontsize=7.5, color="#404040")
    ax.set_xlim(times[0] - dt / 2, times[-1] + dt / 2)
    cursor = ax.axvline(times[step], **CURSOR)
    return AnimatedPanel([cursor], lambda step: cursor.set_xdata([times[step]]))


def period_spans(periods: np.ndarray) -> list[tuple[str, int, int]]:
    """Runs of the same period: name, first step, step after the last."""
    edges = [0, *(np.flatnonzero(periods[1:] != periods[:-1]) + 1).tolist(), len(periods)]
    spans = [(str(periods[a]), a, b) for a, b in pairwise(edges)]
    return [span for span in spans if span[0]]
