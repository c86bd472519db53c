"""Supervised training: the readout as logits of the right action, at the steps that count.

The way of Aitken & Mihalas, eLife 2023;12:e83035, on the networks and tasks of the DQN loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from mpn_lab.tasks.teacher import Teacher
from mpn_lab.tasks.trial import Trial, collect_trials
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.evaluate import live_trials, lockstep, make_envs, seed_envs, summarise
from mpn_lab.training.learner import Descent
from mpn_lab.training.loss import unroll
from mpn_lab.training.rows import OnRow, Row, Training, plasticity
from mpn_lab.training.run import Run

_TRAIN, _VALIDATE, _PROBE = range(3)  # independent streams of one seed
_PROBED = 20  # trials that are looked at for their periods before the first is trained


class SequenceBatch(NamedTuple):
    """B sequences of trials, padded with zeros to the longest one's T steps."""

    obs: Float[Tensor, "B T d"]
    truth: Int[Tensor, "B T"]  # the right action
    mask: Bool[Tensor, "B T"]  # true at the steps that are trained


def train_supervised(
    config: SupervisedConfig,
    out: str | Path | None = None,
    *,
    progress: bool = True,
    on_row: OnRow | None = None,
) -> Run:
    """Train a network on the right actions of fresh trials, into a new run folder.

    Every update sees new trials, lived by a teacher that takes the right action at every step. The
    run is like that of `train`: `Run.evaluate`, `record`, `resume` take it; the network's action
    is the argmax of its readout. The metrics have one row per `eval_every` trials:

    - `trials`, `env_steps`, `updates`: so far; `learning_rate`; `epsilon`: 0;
    - `loss`: mean of the updates since the last row, in nats a step, without L1;
    - `step_accuracy`: share of the trained steps since then at which the argmax was right;
    - `train_return`: the teacher's mean sum of rewards since then;
    - `accuracy`, `mean_return`, `ideal_accuracy`, `eta`, `lam`: as of `train`.

    Args:
        config: what to train.
        out: the folder of the run, new or empty; None: runs/TASK-supervised-seedN.
        progress: show a progress bar on standard error.
        on_row: called with every new row of the metrics.

    Raises:
        ValueError: a task that cannot be trained, that tells no right actions, or that does not
            have the periods to be trained.
        RunError: as of `train`.

    Example:
        >>> config = SupervisedConfig(loss_periods=("decision",))  # doctest: +SKIP
        >>> run = train_supervised(config, "runs/supervised")  # doctest: +SKIP
    """
    loop = Supervision(config)
    name = f"{config.task}-supervised-seed{config.seed}"
    out = Path("runs") / name if out is None else Path(out)
    run = Run.create(out, config, len(loop.envs[0].channels), loop.n_actions)
    return loop.go(run, progress, on_row)


