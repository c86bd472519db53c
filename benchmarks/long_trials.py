"""Trials of 160 and 250 steps with the default configuration, and what its horizon contributes.

First DelayMatchSample-v0 at dt = 20 ms and PulseDecisionMaking-v0, five seeds each; then with parts
of what follows from the length of the trials set back to what short trials have. Each run is
evaluated on 5,000 fresh greedy trials beside the ideal observer's; `solved` is the trial of its
first row of metrics from which on the accuracy stayed at 0.95 of the ideal observer's or above.

One run at a time, one thread. Safe to interrupt: finished runs stay in runs/long_trials, and the
others resume. Writes results/long_trials.csv after every run and prints the tables.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mpn_lab import Run, TrainConfig, resume, train
from mpn_lab.training.horizon import resolve_defaults

DELAY = {"task": "DelayMatchSample-v0", "task_kwargs": {"dt": 20}, "trials": 8_000}
DELAY_640 = {"task": "DelayMatchSample-v0", "task_kwargs": {"dt": 5}, "trials": 4_000}
PULSE = {"task": "PulseDecisionMaking-v0", "trials": 25_000}
SHORT_LAM = {"core_options": {"lam_max": 0.99}}
SHORT = SHORT_LAM | {"gamma": 0.99, "td_lambda": 0.95}
VARIANTS = {  # name: (what differs from the default configuration, number of seeds)
    "DelayMatchSample-v0, dt = 20 ms": (DELAY, 5),
    "- learning_rate 0.004": (DELAY | {"learning_rate": 4e-3}, 5),
    "- lam_max 0.99": (DELAY | SHORT_LAM, 1),
    "- gamma 0.99": (DELAY | {"gamma": 0.99}, 1),
    "- gamma 0.95": (DELAY | {"gamma": 0.95}, 1),
    "- td_lambda 0.95": (DELAY | {"td_lambda": 0.95}, 1),
    "- one-step targets": (DELAY | {"td_lambda": 0.0}, 1),
    "- all four as in short trials": (DELAY | SHORT | {"learning_rate": 4e-3}, 1),
    "- the same, and one-step targets": (
        DELAY | SHORT | {"learning_rate": 4e-3, "td_lambda": 0.0},
        1,
    ),
    "DelayMatchSample-v0, dt = 5 ms": (DELAY_640, 1),
    "- 5 ms, the horizon of short trials": (DELAY_640 | SHORT, 1),
    "PulseDecisionMaking-v0": (PULSE, 5),
    "- pulses, learning_rate 0.004": (PULSE | {"learning_rate": 4e-3}, 3),
    "- pulses, the horizon of short trials": (PULSE | SHORT, 1),
}
HORIZON = ("gamma", "lam_max", "td_lambda", "learning_rate")
RUNS, OUT = Path("runs/long_trials"), Path(__file__).parent / "results" / "long_trials.csv"


def one(name: str, options: dict, seed: int) -> dict:
    config = resolve_defaults(TrainConfig(**options, seed=seed))
    path = RUNS / f"{re.sub('[^A-Za-z0-9_.]+', '-', name).strip('-')}-seed{seed}"
    exists = (path / "config.json").exists()
    run = resume(path, progress=False) if exists else train(config, path, progress=False)
    if run.config != config:
        raise SystemExit(f"{path} was made with another configuration; move it away and run again.")
    result = run.evaluate(trials=5_000, seed=1)
    return {
        "variant": name,
        "trials": config.trials,
        "seed": seed,
        "gamma": config.gamma,
        "lam_max": config.core_options["lam_max"],
        "td_lambda": config.td_lambda,
        "learning_rate": config.learning_rate,
        "accuracy": result.accuracy,
        "ideal_accuracy": result.ideal_accuracy,
        "ratio": result.ratio,
        "solved": solved(run),
    }


def solved(run: Run, goal: float = 0.95) -> float:
    """The trial from which on every row reaches `goal` times the ideal accuracy; nan if none."""
    metrics = run.metrics
    below = np.flatnonzero(metrics.accuracy < goal * metrics.ideal_accuracy)
    first = below[-1] + 1 if len(below) else 0
    return float(metrics.trials.iloc[first]) if first < len(metrics) else math.nan


def main() -> None:
    torch.set_num_threads(1)
    OUT.parent.mkdir(exist_ok=True)
    rows = []
    for name, (options, seeds) in VARIANTS.items():
        for seed in range(seeds):
            rows.append(one(name, options, seed))
            pd.DataFrame(rows).round(4).to_csv(OUT, index=False)
            print(f"{name}, seed {seed}: ratio {rows[-1]['ratio']:.4f}", flush=True)
    table = pd.DataFrame(rows)
    columns = ["", *HORIZON, "trials", "ratio by seed", "solved at trial"]
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for name in VARIANTS:
        some = table[table.variant == name]
        horizon = [f"{some[key].iloc[0]:.4g}" for key in HORIZON]
        ratios = " ".join(f"{ratio:.3f}" for ratio in some.ratio)
        when = ", ".join("never" if math.isnan(t) else f"{t:,.0f}" for t in some.solved)
        print(f"| {name} | {' | '.join(horizon)} | {some.trials.iloc[0]:,} | {ratios} | {when} |")


if __name__ == "__main__":
    main()
