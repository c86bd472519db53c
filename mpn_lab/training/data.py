"""Batches for supervised training, and a network's loss and accuracy on them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.tasks.batches import BatchTask, TaskBatch
from mpn_lab.tasks.expert import ExpertPolicy
from mpn_lab.tasks.rollout import (
    Trial,
    collect_trials,
    make_envs,
    n_envs_for,
    rollout,
    seed_envs,
)
from mpn_lab.tasks.streams import TrialStream
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.evaluate import summarise
from mpn_lab.training.loss import compute_cross_entropy

_TRAIN, _VALIDATE, _PROBE = range(3)  # independent streams of one seed
_PROBED = 20  # trials sampled before training to find out which periods the task has


class SupervisedData(ABC):
    """An endless supply of training batches, fixed by a seed, and one fixed validation set."""

    obs_size: int
    n_actions: int
    measures: tuple[str, ...] = ("accuracy", "validation_loss", "ideal_accuracy", "mean_return")
    """What `validate` returns."""

    @abstractmethod
    def seed(self, trials: int) -> None:
        """Fix all batches after `trials` trials, so that a checkpoint stores no task state."""

    @abstractmethod
    def next(self) -> TaskBatch:
        """Return the batch of the next update, `batch_size` sequences."""

    @abstractmethod
    def validate(self, network: QNetwork) -> dict[str, float]:
        """Return the `measures`; nan if unknown."""


def make_data(config: SupervisedConfig) -> SupervisedData:
    """Choose the data for a task: streams, batches that it samples itself, or expert rollouts.

    Raises:
        ValueError: the task cannot be trained, has no ground truth, or lacks the periods to be
            trained.
    """
    if config.stream_steps:
        return TrialStreams(config)
    (env,) = make_envs(config.task, config.task_kwargs, 1, (config.seed, _PROBE))
    return TaskBatches(config, env) if isinstance(env.task, BatchTask) else ExpertRollouts(config)


class ExpertRollouts(SupervisedData):
    """Fresh trials collected by an expert that takes the correct action at every step."""

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config
        seed, kwargs = config.seed, config.task_kwargs
        _check_periods(make_envs(config.task, kwargs, 1, (seed, _PROBE)), config.loss_periods)
        self.envs = make_envs(config.task, kwargs, config.batch_size, (seed, _TRAIN))
        self.carry = config.reset_state, config.trials_per_episode
        n = n_envs_for(config.eval_trials, 100, *self.carry)
        self.validation = make_envs(config.task, kwargs, n, (seed, _VALIDATE))
        self.obs_size, self.n_actions = len(self.envs[0].channels), len(self.envs[0].actions)

    def seed(self, trials: int) -> None:
        seed_envs(self.envs, (self.config.seed, _TRAIN, trials))
        self.expert, self.unused = ExpertPolicy(self.envs), np.random.default_rng(0)

    def next(self) -> TaskBatch:
        trials = [
            collect_trials(self.envs, self.expert, 0.0, self.unused)
            for _ in range(self.config.trials_per_episode)
        ]
        return batch_of(list(zip(*trials, strict=True)), self.config.loss_periods)

    def validate(self, network: QNetwork) -> dict[str, float]:
        seed_envs(self.validation, (self.config.seed, _VALIDATE))
        trials = rollout(self.validation, network, self.config.eval_trials, *self.carry)
        result = summarise(self.validation[0], trials)
        return {
            "accuracy": result.accuracy,
            "validation_loss": math.nan,  # the network's actions may change the correct ones
            "ideal_accuracy": math.nan if result.ideal_accuracy is None else result.ideal_accuracy,
            "mean_return": result.mean_return,
        }


class TaskBatches(SupervisedData):
    """Batches that the task samples as a whole, because they do not depend on the actions."""

    def __init__(self, config: SupervisedConfig, env: TrialEnv) -> None:
        if config.loss_periods is not None or config.reset_state != "trial":
            raise ValueError(
                f"{config.task} samples whole trials and itself marks the steps to be trained; "
                "leave loss_periods and reset_state at their defaults."
            )
        self.config, self.task = config, env.task
        self.obs_size, self.n_actions = len(env.channels), len(env.actions)

    def seed(self, trials: int) -> None:
        self.rng = np.random.default_rng((self.config.seed, _TRAIN, trials))

    def next(self) -> TaskBatch:
        return self.task.sample_batch(self.rng, self.config.batch_size)

    def validate(self, network: QNetwork) -> dict[str, float]:
        rng = np.random.default_rng((self.config.seed, _VALIDATE))
        batch = self.task.sample_batch(rng, self.config.eval_trials)
        loss, (accuracy,) = loss_and_accuracies(network, batch)
        return {
            "accuracy": accuracy,
            "validation_loss": loss,
            "ideal_accuracy": math.nan,
            "mean_return": accuracy,  # the reward is 1 for the correct action at the scored step
        }


class TrialStreams(SupervisedData):
    """Sequences that continue over several trials; see `TrialStream`."""

    measures = ("accuracy", "response_accuracy", *SupervisedData.measures[1:])

    def __init__(self, config: SupervisedConfig) -> None:
        self.config = config
        steps, kwargs = config.stream_steps, config.task_kwargs
        assert steps is not None  # `make_data` chooses other data without it
        self.stream = TrialStream(config.task, config.batch_size, steps, **kwargs)
        self.validation = TrialStream(config.task, config.eval_trials, steps, **kwargs)
        self.obs_size, self.n_actions = len(self.stream.channels), len(self.stream.actions)

    def seed(self, trials: int) -> None:
        self.stream.reseed((self.config.seed, _TRAIN, trials))

    def next(self) -> TaskBatch:
        return self.stream.sample_batch()

    def validate(self, network: QNetwork) -> dict[str, float]:
        """As in `SupervisedData`, with `response_accuracy` at the steps that require a response."""
        self.validation.reseed((self.config.seed, _VALIDATE))
        batch = self.validation.sample_batch()
        loss, (accuracy, responses) = loss_and_accuracies(network, batch, "responds")
        return {
            "accuracy": accuracy,
            "response_accuracy": responses,
            "validation_loss": loss,
            "ideal_accuracy": math.nan,
            "mean_return": math.nan,
        }


def step_accuracies(network: nn.Module, batch: TaskBatch, *where: str) -> list[float]:
    """Compute the share of the scored steps at which the network's argmax is the correct action.

    Args:
        network: maps obs [B, T, d] to (logits [B, T, A], state).
        batch: sequences.
        where: names of boolean variables in `batch.latent`; for each, the list gains the share
            among those scored steps at which the variable is true.
    """
    return loss_and_accuracies(network, batch, *where)[1]


@torch.no_grad()
def loss_and_accuracies(
    network: nn.Module, batch: TaskBatch, *where: str
) -> tuple[float, list[float]]:
    """Compute the cross-entropy over the scored steps, in nats per step, and `step_accuracies`."""
    device = next(network.parameters()).device
    logits = network(torch.from_numpy(batch.obs).to(device))[0].cpu()  # (B, T, A)
    scored = torch.from_numpy(batch.ground_truth), torch.from_numpy(batch.mask)
    loss = float(compute_cross_entropy(logits, *scored))
    correct = logits.argmax(2).numpy() == batch.ground_truth
    masks = [batch.mask, *(batch.mask & batch.latent[name] for name in where)]
    return loss, [float(correct[mask].mean()) if mask.any() else math.nan for mask in masks]


def batch_of(sequences: Sequence[Sequence[Trial]], periods: Sequence[str] | None) -> TaskBatch:
    """Combine an expert's trials into a batch, padded with zeros to the longest sequence.

    `conditions` contains each sequence's `length` in steps and mean `trial_return`.

    Args:
        sequences: B sequences of consecutive trials.
        periods: the periods whose steps are trained; None: all steps.
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
    conditions = {
        "length": np.array([len(row[0]) for row in rows]),
        "trial_return": np.array(
            [np.mean([float(trial.reward.sum()) for trial in sequence]) for sequence in sequences]
        ),
    }
    return TaskBatch(obs, truth, mask, {}, conditions)