def masked_cross_entropy(
    logits: Float[Tensor, "B T A"], truth: Int[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """-log softmax(y_t)[truth_t], the mean over the steps of the mask; 0 if there is none."""
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none")
    return (loss * mask.flatten()).sum() / mask.sum().clamp(min=1)


def batch_of(sequences: Sequence[Sequence[Trial]], periods: Sequence[str] | None) -> SequenceBatch:
    """Trials that were lived by a `Teacher`, one sequence a row.

    Args:
        sequences: B of them, each of trials that follow one another.
        periods: whose steps are trained; None: all steps.
    """
    parts = [[_steps(trial, periods) for trial in sequence] for sequence in sequences]
    rows = [[np.concatenate(arrays) for arrays in zip(*part, strict=True)] for part in parts]
    T, d = max(len(row[0]) for row in rows), rows[0][0].shape[1]
    obs: np.ndarray = np.zeros((len(rows), T, d), np.float32)
    truth: np.ndarray = np.zeros((len(rows), T), np.int64)
    mask: np.ndarray = np.zeros((len(rows), T), bool)
    for i, row in enumerate(rows):
        n = len(row[0])
        obs[i, :n], truth[i, :n], mask[i, :n] = row
    return SequenceBatch(*(torch.from_numpy(a) for a in (obs, truth, mask)))


def _steps(trial: Trial, periods: Sequence[str] | None) -> tuple[np.ndarray, ...]:
    """obs [T, d], the right actions [T], and whether each step is trained [T]."""
    assert trial.ground_truth is not None  # the teacher took its word
    n = min(len(trial), len(trial.ground_truth))
    truth = np.zeros(len(trial), np.int64)
    truth[:n] = trial.ground_truth[:n]
    mask: np.ndarray = np.zeros(len(trial), bool)
    spans = [trial.periods[name] for name in periods if name in trial.periods] if periods else []
    for start, end in [(0, n)] if periods is None else spans:
        mask[start : min(end, n)] = True
    return trial.obs, truth, mask


class Supervision(Training):
    """The state of a supervised training and the steps that advance it."""

    config: SupervisedConfig

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config
        seed, kwargs = config.seed, config.task_kwargs
        _check_periods(make_envs(config.task, kwargs, 1, (seed, _PROBE)), config.loss_periods)
        self.envs = make_envs(config.task, kwargs, config.batch_size, (seed, _TRAIN))
        self.carry = config.reset_state, config.trials_per_episode
        n = lockstep(config.eval_trials, 100, *self.carry)
        self.validation = make_envs(config.task, kwargs, n, (seed, _VALIDATE))
        self.n_actions = len(self.envs[0].actions)
        self.learner = Descent(config, len(self.envs[0].channels), self.n_actions)
        plastic = ("eta", "lam", "M0")
        self.shrunk = [  # by L1
            p
            for name, p in self.learner.network.named_parameters()
            if p.requires_grad and name.split(".")[-1] not in plastic
        ]
        self.trials = self.env_steps = 0
        self.rows: list[Row] = []

    def until_next_row(self, bar: tqdm, run: Run) -> Row:
        """Learn up to the next multiple of `eval_every` trials."""
        config = self.config
        end = min(config.trials, (self.trials // config.eval_every + 1) * config.eval_every)
        # Seeded afresh after every checkpoint, so that a checkpoint needs nothing of the tasks.
        seed_envs(self.envs, (config.seed, _TRAIN, self.trials))
        teacher, unused = Teacher(self.envs), np.random.default_rng(0)
        losses: list[float] = []
        returns: list[float] = []
        right = trained = 0
        while self.trials < end:
            lived = [
                collect_trials(self.envs, teacher, 0.0, unused)
                for _ in range(config.trials_per_episode)
            ]
            batch = batch_of(list(zip(*lived, strict=True)), config.loss_periods)
            loss, correct = self.update(batch)
            losses.append(loss)
            right, trained = right + correct, trained + int(batch.mask.sum())
            for trial in (trial for trials in lived for trial in trials):
                self.trials += 1
                self.env_steps += len(trial)
                returns.append(float(trial.reward.sum()))
            bar.update(len(self.envs) * len(lived))
        return self.row(losses, returns, right / max(1, trained))

    def update(self, batch: SequenceBatch) -> tuple[float, int]:
        """One step of Adam. Returns the cross-entropy and at how many trained steps it was right.

        Raises:
            NonFiniteLoss: the loss is nan or infinite.
        """
        config = self.config
        logits = unroll(self.learner.network, batch.obs, None, config.backprop, config.chunk)
        entropy = masked_cross_entropy(logits, batch.truth, batch.mask)
        loss = entropy
        if config.l1:
            loss = loss + config.l1 * torch.stack([p.abs().sum() for p in self.shrunk]).sum()
        self.learner.descend(loss, config.learning_rate)
        right = (logits.detach().argmax(2) == batch.truth) & batch.mask
        return float(entropy.detach()), int(right.sum())

    def row(self, losses: list[float], returns: list[float], step_accuracy: float) -> Row:
        config, network = self.config, self.learner.network
        seed_envs(self.validation, (config.seed, _VALIDATE))
        alone = live_trials(self.validation, network, config.eval_trials, *self.carry)
        result = summarise(self.validation[0], alone)
        ideal = float("nan") if result.ideal_accuracy is None else result.ideal_accuracy
        return {
            "trials": self.trials,
            "env_steps": self.env_steps,
            "updates": self.learner.updates,
            "epsilon": 0.0,
            "learning_rate": config.learning_rate,
            "loss": float(np.mean(losses)),
            "step_accuracy": step_accuracy,
            "train_return": float(np.mean(returns)),
            "accuracy": result.accuracy,
            "ideal_accuracy": ideal,
            "mean_return": result.mean_return,
            **plasticity(network),
        }

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        meta = {"trials": self.trials, "env_steps": self.env_steps}
        return self.learner.state(), meta | {"updates": self.learner.updates}

    def take(self, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        self.learner.restore(arrays, meta["updates"])
        self.trials, self.env_steps = meta["trials"], meta["env_steps"]


def _check_periods(envs: list[TrialEnv], periods: Sequence[str] | None) -> None:
    """Raises ValueError: no right actions, or a period that no trial of a sample has."""
    rng = np.random.default_rng(0)
    lived = [collect_trials(envs, Teacher(envs), 0.0, rng)[0] for _ in range(_PROBED)]
    known = list(dict.fromkeys(name for trial in lived for name in trial.periods))
    if unknown := [name for name in periods or () if name not in known]:
        raise ValueError(
            f"{envs[0].task_id} has no period {unknown[0]!r}; expected loss_periods among "
            f"{', '.join(known) or 'none'}, or None for all steps."
        )
    if periods is not None and not any(_steps(trial, periods)[2].any() for trial in lived):
        raise ValueError(
            f"loss_periods {list(periods)} hold no step of {envs[0].task_id}'s trials; expected "
            f"some of {', '.join(known) or 'none'}, or None for all steps."
        )
