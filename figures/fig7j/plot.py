"""Figure 7, panels i and j: 19 neurogym tasks, learned from supervised sequences of 100 steps."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.cache import compute_missing
from figures.drawing import COLORS
from figures.fig7j.measure import ALL, FIXATE, KINDS, RESPONSES, TEST, measurements
from figures.networks import RUNS
from mpn_lab.plotting.style import GREY, new_figure
from mpn_lab.tasks.streams import PAPER_TASKS, TrialStream


def make(fresh: bool = False, processes: int = 2, train: bool = True) -> Figure | None:
    """Train what is missing (unless told not to) and draw what there is; None: nothing."""
    if fresh and train:
        shutil.rmtree(RUNS / "fig7j", ignore_errors=True)
    jobs = measurements()
    table = compute_missing("fig7j", jobs if train else {}, fresh=fresh, processes=processes)
    if table.empty:
        print("figure 7j is not trained: make figures FIG=7j, some hours, resumable")
        return None
    there = set(table[["quantity", "network", "seed"]].itertuples(index=False, name=None))
    if missing := len(jobs.keys() - there):
        print(f"figure 7j: {missing} values are missing: make figures FIG=7j, resumable")
    table[["kind", "task"]] = table["network"].str.split(", ", n=1, expand=True)
    return draw(table)


def draw(table: pd.DataFrame) -> Figure:
    """A sequence; accuracy over all steps, and at the responses, of every network and task."""
    figure = new_figure(7.2, 7.6)
    draw_sequence(figure.add_axes((0.36, 0.86, 0.62, 0.1)))
    left, right = (figure.add_axes((x, 0.06, 0.285, 0.65)) for x in (0.36, 0.7))
    draw_accuracies(left, table, ALL)
    draw_accuracies(right, table, RESPONSES)
    left.set(title="j  all steps", xlim=(0.5, 1.01))
    right.set(title="responses alone", xlim=(-0.02, 1.02))
    left.set_yticks(range(len(PAPER_TASKS)), PAPER_TASKS)
    right.set_yticks(range(len(PAPER_TASKS)), [])
    handles = left.get_legend_handles_labels()
    figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.67, 0.785), ncols=5)
    return figure


def draw_sequence(ax: Axes) -> None:
    """(i) A sequence of GoNogo: what is shown, and what is asked for."""
    stream = TrialStream("GoNogo-v0", 1, 100, (0, TEST))
    batch, steps = stream.sample_batch(), np.arange(1, 101)
    lines = [
        *zip(stream.channels, batch.obs[0].T, strict=True),
        ("correct action", batch.ground_truth[0]),
    ]
    for row, (name, values) in enumerate(lines):
        color = "#D55E00" if name == "correct action" else "#262626"
        ax.step(steps, 0.8 * values - row, where="mid", color=color, lw=1.1)
    for start in steps[batch.latent["trial_step"][0] == 0]:
        ax.axvline(start - 0.5, color=GREY, lw=0.8, ls=":")
    ax.set_yticks(-np.arange(len(lines)) + 0.2, [name for name, _ in lines])
    ax.set(title="i  GoNogo, dotted: a trial begins", xlabel="step", xlim=(0.5, 100.5))


def draw_accuracies(ax: Axes, table: pd.DataFrame, quantity: str) -> None:
    """(j) Mean and standard error over the seeds; over all steps also that of always fixating."""
    here = table[table["quantity"] == quantity]
    tasks = list(PAPER_TASKS)
    for k, kind in enumerate(KINDS):
        values = here[here["kind"] == kind].groupby("task")["value"].agg(["mean", "sem"])
        values = values.reindex(tasks)
        y = np.arange(len(tasks)) + 0.18 * (k - 1.5)
        ax.errorbar(
            values["mean"], y, xerr=values["sem"].fillna(0), fmt="o", ms=3.5, color=COLORS[kind],
            label=kind,
        )  # fmt: skip
    if quantity == ALL:
        fixate = table[table["quantity"] == FIXATE].groupby("task")["value"].mean().reindex(tasks)
        y = np.arange(len(tasks))
        ax.vlines(fixate, y - 0.4, y + 0.4, color="black", lw=1, label="always fixating")
    ax.set(xlabel="accuracy", ylim=(len(tasks) - 0.4, -0.6))
    ax.grid(axis="y", color="#E6E6E6", lw=0.6)
