"""Evaluates a network, and the ideal observer, on the same fresh trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from mpn_lab.checks import LARGEST_SEED, MOST_SAMPLED, check_choice, check_int
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.tasks.ideal import ideal_accuracy
from mpn_lab.tasks.rollout import Policy, ResetState, Trial, make_envs, n_envs_for, rollout
from mpn_lab.tasks.trial_env import Task, TrialEnv
from mpn_lab.training.device import check_threads, resolve_device, torch_threads


class Evaluation(BaseModel):
    """The accuracy and return of greedy actions on fresh trials."""

    trials: int
    accuracy: float
    """Share of trials that the task counts as correct."""
    accuracy_ci95: tuple[float, float]
    """95 % interval of the accuracy (Wilson's)."""
    ideal_accuracy: float | None
    """The ideal observer's accuracy on the same trials; None if the task has no ideal observer."""
    ratio: float | None
    """accuracy / ideal_accuracy."""
    mean_return: float
    """Mean over trials of the sum of rewards."""


def evaluate(
    policy: Policy,
    task: Task,
    task_kwargs: dict[str, Any] | None = None,
    *,
    trials: int = 1000,
    seed: int = 0,
    reset_state: ResetState = "trial",
    trials_per_episode: int = 1,
    device: str | torch.device | None = None,
    threads: int = 1,
) -> Evaluation:
    """Collect fresh greedy trials and compare them with the ideal observer on the same trials.

    Args:
        policy: a network, or any object with the methods `step`, `select_state` and `join_states`.
        task: an id, or a class or function that makes an environment.
        task_kwargs: arguments of the task.
        trials: number of trials.
        seed: seed of the trials.
        reset_state, trials_per_episode: when the state is reset, as in `TrainConfig`.
        device: device to which the network is moved, "auto" for a GPU if there is one; None: the
            network stays on its device.
        threads: number of torch threads.

    Raises:
        ValueError: an argument is out of range, the task cannot be made or does not fit the
            network, or the device is not available.
    """
    trials = check_int("trials", trials, 1, MOST_SAMPLED)
    seed = check_int("seed", seed, 0, LARGEST_SEED)
    check_choice("reset_state", reset_state, ResetState)
    check_int("trials_per_episode", trials_per_episode, 1)
    if device is not None and isinstance(policy, nn.Module):
        policy.to(resolve_device(device))
    check_threads(threads)
    carry = reset_state, trials_per_episode
    envs = make_envs(task, task_kwargs, n_envs_for(trials, 250, *carry), (seed, _EVALUATION))
    if isinstance(policy, QNetwork):
        check_fit(policy, envs[0])
    with torch_threads(threads):
        return summarise(envs[0], rollout(envs, policy, trials, *carry))


def check_fit(network: QNetwork, env: TrialEnv) -> None:
    """Raise ValueError unless the network has the task's channels and actions."""
    channels, actions = len(env.channels), len(env.actions)
    if (network.obs_size, network.n_actions) != (channels, actions):
        raise ValueError(
            f"the network takes {network.obs_size} channels and has {network.n_actions} "
            f"actions, but {env.task_id} has {channels} channels and {actions} actions; pass the "
            "task that the network was trained on, with its task_kwargs."
        )


def summarise(env: TrialEnv, trials: Sequence[Trial]) -> Evaluation:
    """Compute accuracy with its interval, the ideal observer's accuracy and the mean return."""
    correct = np.array([trial.performance for trial in trials])
    accuracy = float(correct.mean())
    if np.isin(correct, (0, 1)).all():
        from scipy import stats  # slow to import; training can start without it

        test = stats.binomtest(int(correct.sum()), len(correct))
        low, high = test.proportion_ci(method="wilson")
    else:  # a graded performance, as in the reaching tasks
        half = (
            1.96 * float(correct.std(ddof=1)) / len(correct) ** 0.5 if len(correct) > 1 else np.inf
        )
        low, high = accuracy - half, accuracy + half
    ideal = ideal_accuracy(env, trials)
    known = np.isfinite(ideal) and ideal > 0
    return Evaluation(
        trials=len(trials),
        accuracy=accuracy,
        accuracy_ci95=(float(low), float(high)),
        ideal_accuracy=ideal if known else None,
        ratio=accuracy / ideal if known else None,
        mean_return=float(np.mean([trial.reward.sum() for trial in trials])),
    )


_EVALUATION = 0x6576616C  # separates the random streams of evaluation from those of training
