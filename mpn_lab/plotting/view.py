"""Figures of a trial, all panels with one time cursor: what the explorers show and save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpn_lab.analysis.restore import as_record, as_staleness
from mpn_lab.analysis.schema import (
    age_position,
    condition_names,
    strategy_position,
    time_step,
    trial_position,
)
from mpn_lab.plotting.panel import AnimatedPanel, combine, has_modulations, is_mpn
from mpn_lab.plotting.staleness import (
    MATRICES,
    plot_staleness_map,
    plot_staleness_modulations,
    plot_staleness_over_trial,
    plot_staleness_q,
)
from mpn_lab.plotting.style import cleared
from mpn_lab.plotting.trial import (
    plot_hidden,
    plot_inputs,
    plot_modulations,
    plot_q,
    plot_trajectory,
)

SIZE = (11.0, 6.6)  # inches
SHOWN = ("period", "correct_response", "response", "correct", "performance")
"""Variables that the two lines above the panels need."""
MEASURES = {
    "relative": ("dM", "dQ"),
    "absolute": ("dM_raw", "dQ_raw"),
    "relative, from the start": ("dM", "dQ_from_start"),
}
"""Distances of M and Q by name: those of R2D2, only their numerators, or, for Q, the distance from
the Q of a replay from the trial's start."""


def draw_trial(
    record: xr.Dataset,
    components: xr.Dataset,
    trial: int,
    time: float | int = 0,
    *,
    show: str = "M",
    order: np.ndarray | None = None,
    coloring: tuple[Sequence[str], Mapping[str, str]] | None = None,
    figure: Figure | None = None,
) -> tuple[Figure, AnimatedPanel]:
    """Draw observations, Q, h, M and the trajectory among all trials, with one time cursor.

    Args:
        record: from `record`, of any core. Without M, its panel says so.
        components: from `pca` of the record.
        trial: the trial's number.
        time: in ms.
        show: what the panel of M shows, see `plot_modulations`.
        order: order of the hidden units, see `hidden_order`.
        coloring: of the trials' trajectories, see `plot_trajectory`.
        figure: cleared and drawn into; None: a new one.

    Returns:
        The figure, and everything in it that changes with time.

    Raises:
        ValueError: no such trial, a time outside it, or an unknown choice.
    """
    record = as_record(record, *SHOWN)
    i = trial_position(record, trial)
    step = time_step(record, i, time)
    figure = cleared(figure, *SIZE)
    grid = figure.add_gridspec(
        3, 2, height_ratios=(1, 1.1, 1.45), width_ratios=(1.28, 1),
        left=0.062, right=0.985, top=0.855, bottom=0.075, hspace=0.47, wspace=0.36,
    )  # fmt: skip
    axes = [figure.add_subplot(grid[k, 0]) for k in range(3)]
    path, matrix = figure.add_subplot(grid[:2, 1]), figure.add_subplot(grid[2, 1])
    left, bottom, width, height = path.get_position().bounds
    path.set_position((left, bottom + 0.035, width, height - 0.035))  # room for its x label
    panels = [
        plot_inputs(axes[0], record, trial, time),
        plot_q(axes[1], record, trial, time),
        plot_hidden(axes[2], record, trial, time, order),
        plot_trajectory(path, record, components, trial, time, coloring),
    ]
    for ax in axes[:2]:
        ax.tick_params(labelbottom=False)
    axes[2].set_xlabel("time (ms)")
    if has_modulations(record):
        panels.append(plot_modulations(matrix, record, trial, time, show, order))
    else:
        _write_instead(matrix, f"There is no M: the core is {record.attrs['core']}.")
    return figure, _with_header(figure, record, i, step, panels)


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
    """Draw stored and replayed Q and M and the distances between them, with one time cursor.

    Q from both states, the distances of M (of the state, for a core without M) and Q over the
    trial, the distance of Q by age, and the stored M, the replayed M and their difference.

    Args:
        data: from `staleness`, of any core. Without M, its panels say so.
        trial: the trial's number.
        time: in ms.
        age: age of the stored states, in updates since collection; None: the oldest.
        strategy: how the state is replayed; None: "stored".
        measure: how distances are measured, one of `MEASURES`.
        order: order of the hidden units.
        figure: cleared and drawn into; None: a new one.

    Returns:
        The figure, and everything in it that changes with time or, as its background, with the age.

    Raises:
        ValueError: a Dataset that is not from `staleness`, no such trial, age or strategy, a time
            outside the trial, or an unknown measure.
    """
    data = as_staleness(data, *SHOWN)
    if measure not in MEASURES:
        raise ValueError(f"measure is {measure!r}; expected one of {', '.join(MEASURES)}.")
    of_M, of_Q = MEASURES[measure]
    i = trial_position(data, trial)
    step = time_step(data, i, time)
    j, s = age_position(data, age), strategy_position(data, strategy)
    name = str(data["strategy"].values[s])
    chosen: dict[str, Any] = {"trial": trial, "time": time, "age": age, "strategy": name}
    figure = cleared(figure, *SIZE)
    left = figure.add_gridspec(
        3, 1, height_ratios=(1.45, 1, 1), left=0.062, right=0.477, top=0.855, bottom=0.075,
        hspace=0.42,
    )  # fmt: skip
    upper = figure.add_gridspec(
        1, 3, left=0.645, right=0.92, top=0.855, bottom=0.515, wspace=0.12
    )  # fmt: skip
    lower = figure.add_gridspec(1, 1, left=0.645, right=0.985, top=0.40, bottom=0.075)
    over_trial = [figure.add_subplot(left[k, 0]) for k in range(3)]
    panels = [
        plot_staleness_q(over_trial[0], data, **chosen),
        plot_staleness_over_trial(over_trial[2], data, **chosen, variable=of_Q),
        plot_staleness_map(figure.add_subplot(lower[0]), data, **chosen, variable=of_Q),
    ]
    if of_M in data:
        panels.append(plot_staleness_over_trial(over_trial[1], data, **chosen, variable=of_M))
        if legend := over_trial[2].get_legend():
            legend.set_visible(False)  # the same as in the panel above
    else:
        _write_instead(over_trial[1], no_modulations(data))
    for ax in over_trial[:2]:
        ax.tick_params(labelbottom=False)
        ax.set_xlabel("")
    if has_modulations(data, "M_stored"):
        axes = [figure.add_subplot(upper[0, k]) for k in range(3)]
        for ax, show in zip(axes, MATRICES, strict=True):
            panels.append(plot_staleness_modulations(ax, data, **chosen, show=show, order=order))
            ax.set_title(MATRICES[show], pad=10)  # the colour bar says the scale
        for ax in axes[1:]:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
        bar = figure.add_axes((0.932, 0.515, 0.009, 0.34))
        figure.colorbar(axes[0].images[0], cax=bar, label="modulation $M_t$")
    else:
        _write_instead(figure.add_subplot(upper[0, :]), no_modulations(data))
    subtitle = figure.text(0.985, 0.93, "", fontsize=8.5, va="center", ha="right", color="#404040")

    def update_age(position: int) -> None:
        updates = int(data["age"].values[position])
        subtitle.set_text(f"age: {updates:,} updates since collection    replayed from: {name}")

    update_age(j)
    panels.append(AnimatedPanel([], lambda _: None, AnimatedPanel([subtitle], update_age)))
    return figure, _with_header(figure, data, i, step, panels)


