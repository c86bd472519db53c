"""Lists and describes the tasks: channels, actions, periods, lengths, best accuracy, pitfalls."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel

from mpn_lab.checks import MOST_SAMPLED, check_int
from mpn_lab.tasks.expert import ExpertPolicy, are_actions
from mpn_lab.tasks.ideal import has_observer, ideal_accuracy
from mpn_lab.tasks.rollout import Trial, collect_trials
from mpn_lab.tasks.trial_env import Task, TrialEnv, check_task_kwargs, task_ids


class TaskDescription(BaseModel):
    """Describes one task, as measured on sampled trials."""

    task: str
    channels: list[str]
    actions: list[str]
    periods_ms: dict[str, float]
    """Mean duration of each period in ms, in the order of their starts."""
    steps: tuple[int, float, int]
    """Shortest, mean and longest trial in steps, fixating to the end."""
    dt: float
    """Time step in ms."""
    ideal_accuracy: float | None
    """The ideal observer's accuracy; None if the task has no ideal observer."""
    oracle_accuracy: float | None
    """Accuracy of the ground truth's own actions; None if it is not defined as actions. It is
    below 1 if the task counts only some trials, such as the go trials of GoNogo."""
    silent_response: bool
    """Whether the observation is all zero whenever a response is required."""

    @property
    def warning(self) -> str | None:
        """A pitfall in training an MPN on this task; None if there is none."""
        if not self.silent_response:
            return None
        return (
            "the observation is all zero when the response is required: an MPN needs an input "
            "embedding with a bias (random or linear, not none)"
        )


def trainable_tasks() -> list[str]:
    """List the tasks that need no arguments and have discrete actions.

    These are neurogym's, mpn_lab's and those that imported modules have registered; gymnasium's own
    environments, such as "CartPole-v1", can also be trained but are not listed.
    """
    names = []
    for name in task_ids():
        try:
            TrialEnv(name, seed=0)
        except ValueError:
            continue
        names.append(name)
    return names


def describe_task(task: Task, *, trials: int = 100, **task_kwargs: Any) -> TaskDescription:
    """Sample trials of a task and describe it.

    Args:
        task: an id, or anything else that `TrialEnv` takes.
        trials: number of trials to sample (the ideal observer gets 20 times as many).
        task_kwargs: arguments of the task.

    Raises:
        ValueError: `TrialEnv` does not take the task, or `trials` is out of range.
    """
    trials = check_int("trials", trials, 1, MOST_SAMPLED // 20)
    check_task_kwargs(task_kwargs)
    env = TrialEnv(task, seed=0, **task_kwargs)
    fixating = _collect(env, trials, oracle=False)
    has_truth = any(trial.correct_response is not None for trial in fixating) and all(
        are_actions(trial.ground_truth, len(env.actions)) for trial in fixating
    )
    oracle = _collect(env, trials, oracle=True) if has_truth else []
    ideal = _collect(env, 20 * trials, oracle=True) if has_observer(env) else []
    lengths = [len(trial) for trial in fixating]
    asked = [obs for trial in fixating for obs in _response_observations(trial)]
    return TaskDescription(
        task=env.task_id,
        channels=env.channels,
        actions=env.actions,
        periods_ms=_periods(fixating, env.dt),
        steps=(min(lengths), float(np.mean(lengths)), max(lengths)),
        dt=env.dt,
        ideal_accuracy=ideal_accuracy(env, ideal) if ideal else None,
        oracle_accuracy=float(np.mean([t.performance for t in oracle])) if oracle else None,
        silent_response=bool(asked) and not np.any(asked),
    )


def _collect(env: TrialEnv, trials: int, *, oracle: bool) -> list[Trial]:
    policy, rng = ExpertPolicy([env], fixate=not oracle), np.random.default_rng(0)
    return [collect_trials([env], policy, 0.0, rng)[0] for _ in range(trials)]


def _response_observations(trial: Trial) -> list[np.ndarray]:
    """The observations at steps whose correct action is a response."""
    if trial.ground_truth is None:
        return []
    T = min(len(trial), len(trial.ground_truth))
    return list(trial.obs[:T][(trial.ground_truth[:T] != 0) | trial.action_0_is_response])


def _periods(trials: list[Trial], dt: float) -> dict[str, float]:
    durations: dict[str, list[float]] = {}
    starts: dict[str, list[float]] = {}
    for trial in trials:
        for name, (start, end) in trial.periods.items():
            durations.setdefault(name, []).append((end - start) * dt)
            starts.setdefault(name, []).append(start)
    order = sorted(durations, key=lambda name: float(np.mean(starts[name])))
    return {name: float(np.mean(durations[name])) for name in order}
