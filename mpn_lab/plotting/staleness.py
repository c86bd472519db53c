"""Panels of stored and replayed states: their Q, their modulations, and the distances between them.

Each function draws one panel into an `ax`. It takes a Dataset from `staleness`, a trial's number, a
time in ms, an age in updates (None: the oldest) and a strategy (None: "stored"), and returns an
`AnimatedPanel`: the artists that change with time and, in its background, those that change with
the age.

M, and distances of M, are drawn at the step after which they hold, as in the panels of a record:
M_t at step t. The Dataset holds M_{t-1} there, which acts at t.

A distance is drawn on one scale for all ages and strategies of the trial: linear from 0 to
`LINEAR`, logarithmic above, so that 0 and values a thousand times larger are both readable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator

from mpn_lab.analysis.restore import as_staleness
from mpn_lab.analysis.schema import age_position, step_duration, strategy_position
from mpn_lab.plotting.panel import (
    AnimatedPanel,
    action_row,
    check_order,
    is_mpn,
    locate,
    matrix_panel,
    over_time,
    row_colors,
    side_legend,
)
from mpn_lab.plotting.style import GREY, action_color, largest, limits, on_axes

LINEAR = 0.01
"""Below this value a distance is drawn on a linear scale, above it on a logarithmic one."""

DISTANCES = {
    "dM": ("distance of stored from replayed X", r"$\Delta X$", "relative"),
    "dQ": ("distance of stored from replayed X", r"$\Delta X$", "relative"),
    "dM_raw": ("distance of stored from replayed X", r"$\Vert\hat{X}-X\Vert$", ""),
    "dQ_raw": ("distance of stored from replayed X", r"$\Vert\hat{X}-X\Vert$", "reward"),
    "dQ_from_start": ("distance of X from a replay of the whole trial", r"$\Delta X$", "relative"),
}
"""Title, symbol and unit of each distance; X stands for Q, M, or the state of another core."""
OF_STATE = ("dM", "dM_raw")
"""The distances of M, or of the state of another core."""
MATRICES = {"stored": "stored $M$", "replayed": "replayed $M$", "difference": "difference"}
_COLORS = {"zero": ("#E69F00", "#D55E00"), "stored": ("#56B4E9", "#0072B2")}
_START = "#009E73"
_MAP = "BuPu"  # white at zero


@on_axes
def plot_staleness_over_trial(
    ax: Axes,
    data: xr.Dataset,
    trial: int,
    time: float | int = 0,
    age: int | None = None,
    strategy: str | None = None,
    variable: str = "dQ",
) -> AnimatedPanel:
    """Plot a distance between stored and replayed states over the trial, one line per strategy.

    The chosen strategy is bold, with a dot at the chosen time. Dotted vertical lines mark where a
    window starts.

    Args:
        ax: where to draw.
        data: from `staleness`.
        trial: the trial's number.
        time: in ms.
        age: age of the stored states, in updates since collection.
        strategy: how the state is replayed.
        variable: `dM`, `dQ`, `dM_raw`, `dQ_raw` or `dQ_from_start`.

    Raises:
        ValueError: a Dataset that is not from `staleness` or lacks the variable, no such trial, age
            or strategy, or a time outside the trial.
    """
    data, i, step, times, j, s = _place(data, trial, time, age, strategy)
    values = _distances(data, variable, i, len(times))  # (strategy, age, time)
    names = [str(name) for name in data["strategy"].values]
    lines = []
    for k, name in enumerate(names):
        chosen = k == s
        (line,) = ax.plot(
            times,
            values[k, j],
            "--" if "burn-in" in name else "-",
            color=strategy_color(name),
            lw=2.6 if chosen else 1.2,
            zorder=3 if chosen else 2.5,
            label=name,
        )
        lines.append(line)
    _distance_axis(ax, values)
    title, _, label = _words(data, variable)
    ax.set(xlabel="time (ms)", ylabel=label, title=title)
    side_legend(ax, len(names), title="replayed from")
    _mark_windows(ax, data, times, variable)
    cursor = over_time(ax, data, i, step, times)
    (head,) = ax.plot([], [], "o", ms=7, mec="white", color=strategy_color(names[s]), zorder=5)
    shown = {"age": j}

    def update(step: int) -> None:
        cursor.update(step)
        head.set_data([times[step]], [values[s, shown["age"], step]])

    def update_age(position: int) -> None:
        shown["age"] = position
        for line, of_strategy in zip(lines, values, strict=True):
            line.set_ydata(of_strategy[position])

    update(step)
    return AnimatedPanel([*cursor.artists, head], update, AnimatedPanel(lines, update_age))


@on_axes
def plot_staleness_map(
    ax: Axes,
    data: xr.Dataset,
    trial: int,
    time: float | int = 0,
    age: int | None = None,
    strategy: str | None = None,
    variable: str = "dQ",
) -> AnimatedPanel:
    """Plot a distance between stored and replayed states by age and time, for one strategy.

    Each age has a row of the same height, the youngest at the bottom; the chosen one is framed. A
    dot marks a step at which the greedy actions of the stored and the replayed state differ. Grey:
    not defined (the replayed state is zero and the stored one is not).

    The arguments and errors are those of `plot_staleness_over_trial`.
    """
    data, i, step, times, j, s = _place(data, trial, time, age, strategy, "flipped")
    values = _distances(data, variable, i, len(times))
    dt, ages = step_duration(data), data["age"].values
    extent = (times[0] - dt / 2, times[-1] + dt / 2, -0.5, len(ages) - 0.5)
    norm = SymLogNorm(LINEAR, linscale=0.5, vmin=0, vmax=_top(values))
    ax.set_facecolor("#D0D0D0")
    image = ax.imshow(
        np.ma.masked_invalid(values[s]),
        aspect="auto",
        origin="lower",
        extent=extent,
        cmap=_MAP,
        norm=norm,
    )
    rows, steps = np.nonzero(data["flipped"].values[s, :, i, : len(times)])
    dark = norm(np.nan_to_num(values[s][rows, steps])) > 0.6
    colors = np.where(dark, "white", "black")
    ax.scatter(times[steps], rows, s=5, c=colors, linewidths=0, zorder=2)
    _age_ticks(ax, ages)
    name = str(data["strategy"].values[s])
    ax.set(ylabel="age (updates)", xlabel="time (ms)")
    _, symbol, label = _words(data, variable)
    ax.set_title(f"{symbol} by age, replayed from: {name}", pad=10)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02, aspect=18, label=label)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_plain))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    _mark_windows(ax, data, times, variable)
    cursor = over_time(ax, data, i, step, times, bands="strip")
    frame = Rectangle(
        (extent[0], j - 0.5), extent[1] - extent[0], 1, fill=False, ec="#0072B2", lw=1.8, zorder=4
    )
    frame.set_clip_on(False)
    ax.add_patch(frame)
    return AnimatedPanel(
        cursor.artists, cursor.update, AnimatedPanel([frame], lambda k: frame.set_y(k - 0.5))
    )


@on_axes
def plot_staleness_q(
    ax: Axes,
    data: xr.Dataset,
    trial: int,
    time: float | int = 0,
    age: int | None = None,
    strategy: str | None = None,
) -> AnimatedPanel:
    """Plot the value of every action over the trial, from the replayed and from the stored state.

    Both are computed with the parameters of the age: broad light lines from the replayed state,
    dashed lines from the stored one. Below, three rows of squares: the greedy actions of the stored
    and of the replayed state, ringed where they differ, and the correct action.

    The arguments and errors are those of `plot_staleness_over_trial`.
    """
    names_of_q = ("Q_stored", "Q_replayed", "ground_truth", "flipped")
    data, i, step, times, j, s = _place(data, trial, time, age, strategy, *names_of_q)
    T = len(times)
    stored = data["Q_stored"].values[:, i, :T]  # (age, T, action)
    replayed = data["Q_replayed"].values[s, :, i, :T]
    flipped = data["flipped"].values[s, :, i, :T].astype(bool)
    names = [str(name) for name in data["action"].values]
    lines, heads = [], []
    for k, name in enumerate(names):
        color = action_color(k)
        (broad,) = ax.plot(times, replayed[j, :, k], color=color, lw=3.4, alpha=0.42)
        (thin,) = ax.plot(times, stored[j, :, k], "--", color=color, lw=1.3, dashes=(3, 1.4))
        ax.plot([], [], color=color, label=name)
        heads += ax.plot([], [], "o", ms=7, color=color, mec="white", zorder=4)
        heads += ax.plot([], [], "o", ms=5, mfc="white", mec=color, mew=1.4, zorder=4.5)
        lines += [broad, thin]
    ax.plot([], [], color=GREY, lw=3.4, alpha=0.6, label="replayed")
    ax.plot([], [], "--", color=GREY, lw=1.3, dashes=(3, 1.4), label="stored")
    both = np.concatenate([stored.ravel(), replayed.ravel()])
    low, high = limits(both)
    room = max(high - low, 0.1)
    bottom, top = low - 0.52 * room, high + 0.08 * room
    ax.set_ylim(bottom, top)
    greedy = [greedy_actions(stored), greedy_actions(replayed)]
    rows = [
        action_row(ax, times, greedy[0][j], 0.26, "stored"),
        action_row(ax, times, greedy[1][j], 0.16, "replayed"),
    ]
    correct = data["ground_truth"].values[i, :T]
    if (correct >= 0).any():
        action_row(ax, times, correct, 0.06, "correct")
    ax.set_yticks([tick for tick in ax.get_yticks() if low - 0.1 * room <= tick <= top])
    ax.set(xlabel="time (ms)", ylabel="Q (reward)")
    ax.set_title("action values", pad=15)
    side_legend(ax, len(names) + 2)
    _mark_windows(ax, data, times)
    cursor = over_time(ax, data, i, step, times, name_periods=True)
    shown = {"age": j}

    def update(step: int) -> None:
        cursor.update(step)
        for k in range(len(names)):
            heads[2 * k].set_data([times[step]], [replayed[shown["age"], step, k]])
            heads[2 * k + 1].set_data([times[step]], [stored[shown["age"], step, k]])

    def update_age(position: int) -> None:
        shown["age"] = position
        for k in range(len(names)):
            lines[2 * k].set_ydata(replayed[position, :, k])
            lines[2 * k + 1].set_ydata(stored[position, :, k])
        for row, actions in zip(rows, greedy, strict=True):
            row.set_facecolor(row_colors(actions[position]))
            row.set_edgecolor(["black" if f else "none" for f in flipped[position]])
            row.set_linewidth(1.1)

    update(step)
    update_age(j)
    background = AnimatedPanel([*lines, *rows], update_age)
    return AnimatedPanel([*cursor.artists, *heads], update, background)


@on_axes
def plot_staleness_modulations(
    ax: Axes,
    data: xr.Dataset,
    trial: int,
    time: float | int = 0,
    age: int | None = None,
    strategy: str | None = None,
    show: str = "difference",
    order: np.ndarray | None = None,
) -> AnimatedPanel:
    """Plot M_t, after the step, as a heat map: stored, replayed, or their difference.

    The replayed M_t is that from which step t + 1 is computed: at the end of a window, that from
    which the next one starts. After the trial's last step there is none, and the map is empty. The
    difference is replayed minus stored. The scale is centred on zero and the same for all
    three, for all times and all ages of the trial and the strategy.

    Args:
        ax: where to draw.
        data: from `staleness`, of a core with a state M [hidden, input].
        trial: the trial's number.
        time: in ms.
        age: age of the stored states, in updates since collection.
        strategy: how the state is replayed.
        show: `stored`, `replayed` or `difference`.
        order: order of the hidden units, see `leaf_order`.

    Raises:
        ValueError: a Dataset that is not from `staleness` or lacks M, another `show`, no such
            trial, age or strategy, or a time outside the trial.
    """
    data, i, step, times, j, s = _place(data, trial, time, age, strategy, "M_stored", "M_replayed")
    if show not in MATRICES:
        raise ValueError(f"show is {show!r}; expected one of {', '.join(MATRICES)}.")
    units = data["M_stored"].shape[2]
    chosen = slice(None) if order is None else check_order(order, units)
    stored = after_step(data["M_stored"].values[i, : len(times)], 0)  # (T, n, d)
    replayed = after_step(data["M_replayed"].values[s, :, i, : len(times)], 1)  # (age, T, n, d)
    scale = max(largest(stored), largest(replayed))
    shown = {"age": j}

    def at(step: int) -> np.ndarray:
        if show == "stored":
            return stored[step][chosen]
        current = replayed[shown["age"], step]
        return (current if show == "replayed" else current - stored[step])[chosen]

    panel = matrix_panel(ax, data, i, step, at, scale)
    ax.set_title(f"{MATRICES[show]}  (±{scale:.2g})", pad=10)
    return AnimatedPanel(
        panel.artists, panel.update, AnimatedPanel([], lambda k: shown.update(age=k))
    )


def strategy_color(name: str) -> str:
    """Return the colour of a strategy, the same in every panel.

    Orange from the zero state, blue from the stored state (both darker without burn-in), green from
    the trial's start.
    """
    light, dark = _COLORS.get(name.split(",")[0], (_START, _START))
    return light if "burn-in" in name else dark


def _place(
    data: xr.Dataset,
    trial: int,
    time: float | int,
    age: int | None,
    strategy: str | None,
    *variables: str,
) -> tuple[xr.Dataset, int, int, np.ndarray, int, int]:
    """Find trial, step, the trial's times, age and strategy: all but the times as positions."""
    data = as_staleness(data, *variables)
    return *locate(data, trial, time), age_position(data, age), strategy_position(data, strategy)


