"""Is the state worth carrying from trial to trial? A reversal bandit, five seeds, three ways.

"mpn_lab/ReversalBandit-v0", whose better arm only the memory of earlier trials tells, with the
state reset before every trial, before every episode of 25 trials, and never; default configuration
otherwise. Each run is evaluated on 5,000 fresh greedy trials, its state reset or carried as in its
training. One run at a time, one thread. Safe to interrupt: what has finished is kept in
runs/carried, and the rest resumes. Writes results/carried.csv and prints means and paired tests.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from scipy import stats

from mpn_lab import TrainConfig, resume, train

TASK = "mpn_lab/ReversalBandit-v0"
WAYS: dict[str, int] = {"trial": 1, "episode": 25, "never": 25}  # trials in an episode
SEEDS = range(5)
RUNS, OUT = Path("runs/carried"), Path(__file__).parent / "results" / "carried.csv"


def one(reset_state: str, trials_per_episode: int, seed: int) -> dict:
    config = TrainConfig(
        task=TASK,
        reset_state=reset_state,  # type: ignore[arg-type]
        trials_per_episode=trials_per_episode,
        seed=seed,
    )
    path = RUNS / f"{reset_state}-seed{seed}"
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
    table = pd.DataFrame([one(way, k, seed) for seed in SEEDS for way, k in WAYS.items()])
    OUT.parent.mkdir(exist_ok=True)
    table.round(4).to_csv(OUT, index=False)
    by_way = table.pivot(index="seed", columns="reset_state", values="accuracy")
    ideal = table.groupby("reset_state")["ideal_accuracy"].mean()
    print(
        "\n| state reset | mean accuracy | worst seed | ideal observer | gain | paired t-test p |"
    )
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        accuracy, gain = by_way[way], by_way[way] - by_way["trial"]
        row = f"| {way} | {accuracy.mean():.3f} | {accuracy.min():.3f} | {ideal[way]:.3f} | "
        if way != "trial":
            p = stats.ttest_rel(by_way[way], by_way["trial"]).pvalue
            row += f"{gain.mean():+.3f} | {p:.1e}"
        else:
            row += " | "
        print(row + " |")


if __name__ == "__main__":
    main()
