"""What the panels of TrainingMonitor show of the tables of metrics."""

from __future__ import annotations

import math
from typing import Any

from mpn_lab.plotting.training import core_columns, has_column

Table = dict[str, list[float]]
_OF_LOOP = {
    "dqn": ("TD loss", "mean Huber loss", "exploring", "which explore"),
    "supervised": ("cross-entropy", "nats per step", "expert", "of the expert"),
    "both": ("loss", "mean over steps", "trained on", "which explore, or of the expert"),
}


def score(table: Table, trials: int | None = None) -> str:
    """Say how far a training is: its accuracy of the ideal one, or its return, after trials."""
    if not table["trials"]:
        return "no row yet"
    row = {name: values[-1] for name, values in table.items()}
    words = f"accuracy {row['accuracy']:.3f}"
    if math.isnan(row["accuracy"]):  # then the return is the measure
        words = f"return {row['mean_return']:.3g}"
    elif not math.isnan(row["ideal_accuracy"]):
        words += f" of {row['ideal_accuracy']:.3f}"
    if trials is None:
        return f"{words} after {row['trials']:.0f} trials"
    return f"{words} after {row['trials']:,.0f} of {trials:,} trials"


def panels_of(tables: list[Table], loops: set[str]) -> list[dict[str, Any]]:
    """Choose the panels for which a table has data, with what each line is; the loss is always one.

    Each is a title, the unit of its axis, a hint, its lines (column and name), and how its axis is
    scaled.
    """
    loss, unit_of_loss, trained_on, of = _OF_LOOP[loops.pop() if len(loops) == 1 else "both"]
    reported = list(dict.fromkeys(name for table in tables for name in core_columns(table)))
    of_mpn = {"eta": "η", "lam": "λ"}
    panels = [
        (
            "accuracy",
            "share of trials",
            "The share of evaluated trials whose response is correct; the ideal observer has the "
            "same observations",
            [("accuracy", "network"), ("ideal_accuracy", "ideal observer")],
            "share",
        ),
        (
            "trial return",
            "reward per trial",
            "The mean sum of rewards of a trial: of evaluated trials, whose actions are greedy, "
            f"and of the trials trained on, {of}",
            [("mean_return", "greedy"), ("train_return", trained_on)],
            "linear",
        ),
        (
            loss,
            unit_of_loss,
            "The loss, a mean over the updates since the last row",
            [("loss", "loss")],
            "log",
        ),
        (
            "plasticity" if set(reported) <= set(of_mpn) else "core metrics",
            "mean over synapses" if set(reported) <= set(of_mpn) else "value",
            "What the core reports of itself; for an MPN the means of η and λ over its synapses",
            [(name, of_mpn.get(name, name)) for name in reported],
            "linear",
        ),
        (
            "exploration ε",
            "probability",
            "The probability of a random action",
            [("epsilon", "ε")],
            "share",
        ),
    ]
    return [
        {
            "title": title,
            "unit": unit,
            "hint": hint,
            "lines": [
                {"column": column, "name": name, "ideal": column == "ideal_accuracy"}
                for column, name in lines
                if _filled(tables, column)
            ],
            "scale": scale,
        }
        for title, unit, hint, lines, scale in panels
        if lines and (scale == "log" or _filled(tables, lines[0][0]))
    ]


def _filled(tables: list[Table], column: str) -> bool:
    return any(has_column(table, column) for table in tables)
