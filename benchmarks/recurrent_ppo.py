"""Trial replay beside sb3-contrib's RecurrentPPO (LSTM 64) on DelayMatchSample-v0.

Both learn from the same `TrialEnv`, in one process, on one thread, taking turns in slices of
trials, so that whatever else the machine does falls on both. Counted are the environment steps a
second of training (collection and updates) and the seconds of training until `GOAL` of
`TRIALS` greedy validation trials are correct; validation itself is not counted.

Needs the extra `bench` (sb3-contrib). Takes some minutes. Writes results/recurrent_ppo.csv.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv
from tqdm import tqdm

from mpn_lab import TrainConfig, TrialEnv
from mpn_lab.tasks.rollout import make_envs, rollout, seed_envs
from mpn_lab.training.dqn import DQNTrainer

TASK, GOAL, TRIALS, SLICE = "DelayMatchSample-v0", 0.98, 300, 250
VALIDATION_STREAM = (12345,)


class Ours:
    """The default configuration."""

    name = "MPN-DQN, trial replay"

    def __init__(self, seed: int) -> None:
        config = TrainConfig(task=TASK, seed=seed, eval_freq=SLICE, eval_trials=1)
        self.trainer = DQNTrainer(config)
        self.run = self.trainer.create_run(False, "")
        self.bar = tqdm(disable=True)
        self.most = config.trials

    def slice(self) -> None:
        self.trainer.advance(self.bar, self.run)

    def counts(self) -> tuple[int, int]:
        return self.trainer.trials, self.trainer.env_steps

    def correct(self, envs: list[TrialEnv]) -> float:
        trials = rollout(envs, self.trainer.learner.network, TRIALS)
        return float(np.mean([trial.performance for trial in trials]))


class _UntilTrials(BaseCallback):
    """Stops `learn` once so many more trials have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.trials, self.stop_at = 0, 0

    def _on_step(self) -> bool:
        self.trials += int(np.sum(self.locals["dones"]))
        return True

    def _on_rollout_end(self) -> None:
        self.finished = self.trials >= self.stop_at


class Theirs:
    """RecurrentPPO with an LSTM of 64 units, 8 environments, learning rate 1e-3."""

    name = "RecurrentPPO, LSTM 64"
    most = 10_000

    def __init__(self, seed: int) -> None:
        envs = DummyVecEnv([lambda i=i: TrialEnv(TASK, seed=1000 * seed + i) for i in range(8)])
        self.model = RecurrentPPO(
            "MlpLstmPolicy",
            envs,
            n_steps=128,
            batch_size=128,
            learning_rate=1e-3,
            policy_kwargs={"lstm_hidden_size": 64},
            seed=seed,
            device="cpu",
        )
        self.callback = _UntilTrials()

    def slice(self) -> None:
        end = self.callback.trials + SLICE
        while self.callback.trials < end:  # one rollout and its updates at a time
            self.model.learn(8 * 128, callback=self.callback, reset_num_timesteps=False)

    def counts(self) -> tuple[int, int]:
        return self.callback.trials, self.model.num_timesteps

    def correct(self, envs: list[TrialEnv]) -> float:
        performance: list[float] = []
        while len(performance) < TRIALS:
            obs = np.stack([env.reset()[0] for env in envs])
            active, state, start = list(range(len(envs))), None, np.ones(len(envs), bool)
            while active:
                # every environment stays in the batch; those whose trial is over are not stepped
                action, state = self.model.predict(obs, state, start, deterministic=True)
                start[:] = False
                for i in list(active):
                    obs[i], _, ended, _, info = envs[i].step(int(action[i]))
                    if ended:
                        active.remove(i)
                        performance.append(info["performance"])
        return float(np.mean(performance[:TRIALS]))


def main(seed: int = 0) -> None:
    torch.set_num_threads(1)
    warm_up = Ours(seed)  # compiles the kernels
    warm_up.slice()
    runs, rows = [Ours(seed), Theirs(seed)], []
    validation = make_envs(TASK, {}, 100, VALIDATION_STREAM)
    seconds, reached = {run.name: 0.0 for run in runs}, {}
    while any(run.name not in reached for run in runs):
        for run in runs:
            if run.name in reached:
                continue
            start = time.perf_counter()
            run.slice()
            seconds[run.name] += time.perf_counter() - start
            seed_envs(validation, VALIDATION_STREAM)
            accuracy = run.correct(validation)
            trials, steps = run.counts()
            rate = steps / seconds[run.name]
            rows.append([run.name, trials, steps, seconds[run.name], rate, accuracy])
            print(f"{run.name:24} {trials:6} trials {seconds[run.name]:7.1f} s "
                  f"{rate:8.0f} steps/s  accuracy {accuracy:.3f}", flush=True)  # fmt: skip
            if accuracy >= GOAL or trials >= run.most:
                reached[run.name] = (seconds[run.name], rate, accuracy)
    columns = ["run", "trials", "env_steps", "seconds", "steps_per_second", "accuracy"]
    out = Path(__file__).parent / "results"
    out.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=columns).round(3).to_csv(out / "recurrent_ppo.csv", index=False)
    (our_time, our_rate, ours), (their_time, their_rate, theirs) = (reached[r.name] for r in runs)
    print(f"environment steps a second: {our_rate / their_rate:.1f} times theirs")
    print(f"time to accuracy {GOAL}: {our_time / their_time:.3f} of theirs "
          f"({our_time:.1f} s at {ours:.3f}, {their_time:.1f} s at {theirs:.3f})")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
