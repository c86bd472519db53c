"""Updates of a whole batch of trials at once beside updates that loop over the trials.

The looping learner computes the same gradient, one trial after the other: each trial's loss,
weighted by its share of the steps, is propagated back, and Adam takes its step at the end.
Both with the compiled kernels and with the plain loop over time.

First the milliseconds of one update of the default training, in one process, in turns, medians.
Then DelayMatchSample-v0 from scratch, by the seconds of training (collection and updates, without
validation) until `GOAL` of 300 greedy validation trials are correct. One thread. The loop over
trials and over time is not trained: its updates alone would take minutes.

Prints and saves results/batching.csv. Takes about a minute.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from kernel import milliseconds
from torch import nn
from tqdm import tqdm

from mpn_lab import TrainConfig, compute_td_loss_trial
from mpn_lab.networks.autograd import plain_loop
from mpn_lab.replay.trials import TrialBatch
from mpn_lab.tasks.rollout import make_envs, rollout
from mpn_lab.training.dqn import DQNTrainer
from mpn_lab.training.learner import DQNLearner

GOAL, SLICE, SEEDS = 0.98, 125, (0, 1, 2)
OUT = Path(__file__).parent / "results"


class Looping(DQNLearner):
    """One trial after the other."""

    def update(self, batch: TrialBatch, learning_rate: float) -> float:
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        lengths, value = batch.mask.sum(1).tolist(), 0.0
        for i, T in enumerate(lengths):
            trial = TrialBatch(*(a[i : i + 1, :T] for a in batch[:5]))
            loss = compute_td_loss_trial(
                self.network, self.target, trial, self.gamma, self.td_lambda
            )
            loss = loss * (T / sum(lengths))
            loss.backward()
            value += float(loss.detach())
        nn.utils.clip_grad_norm_(self.parameters, config.max_grad_norm)
        self.optimizer.step()
        self.network.project_()
        with torch.no_grad():
            torch._foreach_lerp_(self.target_parameters, self.parameters, config.tau)
        self.updates += 1
        return value


class Training:
    """The default training, a slice of trials at a time."""

    def __init__(self, learner: type[DQNLearner], seed: int) -> None:
        self.trainer = DQNTrainer(TrainConfig(seed=seed, eval_freq=SLICE, eval_trials=1))
        self.run = self.trainer.create_run(False, "")
        self.trainer.learner = learner(
            self.trainer.config, self.trainer.obs_size, self.trainer.n_actions
        )
        self.validation = make_envs(self.trainer.config.task, {}, 100, (12345,))
        self.seconds = 0.0

    def until_goal(self) -> float:
        bar = tqdm(disable=True)
        while not self.trainer.finished:
            start = time.perf_counter()
            self.trainer.advance(bar, self.run)
            self.seconds += time.perf_counter() - start
            trials = rollout(self.validation, self.trainer.learner.network, 300)
            if np.mean([trial.performance for trial in trials]) >= GOAL:
                return self.seconds
        return math.nan


def updates(budget: float) -> list[dict]:
    trainer = DQNTrainer(TrainConfig())
    while len(trainer.experience.buffer) < 200:
        trainer.experience.collect(trainer.envs, trainer.learner.network, 0.0, trainer.rng)
    batch = trainer.experience.sample()
    calls = {}
    for over_time, context in (("kernels", nullcontext), ("plain loop", plain_loop)):
        for over_trials, learner in (("batch", DQNLearner), ("loop", Looping)):
            learns = learner(trainer.config, trainer.obs_size, trainer.n_actions)

            def call(context=context, learns=learns) -> None:
                with context():
                    learns.update(batch, 1e-3)

            calls[over_trials, over_time] = call
    ms = milliseconds(calls, budget)
    return [
        {"what": "one update", "trials": trials, "time": over_time, "ms": value}
        for (trials, over_time), value in ms.items()
    ]


def main() -> None:
    torch.set_num_threads(1)
    rows = updates(10.0)
    best = rows[0]["ms"]
    for row in rows:
        print(f"one update, trials by {row['trials']:5}, time by {row['time']:10}: "
              f"{row['ms']:8.2f} ms, {row['ms'] / best:6.1f}x", flush=True)  # fmt: skip
    for seed in SEEDS:
        for name, learner in (("batch", DQNLearner), ("loop", Looping)):
            seconds = Training(learner, seed).until_goal()
            rows.append({"what": f"to {GOAL}, seed {seed}", "trials": name, "time": "kernels"})
            rows[-1]["ms"] = 1e3 * seconds
            print(
                f"to accuracy {GOAL}, seed {seed}, trials by {name:5}: {seconds:6.2f} s", flush=True
            )
    OUT.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(OUT / "batching.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
