"""Panels of one trial: observations, Q, hidden activity, modulations, and its trajectory.

Each function draws one panel into an `ax`. It takes a record, a trial's number and a time in ms,
and returns an `AnimatedPanel`: the artists that change with time, and how to update them to another
step. A static figure ignores it; an explorer redraws only these artists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from mpn_lab.analysis.population import effective_weights, modulation_change
from mpn_lab.analysis.restore import aligned
from mpn_lab.analysis.schema import step_duration, trial_length
from mpn_lab.checks import show
from mpn_lab.plotting.panel import (
    MOST_ENTRIES,
    AnimatedPanel,
    action_row,
    check_order,
    has_logits,
    has_modulations,
    is_mpn,
    locate,
    matrix_panel,
    over_time,
    period_colors,
    side_legend,
)
from mpn_lab.plotting.style import (
    DIVERGING,
    GREY,
    action_color,
    channel_colors,
    largest,
    limits,
    on_axes,
)

TITLES = {
    "M": "modulations $M_t$",
    "effective weights": "effective weights",
    "change of M": "change $M_t - M_{t-1}$",
}


@on_axes
def plot_inputs(ax: Axes, record: xr.Dataset, trial: int, time: float | int = 0) -> AnimatedPanel:
    """Plot the observation of every channel over the trial, with the periods named.

    Up to ten channels are drawn as lines; more, which would hide each other, as a heat map.
    """
    record, i, step, times = locate(record, trial, time, "obs")
    obs = record["obs"].values[i, : len(times)]
    names = [str(name) for name in record["channel"].values]
    title = "observations"
    many = len(names) > MOST_ENTRIES  # too many lines to tell apart: a heat map
    if many:
        title += f"  (±{_heat_map(ax, record, obs.T, times):.2g})"
        ax.set_ylabel("channel")
    else:
        look: dict[str, Any] = {"drawstyle": "steps-mid"} if len(times) > 1 else {"marker": "o"}
        for k, (name, color) in enumerate(zip(names, channel_colors(names), strict=True)):
            dashes = "--" if name == "fixation" else "-"
            ax.plot(times, obs[:, k], dashes, color=color, label=name, **look)
        ax.set_ylabel("value")
        side_legend(ax, len(names))
    ax.set_title(title, pad=15)
    bands: Literal["behind", "strip"] = "strip" if many else "behind"
    return over_time(ax, record, i, step, times, name_periods=True, bands=bands)


@on_axes
def plot_q(ax: Axes, record: xr.Dataset, trial: int, time: float | int = 0) -> AnimatedPanel:
    """Plot the value of every action over the trial, or its logit after supervised training.

    A dot marks the greedy action at each step. Two rows of squares below show the action taken and,
    if the task defines it, the correct action.
    """
    record, i, step, times = locate(
        record, trial, time, "Q", "greedy_action", "taken_action", "ground_truth"
    )
    T = len(times)
    q = record["Q"].values[i, :T]
    names = [str(name) for name in record["action"].values]
    for k, name in enumerate(names):
        ax.plot(times, q[:, k], color=action_color(k), label=name)
    greedy = record["greedy_action"].values[i, :T]
    colors = [action_color(int(k)) for k in greedy]
    ax.scatter(times, q[np.arange(T), greedy], s=14, c=colors, zorder=3, linewidths=0)
    low, high = limits(q)
    room = max(high - low, 0.1)
    ax.set_ylim(low - 0.42 * room, high + 0.08 * room)
    for y, name, label in ((0.16, "taken_action", "taken"), (0.06, "ground_truth", "correct")):
        actions = record[name].values[i, :T]
        if (actions >= 0).any():
            action_row(ax, times, actions, y, label)
    if has_logits(record):
        ax.set(ylabel="logit", title="logits of actions")
    else:
        ax.set(ylabel="Q", title="action values")
    side_legend(ax, len(names))
    cursor = over_time(ax, record, i, step, times)
    heads = ax.scatter(
        np.full(len(names), times[step]),
        q[step],
        s=34,
        c=[action_color(k) for k in range(len(names))],
        edgecolors="white",
        linewidths=1.0,
        zorder=4,
    )

    def update(step: int) -> None:
        cursor.update(step)
        heads.set_offsets(np.column_stack([np.full(len(names), times[step]), q[step]]))

    return AnimatedPanel([*cursor.artists, heads], update)


@on_axes
def plot_hidden(
    ax: Axes, record: xr.Dataset, trial: int, time: float | int = 0, order: np.ndarray | None = None
) -> AnimatedPanel:
    """Plot the hidden activity h as a heat map, units over time, in an order of `hidden_order`."""
    record, i, step, times = locate(record, trial, time, "h")
    h = record["h"].values[i, : len(times)].T  # (n, T)
    h = h if order is None else h[check_order(order, len(h))]
    scale = _heat_map(ax, record, h, times)
    ax.set_ylabel("hidden unit")
    ax.set_title(f"hidden activity $h_t$  (±{scale:.2g})", pad=10)
    return over_time(ax, record, i, step, times, bands="strip")


@on_axes
def plot_modulations(
    ax: Axes,
    record: xr.Dataset,
    trial: int,
    time: float | int = 0,
    show: str = "M",
    order: np.ndarray | None = None,
) -> AnimatedPanel:
    """Plot M_t, the modulations after a step, as a heat map of hidden units by inputs.

    The scale is centred on zero and the same at all times of the trial.

    Args:
        ax: where to draw.
        record: from `record`, of a core with a state M [hidden, input].
        trial: the trial's number.
        time: in ms.
        show: `M`; `effective weights`, W * (1 + M) or W + M; or `change of M` in the step. See
            `modulation_choices` for those that a record allows.
        order: order of the hidden units, see `hidden_order`.

    Raises:
        ValueError: a record without M, an unknown choice, one that the record does not allow, no
            such trial, or a time outside it.
    """
    record, i, step, times = locate(record, trial, time, "M")
    values = trial_matrices(record, i, show)[: len(times)]  # (T, n, d)
    values = values if order is None else values[:, check_order(order, values.shape[1])]
    scale = largest(values)
    panel = matrix_panel(ax, record, i, step, lambda step: values[step], scale)
    ax.set_title(f"{TITLES[show]}  (±{scale:.2g})", pad=10)
    return panel


def _heat_map(ax: Axes, record: xr.Dataset, values: np.ndarray, times: np.ndarray) -> float:
    """Draw rows over time, white at zero. Returns the largest magnitude of the colours."""
    half, scale = step_duration(record) / 2, largest(values)
    extent = (times[0] - half, times[-1] + half, len(values), 0)
    ax.imshow(values, aspect="auto", cmap=DIVERGING, vmin=-scale, vmax=scale, extent=extent)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    return scale


@on_axes
def plot_trajectory(
    ax: Axes,
    record: xr.Dataset,
    components: xr.Dataset,
    trial: int,
    time: float | int = 0,
    coloring: tuple[Sequence[str], Mapping[str, str]] | None = None,
) -> AnimatedPanel:
    """Plot the trial's trajectory in two principal components, among all other trials.

    The other trials are coloured by a condition, this one by its periods.

    Args:
        ax: where to draw.
        record: from `record`.
        components: from `pca`, of this record; its first two components are shown.
        trial: the trial's number.
        time: in ms.
        coloring: a colour of each trial, and those that the legend names, label -> colour; None:
            by the correct response.
    """
    record, i, step, times = locate(record, trial, time, "correct_response")
    if not isinstance(components, xr.Dataset) or "trajectory" not in components:
        raise ValueError(
            f"components is {show(components)}, without a trajectory; expected the result of pca "
            "of this record."
        )
    dims = ("trial", "time", "component")
    paths = aligned(components["trajectory"], record, "trajectory", *dims).values[..., :2]
    paths = paths if paths.shape[2] == 2 else np.pad(paths, ((0, 0), (0, 0), (0, 1)))
    numbers = components["component"].values[:2].tolist()
    if coloring is None:
        correct = record["correct_response"].values.astype(int).tolist()
        names = [f"correct response: {name}" for name in record["action"].values]
        shown = {names[k]: action_color(k) for k in sorted(set(correct)) if k >= 0}
        coloring = [action_color(k) if k >= 0 else GREY for k in correct], shown
    colors, named = coloring
    lines = [paths[k, : trial_length(record, k)] for k in range(len(paths))]
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
        xlabel=_component(numbers, share, 0),
        ylabel=_component(numbers, share, 1),
        title=f"trajectory of ${variable}_t$, among all trials",
    )
    ax.margins(0.08)
    ax.autoscale_view()
    for label, color in named.items():
        ax.plot([], [], color=color, lw=1.5, label=label)
    if 0 < len(ax.get_legend_handles_labels()[0]) <= 6:
        ax.legend(loc="best")
    (head,) = ax.plot(*path[step], "o", ms=9, mfc="white", mec="black", mew=2, zorder=5)

    def update(step: int) -> None:
        head.set_data([path[step, 0]], [path[step, 1]])

    return AnimatedPanel([head], update)


def _component(numbers: list[int], share: np.ndarray, k: int) -> str:
    """Label the axis of a principal component; there may be none, or no variance to explain."""
    if k >= len(numbers):
        return ""
    return f"PC {numbers[k]}" + (f" ({share[k]:.0%})" if np.isfinite(share[k]) else "")


def modulation_choices(record: xr.Dataset) -> list[str]:
    """List what the panel of modulations can show of a record; nothing if there is no M.

    The effective weights need W and the MPN's equations. The change of M needs M before the first
    step, which is either stored (`M_start`) or known from the MPN's equations.
    """
    if not has_modulations(record):
        return []
    possible = {
        "M": True,
        "effective weights": is_mpn(record) and "W" in record,
        "change of M": is_mpn(record) or "M_start" in record,
    }
    return [show for show in TITLES if possible[show]]


def trial_matrices(record: xr.Dataset, position: int, show: str = "M") -> np.ndarray:
    """Compute what the panel of modulations shows of a trial, [time, hidden, input]."""
    if show not in TITLES:
        raise ValueError(f"show is {show!r}; expected one of {', '.join(TITLES)}.")
    if show not in (choices := modulation_choices(record)):
        raise ValueError(
            f"show is {show!r}, which needs more than this record of the core "
            f"{record.attrs['core']} holds; expected {' or '.join(choices) or 'a core with M'}."
        )
    one = record.isel(trial=[position])
    if show == "M":
        return one["M"].values[0]
    if show == "effective weights":
        return effective_weights(one).values[0]
    return modulation_change(one).values[0]
