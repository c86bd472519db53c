"""All panels of a trial in one figure, sharing one moment: what the explorers show and save."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpn_lab.analysis.schema import (
    age_position,
    check_record,
    check_staleness,
    condition_names,
    strategy_position,
    time_step,
    trial_position,
)
from mpn_lab.plotting.panel import AnimatedPanel, together
from mpn_lab.plotting.staleness import (
    MATRICES,
    plot_staleness_map,
    plot_staleness_modulations,
    plot_staleness_over_trial,
    plot_staleness_q,
)
from mpn_lab.plotting.style import new_figure
from mpn_lab.plotting.trial import (
    plot_hidden,
    plot_inputs,
    plot_modulations,
    plot_q,
    plot_trajectory,
)

SIZE = (11.0, 6.6)  # inches
MEASURES = {
    "relative": ("dM", "dQ"),
    "absolute": ("dM_raw", "dQ_raw"),
    "relative, from the start": ("dM", "dQ_from_start"),
}
"""What the distances of M and Q may be: R2D2's, their numerators alone, or that of the strategy's Q
from the one replayed from the trial's start."""


def draw_trial(
    record: xr.Dataset,
    components: xr.Dataset,
    trial: int,
    time: float | int = 0,
    *,
    show: str = "M",
    order: np.ndarray | None = None,
    figure: Figure | None = None,
) -> tuple[Figure, AnimatedPanel]:
    """Inputs, Q, h, M and the path among all trials, in one figure with one cursor.

    Args:
        record: from `record`. Without M its panel says so.
        components: from `pca` of the record.
        trial: its number.
        time: the moment in ms.
        show: what the M panel shows, see `plot_modulations`.
        order: the hidden units' order, see `hidden_order`.
        figure: cleared and drawn into; None: a new one.

    Returns:
        The figure, and everything in it that changes with time.

    Raises:
        ValueError: no such trial, a moment outside it, or an unknown choice.
    """
    check_record(record)
    i = trial_position(record, trial)
    step = time_step(record, i, time)
    figure = new_figure(*SIZE) if figure is None else figure
    figure.clear()
    grid = figure.add_gridspec(
        3, 2, height_ratios=(1, 1.1, 1.45), width_ratios=(1.28, 1),
        left=0.062, right=0.985, top=0.855, bottom=0.075, hspace=0.47, wspace=0.36,
    )  # fmt: skip
    axes = [figure.add_subplot(grid[k, 0]) for k in range(3)]
    path, matrix = figure.add_subplot(grid[:2, 1]), figure.add_subplot(grid[2, 1])
    left, bottom, width, height = path.get_position().bounds
    path.set_position((left, bottom + 0.035, width, height - 0.035))  # room for its x label
    moving = [
        plot_inputs(axes[0], record, trial, time),
        plot_q(axes[1], record, trial, time),
        plot_hidden(axes[2], record, trial, time, order),
        plot_trajectory(path, record, components, trial, time),
    ]
    for ax in axes[:2]:
        ax.tick_params(labelbottom=False)
    axes[2].set_xlabel("time (ms)")
    if "M" in record:
        moving.append(plot_modulations(matrix, record, trial, time, show, order))
    else:
        _say(matrix, f"This record has no M:\nits core is {record.attrs['core']}.")
    return figure, _with_head(figure, record, i, step, moving)


