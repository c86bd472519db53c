"""Deep Q-learning by replaying whole trials: live trials, store them whole, replay them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.training.evaluate import live_trials, lockstep, make_envs, seed_envs, summarise
from mpn_lab.training.experience import Experience
from mpn_lab.training.learner import Learner
from mpn_lab.training.stored_trials import save_lived
from mpn_lab.training.horizon import with_reach
from mpn_lab.training.trainer import OnRow, Row, Training, plasticity
from mpn_lab.training.run import Run, load_run
from mpn_lab.training.supervised import Supervision

_TRAIN, _VALIDATE, _EXPLORE, _REPLAY = range(4)  # independent streams of one seed


def train(
    config: TrainConfig,
    out: str | Path | None = None,
    *,
    progress: bool = True,
    on_row: OnRow | None = None,
) -> Run:
    """Train a network into a new run folder.

    The metrics have one row per `eval_every` trials:

    - `trials`, `env_steps`, `updates`: so far;
    - `epsilon`, `learning_rate`: at the row;
    - `loss`: mean of the updates since the last row; nan where there was none;
    - `train_return`: mean sum of rewards of the explored trials since the last row;
    - `accuracy`, `mean_return`: of `eval_trials` greedy trials, the same ones for every row;
    - `ideal_accuracy`: the ideal observer's on those trials, nan where there is none;
    - `eta`, `lam`: means of the MPN's, nan for other cores.

    Args:
        config: what to train.
        out: the folder of the run, new or empty; None: runs/TASK-seedN.
        progress: show a progress bar on standard error.
        on_row: called with every new row of the metrics.

    Raises:
        ValueError: a task that cannot be trained.
        RunError: a folder that is in use or cannot be written, or a loss that is not finite (the
            last good checkpoint is kept).
    """
    loop = _Loop(config)
    out = Path("runs") / f"{config.task}-seed{config.seed}" if out is None else Path(out)
    run = Run.create(out, loop.config, len(loop.envs[0].channels), loop.n_actions)
    return loop.go(run, progress, on_row)


def resume(path: str | Path, *, progress: bool = True, on_row: OnRow | None = None) -> Run:
    """Go on with a run from its last checkpoint, to exactly where it would have ended unbroken.

    Takes runs of `train` and of `train_supervised`.

    Raises:
        RunError: there is no run, or its files are damaged or belong to another one.
    """
    run = load_run(path)
    run.prepare_to_resume()
    loop: Training
    if isinstance(run.config, SupervisedConfig):
        loop = Supervision(run.config)
    else:
        loop = _Loop(run.config)
    loop.restore(run.path)
    return loop.go(run, progress, on_row)


class _Loop(Training):
    """The state of a training and the steps that advance it."""

    config: TrainConfig
    learner: Learner

    def __init__(self, config: TrainConfig) -> None:
        self.config = config = with_reach(config)
        seed, kwargs = config.seed, config.task_kwargs
        n = min(config.trials_per_round, config.eval_every) // config.trials_per_episode
        self.envs = make_envs(config.task, kwargs, n, (seed, _TRAIN))
        self.carry = config.reset_state, config.trials_per_episode
        n = lockstep(config.eval_trials, 100, *self.carry)
        self.validation = make_envs(config.task, kwargs, n, (seed, _VALIDATE))
        self.n_actions = len(self.envs[0].actions)
        self.learner = Learner(config, len(self.envs[0].channels), self.n_actions)
        self.experience = Experience(
            config, self.learner.network, self.n_actions, seed=(seed, _REPLAY)
        )
        self.explore = np.random.default_rng((seed, _EXPLORE))
        self.trials = self.env_steps = 0
        self.rows: list[Row] = []

    def until_next_row(self, bar: tqdm, run: Run) -> Row:
        """Live and learn up to the next multiple of `eval_every` trials."""
        config, learner = self.config, self.learner
        end = min(config.trials, (self.trials // config.eval_every + 1) * config.eval_every)
        # Seeded afresh after every checkpoint, so that a checkpoint needs nothing of the tasks.
        seed_envs(self.envs, (config.seed, _TRAIN, self.trials))
        losses: list[float] = []
        returns: list[float] = []
        while self.trials < end:
            envs = self.envs[: (end - self.trials) // config.trials_per_episode]
            lived = self.experience.live(envs, learner.network, self.epsilon(), self.explore)
            if config.keep_lived and self.rows and self.trials == self.rows[-1]["trials"]:
                save_lived(run.path, self.trials, lived[: config.keep_lived], learner.network)
            self.trials += len(lived)
            self.env_steps += sum(len(trial) for trial in lived)
            returns += [float(trial.reward.sum()) for trial in lived]
            if self.trials >= config.warmup_trials and self.experience.is_enough:
                for _ in range(config.updates_per_round):
                    batch = self.experience.sample()
                    losses.append(learner.update(batch, self.learning_rate()))
            bar.update(len(lived))
        return self.row(losses, returns)

    def row(self, losses: list[float], returns: list[float]) -> Row:
        config, network = self.config, self.learner.network
        seed_envs(self.validation, (config.seed, _VALIDATE))
        greedy = live_trials(self.validation, network, config.eval_trials, *self.carry)
        result = summarise(self.validation[0], greedy)
        return {
            "trials": self.trials,
            "env_steps": self.env_steps,
            "updates": self.learner.updates,
            "epsilon": self.epsilon(),
            "learning_rate": self.learning_rate(),
            "loss": float(np.mean(losses)) if losses else math.nan,
            "train_return": float(np.mean(returns)),
            "accuracy": result.accuracy,
            "ideal_accuracy": math.nan if result.ideal_accuracy is None else result.ideal_accuracy,
            "mean_return": result.mean_return,
            **plasticity(network),
        }

    def epsilon(self) -> float:
        c = self.config
        done = min(1.0, self.trials / max(1.0, c.epsilon_decay * c.trials))
        return c.epsilon_start + done * (c.epsilon_end - c.epsilon_start)

    def learning_rate(self) -> float:
        done = self.trials / self.config.trials
        return self.learner.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, buffer = self.experience.state()
        arrays = {f"buffer.{name}": array for name, array in arrays.items()}
        meta = {"trials": self.trials, "env_steps": self.env_steps, "buffer": buffer}
        meta |= {"updates": self.learner.updates, "explore": self.explore.bit_generator.state}
        return arrays | self.learner.state(), meta

    def take(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        self.learner.restore(arrays, meta["updates"])
        buffer = {k.removeprefix("buffer."): v for k, v in arrays.items() if "buffer." in k}
        self.experience.restore(buffer, meta["buffer"])
        self.explore.bit_generator.state = meta["explore"]
        self.trials, self.env_steps = meta["trials"], meta["env_steps"]
