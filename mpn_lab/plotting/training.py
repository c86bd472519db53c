"""Panels of a training: accuracy, return, loss, the core's own metrics, and exploration.

Each function draws columns of a table of metrics into an `ax`. The table is `run.metrics` of
`train` or `train_supervised`, or any mapping from names of columns to equally long sequences. The
function returns the lines and the names of their columns, so that they can be updated.
Columns that are missing or all nan are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from mpn_lab.checks import check_int, show
from mpn_lab.plotting.style import ACTIONS, GREY, cleared, on_axes

Table: TypeAlias = Mapping[Any, Any] | pd.DataFrame
Lines = list[tuple[Line2D, str]]

_PROGRESS = ("trials", "env_steps", "updates", "learning_rate")
_EVALUATED = ("loss", "train_return", "accuracy", "ideal_accuracy", "mean_return")
COLUMNS = {
    "dqn": (*_PROGRESS, *_EVALUATED, "epsilon"),
    "supervised": (*_PROGRESS, *_EVALUATED, "step_accuracy"),
}
"""Columns of the metrics of each loop, without those that only some data or cores add."""
_OF_LOOPS = {*COLUMNS["dqn"], *COLUMNS["supervised"], "validation_loss", "response_accuracy"}
_OF_CORE = {"eta": (r"$\eta$", ACTIONS[4]), "lam": (r"$\lambda$", ACTIONS[3])}


@on_axes
def plot_accuracy(ax: Axes, metrics: Table) -> Lines:
    """Plot the accuracy over training, and the ideal observer's on the same trials."""
    check_metrics(metrics)
    ax.set(title="accuracy", ylim=(-0.02, 1.05))
    lines = _line(ax, metrics, "ideal_accuracy", GREY, "ideal observer", "--")
    return lines + _line(ax, metrics, "accuracy", ACTIONS[1], "network")


@on_axes
def plot_return(ax: Axes, metrics: Table) -> Lines:
    """Plot the mean trial return of greedy trials and of the trials trained on."""
    check_metrics(metrics)
    ax.set(title="trial return")
    trained_on = "expert" if _is_supervised(metrics) else "exploring"
    lines = _line(ax, metrics, "train_return", ACTIONS[5], trained_on)
    lines += _line(ax, metrics, "mean_return", ACTIONS[1], "greedy")
    _leave_room(ax, [metrics[name] for _, name in lines], least=0.5)
    return lines