def _steps(trial: Trial, periods: Sequence[str] | None) -> tuple[np.ndarray, ...]:
    """Return obs [T, d], the correct actions [T], and whether each step is trained [T]."""
    assert trial.ground_truth is not None  # the expert followed it
    n = min(len(trial), len(trial.ground_truth))
    truth = np.zeros(len(trial), np.int64)
    truth[:n] = trial.ground_truth[:n]
    mask: np.ndarray = np.zeros(len(trial), bool)
    spans = [trial.periods[name] for name in periods if name in trial.periods] if periods else []
    for start, end in [(0, n)] if periods is None else spans:
        mask[start : min(end, n)] = True
    return trial.obs, truth, mask


def _check_periods(envs: list[TrialEnv], periods: Sequence[str] | None) -> None:
    """Raise ValueError if there is no ground truth, or if no trial has one of the periods."""
    rng = np.random.default_rng(0)
    trials = [collect_trials(envs, ExpertPolicy(envs), 0.0, rng)[0] for _ in range(_PROBED)]
    known = list(dict.fromkeys(name for trial in trials for name in trial.periods))
    if unknown := [name for name in periods or () if name not in known]:
        raise ValueError(
            f"{envs[0].task_id} has no period {unknown[0]!r}; expected loss_periods among "
            f"{', '.join(known) or 'none'}, or None for all steps."
        )
    if periods is not None and not any(_steps(trial, periods)[2].any() for trial in trials):
        raise ValueError(
            f"loss_periods {list(periods)} contain no step of any trial of {envs[0].task_id}; "
            f"expected some of {', '.join(known) or 'none'}, or None for all steps."
        )