def _distances(data: xr.Dataset, variable: str, position: int, length: int) -> np.ndarray:
    """Return a distance in one trial, [strategy, age, time]."""
    if variable not in DISTANCES:
        raise ValueError(f"variable is {variable!r}; expected one of {', '.join(DISTANCES)}.")
    values = as_staleness(data, variable)[variable].values[:, :, position, :length]
    return after_step(values, 2) if variable in OF_STATE else values


def after_step(values: np.ndarray, axis: int) -> np.ndarray:
    """Return what holds after each step in place of what holds before it; nan after the last."""
    last = np.full_like(np.take(values, [0], axis), np.nan)
    return np.concatenate([np.delete(values, 0, axis), last], axis)


def _words(data: xr.Dataset, variable: str) -> tuple[str, str, str]:
    """Name a distance for these data: title, symbol, and axis label with the unit."""
    title, symbol, unit = DISTANCES[variable]
    name = "Q" if variable.startswith("dQ") else "M" if is_mpn(data) else "state"
    symbol = symbol.replace("X", "s" if name == "state" else name)
    return title.replace("X", name), symbol, f"{symbol} ({unit})" if unit else symbol


def distance_words(data: xr.Dataset, variable: str) -> str:
    """Return the axis label of a distance in plain text."""
    if variable == "dQ_from_start":
        return "ΔQ from whole replay"
    relative = DISTANCES[variable][2] == "relative"
    of = "Q" if variable.startswith("dQ") else "M" if is_mpn(data) else "state"
    return f"Δ{of} (relative)" if relative else f"‖Δ{of}‖"