def trial_title(record: xr.Dataset, position: int) -> str:
    """Describe a trial in one line: its number, the correct response, the response, the outcome."""
    number, correct, response = (
        int(record.variables[name].values[position])  # quicker than record[name]: many trials
        for name in ("trial", "correct_response", "response")
    )
    actions, words = record.variables["action"].values, outcome(record, position)
    parts = [str(record.attrs["task"]), f"trial {number}"]
    parts += [f"correct response: {actions[correct]}"] if correct >= 0 else []
    parts += [f"response: {actions[response]}" + (f" ({words})" if words else "")]
    return "   ".join(parts)


def outcome(record: xr.Dataset, position: int) -> str:
    """Say how the trial went: the verdict or, where that is unknown, the return."""
    words = verdict(record, position)
    of = record.variables
    if words or "reward" not in of:
        return words
    total = of["reward"].values[position][of["valid"].values[position].astype(bool)].sum()
    return "" if np.isnan(total) else f"return {total:.3g}"


def verdict(record: xr.Dataset, position: int) -> str:
    """Say whether the trial is correct or wrong, or its grade between; nothing if it is unknown."""
    of = record.variables
    correct, performance = (float(of[k].values[position]) for k in ("correct", "performance"))
    if np.isnan(performance):
        return ""
    if np.isnan(correct):
        return f"performance {performance:.2f}"
    return "correct" if correct else "wrong"


def trial_conditions(record: xr.Dataset, position: int) -> str:
    """Describe a trial's conditions, as the task names them, in one line."""
    own = {"length", "correct_response", "response", "correct", "performance", "ideal_response"}
    parts = []
    for name in condition_names(record):
        if name not in own and not name.startswith("trial_"):
            value = record[name].values[position]
            number = isinstance(value, np.number)
            parts.append(f"{name} {value:.4g}" if number else f"{name} {value}")
    return "   ".join(parts)


def no_modulations(data: xr.Dataset) -> str:
    """Say why the panels of M are empty."""
    if is_mpn(data):
        return "M was left out (states=False)."
    return f"There is no M: the core is {data.attrs['core']}."


def _write_instead(ax: Axes, words: str) -> None:
    """Write a sentence in place of a panel."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes)


def _with_header(
    figure: Figure, record: xr.Dataset, position: int, step: int, panels: list[AnimatedPanel]
) -> AnimatedPanel:
    """Write two lines on the trial and the time above the panels, and combine them all."""
    title, conditions = trial_title(record, position), trial_conditions(record, position)
    figure.text(0.01, 0.965, title, fontsize=10.5, weight="bold", va="center")
    figure.text(0.01, 0.93, conditions, fontsize=8.5, va="center", color="#404040")
    times, periods = record["time"].values, record["period"].values[position]
    clock = figure.text(
        0.985, 0.965, "", fontsize=10.5, va="center", ha="right", family="monospace"
    )

    def update(step: int) -> None:
        clock.set_text(f"{times[step]:.0f} ms  {periods[step]}")

    update(step)
    return combine([*panels, AnimatedPanel([clock], update)])