@on_axes
def plot_loss(ax: Axes, metrics: Table) -> Lines:
    """Plot the loss, averaged over the updates since the previous row.

    The TD loss of `train`, or the cross-entropy in nats per step of `train_supervised`.
    """
    check_metrics(metrics, "loss")
    title = "cross-entropy (nats per step)" if _is_supervised(metrics) else "loss"
    ax.set(title="TD loss" if "epsilon" in metrics else title, yscale="log")
    ax.yaxis.set_minor_formatter(NullFormatter())  # decades alone are labelled
    lines = _line(ax, metrics, "loss", ACTIONS[2])
    values = np.asarray(metrics["loss"], float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if len(values) else (1e-2, 1e-1)
    ax.set_ylim(10 ** np.floor(np.log10(low / 1.5)), 10 ** np.ceil(np.log10(high * 1.2)))
    return lines


@on_axes
def plot_plasticity(ax: Axes, metrics: Table) -> Lines:
    """Plot the numbers that the core reports: eta and lam of an MPN, means over its synapses."""
    check_metrics(metrics)
    names = core_columns(metrics)
    of_mpn = set(names) <= set(_OF_CORE)
    ax.set(title="plasticity" if of_mpn else "core metrics")
    lines: Lines = []
    for k, name in enumerate(names):
        label, color = _OF_CORE.get(name, (name, ACTIONS[1 + k % (len(ACTIONS) - 1)]))
        lines += _line(ax, metrics, name, color, label)
    shown = [metrics[name] for name in names]
    _leave_room(ax, [*shown, [0.0, 1.0]] if of_mpn else shown, least=0.2 if of_mpn else 0.02)
    return lines


@on_axes
def plot_epsilon(ax: Axes, metrics: Table) -> Lines:
    """Plot epsilon, the probability of a random action."""
    check_metrics(metrics)
    ax.set(title=r"exploration $\epsilon$", ylim=(-0.02, 1.05))
    return _line(ax, metrics, "epsilon", ACTIONS[0])


def check_metrics(metrics: Any, *columns: str) -> None:
    """Raise ValueError unless `metrics` is a table with `trials` and these columns of numbers."""
    if not isinstance(metrics, Mapping | pd.DataFrame):
        raise ValueError(f"metrics is {show(metrics)}; expected a table, such as run.metrics.")
    for name in ("trials", *columns):
        if name not in metrics:
            raise ValueError(
                f"the metrics have no column {name}; expected a table with at least one row, such "
                "as run.metrics after the first eval_freq trials."
            )
    for name in metrics:
        try:
            values = np.asarray(metrics[name], float)
        except (ValueError, TypeError):
            values = np.zeros(())
        if values.shape != (len(metrics["trials"]),):
            raise ValueError(
                f"the metrics' {name} is {show(list(metrics[name]))}; expected one number for each "
                "row."
            )


def core_columns(metrics: Table) -> list[str]:
    """List the columns that the core added to the metrics."""
    return [str(name) for name in metrics if name not in _OF_LOOPS]


def _panels(metrics: Table) -> list[Callable[[Axes, Table], Lines]]:
    """Choose the panels for which the metrics have data; the loss is always included."""
    columns: dict[Callable[[Axes, Table], Lines], list[str]] = {
        plot_accuracy: ["accuracy"],
        plot_return: ["train_return", "mean_return"],
        plot_loss: [],
        plot_plasticity: core_columns(metrics),
        plot_epsilon: ["epsilon"],
    }
    return [
        panel
        for panel, names in columns.items()
        if panel is plot_loss or any(has_column(metrics, name) for name in names)
    ]


def draw_training(
    metrics: Table, trials: int | None = None, figure: Figure | None = None
) -> tuple[Figure, Lines]:
    """Draw all panels of a training side by side; those without data are left out.

    Args:
        metrics: the table, of `train` or `train_supervised`, with any core.
        trials: where the axes end; None: at the last row.
        figure: cleared and drawn into; None: a new one.

    Returns:
        The figure, and every line with the column it shows.

    Example:
        >>> figure, _ = draw_training(run.metrics)  # doctest: +SKIP
    """
    check_metrics(metrics)
    if trials is not None:
        trials = check_int("trials", trials, 1)
    figure = cleared(figure, 11, 2.5)
    panels = _panels(metrics)
    widths = [1.7, *[1.0] * (len(panels) - 1)]
    axes = figure.subplots(1, len(panels), width_ratios=widths, squeeze=False)[0]
    figure.subplots_adjust(left=0.045, right=0.985, top=0.87, bottom=0.19, wspace=0.33)
    lines: Lines = []
    for ax, panel in zip(axes, panels, strict=True):
        lines += panel(ax, metrics)
        if trials is not None:
            ax.set_xlim(0, trials * 1.02)  # the marker of the last row is not cut
        ax.set_xlabel("trials")
        ax.ticklabel_format(axis="x", style="plain")
        ax.locator_params(axis="x", nbins=4)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="best" if panel is plot_plasticity else "lower right")
    return figure, lines


def _is_supervised(metrics: Table) -> bool:
    return "step_accuracy" in metrics and "epsilon" not in metrics


def has_column(metrics: Table, name: str) -> bool:
    """Whether a column exists and is not all nan; an empty column counts as existing."""
    if name not in metrics:
        return False
    values = np.asarray(metrics[name], float)
    return not len(values) or bool(np.isfinite(values).any())


def _line(
    ax: Axes, metrics: Table, name: str, color: str, label: str | None = None, style: str = "-"
) -> Lines:
    """Draw a column over the number of trials, if the table has it."""
    if name != "loss" and not has_column(metrics, name):
        return []
    marker = "o" if style == "-" else ""
    x, y = np.asarray(metrics["trials"], float), np.asarray(metrics[name], float)
    (line,) = ax.plot(x, y, style, color=color, label=label, marker=marker, ms=2.5)
    return [(line, name)]


def _leave_room(ax: Axes, columns: list[Any], least: float) -> None:
    """Set limits with a margin, so that the next rows are likely to fit."""
    values = np.concatenate([np.zeros(0), *(np.asarray(column, float) for column in columns)])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    room = max(0.15 * (high - low), least / 4)
    ax.set_ylim(low - room, high + room)