def _top(values: np.ndarray) -> float:
    return max(1.25 * largest(values), 10 * LINEAR)


def _distance_axis(ax: Axes, values: np.ndarray) -> None:
    """Scale the axis: linear up to LINEAR, logarithmic above, with a margin below 0."""
    ax.set_yscale("symlog", linthresh=LINEAR, linscale=0.5)
    ax.set_ylim(-LINEAR / 4, _top(values))
    ax.yaxis.set_major_formatter(FuncFormatter(_plain))
    ax.yaxis.set_minor_locator(NullLocator())


def _plain(value: float, _: Any = None) -> str:
    return f"{value:g}"


def _age_ticks(ax: Axes, ages: np.ndarray) -> None:
    """Label at most eight ages, the oldest among them."""
    every = -(-len(ages) // 8)
    positions = np.arange(len(ages) - 1, -1, -every)[::-1]
    ax.set_yticks(positions, [f"{ages[k]:,}" for k in positions])


def _mark_windows(
    ax: Axes, data: xr.Dataset, times: np.ndarray, variable: str = ""
) -> list[Line2D]:
    """Draw a dotted line where a window starts, except at the trial's start.

    Among distances of M, it lies a step earlier: before the M that the window starts from.
    """
    if "step_in_window" not in data:
        return []
    first = data["step_in_window"].values[: len(times)] == 0
    before = step_duration(data) * (1.5 if variable in OF_STATE else 0.5)
    starts = [t - before for t, is_first in zip(times[1:], first[1:], strict=True) if is_first]
    return [ax.axvline(t, color="#707070", lw=0.8, ls=(0, (1, 2)), zorder=1) for t in starts]


def greedy_actions(q: np.ndarray) -> np.ndarray:
    """Return the greedy action along the last axis; -1 where a value is nan."""
    return np.where(np.isfinite(q).all(-1), np.nan_to_num(q).argmax(-1), -1)
