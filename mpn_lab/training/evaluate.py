"""Evaluates a network, and what it is compared with, on the same fresh trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from mpn_lab.checks import LARGEST_SEED, MOST_SAMPLED, check_choice, check_int
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.tasks.ceiling import Ceiling, has_oracle
from mpn_lab.tasks.expert import ExpertPolicy
from mpn_lab.tasks.ideal import observer_accuracy, observer_kind
from mpn_lab.tasks.making import Task
from mpn_lab.tasks.rollout import (
    Policy,
    ResetState,
    Trial,
    make_envs,
    mean_performance,
    n_envs_for,
    rollout,
    seed_envs,
)
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.device import check_threads, resolve_device, torch_threads


class Evaluation(BaseModel):
    """The accuracy and return of greedy actions on fresh trials."""

    trials: int
    judged: int
    """Number of trials that the task judges; it does not judge one that was cut, nor any if it has
    no notion of a correct trial."""
    accuracy: float
    """Share of the judged trials that the task counts as correct; nan if no trial is judged. The
    return is then the measure."""
    accuracy_ci95: tuple[float, float]
    """95 % interval of the accuracy (Wilson's); nan if it is unknown."""
    ceiling: Ceiling
    """Where the ceiling on the accuracy comes from; see `mpn_lab.tasks.ceiling`."""
    ceiling_accuracy: float | None
    """That ceiling, measured on the same trials; None if there is none."""
    ideal_accuracy: float | None
    """The same if it is an ideal observer's; else None."""
    ratio: float | None
    """accuracy / ideal_accuracy; None without an ideal observer."""
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
    """Collect fresh greedy trials and compare the accuracy with its ceiling on the same trials.

    That is the task's ideal observer or best known strategy (`register_observer`), or else an
    oracle that follows the ground truth.

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
        collected = rollout(envs, policy, trials, *carry)
        result = summarise(envs[0], collected)
        if result.ceiling != "none" or not result.judged or not has_oracle(envs[0], collected):
            return result
        seed_envs(envs, (seed, _EVALUATION))
        oracle = mean_performance(rollout(envs, ExpertPolicy(envs), trials))
    if np.isnan(oracle):
        return result
    return result.model_copy(update={"ceiling": "oracle", "ceiling_accuracy": oracle})


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
    """Compute the accuracy with its interval, an observer's accuracy, and the mean return.

    Trials that the task does not judge count for the return alone.
    """
    judged = [trial for trial in trials if not np.isnan(trial.performance)]
    accuracy = mean_performance(judged)
    kind, observer = observer_kind(env), observer_accuracy(env, judged)
    if np.isnan(observer):  # there is none, or no trial's ground truth is known
        kind = None
    ideal = observer if kind == "ideal observer" else None
    return Evaluation(
        trials=len(trials),
        judged=len(judged),
        accuracy=accuracy,
        accuracy_ci95=_interval(np.array([trial.performance for trial in judged])),
        ceiling=kind or "none",
        ceiling_accuracy=observer if kind else None,
        ideal_accuracy=ideal,
        ratio=accuracy / ideal if ideal else None,
        mean_return=float(np.mean([trial.reward.sum() for trial in trials])),
    )


def _interval(correct: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of performances; nan if there is none."""
    if not len(correct):
        return np.nan, np.nan
    if np.isin(correct, (0, 1)).all():
        from scipy import stats  # slow to import; training can start without it

        test = stats.binomtest(int(correct.sum()), len(correct))
        low, high = test.proportion_ci(method="wilson")
        return float(low), float(high)
    if len(correct) < 2:
        return np.nan, np.nan
    half = 1.96 * float(correct.std(ddof=1)) / len(correct) ** 0.5  # graded, as in reaching tasks
    return float(correct.mean()) - half, float(correct.mean()) + half


_EVALUATION = 0x6576616C  # separates the random streams of evaluation from those of training
