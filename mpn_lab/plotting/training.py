"""The panels of a training run, each a function that draws a table of metrics into an `ax`.

The table is `run.metrics`, or any mapping from the names of its columns to equally long sequences.
Each function returns the lines it drew with the columns they show, so that a monitor can move them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mpn_lab.plotting.style import ACTIONS, GREY, new_figure

Table = Mapping[Any, Any]
Lines = list[tuple[Line2D, str]]


def plot_accuracy(ax: Axes, metrics: Table) -> Lines:
    """Greedy accuracy over the trials lived, and the ideal observer's on the same trials."""
    ax.set(title="accuracy", ylim=(-0.02, 1.05))
    return [
        _line(ax, metrics, "ideal_accuracy", GREY, "ideal observer", "--"),
        _line(ax, metrics, "accuracy", ACTIONS[1], "network"),
    ]


def plot_return(ax: Axes, metrics: Table) -> Lines:
    """Mean sum of rewards of a trial: of greedy trials, and of those lived with exploration."""
    ax.set(title="return of a trial")
    lines = [
        _line(ax, metrics, "train_return", ACTIONS[5], "exploring"),
        _line(ax, metrics, "mean_return", ACTIONS[1], "greedy"),
    ]
    _room(ax, [metrics["train_return"], metrics["mean_return"]], least=0.5)
    return lines


def plot_loss(ax: Axes, metrics: Table) -> Lines:
    """The TD loss, mean of the updates since the row before."""
    ax.set(title="TD loss", yscale="log")
    lines = [_line(ax, metrics, "loss", ACTIONS[2])]
    values = np.asarray(metrics["loss"], float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if len(values) else (1e-2, 1e-1)
    ax.set_ylim(10 ** np.floor(np.log10(low / 1.5)), 10 ** np.ceil(np.log10(high * 1.2)))
    return lines


def plot_plasticity(ax: Axes, metrics: Table) -> Lines:
    """eta and lam of the MPN, means over its synapses and layers."""
    ax.set(title="plasticity")
    lines = [
        _line(ax, metrics, "eta", ACTIONS[4], r"$\eta$"),
        _line(ax, metrics, "lam", ACTIONS[3], r"$\lambda$"),
    ]
    _room(ax, [metrics["eta"], metrics["lam"], [0.0, 1.0]], least=0.2)
    return lines


def plot_epsilon(ax: Axes, metrics: Table) -> Lines:
    """epsilon, the probability of a random action."""
    ax.set(title=r"exploration $\epsilon$", ylim=(-0.02, 1.05))
    return [_line(ax, metrics, "epsilon", ACTIONS[0])]


PANELS: tuple[Callable[[Axes, Table], Lines], ...] = (
    plot_accuracy,
    plot_return,
    plot_loss,
    plot_plasticity,
    plot_epsilon,
)


def draw_training(
    metrics: Table, trials: int | None = None, figure: Figure | None = None
) -> tuple[Figure, Lines]:
    """All panels of a run side by side.

    Args:
        metrics: the table.
        trials: where the axes end; None: at the last row.
        figure: cleared and drawn into; None: a new one.

    Returns:
        The figure, and every line with the column it shows.

    Example:
        >>> figure, _ = draw_training(run.metrics)  # doctest: +SKIP
    """
    figure = new_figure(11, 2.5) if figure is None else figure
    figure.clear()
    axes = figure.subplots(1, len(PANELS), width_ratios=(1.7, 1, 1, 1, 1))
    figure.subplots_adjust(left=0.045, right=0.99, top=0.87, bottom=0.19, wspace=0.33)
    lines: Lines = []
    for ax, panel in zip(axes, PANELS, strict=True):
        lines += panel(ax, metrics)
        if trials is not None:
            ax.set_xlim(0, trials)
        ax.set_xlabel("trials")
        ax.ticklabel_format(axis="x", style="plain")
        ax.locator_params(axis="x", nbins=4)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="center right" if panel is plot_plasticity else "lower right")
    return figure, lines


def _line(
    ax: Axes, metrics: Table, name: str, color: str, label: str | None = None, style: str = "-"
) -> tuple[Line2D, str]:
    marker = "o" if style == "-" else ""
    x, y = np.asarray(metrics["trials"], float), np.asarray(metrics[name], float)
    (line,) = ax.plot(x, y, style, color=color, label=label, marker=marker, ms=2.5)
    return line, name


def _room(ax: Axes, columns: list[Any], least: float) -> None:
    """Limits with some room, so that they hold for a while."""
    values = np.concatenate([np.asarray(column, float) for column in columns])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    room = max(0.15 * (high - low), least / 4)
    ax.set_ylim(low - room, high + room)
