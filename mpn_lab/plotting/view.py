"""All panels of a trial in one figure, sharing one moment: what the explorer shows and saves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mpn_lab.analysis.checks import check_record, condition_names, time_step, trial_position
from mpn_lab.plotting.panel import Moving, together
from mpn_lab.plotting.style import new_figure
from mpn_lab.plotting.trial import (
    plot_hidden,
    plot_inputs,
    plot_modulations,
    plot_q,
    plot_trajectory,
)

SIZE = (11.0, 6.6)  # inches


def draw_trial(
    record: xr.Dataset,
    components: xr.Dataset,
    trial: int,
    time: float | int = 0,
    *,
    show: str = "M",
    order: np.ndarray | None = None,
    figure: Figure | None = None,
) -> tuple[Figure, Moving]:
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
        matrix.set_axis_off()
        words = f"This record has no M:\nits core is {record.attrs['core']}."
        matrix.text(0.5, 0.5, words, ha="center", va="center", transform=matrix.transAxes)
    return figure, _with_head(figure, record, i, step, moving)


def trial_title(record: xr.Dataset, position: int) -> str:
    """One line: which trial it is, what was right, what was answered."""
    one = record.isel(trial=position)
    names = [str(name) for name in record["action"].values]
    answer, response = int(one["answer"]), int(one["response"])
    right = f"right: {names[answer]}" if answer >= 0 else "no right answer"
    verdict = "correct" if bool(one["correct"]) else "wrong"
    return (
        f"{record.attrs['task']}   trial {int(one['trial'])}   {right}, "
        f"answered: {names[response]} ({verdict})"
    )


def trial_conditions(record: xr.Dataset, position: int) -> str:
    """One line with the task's own conditions of a trial."""
    own = {"length", "answer", "response", "correct", "performance", "ideal_answer"}
    parts = []
    for name in condition_names(record):
        if name not in own and not name.startswith("trial_"):
            value = record[name].values[position]
            number = isinstance(value, np.number)
            parts.append(f"{name} {value:.4g}" if number else f"{name} {value}")
    return "   ".join(parts)


def _with_head(
    figure: Figure,
    record: xr.Dataset,
    position: int,
    step: int,
    panels: list[Moving],
    more: Callable[[int], str] = lambda step: "",
) -> Moving:
    """Two lines on the trial and a clock above the panels, all of them as one.

    `more` is what stands beside the clock at a step, before it.
    """
    title, conditions = trial_title(record, position), trial_conditions(record, position)
    figure.text(0.01, 0.965, title, fontsize=10.5, weight="bold", va="center")
    figure.text(0.01, 0.93, conditions, fontsize=8.5, va="center", color="#404040")
    times, periods = record["time"].values, record["period"].values[position]
    clock = figure.text(
        0.985, 0.955, "", fontsize=10.5, va="center", ha="right", family="monospace"
    )

    def to(step: int) -> None:
        clock.set_text(f"{more(step)}{times[step]:.0f} ms  {periods[step]}")

    to(step)
    return together([*panels, Moving([clock], to)])
