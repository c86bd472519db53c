"""Accuracy of a network beside the ideal observer's, on the same fresh trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from mpn_lab.tasks.ideal import ideal_accuracy
from mpn_lab.tasks.rollout import Policy, Trial, collect_episodes, collect_trials
from mpn_lab.tasks.trial_env import TrialEnv

ResetState = Literal["trial", "episode", "never"]


class Evaluation(BaseModel):
    """How well greedy actions do on fresh trials."""

    trials: int
    accuracy: float
    """Share of trials that the task counts as correct."""
    accuracy_ci95: tuple[float, float]
    """95 % interval of the accuracy (Wilson's)."""
    ideal_accuracy: float | None
    """The ideal observer's share on the very same trials; None where the task has none."""
    ratio: float | None
    """accuracy / ideal_accuracy."""
    mean_return: float
    """Mean over trials of the sum of rewards."""


def make_envs(
    task: str, task_kwargs: dict[str, Any], n: int, stream: Sequence[int]
) -> list[TrialEnv]:
    """`n` environments of a task whose trials are fixed by the numbers in `stream`."""
    envs = [TrialEnv(task, seed=0, **task_kwargs) for _ in range(n)]
    seed_envs(envs, stream)
    return envs


def seed_envs(envs: Sequence[TrialEnv], stream: Sequence[int]) -> None:
    """Fix all trials to come; environments of one stream get different ones."""
    for i, env in enumerate(envs):
        env.reset(seed=int(np.random.SeedSequence([*stream, i]).generate_state(1)[0]))


def lockstep(trials: int, most: int, reset_state: ResetState, trials_per_episode: int) -> int:
    """How many environments are to live `trials` trials: few where the state is carried over."""
    stream = {"trial": 1, "episode": trials_per_episode, "never": 50}[reset_state]
    return min(most, -(-trials // stream))


def live_trials(
    envs: Sequence[TrialEnv],
    policy: Policy,
    trials: int,
    reset_state: ResetState = "trial",
    trials_per_episode: int = 1,
    *,
    epsilon: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[Trial]:
    """Fresh trials, spread evenly over the environments; greedy unless epsilon is given."""
    rng = np.random.default_rng(0) if rng is None else rng
    lived: list[Trial] = []
    k = trials_per_episode if reset_state == "episode" else -(-trials // len(envs))
    while len(lived) < trials:
        left = trials - len(lived)
        if reset_state == "trial":
            lived += collect_trials(envs[:left], policy, epsilon, rng)
        else:
            episodes, _ = collect_episodes(envs[: -(-left // k)], policy, epsilon, rng, k)
            lived += [trial for episode in episodes for trial in episode]
    return lived[:trials]


def evaluate(
    policy: Policy,
    task: str,
    task_kwargs: dict[str, Any] | None = None,
    *,
    trials: int = 1000,
    seed: int = 0,
    reset_state: ResetState = "trial",
    trials_per_episode: int = 1,
) -> Evaluation:
    """Live fresh greedy trials and compare them with the ideal observer on the same trials.

    `reset_state` and `trials_per_episode` say when the state is reset, as in `TrainConfig`.

    Raises:
        ValueError: fewer than one trial, a negative seed, or a task that cannot be made.
    """
    if trials < 1:
        raise ValueError(f"trials is {trials}; expected at least 1.")
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected 0 or more.")
    carry = reset_state, trials_per_episode
    n = lockstep(trials, 250, *carry)
    envs = make_envs(task, task_kwargs or {}, n, (seed, _EVALUATION))
    return summarise(envs[0], live_trials(envs, policy, trials, *carry))


def summarise(env: TrialEnv, lived: Sequence[Trial]) -> Evaluation:
    """Accuracy with its interval, the ideal observer's, and the mean return of lived trials."""
    correct = np.array([trial.performance for trial in lived])
    accuracy = float(correct.mean())
    if np.isin(correct, (0, 1)).all():
        from scipy import stats  # slow to import, and a training can start without it

        test = stats.binomtest(int(correct.sum()), len(correct))
        low, high = test.proportion_ci(method="wilson")
    else:  # a graded performance, as of the reaching tasks
        half = (
            1.96 * float(correct.std(ddof=1)) / len(correct) ** 0.5 if len(correct) > 1 else np.inf
        )
        low, high = accuracy - half, accuracy + half
    ideal = ideal_accuracy(env, lived)
    known = np.isfinite(ideal) and ideal > 0
    return Evaluation(
        trials=len(lived),
        accuracy=accuracy,
        accuracy_ci95=(float(low), float(high)),
        ideal_accuracy=ideal if known else None,
        ratio=accuracy / ideal if known else None,
        mean_return=float(np.mean([trial.reward.sum() for trial in lived])),
    )


_EVALUATION = 0x6576616C  # keeps the seeds of evaluations apart from those of training
