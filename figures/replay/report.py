"""The tables and the figure of the study, from its saved runs: `python figures/replay/report.py`.

Writes README.md, runs.csv, staleness.csv, replay.svg and replay.png beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats
from study import BURN_IN, LONG_WINDOW, STRATEGIES, TASKS, WINDOW, all_runs, costs

from mpn_lab import Run, plotting, staleness
from mpn_lab.analysis import by_position

HERE = Path(__file__).parent
LABELS = {
    "trial": "whole trials",
    "trial, truncated": "whole, truncated",
    "transition": "transitions",
}
STARTS = ("zero", "zero, burn-in", "stored", "stored, burn-in", "start")
COLORS = {"first": "#0072B2", "last": "#E69F00"}

WORDS = """## What it shows

- **Whole trials do best on every task**, in the mean and in the worst seed, with the cheapest updates and a fraction of the memory. They
  alone, with their gradient cut or not, brought all five seeds of DelayMatchSample to 1. With five seeds the difference from windows with
  stored states and burn-in is told from 0 on the two harder tasks, not on DelayMatchSample, where most seeds of those are at 1 as well.
- **Staleness alone does not explain it.** `replayed` and `stored` train on the same windows, from fresh states and from stale ones, and the
  difference between them is not told from 0 on any task. Stored states do go stale (below), but nothing here shows that this by itself costs accuracy.
- What whole trials have beside fresh states is the gradient through all of the trial and the rewards to its end. Cutting the gradient
  (`whole, truncated`) costs 0.03 on ContextDecisionMaking, cued, and nothing on DelayMatchSample; on the long trials it falls between whole trials
  and windows, with intervals too wide to say how much of the difference it makes. What remains are the returns, which end where a window does.
- **Windows from a zero state never came to 95 %** of the ideal observer on any task, with or without burn-in. On DelayMatchSample burn-in even makes it worse.
- Burn-in before stored states, R2D2's way, gains nothing that is told from 0. Nor do windows with stored states gain anything over single
  transitions with stored states, which do better here than their name; they cost four times the update and thirteen times the memory of whole trials.
- **R2D2's order** (zero > burn-in > stored >= stored with burn-in, at the first trained step) holds in the mean on all three tasks, if the distance is
  taken from the values replayed from the trial's start: every step of it beyond its interval in both delay tasks, the last one alone in
  ContextDecisionMaking, cued. By dQ itself, which measures from the stored state, `stored` is 0 by definition and the order ends zero > burn-in > stored with burn-in > stored.
- 2,500 trials are too few for the long trials in some seeds of every strategy, whole trials included; 8,000 are enough for those
  (ai_docs/long_trials.md). The other strategies were not tried for longer."""

LEARNED_HEAD = """## What was learned

