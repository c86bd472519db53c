"""Ideal observers: the best answer that a trial's noisy observations allow.

They answer the very same trials that a network answers, so accuracies can be compared one trial at
a time. Each is the exact maximum-a-posteriori choice under the task's own generative model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mpn_lab.tasks.trial import Trial
from mpn_lab.tasks.trial_env import TrialEnv


def ideal_actions(env: TrialEnv, trials: Sequence[Trial]) -> np.ndarray | None:
    """The ideal observer's answers to `trials`, [len(trials)] int; None if the task has none.

    Raises:
        ValueError: a trial that ended before its evidence was complete and whose planned
            observations are not known.
    """
    observer = OBSERVERS.get(type(env.task).__name__)
    if observer is None:
        return None
    return np.array([observer(env, trial) for trial in trials], int)


def ideal_accuracy(env: TrialEnv, trials: Sequence[Trial]) -> float:
    """The share of `trials` that the ideal observer answers correctly; nan if there is none."""
    answers = ideal_actions(env, trials)
    if answers is None or not len(trials):
        return float("nan")
    return float(np.mean([a == trial.answer for a, trial in zip(answers, trials, strict=True)]))


def _evidence(trial: Trial, period: str, where: list[int]) -> np.ndarray:
    """Observations of the named channels, summed over a period, [len(where)]."""
    start, end = trial.periods[period]
    obs = trial.obs if trial.planned_obs is None else trial.planned_obs
    if len(obs) < end:
        raise ValueError(f"the trial has {len(obs)} steps; its {period} ends at step {end}.")
    return obs[start:end, where].sum(0, dtype=np.float64)


def _toward(theta: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """The evidence for each direction theta_k: sum_i evidence_i cos(theta_i - theta_k)."""
    return np.cos(theta[:, None] - theta[None, :]).T @ evidence


def _perceptual_decision_making(env: TrialEnv, trial: Trial) -> int:
    # The stimulus is 0.5 + coh/200 cos(theta_i - theta_k): its norm is the same for every k, so
    # for each coherence, and so for their mixture, the likelihood rises with this sum.
    task = env.task
    where = list(range(1, 1 + task.dim_ring))
    return 1 + int(np.argmax(_toward(task.theta, _evidence(trial, "stimulus", where))))


def _context_decision_making(env: TrialEnv, trial: Trial) -> int:
    # As above, in the modality that counts; the other is independent of the answer.
    task = env.task
    first = 1 + task.dim_ring * int(trial.conditions["context"])
    where = list(range(first, first + task.dim_ring))
    return 1 + int(np.argmax(_toward(task.theta, _evidence(trial, "stimulus", where))))


def _delay_match_sample(env: TrialEnv, trial: Trial) -> int:
    # log p(sample, test | sample at theta_k, test at theta_k or opposite), summed over k.
    task, where = env.task, list(range(1, len(env.channels)))
    scale = 0.5 / task.sigma**2  # the stimulus is 0.5 cos + 0.5, the noise sigma at every step
    sample = scale * _toward(task.theta, _evidence(trial, "sample", where))
    test_evidence = _evidence(trial, "test", where)
    same = scale * _toward(task.theta, test_evidence)
    opposite = -same  # cos(theta + pi) = -cos(theta)
    return 1 if np.logaddexp.reduce(sample + same) >= np.logaddexp.reduce(sample + opposite) else 2


def _reversal_bandit(env: TrialEnv, trial: Trial) -> int:
    # The task follows the posterior over the trials before; both arms tell equally much.
    return 1 if trial.conditions["belief"] >= 0.5 else 2


OBSERVERS: dict[str, Callable[[TrialEnv, Trial], int]] = {
    "PerceptualDecisionMaking": _perceptual_decision_making,
    "ContextDecisionMaking": _context_decision_making,
    "DelayMatchSample": _delay_match_sample,
    "ReversalBandit": _reversal_bandit,
}
