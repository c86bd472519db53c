"""Deep Q-learning by replaying whole trials: live trials, store them whole, replay them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mpn_lab.replay.trials import TrialReplayBuffer
from mpn_lab.tasks.trial import Trial, collect_trials
from mpn_lab.training.config import TrainConfig
from mpn_lab.training.evaluate import live_trials, make_envs, seed_envs, summarise
from mpn_lab.training.files import RunError, read_tensors
from mpn_lab.training.learner import Learner, NonFiniteLoss
from mpn_lab.training.reach import with_reach
from mpn_lab.training.run import Run, load_run

Row = dict[str, int | float]
_TRAIN, _VALIDATE, _EXPLORE, _REPLAY = range(4)  # independent streams of one seed


def train(
    config: TrainConfig,
    out: str | Path | None = None,
    *,
    progress: bool = True,
    on_row: Callable[[Row], None] | None = None,
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


def resume(
    path: str | Path, *, progress: bool = True, on_row: Callable[[Row], None] | None = None
) -> Run:
    """Go on with a run from its last checkpoint, to exactly where it would have ended unbroken.

    Raises:
        RunError: there is no run, or its files are damaged or belong to another one.
    """
    run = load_run(path)
    run.prepare_to_resume()
    loop = _Loop(run.config)
    if (run.path / "resume.safetensors").exists():
        loop.restore(*read_tensors(run.path / "resume.safetensors"), path=run.path)
    return loop.go(run, progress, on_row)


class _Loop:
    """The state of a training and the steps that advance it."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config = with_reach(config)
        seed, kwargs = config.seed, config.task_kwargs
        n = min(config.trials_per_round, config.eval_every)
        self.envs = make_envs(config.task, kwargs, n, (seed, _TRAIN))
        self.validation = make_envs(
            config.task, kwargs, min(config.eval_trials, 100), (seed, _VALIDATE)
        )
        self.n_actions = len(self.envs[0].actions)
        self.learner = Learner(config, len(self.envs[0].channels), self.n_actions)
        self.buffer = TrialReplayBuffer(
            config.capacity, n_actions=self.n_actions, seed=(seed, _REPLAY)
        )
        self.explore = np.random.default_rng((seed, _EXPLORE))
        self.trials = self.env_steps = 0
        self.rows: list[Row] = []

    def go(self, run: Run, progress: bool, on_row: Callable[[Row], None] | None) -> Run:
        config = self.config
        with tqdm(
            total=config.trials, initial=self.trials, unit="trial", disable=not progress
        ) as bar:
            bar.set_description(config.task)
            while self.trials < config.trials:
                try:
                    row = self.until_next_row(bar)
                except NonFiniteLoss as error:
                    kept = f"trial {self.rows[-1]['trials']}" if self.rows else "none yet"
                    raise RunError(
                        f"Training stopped: {error}; the last good checkpoint is kept ({kept}). "
                        "Try a smaller learning_rate or grad_clip."
                    ) from error
                self.rows.append(row)
                run.save(self.learner.network, self.rows, *self.state())
                bar.set_postfix(_postfix(row))
                if on_row is not None:
                    on_row(row)
        return load_run(run.path)

    def until_next_row(self, bar: tqdm) -> Row:
        """Live and learn up to the next multiple of `eval_every` trials."""
        config, learner = self.config, self.learner
        end = min(config.trials, (self.trials // config.eval_every + 1) * config.eval_every)
        # Seeded afresh after every checkpoint, so that a checkpoint needs nothing of the tasks.
        seed_envs(self.envs, (config.seed, _TRAIN, self.trials))
        losses: list[float] = []
        returns: list[float] = []
        while self.trials < end:
            envs = self.envs[: end - self.trials]
            lived = collect_trials(envs, learner.network, self.epsilon(), self.explore)
            self.store(lived)
            returns += [float(trial.reward.sum()) for trial in lived]
            if self.trials >= config.warmup_trials and len(self.buffer) >= config.batch_size:
                for _ in range(config.updates_per_round):
                    batch = self.buffer.sample(config.batch_size)
                    losses.append(learner.update(batch, self.learning_rate()))
            bar.update(len(lived))
        return self.row(losses, returns)

    def store(self, lived: list[Trial]) -> None:
        for trial in lived:
            self.buffer.push_trial(trial.obs, trial.action, trial.reward, trial.terminated)
        self.trials += len(lived)
        self.env_steps += sum(len(trial) for trial in lived)

    def row(self, losses: list[float], returns: list[float]) -> Row:
        config, network = self.config, self.learner.network
        seed_envs(self.validation, (config.seed, _VALIDATE))
        result = summarise(
            self.validation[0], live_trials(self.validation, network, config.eval_trials)
        )
        layers = network.mpn_layers()
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
            "eta": float(np.mean([m.eta.mean().item() for m in layers])) if layers else math.nan,
            "lam": float(np.mean([m.lam.mean().item() for m in layers])) if layers else math.nan,
        }

    def epsilon(self) -> float:
        c = self.config
        done = min(1.0, self.trials / max(1.0, c.epsilon_decay * c.trials))
        return c.epsilon_start + done * (c.epsilon_end - c.epsilon_start)

    def learning_rate(self) -> float:
        done = self.trials / self.config.trials
        return self.learner.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, buffer = self.buffer.state()
        arrays = {f"buffer.{name}": array for name, array in arrays.items()}
        meta = {"trials": self.trials, "env_steps": self.env_steps, "buffer": buffer}
        meta |= {"updates": self.learner.updates, "explore": self.explore.bit_generator.state}
        return arrays | self.learner.state(), meta

    def restore(self, arrays: dict[str, np.ndarray], meta: dict[str, Any], path: Path) -> None:
        try:
            self.learner.restore(arrays, meta["updates"])
            buffer = {k.removeprefix("buffer."): v for k, v in arrays.items() if "buffer." in k}
            self.buffer.restore(buffer, meta["buffer"])
            self.explore.bit_generator.state = meta["explore"]
            self.trials, self.env_steps = meta["trials"], meta["env_steps"]
            self.rows = meta["rows"]
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise RunError(
                f"{path}/resume.safetensors does not belong to the run that {path}/config.json "
                f"describes ({str(error).splitlines()[0]}); restore the file that does."
            ) from error


def _postfix(row: Row) -> dict[str, str]:
    ideal = "" if math.isnan(row["ideal_accuracy"]) else f" of {row['ideal_accuracy']:.3f}"
    return {
        "accuracy": f"{row['accuracy']:.3f}{ideal}",
        "return": f"{row['mean_return']:.2f}",
        "loss": f"{row['loss']:.4f}",
        "epsilon": f"{row['epsilon']:.2f}",
    }
