"""Elements that the panels of a trial share: cursor, period bands, heat maps, and animation."""

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
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from mpn_lab.analysis.restore import as_trials
from mpn_lab.analysis.schema import step_duration, time_step, trial_length, trial_position
from mpn_lab.checks import show
from mpn_lab.plotting.style import DIVERGING, PERIODS, action_color

CURSOR: dict[str, Any] = {"color": "black", "linewidth": 1.1, "alpha": 0.9}
MOST_ENTRIES = 10  # of a legend beside a panel


@dataclass(frozen=True)
class AnimatedPanel:
    """The artists of a panel that change with time, and the function that updates them to a step.

    `background` holds artists below them that follow another control, which changes less often (the
    age of a stored state); its `update` takes the position of that control.
    """

    artists: Sequence[Artist]
    update: Callable[[int], None]
    background: AnimatedPanel | None = None


def combine(panels: Sequence[AnimatedPanel]) -> AnimatedPanel:
    """Combine several panels into one that updates them all."""
    backgrounds = [panel.background for panel in panels if panel.background is not None]

    def update(step: int) -> None:
        for panel in panels:
            panel.update(step)

    artists = [artist for panel in panels for artist in panel.artists]
    return AnimatedPanel(artists, update, combine(backgrounds) if backgrounds else None)


def locate(
    record: xr.Dataset, trial: int, time: float | int, *variables: str
) -> tuple[xr.Dataset, int, int, np.ndarray]:
    """Find a trial and a step in a record that has these variables.

    Returns:
        The record (see `as_record`), the trial's position, the step that the time (ms) falls in,
        and the times of the trial's steps.

    Raises:
        ValueError: not a record, or without one of the variables; no such trial, or a time outside
            it.
    """
    record = as_trials(record, "period", *variables)
    i = trial_position(record, trial)
    step = time_step(record, i, time)
    return record, i, step, record["time"].values[: trial_length(record, i)]


def check_order(order: Any, units: int) -> np.ndarray:
    """Return an order of hidden units as an array. Raises ValueError for other indices."""
    indices = np.asarray(order)
    whole = indices.ndim == 1 and indices.dtype.kind in "iu" and len(indices)
    if not whole or indices.min() < 0 or indices.max() >= units:
        raise ValueError(
            f"order is {show(order)}; expected indices of the {units} hidden units, such as those "
            "from hidden_order."
        )
    return indices


def has_modulations(data: xr.Dataset, name: str = "M") -> bool:
    """Whether the data hold a variable [..., hidden, input], such as the M of an MPN."""
    return name in data and data[name].dims[-2:] == ("hidden", "input")


def is_mpn(data: xr.Dataset) -> bool:
    """Whether the trials are those of an MPN, whose equations are named in the attributes."""
    return "update" in data.attrs and "modulation" in data.attrs


def has_logits(data: xr.Dataset) -> bool:
    """Whether Q are logits of actions: the network was trained by supervision."""
    return bool(data.attrs.get("training") == "supervised")


def side_legend(ax: Axes, entries: int, title: str | None = None) -> None:
    """Put a legend beside the panel; omit it if it would have too many entries."""
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
    """Draw a row of squares, one for each step, in the colours of the actions; -1: none.

    Args:
        ax: where to draw.
        times: times of the steps, in ms.
        actions: action indices, one for each time.
        height: height of the row in the panel, from 0 (bottom) to 1 (top).
        label: text at the row's right end.
    """
    across = blended_transform_factory(ax.transData, ax.transAxes)
    row = ax.scatter(times, np.full(len(times), height), s=18, marker="s", linewidths=0)
    row.set(facecolors=row_colors(actions), offset_transform=across)
    ax.text(1.01, height, label, transform=ax.transAxes, va="center", fontsize=7.5, color="#404040")
    return row


def row_colors(actions: np.ndarray) -> list[str]:
    """Return the colours of actions; -1: none."""
    return [action_color(int(k)) if k >= 0 else "none" for k in actions]


def matrix_panel(
    ax: Axes,
    record: xr.Dataset,
    position: int,
    step: int,
    at: Callable[[int], np.ndarray],
    scale: float,
) -> AnimatedPanel:
    """Draw a matrix of hidden units by inputs as a heat map, with a strip in the period's colour.

    Args:
        ax: where to draw.
        record: holds the periods.
        position: position of the trial.
        step: the step that is shown first.
        at: returns the matrix [hidden, input] at a step.
        scale: the colours run from -scale to scale, white at zero.
    """
    matrix = at(step)
    n, d = matrix.shape
    image = ax.imshow(
        matrix, aspect="auto", cmap=DIVERGING, vmin=-scale, vmax=scale, extent=(-0.5, d - 0.5, n, 0)
    )
    ax.set(xlabel="input", ylabel="hidden unit")
    ax.set_xticks(np.arange(0, d, max(1, d // 5)))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    colors, periods = period_colors(record), record["period"].values[position]
    strip = Rectangle((0, 1), 1, 0.04, lw=0, clip_on=False, transform=ax.transAxes)
    ax.add_artist(strip)

    def update(step: int) -> None:
        image.set_data(at(step))
        strip.set_facecolor(colors.get(str(periods[step]), "white"))

    update(step)
    return AnimatedPanel([image, strip], update)


def period_colors(record: xr.Dataset) -> dict[str, str]:
    """Assign a colour to each period, the same in every panel and every trial of the record."""
    names = dict.fromkeys(record["period"].values.reshape(-1).tolist())
    named = [name for name in names if name]
    return {name: PERIODS[k % len(PERIODS)] for k, name in enumerate(named)}


def over_time(
    ax: Axes,
    record: xr.Dataset,
    position: int,
    step: int,
    times: np.ndarray,
    name_periods: bool = False,
    bands: Literal["behind", "strip"] = "behind",
) -> AnimatedPanel:
    """Draw period bands (behind lines, or as a strip above a heat map) and the time cursor."""
    dt = step_duration(record)
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
            letters = share * inches / 0.054  # that fit, at the font size below
            label = name if letters > len(name) else f"{name[: max(1, int(letters) - 1)]}."
            height = 1.03 if bands == "behind" else 1.055
            text = ax.text((left + right) / 2, height, label, transform=across, ha="center")
            text.set(fontsize=7.5, color="#404040")
    ax.set_xlim(times[0] - dt / 2, times[-1] + dt / 2)
    cursor = ax.axvline(times[step], **CURSOR)
    return AnimatedPanel([cursor], lambda step: cursor.set_xdata([times[step]]))


def period_spans(periods: np.ndarray) -> list[tuple[str, int, int]]:
    """Find the runs of equal periods: name, first step, step after the last."""
    edges = [0, *(np.flatnonzero(periods[1:] != periods[:-1]) + 1).tolist(), len(periods)]
    spans = [(str(periods[a]), a, b) for a, b in pairwise(edges)]
    return [span for span in spans if span[0]]
