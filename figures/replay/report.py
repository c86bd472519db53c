"""The tables and the figure of the study, from its CSV files: `python -m figures.replay.report`.

Writes README.md, figure.svg and figure.png beside this file; the text is in caption.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from figures.drawing import save_figure
from figures.replay.study import BURN_IN, HERE, STRATEGIES, TASKS, WINDOW
from figures.table import markdown_table
from mpn_lab import plotting

LABELS = {
    "trial": "whole trials",
    "trial, truncated": "whole, truncated",
    "transition": "transitions",
}
STARTS = ("zero", "zero, burn-in", "stored", "stored, burn-in", "start")
COLORS = {"first": "#0072B2", "last": "#E69F00"}

HEAD = """# Replay strategies, side by side

Written by `python -m figures.replay.report` from the CSV files in this folder, which
`python -m figures.replay.study` makes (it trains what is missing in runs/replay and can be
resumed); do not edit by hand. The default configuration except for the replay, with as many seeds
as the tables say. Every strategy has the same number of trials and of updates. Windows are a
quarter of a trial ({windows} steps), burn-in is {burn_ins} steps.

![accuracy and staleness of every strategy](figure.png)"""

RESULTS_HEAD = """## Accuracy and costs

Mean and 95 % interval over seeds (Student's t) of the accuracy divided by the ideal observer's,
each on 2,000 fresh greedy trials. "Trials to 95 %": the first row of metrics (one per 250 trials)
whose greedy accuracy is 95 % of the ideal observer's, median over the seeds that reached it. Time
and memory: 500 trials stored, one thread, batches as in training."""

COMPARED_HEAD = """\
Differences between strategies, seed by seed: mean and 95 % interval of the difference (paired t).
Bold where the interval excludes 0."""

COMPARED = (
    ("trial", "stored"),
    ("trial", "stored, burn-in"),
    ("trial", "transition"),
    ("trial", "replayed"),  # the state is fresh in both: what whole trials have beside that
    ("trial", "trial, truncated"),  # the gradient through the whole trial
    ("trial, truncated", "replayed"),  # mostly the returns, which end with a window
    ("replayed", "stored"),  # the same windows, with fresh or stored states: staleness alone
    ("stored, burn-in", "stored"),
    ("stored", "transition"),
    ("stored", "zero"),
    ("zero, burn-in", "zero"),
)

STALE_HEAD = """## How stale the states are

In the runs that replayed whole trials: the ten trials stored at a quarter of the training, replayed
with the parameters of the last checkpoint. dQ (R2D2's definition, against the stored state) and the
distance from the values replayed from the trial's start, at the first and the last trained step of
windows that do not begin with the trial; mean and 95 % interval over seeds."""

ORDER_HEAD = """\
R2D2's order at the first trained step (zero > burn-in > stored >= stored with burn-in), as
differences seed by seed, bold where the 95 % interval excludes 0. By dQ itself the stored start is
0 by definition; the distance from the values replayed from the trial's start shows which of them is
nearest to the truth."""

ORDER = (("zero", "zero, burn-in"), ("zero, burn-in", "stored"), ("stored", "stored, burn-in"))


def main() -> None:
    results, stale, costs = (pd.read_csv(HERE / f"{n}.csv") for n in ("runs", "staleness", "costs"))
    windows = sorted(set(WINDOW.values()))
    head = HEAD.format(
        windows=" or ".join(map(str, windows)),
        burn_ins=" or ".join(str(BURN_IN[window]) for window in windows),
    )
    text = [head, (HERE / "caption.md").read_text().strip()]
    text += [RESULTS_HEAD, results_table(results, costs)]
    text += [COMPARED_HEAD, compared_table(results)]
    text += [STALE_HEAD, stale_table(stale), ORDER_HEAD, order_table(stale)]
    (HERE / "README.md").write_text("\n\n".join(text) + "\n")
    with plotting.style():
        save_figure(draw(results, stale), HERE)


def interval(values: pd.Series) -> str:
    """Mean and half of the 95 % interval."""
    if len(values) < 2:
        return f"{values.mean():.3f}"
    return f"{values.mean():.3f} ± {half_width(values):.3f}"


def difference(values: pd.Series) -> str:
    """Mean and half of the 95 % interval, bold where the interval excludes 0."""
    values = values.dropna()
    excludes_0 = len(values) > 1 and abs(values.mean()) > half_width(values)
    return f"**{interval(values)}**" if excludes_0 else interval(values)


def half_width(values: pd.Series) -> float:
    """Half of the 95 % interval of the mean."""
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def label_of(strategy: str) -> str:
    return LABELS.get(strategy, strategy)


def results_table(results: pd.DataFrame, costs: pd.DataFrame) -> str:
    """Accuracy, trials to 95 % and costs of every strategy."""
    lines = []
    prices = costs.set_index(["task", "strategy"])
    for (task, strategy), rows in results.groupby(["task", "strategy"], sort=False):
        reached = rows["trials_to_95"].dropna()
        to_95 = f"{reached.median():,.0f}" if len(reached) else "never"
        if 0 < len(reached) < len(rows):
            to_95 += f" ({len(reached)} of {len(rows)})"
        price = prices.loc[task, strategy]
        accuracy = interval(rows["ratio"]), f"{rows['ratio'].min():.3f}", to_95
        time, memory = f"{price['ms_per_update']:.1f}", f"{price['bytes_per_trial']:,.0f}"
        lines.append((task, label_of(strategy), str(len(rows)), *accuracy, time, memory))
    head = "task", "replay", "seeds", "accuracy / ideal", "worst seed", "trials to 95 %"
    return markdown_table((*head, "ms an update", "bytes a trial"), lines)


def compared_table(results: pd.DataFrame) -> str:
    """Differences in accuracy between two strategies, by task."""
    ratios = results.pivot(index=["task", "seed"], columns="strategy", values="ratio")
    return differences_table(
        (f"{label_of(a)} minus {label_of(b)}", ratios[a] - ratios[b]) for a, b in COMPARED
    )


def order_table(stale: pd.DataFrame) -> str:
    """Differences in staleness between two starts at the first trained step, by task."""
    first = stale[stale["position"] == "first"]
    lines = []
    for name, label in (("dQ", "dQ"), ("dQ_from_start", "from the start")):
        by_start = first.pivot(index=["task", "seed"], columns="start", values=name)
        lines += [(f"{label}: {a} minus {b}", by_start[a] - by_start[b]) for a, b in ORDER]
    return differences_table(lines)


def differences_table(lines: Iterable[tuple[str, pd.Series]]) -> str:
    """A row for each name and differences [task, seed]."""
    rows = [(name, *(difference(of.loc[task]) for task in TASKS)) for name, of in lines]
    return markdown_table(("difference", *TASKS), rows)


def stale_table(stale: pd.DataFrame) -> str:
    """Staleness of every start."""
    lines = []
    for (task, start), rows in stale.groupby(["task", "start"], sort=False):
        cells = [
            interval(rows[rows["position"] == position][name])
            for name in ("dQ", "dQ_from_start")
            for position in ("first", "last")
        ]
        lines.append((task, start, str(rows["seed"].nunique()), *cells))
    head = "task", "start", "seeds", "dQ first", "dQ last", "from the start, first", "last"
    return markdown_table(head, lines)


def draw(results: pd.DataFrame, stale: pd.DataFrame) -> Figure:
    """Above: accuracy of each run; below: staleness by starting state."""
    figure = plotting.new_figure(3.6 * len(TASKS), 5.6)
    axes = figure.subplots(2, len(TASKS), squeeze=False)
    for (top, bottom), task in zip(axes.T, TASKS, strict=True):
        draw_accuracy(top, results[results["task"] == task])
        top.set_title(task)
        draw_staleness(bottom, stale[stale["task"] == task])
        for ax in (top, bottom):
            ax.tick_params(axis="x", rotation=35)
            for text in ax.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
    axes[0, 0].set_ylabel("accuracy / ideal observer's")
    axes[1, 0].set_ylabel("$\\Delta Q$ (relative)")
    axes[1, 0].legend()
    figure.subplots_adjust(left=0.08, right=0.99, top=0.94, bottom=0.17, hspace=0.62, wspace=0.2)
    return figure


def draw_accuracy(ax: Axes, results: pd.DataFrame) -> None:
    """One dot per run, and the mean of each strategy."""
    for x, strategy in enumerate(STRATEGIES):
        ratios = results[results["strategy"] == strategy]["ratio"]
        shift = np.linspace(-0.15, 0.15, len(ratios))
        color = "#0072B2" if strategy.startswith("trial") else "#555555"
        ax.plot(x + shift, ratios, "o", ms=4, color=color, alpha=0.8)
        ax.hlines(ratios.mean(), x - 0.3, x + 0.3, color=color, lw=2)
    ax.set(ylim=(-0.03, 1.05))
    ax.set_xticks(range(len(STRATEGIES)), [label_of(strategy) for strategy in STRATEGIES])


def draw_staleness(ax: Axes, stale: pd.DataFrame) -> None:
    """dQ of each start, at both ends of the windows: the mean, and each run."""
    for i, (position, color) in enumerate(COLORS.items()):
        for x, start in enumerate(STARTS):
            dQ = stale[(stale["start"] == start) & (stale["position"] == position)]["dQ"]
            where = x + 0.36 * i - 0.18
            label = f"{position} trained step" if x == 0 else None
            ax.bar(where, dQ.mean(), 0.34, color=color, label=label)
            ax.plot([where] * len(dQ), dQ, "_", color="black", ms=5)
    ax.set_xticks(range(len(STARTS)), STARTS)


if __name__ == "__main__":
    main()
