"""The README's table: four tasks, five seeds each, beside the ideal observer.

Default configuration; each run is evaluated on 5,000 fresh greedy trials. Two runs at a time, one
thread each. Safe to interrupt: finished runs stay in runs/accuracy, and the others resume.
Writes results/accuracy.csv and prints the table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from mpn_lab import TrainConfig, resume, train
from mpn_lab.training.horizon import resolve_defaults

CUED = {"use_expl_context": True}
TASKS = (
    ("DelayMatchSample-v0", {}, 2_500),
    ("PerceptualDecisionMaking-v0", {}, 12_000),
    ("ContextDecisionMaking-v0", {}, 15_000),
    ("ContextDecisionMaking-v0", CUED, 25_000),
)
SEEDS = range(5)
RUNS, OUT = Path("runs/accuracy"), Path(__file__).parent / "results" / "accuracy.csv"


def one(task: str, kwargs: dict, trials: int, seed: int) -> dict:
    torch.set_num_threads(1)
    config = resolve_defaults(TrainConfig(task=task, task_kwargs=kwargs, trials=trials, seed=seed))
    path = RUNS / f"{task}{'-cued' if kwargs else ''}-seed{seed}"
    exists = (path / "config.json").exists()
    run = resume(path, progress=False) if exists else train(config, path, progress=False)
    if run.config != config:
        raise SystemExit(f"{path} was made with another configuration; move it away and run again.")
    result = run.evaluate(trials=5_000, seed=1)
    print(f"{path.name}: ratio {result.ratio:.4f}", flush=True)
    named = {"task": task + (" (cued)" if kwargs else ""), "trials": trials, "seed": seed}
    return named | {
        "accuracy": result.accuracy,
        "ideal_accuracy": result.ideal_accuracy,
        "ratio": result.ratio,
    }


def main() -> None:
    jobs = [delayed(one)(*task, seed) for task in TASKS for seed in SEEDS]
    table = pd.DataFrame(Parallel(n_jobs=2)(jobs))
    OUT.parent.mkdir(exist_ok=True)
    table.round(4).to_csv(OUT, index=False)
    print("\n| task | trials | " + " | ".join(f"seed {s}" for s in SEEDS) + " | worst | median |")
    print("|---" * (4 + len(SEEDS)) + "|")
    for (task, trials), rows in table.groupby(["task", "trials"], sort=False):
        ratios = rows["ratio"].to_numpy()
        cells = [f"{r:.3f}" for r in (*ratios, ratios.min(), np.median(ratios))]
        print(f"| {task} | {trials:,} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
