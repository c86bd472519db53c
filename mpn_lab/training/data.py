"""Where the sequences of a supervised training come from, and how a network does on others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.tasks.batches import BatchTask, TaskBatch
from mpn_lab.tasks.streams import TrialStream
from mpn_lab.tasks.expert import Teacher
from mpn_lab.tasks.rollout import Trial, collect_trials
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.evaluate import live_trials, lockstep, make_envs, seed_envs, summarise
from mpn_lab.training.loss import masked_cross_entropy

_TRAIN, _VALIDATE, _PROBE = range(3)  # independent streams of one seed
_PROBED = 20  # trials that are looked at for their periods before the first is trained


class SequenceBatch(NamedTuple):
    """B sequences of trials, padded with zeros to the longest one's T steps."""

    obs: Float[Tensor, "B T d"]
    truth: Int[Tensor, "B T"]  # the right action
    mask: Bool[Tensor, "B T"]  # true at the steps that are trained


class Lesson(NamedTuple):
    """What one update learns from."""

    batch: SequenceBatch
    trials: int
    env_steps: int
    returns: list[float]  # the teacher's sum of rewards in each trial, where one lived them


@runtime_checkable
class Source(Protocol):
    """Endless sequences, fixed by a seed; the validation's are always the same ones."""

    obs_size: int
    n_actions: int

    def seed(self, trials: int) -> None:
        """Fix all lessons to come after so many trials: a checkpoint needs nothing of the tasks."""
        ...

    def next(self) -> Lesson:
        """The next update's."""
        ...

    def validate(self, network: QNetwork) -> dict[str, float]:
        """`accuracy`, `validation_loss`, `ideal_accuracy`, `mean_return`; nan where unknown."""
        ...


def make_source(config: SupervisedConfig) -> Source:
    """What suits the task: streams, batches drawn at once, or trials lived by a teacher.

    Raises:
        ValueError: a task that cannot be trained, that tells no right actions, or that does not
            have the periods to be trained.
    """
    if config.stream_steps:
        return Streamed(config)
    (env,) = make_envs(config.task, config.task_kwargs, 1, (config.seed, _PROBE))
    return Drawn(config, env) if isinstance(env.task, BatchTask) else Taught(config)


class Taught:
    """Fresh trials lived by a teacher that takes the right action at every step."""

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config
        seed, kwargs = config.seed, config.task_kwargs
        _check_periods(make_envs(config.task, kwargs, 1, (seed, _PROBE)), config.loss_periods)
        self.envs = make_envs(config.task, kwargs, config.batch_size, (seed, _TRAIN))
        self.carry = config.reset_state, config.trials_per_episode
        n = lockstep(config.eval_trials, 100, *self.carry)
        self.validation = make_envs(config.task, kwargs, n, (seed, _VALIDATE))
        self.obs_size, self.n_actions = len(self.envs[0].channels), len(self.envs[0].actions)

    def seed(self, trials: int) -> None:
        seed_envs(self.envs, (self.config.seed, _TRAIN, trials))
        self.teacher, self.unused = Teacher(self.envs), np.random.default_rng(0)

    def next(self) -> Lesson:
        lived = [
            collect_trials(self.envs, self.teacher, 0.0, self.unused)
            for _ in range(self.config.trials_per_episode)
        ]
        batch = batch_of(list(zip(*lived, strict=True)), self.config.loss_periods)
        trials = [trial for at_once in lived for trial in at_once]
        returns = [float(trial.reward.sum()) for trial in trials]
        return Lesson(batch, len(trials), sum(map(len, trials)), returns)

    def validate(self, network: QNetwork) -> dict[str, float]:
        seed_envs(self.validation, (self.config.seed, _VALIDATE))
        alone = live_trials(self.validation, network, self.config.eval_trials, *self.carry)
        result = summarise(self.validation[0], alone)
        ideal = math.nan if result.ideal_accuracy is None else result.ideal_accuracy
        return {
            "accuracy": result.accuracy,
            "validation_loss": math.nan,  # the network's own trials may ask for other actions
            "ideal_accuracy": ideal,
            "mean_return": result.mean_return,
        }


class Drawn:
    """Batches that the task draws at once, since nothing in them depends on the actions."""

    def __init__(self, config: SupervisedConfig, env: TrialEnv) -> None:
        if config.loss_periods is not None or config.reset_state != "trial":
            raise ValueError(
                f"{config.task} draws whole trials and names the steps to be trained itself; "
                "leave loss_periods and reset_state as they are."
            )
        self.config, self.task = config, env.task
        self.obs_size, self.n_actions = len(env.channels), len(env.actions)

    def seed(self, trials: int) -> None:
        self.rng = np.random.default_rng((self.config.seed, _TRAIN, trials))

    def next(self) -> Lesson:
        return _lesson(self.task.sample_batch(self.rng, self.config.batch_size))

    def validate(self, network: QNetwork) -> dict[str, float]:
        rng = np.random.default_rng((self.config.seed, _VALIDATE))
        drawn = self.task.sample_batch(rng, self.config.eval_trials)
        loss, (accuracy,) = judged(network, drawn)
        return {
            "accuracy": accuracy,
            "validation_loss": loss,
            "ideal_accuracy": math.nan,
            "mean_return": accuracy,  # the task pays 1 for the right answer at its one scored step
        }


class Streamed:
    """Sequences that run on over several trials; see `TrialStream`."""

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config
        steps, kwargs = config.stream_steps, config.task_kwargs
        assert steps is not None  # or `make_source` had taken another
        self.stream = TrialStream(config.task, config.batch_size, steps, **kwargs)
        self.validation = TrialStream(config.task, config.eval_trials, steps, **kwargs)
        self.obs_size, self.n_actions = len(self.stream.channels), len(self.stream.actions)

    def seed(self, trials: int) -> None:
        self.stream.reseed((self.config.seed, _TRAIN, trials))

    def next(self) -> Lesson:
        return _lesson(self.stream.sample_batch())

    def validate(self, network: QNetwork) -> dict[str, float]:
        """Also `response_accuracy`: of the steps whose right action is a response."""
        self.validation.reseed((self.config.seed, _VALIDATE))
        drawn = self.validation.sample_batch()
        loss, (accuracy, responses) = judged(network, drawn, "responds")
        return {
            "accuracy": accuracy,
            "response_accuracy": responses,
            "validation_loss": loss,
            "ideal_accuracy": math.nan,
            "mean_return": math.nan,
        }


def share_right(network: nn.Module, drawn: TaskBatch, *where: str) -> list[float]:
    """Share of the scored steps at which the network's argmax is right.

    Args:
        where: names of boolean variables in `drawn.latent`: a share of their steps follows each.
    """
    return judged(network, drawn, *where)[1]


@torch.no_grad()
def judged(network: nn.Module, drawn: TaskBatch, *where: str) -> tuple[float, list[float]]:
    """The cross-entropy over the scored steps, in nats a step, and what `share_right` returns."""
    logits = network(torch.from_numpy(drawn.obs))[0]
    scored = torch.from_numpy(drawn.truth), torch.from_numpy(drawn.mask)
    loss = float(masked_cross_entropy(logits, *scored))
    right = logits.argmax(2).numpy() == drawn.truth
    masks = [drawn.mask, *(drawn.mask & drawn.latent[name] for name in where)]
    return loss, [float(right[mask].mean()) if mask.any() else math.nan for mask in masks]


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


def _lesson(drawn: TaskBatch) -> Lesson:
    batch = SequenceBatch(*(torch.from_numpy(a) for a in drawn[:3]))
    return Lesson(batch, len(drawn.obs), drawn.truth.size, [])


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