def draw_staleness(
    data: xr.Dataset,
    trial: int,
    time: float | int = 0,
    *,
    age: int | None = None,
    strategy: str | None = None,
    measure: str = "relative",
    order: np.ndarray | None = None,
    figure: Figure | None = None,
) -> tuple[Figure, AnimatedPanel]:
    """Stored and replayed Q, the distances of M and Q over the trial, the distance of Q by age,
    and the stored M, the replayed M and their difference, in one figure with one cursor.

    Args:
        data: from `staleness`. Without M its panels say so.
        trial: its number.
        time: the moment in ms.
        age: of the stored states, in updates since the trial was lived; None: the oldest.
        strategy: how the state is replayed; None: "stored".
        measure: of the distances, one of `MEASURES`.
        order: the hidden units' order.
        figure: cleared and drawn into; None: a new one.

    Returns:
        The figure, everything in it that changes with time and, under it, with the age.

    Raises:
        ValueError: no Dataset from `staleness`, no such trial, age or strategy, a moment outside
            the trial, or an unknown measure.
    """
    check_staleness(data)
    if measure not in MEASURES:
        raise ValueError(f"measure is {measure!r}; expected one of {', '.join(MEASURES)}.")
    of_M, of_Q = MEASURES[measure]
    i = trial_position(data, trial)
    step = time_step(data, i, time)
    j, s = age_position(data, age), strategy_position(data, strategy)
    name = str(data["strategy"].values[s])
    chosen: dict[str, Any] = {"trial": trial, "time": time, "age": age, "strategy": name}
    figure = new_figure(*SIZE) if figure is None else figure
    figure.clear()
    left = figure.add_gridspec(
        3, 1, height_ratios=(1.45, 1, 1), left=0.062, right=0.477, top=0.855, bottom=0.075,
        hspace=0.42,
    )  # fmt: skip
    upper = figure.add_gridspec(
        1, 3, left=0.645, right=0.93, top=0.855, bottom=0.515, wspace=0.12
    )  # fmt: skip
    lower = figure.add_gridspec(1, 1, left=0.645, right=0.985, top=0.40, bottom=0.075)
    over_trial = [figure.add_subplot(left[k, 0]) for k in range(3)]
    moving = [
        plot_staleness_q(over_trial[0], data, **chosen),
        plot_staleness_over_trial(over_trial[2], data, **chosen, variable=of_Q),
        plot_staleness_map(figure.add_subplot(lower[0]), data, **chosen, variable=of_Q),
    ]
    if of_M in data:
        moving.append(plot_staleness_over_trial(over_trial[1], data, **chosen, variable=of_M))
        (over_trial[2].get_legend() or over_trial[1]).set_visible(False)  # the same as above it
    else:
        _say(over_trial[1], f"There is no M: the core is {data.attrs['core']}.")
    for ax in over_trial[:2]:
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    if "M_stored" in data:
        axes = [figure.add_subplot(upper[0, k]) for k in range(3)]
        for ax, show in zip(axes, MATRICES, strict=True):
            moving.append(plot_staleness_modulations(ax, data, **chosen, show=show, order=order))
            ax.set_title(MATRICES[show], pad=10)  # the colour bar says the scale
        for ax in axes[1:]:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        bar = figure.add_axes((0.942, 0.515, 0.009, 0.34))
        figure.colorbar(axes[0].images[0], cax=bar, label="modulation $M_{t-1}$")
    else:
        _say(figure.add_subplot(upper[0, :]), f"There is no M: the core is {data.attrs['core']}.")
    what = figure.text(0.985, 0.93, "", fontsize=8.5, va="center", ha="right", color="#404040")

    def to_age(position: int) -> None:
        updates = int(data["age"].values[position])
        what.set_text(f"age: {updates:,} updates    replayed from: {name}")

    to_age(j)
    moving.append(AnimatedPanel([], lambda _: None, AnimatedPanel([what], to_age)))
    return figure, _with_head(figure, data, i, step, moving)


def trial_title(record: xr.Dataset, position: int) -> str:
    """One line: which trial it is, what was right, what was answered."""
    one = record.isel(trial=position)
    names = [str(name) for name in record["action"].values]
    answer, response = int(one["correct_response"]), int(one["response"])
    right = f"right: {names[answer]}" if answer >= 0 else "no right answer"
    verdict = "correct" if bool(one["correct"]) else "wrong"
    return (
        f"{record.attrs['task']}   trial {int(one['trial'])}   {right}, "
        f"answered: {names[response]} ({verdict})"
    )


def trial_conditions(record: xr.Dataset, position: int) -> str:
    """One line with the task's own conditions of a trial."""
    own = {"length", "correct_response", "response", "correct", "performance", "ideal_response"}
    parts = []
    for name in condition_names(record):
        if name not in own and not name.startswith("trial_"):
            value = record[name].values[position]
            number = isinstance(value, np.number)
            parts.append(f"{name} {value:.4g}" if number else f"{name} {value}")
    return "   ".join(parts)


def _say(ax: Axes, words: str) -> None:
    """A sentence in place of a panel."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes)


def _with_head(
    figure: Figure, record: xr.Dataset, position: int, step: int, panels: list[AnimatedPanel]
) -> AnimatedPanel:
    """Two lines on the trial and a clock above the panels, all of them as one."""
    title, conditions = trial_title(record, position), trial_conditions(record, position)
    figure.text(0.01, 0.965, title, fontsize=10.5, weight="bold", va="center")
    figure.text(0.01, 0.93, conditions, fontsize=8.5, va="center", color="#404040")
    times, periods = record["time"].values, record["period"].values[position]
    clock = figure.text(
        0.985, 0.965, "", fontsize=10.5, va="center", ha="right", family="monospace"
    )

    def to(step: int) -> None:
        clock.set_text(f"{times[step]:.0f} ms  {periods[step]}")

    to(step)
    return together([*panels, AnimatedPanel([clock], to)])
