"""Is the state worth carrying from trial to trial? A reversal bandit, five seeds, three ways.

"mpn_lab/ReversalBandit-v0", whose better arm only the memory of earlier trials tells, with the
state reset before every trial, before every episode of 5 or 25 trials, and never (in 5 environments
or 1, whose trials are replayed by 5 or 25); default configuration otherwise. Each run is evaluated
on 5,000 fresh greedy trials, its state reset or carried as in its training, from M_0 on. One run at
a time, one thread. Safe to interrupt: finished runs stay in runs/carried, and the others
resume. Writes results/carried.csv and prints means and paired tests.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from scipy import stats

from mpn_lab import TrainConfig, resume, train
from mpn_lab.training.horizon import resolve_defaults

TASK = "mpn_lab/ReversalBandit-v0"
WAYS = (
    ("trial", 1),
    ("episode", 5),
    ("episode", 25),
    ("never", 5),
    ("never", 25),
)  # and by how many
SEEDS = range(5)
RUNS, OUT = Path("runs/carried"), Path(__file__).parent / "results" / "carried.csv"


def one(reset_state: str, trials_per_episode: int, seed: int) -> dict:
    config = resolve_defaults(
        TrainConfig(
            task=TASK,
            reset_state=reset_state,  # type: ignore[arg-type]
            trials_per_episode=trials_per_episode,
            seed=seed,
        )
    )
    path = RUNS / f"{reset_state}-{trials_per_episode}-seed{seed}"
    exists = (path / "config.json").exists()
    run = resume(path, progress=False) if exists else train(config, path, progress=False)
    if run.config != config:
        raise SystemExit(f"{path} was made with another configuration; move it away and run again.")
    result = run.evaluate(trials=5_000, seed=1)
    print(f"{path.name}: {result.accuracy:.4f} of {result.ideal_accuracy:.4f}", flush=True)
    return {
        "reset_state": reset_state,
        "trials_per_episode": trials_per_episode,
        "seed": seed,
        "accuracy": result.accuracy,
        "ideal_accuracy": result.ideal_accuracy,
        "mean_return": result.mean_return,
    }


def main() -> None:
    torch.set_num_threads(1)
    table = pd.DataFrame([one(way, k, seed) for seed in SEEDS for way, k in WAYS])
    OUT.parent.mkdir(exist_ok=True)
    table.round(4).to_csv(OUT, index=False)
    keys = ["reset_state", "trials_per_episode"]
    by_way = table.pivot(index="seed", columns=keys, values="accuracy")
    ideal = table.groupby(keys)["ideal_accuracy"].mean()
    print("\n| state reset | by | mean accuracy | worst seed | ideal observer | gain | paired p |")
    print("|---|---|---|---|---|---|---|")
    for way in WAYS:
        accuracy, gain = by_way[way], by_way[way] - by_way[WAYS[0]]
        row = f"| {way[0]} | {way[1]} | {accuracy.mean():.3f} | {accuracy.min():.3f} | "
        row += f"{ideal[way]:.3f} | "
        if way == WAYS[0]:
            print(row + "| |")
            continue
        p = stats.ttest_rel(by_way[way], by_way[WAYS[0]]).pvalue
        print(row + f"{gain.mean():+.3f} | {p:.1e} |")


if __name__ == "__main__":
    main()
