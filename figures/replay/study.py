"""Every replay strategy on three tasks, five seeds each: what is run, and what is measured of it.

Equal numbers of trials and of updates; in the short tasks also of trained steps in an update, as
near as whole windows go. Runs are kept in runs/replay and resumed; each leaves `result.json` beside
its checkpoints. `python figures/replay/study.py [processes [task]]` runs what is missing.
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

from mpn_lab import Run, TrainConfig, load_run, resume, train
from mpn_lab.training.config import SequenceConfig
from mpn_lab.training.evaluate import make_envs
from mpn_lab.training.experience import Experience
from mpn_lab.training.learner import Learner

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
WINDOW = {"DelayMatchSample": 6, "ContextDecisionMaking, cued": 6}  # a quarter of a trial
LONG_WINDOW = 40  # and in the long one, too
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


def config_of(task: str, strategy: str, seed: int) -> TrainConfig:
    """What a strategy is: the default configuration with another replay."""
    window = WINDOW.get(task, LONG_WINDOW)
    options: dict[str, Any] = {}
    if strategy == "transition":
        many = 1_536 if task in WINDOW else 512  # as many as whole trials have, or what time allows
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


def one(task: str, strategy: str, seed: int) -> None:
    """Train, or go on with, one run and write down how good it is."""
    torch.set_num_threads(1)
    path = folder(task, strategy, seed)
    if (path / "result.json").exists():
        return
    exists = (path / "config.json").exists()
    config = config_of(task, strategy, seed)
    run = resume(path, progress=False) if exists else train(config, path, progress=False)
    found = run.evaluate(trials=2_000, seed=1)
    result = {"accuracy": found.accuracy, "ideal": found.ideal_accuracy, "ratio": found.ratio}
    result["trials_to_95"] = _trials_to(run.metrics, 0.95)
    (path / "result.json").write_text(json.dumps(result) + "\n")
    print(f"{path.name}: ratio {found.ratio:.3f}", flush=True)


def _trials_to(metrics: pd.DataFrame, share: float) -> int | None:
    """Trials lived when the greedy accuracy first is this share of the ideal observer's."""
    there = metrics["trials"][metrics["accuracy"] >= share * metrics["ideal_accuracy"]]
    return None if there.empty else int(there.iloc[0])


def costs(task: str, strategy: str) -> dict[str, float]:
    """Seconds per update and bytes per stored trial, on 500 trials lived by a new network."""
    torch.set_num_threads(1)
    run = load_run(folder(task, strategy, 0))
    learner = Learner(run.config, run.obs_size, run.n_actions)
    experience = Experience(run.config, learner.network, run.n_actions, (0,))
    envs = make_envs(run.config.task, run.config.task_kwargs, 50, (0,))
    rng = np.random.default_rng(0)
    for _ in range(10):
        experience.live(envs, learner.network, 1.0, rng)
    times = []
    for _ in range(25):
        begun = time.perf_counter()
        learner.update(experience.sample(), 1e-3)
        times.append(time.perf_counter() - begun)
    return {
        "ms_per_update": 1e3 * float(np.median(times[5:])),
        "bytes_per_trial": experience.bytes_per_trial,
    }


def all_runs() -> list[tuple[str, str, int, Run, dict[str, Any]]]:
    """Task, strategy, seed, run and result of all that are finished."""
    found = []
    for task in TASKS:
        for strategy in STRATEGIES:
            for seed in SEEDS:
                path = folder(task, strategy, seed)
                if (path / "result.json").exists():
                    result = json.loads((path / "result.json").read_text())
                    found.append((task, strategy, seed, load_run(path), result))
    return found


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    tasks = [task for task in TASKS if len(sys.argv) < 3 or sys.argv[2] in task]
    order = [(t, s, seed) for t in tasks for seed in SEEDS for s in STRATEGIES]
    Parallel(n_jobs=jobs)(delayed(one)(*job) for job in order)


if __name__ == "__main__":
    main()