Mean and 95 % interval over seeds (Student's t) of accuracy / ideal observer's accuracy, 2,000 fresh greedy trials each.
"Trials to 95 %": median over the seeds that came there, of the first row of metrics (every 250 trials) whose greedy
accuracy is 95 % of the ideal observer's. Time and memory: 500 trials stored, one thread, batches as trained on."""

HEAD = """# Replay strategies, side by side

Made by `python figures/replay/study.py` (trains what is missing in runs/replay, resumable) and
`python figures/replay/report.py`; do not edit by hand. Default configuration but for the replay, as many seeds as
the tables say; every strategy lives the same number of trials and makes the same number of updates. Windows are a quarter
of a trial ({windows} steps), burn-in {burn_ins} steps.

![accuracy and staleness of every strategy](replay.png)"""

COMPARED_HEAD = """Differences between strategies, seed by seed: mean and 95 % interval of the difference (paired t). Bold where the interval
excludes 0."""

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

In the runs that replayed whole trials: the ten trials kept at a quarter of the training, replayed with the last
checkpoint's parameters. Mean over seeds of dQ (R2D2's definition, against the stored state) and of
the distance from the values replayed from the trial's start, at the first and the last trained step of windows that
do not begin with the trial; mean and 95 % interval over seeds."""

ORDER_HEAD = """R2D2's order at the first trained step (zero > burn-in > stored >= stored with burn-in), as differences seed by seed, bold where
the 95 % interval excludes 0. By dQ itself the stored start is 0 by definition; the distance from the values replayed from the start
asks which of them is nearest to the truth."""

ORDER = (("zero", "zero, burn-in"), ("zero, burn-in", "stored"), ("stored", "stored, burn-in"))


def main() -> None:
    runs = all_runs()
    learned = pd.DataFrame(
        [{"task": t, "strategy": s, "seed": seed, **result} for t, s, seed, _, result in runs]
    )
    learned.round(5).to_csv(HERE / "runs.csv", index=False)
    stale = pd.DataFrame(
        [
            {"task": task, "seed": seed, **row}
            for task, strategy, seed, run, _ in runs
            if strategy == "trial"
            for row in _staleness(task, run)
        ]
    )
    stale.round(5).to_csv(HERE / "staleness.csv", index=False)
    windows = sorted({*WINDOW.values(), LONG_WINDOW})
    head = HEAD.format(
        windows=" or ".join(map(str, windows)),
        burn_ins=" or ".join(str(BURN_IN[w]) for w in windows),
    )
    text = [
        head,
        WORDS,
        LEARNED_HEAD,
        _learned_table(learned),
        COMPARED_HEAD,
        _compared_table(learned),
    ]
    text += [STALE_HEAD, _stale_table(stale), ORDER_HEAD, _order_table(stale)]
    (HERE / "README.md").write_text("\n\n".join(text) + "\n")
    with plotting.style():
        figure = _figure(learned, stale)
        for kind in ("svg", "png"):
            figure.savefig(HERE / f"replay.{kind}", dpi=160)


def _staleness(task: str, run: Run) -> list[dict[str, Any]]:
    """dQ at both ends of the windows, of trials lived a while before the training's end."""
    window = WINDOW.get(task, LONG_WINDOW)
    collected_at = next(n for n in run.checkpoints if n >= run.checkpoints[-1] // 4)
    last = run.checkpoints[-1]
    lens = staleness(
        run, collected_at, window=window, burn_in=BURN_IN[window], ages=[last], states=False
    )
    means = by_position(lens).isel(age=-1)
    return [
        {
            "start": str(name).split(" burn-in")[0] + (" burn-in" if "burn-in" in name else ""),
            "position": position,
            "age": int(means.age),
            "dQ": float(means.dQ.sel(strategy=name, position=position)),
            "dQ_from_start": float(means.dQ_from_start.sel(strategy=name, position=position)),
        }
        for name in means.strategy.values
        for position in ("first", "last")
    ]


def _interval(values: pd.Series) -> str:
    """Mean and half of the 95 % interval."""
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{values.mean():.3f} ± {half:.3f}"


def _learned_table(learned: pd.DataFrame) -> str:
    lines = ["| task | replay | seeds | accuracy / ideal | worst seed | trials to 95 % | "]
    lines[0] += "ms an update | bytes a trial |"
    lines.append("|---" * 8 + "|")
    for (task, strategy), rows in learned.groupby(["task", "strategy"], sort=False):
        reached = rows["trials_to_95"].dropna()
        to_95 = f"{reached.median():,.0f}" if len(reached) else "never"
        if 0 < len(reached) < len(rows):
            to_95 += f" ({len(reached)} of {len(rows)})"
        price = costs(task, strategy)
        lines.append(
            f"| {task} | {LABELS.get(strategy, strategy)} | {len(rows)} | "
            f"{_interval(rows['ratio'])} | "
            f"{rows['ratio'].min():.3f} | {to_95} | {price['ms_per_update']:.1f} | "
            f"{price['bytes_per_trial']:,.0f} |"
        )
    return "\n".join(lines)


def _compared_table(learned: pd.DataFrame) -> str:
    tasks = [task for task in TASKS if (learned["task"] == task).any()]
    lines = ["| difference | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
    ratios = learned.pivot(index=["task", "seed"], columns="strategy", values="ratio")
    for better, other in COMPARED:
        cells = []
        for task in tasks:
            cells.append(_difference(ratios.loc[task][better] - ratios.loc[task][other]))
        names = f"{LABELS.get(better, better)} minus {LABELS.get(other, other)}"
        lines.append(f"| {names} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _difference(values: pd.Series) -> str:
    """Mean and half of the 95 % interval, bold where the interval excludes 0."""
    values = values.dropna()
    half = stats.t.ppf(0.975, max(len(values) - 1, 1)) * values.sem()
    return f"**{_interval(values)}**" if abs(values.mean()) > half else _interval(values)


def _order_table(stale: pd.DataFrame) -> str:
    tasks = [task for task in TASKS if (stale["task"] == task).any()]
    lines = ["| difference | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
    first = stale[stale["position"] == "first"]
    for name, label in (("dQ", "dQ"), ("dQ_from_start", "from the start")):
        found = first.pivot(index=["task", "seed"], columns="start", values=name)
        for more, less in ORDER:
            cells = [_difference(found.loc[task][more] - found.loc[task][less]) for task in tasks]
            lines.append(f"| {label}: {more} minus {less} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _stale_table(stale: pd.DataFrame) -> str:
    lines = ["| task | start | seeds | dQ first | dQ last | from the start, first | last |"]
    lines.append("|---" * 7 + "|")
    for (task, start), rows in stale.groupby(["task", "start"], sort=False):
        cells = [
            _interval(rows[rows["position"] == position][name])
            for name in ("dQ", "dQ_from_start")
            for position in ("first", "last")
        ]
        seeds = rows["seed"].nunique()
        lines.append(f"| {task} | {start} | {seeds} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(learned: pd.DataFrame, stale: pd.DataFrame) -> Figure:
    """Above: accuracy of each run; below: staleness by starting state."""
    tasks = [task for task in TASKS if (learned["task"] == task).any()]
    figure = plotting.new_figure(3.6 * len(tasks), 5.6)
    axes = figure.subplots(2, len(tasks), squeeze=False)
    for (top, bottom), task in zip(axes.T, tasks, strict=True):
        for x, strategy in enumerate(STRATEGIES):
            here = (learned["task"] == task) & (learned["strategy"] == strategy)
            ratios = learned[here]["ratio"]
            if ratios.empty:
                continue
            shift = np.linspace(-0.15, 0.15, len(ratios)) if len(ratios) > 1 else 0
            color = "#0072B2" if strategy.startswith("trial") else "#555555"
            top.plot(x + shift, ratios, "o", ms=4, color=color, alpha=0.8)
            top.hlines(ratios.mean(), x - 0.3, x + 0.3, color=color, lw=2)
        top.set(ylim=(-0.03, 1.05), title=task)
        top.set_xticks(range(len(STRATEGIES)), [LABELS.get(s, s) for s in STRATEGIES])
        for i, position in enumerate(("first", "last")):
            for x, start in enumerate(STARTS):
                here = (stale["task"] == task) & (stale["start"] == start)
                dQ = stale[here & (stale["position"] == position)]["dQ"]
                where = x + 0.36 * i - 0.18
                label = f"{position} trained step" if x == 0 else None
                bottom.bar(where, dQ.mean(), 0.34, color=COLORS[position], label=label)
                bottom.plot([where] * len(dQ), dQ, "_", color="black", ms=5)
        bottom.set_xticks(range(len(STARTS)), STARTS)
        for ax in (top, bottom):
            ax.tick_params(axis="x", rotation=35)
            for text in ax.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
    axes[0, 0].set_ylabel("accuracy / ideal observer's")
    axes[1, 0].set_ylabel("$\\Delta Q$ (relative)")
    axes[1, 0].legend()
    figure.subplots_adjust(left=0.08, right=0.99, top=0.94, bottom=0.17, hspace=0.62, wspace=0.2)
    return figure


if __name__ == "__main__":
    main()
