"""Lists and describes the tasks: channels, actions, periods, lengths, best accuracy, pitfalls."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel

from mpn_lab.checks import MOST_SAMPLED, check_int
from mpn_lab.tasks.ceiling import Ceiling, has_oracle, known_faults
from mpn_lab.tasks.expert import ExpertPolicy
from mpn_lab.tasks.ideal import observer_accuracy, observer_kind
from mpn_lab.tasks.making import Task, check_task_kwargs
from mpn_lab.tasks.registration import task_ids
from mpn_lab.tasks.rollout import Trial, collect_trials, mean_performance
from mpn_lab.tasks.trial_env import TrialEnv


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
    ceiling: Ceiling
    """Where the ceiling on the accuracy comes from; see `mpn_lab.tasks.ceiling`."""
    ceiling_accuracy: float | None
    """That ceiling; None if there is none."""
    ideal_accuracy: float | None
    """The ideal observer's accuracy; None if the task has no ideal observer."""
    oracle_accuracy: float | None
    """Accuracy of the ground truth's own actions, which may know what no observation shows; None if
    the ground truth is not defined as actions, has known faults, or trials are not judged."""
    known_faults: list[str]
    """What is known to be wrong with neurogym's ground truth or performance, in sentences."""
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
        trials: number of trials to sample (an observer gets 20 times as many).
        task_kwargs: arguments of the task.

    Raises:
        ValueError: `TrialEnv` does not take the task, or `trials` is out of range.
    """
    trials = check_int("trials", trials, 1, MOST_SAMPLED // 20)
    check_task_kwargs(task_kwargs)
    env = TrialEnv(task, seed=0, **task_kwargs)
    fixating = _collect(env, trials, oracle=False)
    truth = _collect(env, trials, oracle=True) if has_oracle(env, fixating) else []
    oracle = _known(mean_performance(truth))
    kind = observer_kind(env)
    known = all(trial.ground_truth is not None for trial in fixating)
    observed = _collect(env, 20 * trials, oracle=known) if kind else []
    observer = _known(observer_accuracy(env, observed))
    if observer is None:  # it has none, or no trial's ground truth is known
        kind = None
    lengths = [len(trial) for trial in fixating]
    asked = [obs for trial in fixating for obs in _response_observations(trial)]
    return TaskDescription(
        task=env.task_id,
        channels=env.channels,
        actions=env.actions,
        periods_ms=_periods(fixating, env.dt),
        steps=(min(lengths), float(np.mean(lengths)), max(lengths)),
        dt=env.dt,
        ceiling=kind or ("none" if oracle is None else "oracle"),
        ceiling_accuracy=observer if kind else oracle,
        ideal_accuracy=observer if kind == "ideal observer" else None,
        oracle_accuracy=oracle,
        known_faults=known_faults(env),
        silent_response=bool(asked) and not np.any(asked),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


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
