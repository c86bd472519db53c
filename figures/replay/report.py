"""The table and the figure of the study, from its saved runs: `python figures/replay/report.py`.

Writes README.md, table.csv and replay.svg and replay.png beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from study import BURN_IN, LONG_WINDOW, STRATEGIES, TASKS, WINDOW, all_runs, costs

from mpn_lab import plotting
from mpn_lab.analysis import by_position, staleness

HERE = Path(__file__).parent
COLORS = dict(
    zip(STRATEGIES, ("#0072B2", "#E69F00", "#999999", "#555555", "#56B4E9", "#009E73"), strict=True)
)
LABELS = {"trial": "whole trials", "transition": "transitions"}


def main() -> None:
    runs = all_runs()
    table = pd.DataFrame([_row(*run) for run in runs])
    table.round(5).to_csv(HERE / "table.csv", index=False)
    prices = {
        (task, strategy): costs(task, strategy)
        for task, strategy in table[["task", "strategy"]].drop_duplicates().itertuples(index=False)
    }
    text = [_INTRODUCTION, _learned(table, prices), _STALE, _stale(table)]
    (HERE / "README.md").write_text("\n\n".join(text) + "\n")
    with plotting.style():
        figure = _figure(table)
        for kind in ("svg", "png"):
            figure.savefig(HERE / f"replay.{kind}", dpi=200)


def _row(task: str, strategy: str, seed: int, run: Any, result: dict[str, Any]) -> dict[str, Any]:
    """What was reached, and how stale states are in this run's last quarter."""
    row = {"task": task, "strategy": strategy, "seed": seed, **result}
    if strategy == "transition":
        return row
    window = WINDOW.get(task, LONG_WINDOW)
    kept = [n for n in run.checkpoints if n >= run.checkpoints[-1] * 0.7 and n in _lived(run)]
    lens = staleness(run, kept[0], window=window, burn_in=BURN_IN[window], states=False)
    means = by_position(lens).isel(age=-1)
    for name in means.strategy.values:
        for position in ("first", "last"):
            value = means.dQ.sel(strategy=name, position=position)
            row[f"dQ {position}, {name.split(' burn-in')[0] if ', ' in name else name}"] = float(
                value
            )
    row["age"] = int(means.age)
    return row


def _lived(run: Any) -> set[int]:
    return {int(p.stem.split("_")[1]) for p in (run.path / "lived").glob("trial_*.safetensors")}


def _interval(values: np.ndarray) -> str:
    """Mean and half of the 95 % interval over seeds (Student's t)."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return f"{values.mean():.3f}"
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f"{values.mean():.3f} ± {half:.3f}"


def _learned(table: pd.DataFrame, prices: dict[tuple[str, str], dict[str, float]]) -> str:
    lines = [
        "| task | replay | accuracy / ideal | worst seed | trials to 95 % | ms an update | "
        "bytes a trial |",
        "|---" * 7 + "|",
    ]
    for task in TASKS:
        for strategy in STRATEGIES:
            rows = table[(table.task == task) & (table.strategy == strategy)]
            if rows.empty:
                continue
            reached = rows.trials_to_95.dropna()
            to_95 = f"{reached.median():,.0f}" if len(reached) else "never"
            if 0 < len(reached) < len(rows):
                to_95 += f" ({len(reached)} of {len(rows)})"
            price = prices[task, strategy]
            lines.append(
                f"| {task} | {LABELS.get(strategy, strategy)} | {_interval(rows.ratio)} | "
                f"{rows.ratio.min():.3f} | {to_95} | {price['ms_per_update']:.1f} | "
                f"{price['bytes_per_trial']:,.0f} |"
            )
    return "\n".join(lines)
