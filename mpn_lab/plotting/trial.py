"""The panels of one trial, each a function that draws into an `ax`.

Each takes a record, the number of a trial and a moment in ms, and returns a `Moving`: the artists
that change with time, and how to bring them to another step. A static figure ignores it; an
explorer redraws only these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.transforms import blended_transform_factory

from mpn_lab.analysis.checks import check_record, time_step, trial_length, trial_position
from mpn_lab.analysis.population import effective_weights, modulation_change
from mpn_lab.plotting.style import DIVERGING, GREY, PERIODS, action_color, channel_colors, largest

TITLES = {
    "M": "modulations $M_t$",
    "effective weights": "effective weights",
    "change of M": "change $M_t - M_{t-1}$",
}
CURSOR: dict[str, Any] = {"color": "black", "linewidth": 1.1, "alpha": 0.9}


@dataclass(frozen=True)
class Moving:
    """What changes with time in a panel: the artists, and a function that takes the step."""

    artists: Sequence[Artist]
    to: Callable[[int], None]


def plot_inputs(ax: Axes, record: xr.Dataset, trial: int, time: float | int = 0) -> Moving:
    """The observation of every channel over the trial, one line each, with the periods named."""
    i, step, times = _moment(record, trial, time)
    obs = record["obs"].values[i, : len(times)]
    names = [str(name) for name in record["channel"].values]
    for k, (name, color) in enumerate(zip(names, channel_colors(names), strict=True)):
        dashes = "--" if name == "fixation" else "-"
        ax.plot(times, obs[:, k], dashes, color=color, label=name, drawstyle="steps-mid")
    ax.set_ylabel("input")
    ax.set_title("what the network sees", pad=15)
    _legend(ax, len(names))
    return _over_time(ax, record, i, step, times, name_periods=True)


def plot_q(ax: Axes, record: xr.Dataset, trial: int, time: float | int = 0) -> Moving:
    """The value of every action over the trial.

    A dot marks the greedy action at each step; below, two rows of squares: the action taken and
    the right one.
    """
    i, step, times = _moment(record, trial, time)
    T = len(times)
    q = record["Q"].values[i, :T]
    names = [str(name) for name in record["action"].values]
    for k, name in enumerate(names):
        ax.plot(times, q[:, k], color=action_color(k), label=name)
    greedy = record["greedy_action"].values[i, :T]
    colors = [action_color(int(k)) for k in greedy]
    ax.scatter(times, q[np.arange(T), greedy], s=14, c=colors, zorder=3, linewidths=0)
    low, high = float(q.min()), float(q.max())
    room = max(high - low, 0.1)
    ax.set_ylim(low - 0.42 * room, high + 0.08 * room)
    across = blended_transform_factory(ax.transData, ax.transAxes)
    for y, name, label in ((0.16, "taken_action", "taken"), (0.06, "ground_truth", "right")):
        actions = record[name].values[i, :T]
        known = actions >= 0
        rows = ax.scatter(times[known], np.full(known.sum(), y), s=18, marker="s", linewidths=0)
        rows.set(facecolors=[action_color(int(k)) for k in actions[known]], offset_transform=across)
        ax.text(1.01, y, label, transform=ax.transAxes, va="center", fontsize=7.5, color="#404040")
    ax.set(ylabel="Q", title="what each action is worth")
    _legend(ax, len(names))
    cursor = _over_time(ax, record, i, step, times)
    heads = ax.scatter(
        np.full(len(names), times[step]),
        q[step],
        s=34,
        c=[action_color(k) for k in range(len(names))],
        edgecolors="white",
        linewidths=1.0,
        zorder=4,
    )

    def to(step: int) -> None:
        cursor.to(step)
        heads.set_offsets(np.column_stack([np.full(len(names), times[step]), q[step]]))

    return Moving([*cursor.artists, heads], to)


def plot_hidden(
    ax: Axes, record: xr.Dataset, trial: int, time: float | int = 0, order: np.ndarray | None = None
) -> Moving:
    """The hidden activity h as a heat map: units (in an order, see `hidden_order`) over time."""
    i, step, times = _moment(record, trial, time)
    h = record["h"].values[i, : len(times)].T  # (n, T)
    h = h if order is None else h[order]
    dt, scale = float(record.attrs["dt"]), largest(h)
    extent = (times[0] - dt / 2, times[-1] + dt / 2, len(h), 0)
    ax.imshow(h, aspect="auto", cmap=DIVERGING, vmin=-scale, vmax=scale, extent=extent)
    ax.set_ylabel("hidden unit")
    ax.set_title(f"hidden activity $h_t$  (±{scale:.2g})", pad=10)
    return _over_time(ax, record, i, step, times, bands="strip")


def plot_modulations(
    ax: Axes,
    record: xr.Dataset,
    trial: int,
    time: float | int = 0,
    show: str = "M",
    order: np.ndarray | None = None,
) -> Moving:
    """M_t after a step as a heat map, hidden units by inputs.

    Args:
        ax: where to draw.
        record: from `record`, of an MPN.
        trial: its number.
        time: in ms.
        show: `M`; `effective weights`, W * (1 + M) or W + M; or `change of M` in the step.
        order: the hidden units' order, see `hidden_order`.

    The scale is centred on zero and the same at all times of the trial.

    Raises:
        ValueError: a record without M, an unknown choice, no such trial or moment.
    """
    check_record(record, "M")
    i, step, times = _moment(record, trial, time)
    values = trial_matrices(record, i, show)[: len(times)]  # (T, n, d)
    values = values if order is None else values[:, order]
    scale = largest(values)
    image = ax.imshow(
        values[step],
        aspect="auto",
        cmap=DIVERGING,
        vmin=-scale,
        vmax=scale,
        extent=(-0.5, values.shape[2] - 0.5, values.shape[1], 0),
    )
    ax.set(xlabel="input", ylabel="hidden unit")
    ax.set_title(f"{TITLES[show]}  (±{scale:.2g})", pad=10)
    ax.set_xticks(np.arange(0, values.shape[2], max(1, values.shape[2] // 5)))
    colors, periods = period_colors(record), record["period"].values[i]
    strip = Rectangle((0, 1), 1, 0.04, lw=0, clip_on=False, transform=ax.transAxes)
    ax.add_artist(strip)

    def to(step: int) -> None:
        image.set_data(values[step])
        strip.set_facecolor(colors.get(str(periods[step]), "white"))

    to(step)
    return Moving([image, strip], to)


def plot_trajectory(
    ax: Axes, record: xr.Dataset, components: xr.Dataset, trial: int, time: float | int = 0
) -> Moving:
    """The trial's path through the first two principal components, among all other trials.

    Args:
        ax: where to draw.
        record: from `record`.
        components: from `pca`, of this record.
        trial: its number.
        time: in ms.

    The other trials are coloured by the right answer, this one by its periods.
    """
    i, step, times = _moment(record, trial, time)
    paths = components["trajectory"].values[:, :, :2]
    paths = paths if paths.shape[2] == 2 else np.pad(paths, ((0, 0), (0, 0), (0, 1)))
    answers = record["answer"].values
    colors = [action_color(int(a)) if a >= 0 else GREY for a in answers]
    lengths = record["valid"].values.sum(1)
    lines = [paths[k, : lengths[k]] for k in range(len(paths))]
    ax.add_collection(
        LineCollection(lines, colors=colors, linewidths=0.6, alpha=min(0.3, 20 / len(lines) + 0.08))
    )
    ends = np.array([line[-1] for line in lines])
    ax.scatter(ends[:, 0], ends[:, 1], s=6, c=colors, alpha=0.5, linewidths=0)
    path = paths[i, : len(times)]
    by_period, periods = period_colors(record), record["period"].values[i, : len(times)]
    ax.plot(*path.T, color="black", lw=3.4, solid_capstyle="round")
    segments = np.stack([path[:-1], path[1:]], axis=1)
    seg_colors = [by_period.get(str(p), GREY) for p in periods[1:]]
    ax.add_collection(LineCollection(list(segments), colors=seg_colors, linewidths=2.0, zorder=2.5))
    share = components["explained_variance_ratio"].values
    variable = str(components.attrs["variable"])
    ax.set(
        xlabel=f"PC 1 ({share[0]:.0%})",
        ylabel=f"PC 2 ({share[1]:.0%})" if len(share) > 1 else "",
        title=f"path of ${variable}_t$ among all trials",
    )
    ax.margins(0.08)
    ax.autoscale_view()
    for k in sorted({int(a) for a in answers if a >= 0}):
        name = str(record["action"].values[k])
        ax.plot([], [], color=action_color(k), lw=1.5, label=f"right: {name}")
    if len(ax.get_legend_handles_labels()[0]) <= 6:
        ax.legend(loc="best")
    (head,) = ax.plot(*path[step], "o", ms=9, mfc="white", mec="black", mew=2, zorder=5)

    def to(step: int) -> None:
        head.set_data([path[step, 0]], [path[step, 1]])

    return Moving([head], to)


def trial_matrices(record: xr.Dataset, position: int, show: str = "M") -> np.ndarray:
    """What the M panel shows of the trial at a position, [time, hidden, input]."""
    one = record.isel(trial=[position])
    if show == "M":
        return one["M"].values[0]
    if show == "effective weights":
        return effective_weights(one).values[0]
    if show == "change of M":
        return modulation_change(one).values[0]
    raise ValueError(f"show is {show!r}; expected one of {', '.join(TITLES)}.")


def period_colors(record: xr.Dataset) -> dict[str, str]:
    """A colour for each period, the same in every panel and every trial of the record."""
    periods = record["period"].values
    names = dict.fromkeys(str(name) for name in periods.reshape(-1) if name)
    return {name: PERIODS[k % len(PERIODS)] for k, name in enumerate(names)}


def _moment(record: xr.Dataset, trial: int, time: float | int) -> tuple[int, int, np.ndarray]:
    """Position of the trial, step, and the times of all its steps."""
    check_record(record)
    i = trial_position(record, trial)
    step = time_step(record, i, time)
    return i, step, record["time"].values[: trial_length(record, i)]


def _legend(ax: Axes, entries: int) -> None:
    if entries <= 10:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.62), labelspacing=0.25)


def _over_time(
    ax: Axes,
    record: xr.Dataset,
    position: int,
    step: int,
    times: np.ndarray,
    name_periods: bool = False,
    bands: Literal["behind", "strip"] = "behind",
) -> Moving:
    """Period bands (behind the lines, or as a strip above a heat map) and the cursor."""
    dt = float(record.attrs["dt"])
    colors = period_colors(record)
    span: dict[str, Any] = {"alpha": 0.22} if bands == "behind" else {"ymin": 1, "ymax": 1.04}
    for name, start, end in period_spans(record["period"].values[position, : len(times)]):
        left, right = times[start] - dt / 2, times[end - 1] + dt / 2
        ax.axvspan(
            left, right, color=colors[name], lw=0, clip_on=bands == "behind", zorder=0, **span
        )
        if name_periods:
            across = blended_transform_factory(ax.transData, ax.transAxes)
            room = (right - left) / (len(times) * dt)
            label = (
                name if room > 0.0115 * len(name) else f"{name[: max(1, int(room / 0.0115) - 1)]}."
            )
            text = ax.text((left + right) / 2, 1.03, label, transform=across, ha="center")
            text.set(fontsize=7.5, color="#404040")
    ax.set_xlim(times[0] - dt / 2, times[-1] + dt / 2)
    cursor = ax.axvline(times[step], **CURSOR)
    return Moving([cursor], lambda step: cursor.set_xdata([times[step]]))


def period_spans(periods: np.ndarray) -> list[tuple[str, int, int]]:
    """Runs of the same period: name, first step, step after the last."""
    edges = [0, *(np.flatnonzero(periods[1:] != periods[:-1]) + 1).tolist(), len(periods)]
    spans = [(str(periods[a]), a, b) for a, b in pairwise(edges)]
    return [span for span in spans if span[0]]
