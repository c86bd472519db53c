"""Every replay strategy on three tasks, five seeds each: what is trained, and what is measured.

All have the same number of trials and of updates; in the short tasks also, as nearly as whole
windows allow, of trained steps in an update. Runs are in runs/replay and are resumed; each leaves
`result.json` beside its checkpoints.

`python -m figures.replay.study [processes [task]]` trains what is missing, and writes `runs.csv`,
`staleness.csv` and `costs.csv` beside this file once all runs are finished.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from mpn_lab import Run, TrainConfig, load_run, resume, staleness, train
from mpn_lab.analysis import by_position
from mpn_lab.tasks.rollout import make_envs
from mpn_lab.training.config import SequenceConfig
from mpn_lab.training.experience import Experience
from mpn_lab.training.learner import DQNLearner

HERE = Path(__file__).parent
RUNS = Path("runs/replay")
SEEDS = range(5)
TASKS: dict[str, dict[str, Any]] = {
    "DelayMatchSample": {"task": "DelayMatchSample-v0", "trials": 2_500},
    "ContextDecisionMaking, cued": {
        "task": "ContextDecisionMaking-v0",
        "task_kwargs": {"use_expl_context": True},
        "trials": 5_000,
    },
    "DelayMatchSample, dt = 20 ms": {
        "task": "DelayMatchSample-v0",
        "task_kwargs": {"dt": 20},
        "trials": 2_500,
    },
}
WINDOW = {name: 6 for name in TASKS} | {"DelayMatchSample, dt = 20 ms": 40}  # a quarter of a trial
BURN_IN = {6: 4, 40: 20}
STRATEGIES = (
    "trial",
    "trial, truncated",  # the gradient cut where windows are cut: states and returns as in `trial`
    "transition",
    "zero",
    "zero, burn-in",
    "stored",
    "stored, burn-in",
    "replayed",
)


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    tasks = [task for task in TASKS if len(sys.argv) < 3 or sys.argv[2] in task]
    order = [(t, s, seed) for t in tasks for seed in SEEDS for s in STRATEGIES]
    Parallel(n_jobs=jobs)(delayed(train_one)(*job) for job in order)
    if all((folder(t, s, seed) / "result.json").exists() for t, s, seed in all_jobs()):
        write_tables()


def all_jobs() -> list[tuple[str, str, int]]:
    """(task, strategy, seed) of all runs."""
    return [(task, strategy, seed) for task in TASKS for strategy in STRATEGIES for seed in SEEDS]


def config_of(task: str, strategy: str, seed: int) -> TrainConfig:
    """The configuration of a strategy: the default one with another replay."""
    window = WINDOW[task]
    options: dict[str, Any] = {}
    if strategy == "transition":
        many = 1_536 if window == 6 else 512  # as many as whole trials have, or what time allows
        options = {"replay": "transition", "batch_size": many}
    elif strategy == "trial, truncated":
        options = {"backprop": "truncated", "chunk": window}
    elif strategy != "trial":
        start, _, burn_in = strategy.partition(", ")
        sequence = SequenceConfig(
            window=window, start=start, burn_in=BURN_IN[window] if burn_in else 0
        )
        options = {"replay": "sequence", "sequence": sequence, "batch_size": 256}
    return TrainConfig(**TASKS[task], seed=seed, store_trials=10, eval_freq=250, **options)


def folder(task: str, strategy: str, seed: int) -> Path:
    """Where a run is."""
    name = f"{task}-{strategy}-seed{seed}"
    for old, new in ((", ", "-"), (" = ", ""), (" ", "-")):
        name = name.replace(old, new)
    return RUNS / name


def train_one(task: str, strategy: str, seed: int) -> None:
    """Train one run, or go on with it, and write down how well it does."""
    path = folder(task, strategy, seed)
    if (path / "result.json").exists():
        return
    exists = (path / "config.json").exists()
    config = config_of(task, strategy, seed)
    run = resume(path, progress=False) if exists else train(config, path, progress=False)
    greedy = run.evaluate(trials=2_000, seed=1)
    result = {"accuracy": greedy.accuracy, "ideal": greedy.ideal_accuracy, "ratio": greedy.ratio}
    result["trials_to_95"] = trials_to(run.metrics, 0.95)
    (path / "result.json").write_text(json.dumps(result) + "\n")
    print(f"{path.name}: ratio {greedy.ratio:.3f}", flush=True)


def trials_to(metrics: pd.DataFrame, share: float) -> int | None:
    """Trials collected when the greedy accuracy first is this share of the ideal observer's."""
    there = metrics["trials"][metrics["accuracy"] >= share * metrics["ideal_accuracy"]]
    return None if there.empty else int(there.iloc[0])


def write_tables() -> None:
    """Write runs.csv, staleness.csv and costs.csv."""
    results, stale = [], []
    for task, strategy, seed in all_jobs():
        path = folder(task, strategy, seed)
        result = json.loads((path / "result.json").read_text())
        results.append({"task": task, "strategy": strategy, "seed": seed, **result})
        if strategy == "trial":
            rows = measure_staleness(load_run(path), WINDOW[task])
            stale += [{"task": task, "seed": seed, **row} for row in rows]
    costs = [
        {"task": task, "strategy": strategy, **measure_costs(load_run(folder(task, strategy, 0)))}
        for task in TASKS
        for strategy in STRATEGIES
    ]
    for name, rows in (("runs", results), ("staleness", stale), ("costs", costs)):
        pd.DataFrame(rows).round(5).to_csv(HERE / f"{name}.csv", index=False)


def measure_staleness(run: Run, window: int) -> list[dict[str, Any]]:
    """dQ at both ends of the windows, of trials collected after a quarter of the training."""
    last = run.checkpoints[-1]
    collected_at = next(n for n in run.checkpoints if n >= last // 4)
    burn_in = BURN_IN[window]
    data = staleness(run, collected_at, window=window, burn_in=burn_in, ages=[last], states=False)
    means = by_position(data).isel(age=-1)
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


def measure_costs(run: Run) -> dict[str, float]:
    """ms per update and bytes per stored trial, with 500 trials collected by a new network."""
    torch.set_num_threads(1)
    config = run.config
    learner = DQNLearner(config, run.obs_size, run.n_actions)
    experience = Experience(config, learner.network, run.n_actions, (0,))
    envs = make_envs(config.task, config.task_kwargs, 50, (0,))
    rng = np.random.default_rng(0)
    for _ in range(10):
        experience.collect(envs, learner.network, 1.0, rng)
    times = []
    for _ in range(25):
        begun = time.perf_counter()
        learner.update(experience.sample(), 1e-3)
        times.append(time.perf_counter() - begun)
    return {
        "ms_per_update": 1e3 * float(np.median(times[5:])),
        "bytes_per_trial": experience.bytes_per_trial,
    }


if __name__ == "__main__":
    main()
