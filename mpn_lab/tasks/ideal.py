"""Ideal observers: the best response that a trial's noisy observations allow.

They respond to the same trials as a network, so accuracies can be compared trial by trial. Each
makes the exact maximum-a-posteriori choice under the task's own generative model; for `Integration`
and `ContextIntegration` this holds only if the noise makes no two inputs confusable. If several
responses are equally probable (a tie that the task breaks at random), each is correct with the
probability of the random draw: `ideal_accuracy` counts that probability, `ideal_actions` returns
the first response.

An observer is found by the id under which a task is registered, never by the name of a class; the
observers of this module are registered at its end in the same way as custom ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, cast, get_args

import numpy as np

from mpn_lab.checks import show
from mpn_lab.tasks.bandit import REVERSAL_BANDIT
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION, INTEGRATION
from mpn_lab.tasks.rollout import Trial
from mpn_lab.tasks.trial_env import TrialEnv

Observer = Callable[[TrialEnv, Trial], Sequence[int]]
"""Takes an environment and one of its trials, returns the equally good best responses."""

ObserverKind = Literal["ideal observer", "best known"]
"""An ideal observer responds as well as the observations allow; a best known strategy may not."""

_OBSERVERS: dict[str, tuple[Observer, ObserverKind]] = {}


def register_observer(task_id: str, observer: Observer, kind: str = "ideal observer") -> None:
    """Register a task's ideal observer, which `evaluate`, `record` and the metrics then report.

    Args:
        task_id: the id by which the task is registered with gymnasium.
        observer: called as `observer(env, trial)`. The `Trial` contains the observations (`obs`, or
            `planned_obs` up to the latest possible end) and their periods (`periods`); `env.task`
            is the task with its parameters. Returns the actions most likely to be the correct
            response: one, or several that are equally good; 0 if that is to fixate to the end.
        kind: "ideal observer", or "best known" for a strategy that may not be the best possible:
            `evaluate` and `describe_task` then name it so, and give no ratio.

    Raises:
        ValueError: the task already has another observer, the observer is not callable, or the kind
            is unknown. The same function may be registered again, as when a notebook cell is run
            twice.

    Example:
        >>> register_observer("my_tasks/Brighter-v0", brighter_observer)  # doctest: +SKIP
    """
    if not isinstance(task_id, str) or not task_id:
        raise ValueError(f"task_id is {show(task_id)}; expected the id of a registered task.")
    if not callable(observer):
        raise ValueError(
            f"the observer of {task_id!r} is {show(observer)}; expected a function (env, trial) -> "
            "list of equally good responses."
        )
    if kind not in get_args(ObserverKind):
        expected = " or ".join(repr(name) for name in get_args(ObserverKind))
        raise ValueError(f"kind is {kind!r}; expected {expected}.")
    before = _OBSERVERS.get(task_id)
    if before is not None and _where(before[0]) != _where(observer):
        raise ValueError(
            f"{task_id!r} already has an ideal observer ({_where(before[0])}); register the task "
            "under another id to use another observer."
        )
    _OBSERVERS[task_id] = observer, cast(ObserverKind, kind)


def observer_kind(env: TrialEnv) -> ObserverKind | None:
    """Return the kind of the observer of an environment's task; None without one."""
    return _OBSERVERS.get(env.registered_id or "", (None, None))[1]


def ideal_actions(env: TrialEnv, trials: Sequence[Trial]) -> np.ndarray | None:
    """Return the ideal observer's responses to `trials`, [len(trials)] int; None without one.

    A best known strategy is no ideal observer.

    Raises:
        ValueError: a trial ended before its evidence was complete and its planned observations are
            unknown, or the observer returns something other than actions of the task.
    """
    _check(env, trials)
    if observer_kind(env) != "ideal observer":
        return None
    return np.array([responses[0] for responses in _best(env, trials)], int)


def ideal_accuracy(env: TrialEnv, trials: Sequence[Trial]) -> float:
    """Return the share of `trials` in which the ideal observer is correct; nan if there is none.

    A trial with k equally good responses counts 1/k, the observer's average over ties. Where the
    ground truth is to fixate to the end, action 0 is correct; trials whose ground truth is unknown
    are left out, and the share is nan if none remain.

    Raises:
        ValueError: as in `ideal_actions`.
    """
    _check(env, trials)
    return observer_accuracy(env, trials) if observer_kind(env) == "ideal observer" else np.nan


def observer_accuracy(env: TrialEnv, trials: Sequence[Trial]) -> float:
    """Return the same share for an observer of any kind; nan if there is none."""
    known = [trial for trial in trials if trial.ground_truth is not None]
    if observer_kind(env) is None or not known:
        return float("nan")
    chances = [
        ((t.correct_response or 0) in responses) / len(responses)  # None: fixating is correct
        for responses, t in zip(_best(env, known), known, strict=True)
    ]
    return float(np.mean(chances))


def _check(env: object, trials: object) -> None:
    if not isinstance(env, TrialEnv):
        raise ValueError(f"env is {show(env)}; expected a TrialEnv.")
    if not isinstance(trials, Sequence) or not all(isinstance(t, Trial) for t in trials):
        raise ValueError(f"trials is {show(trials)}; expected a list of trials.")


def _best(env: TrialEnv, trials: Sequence[Trial]) -> list[list[int]]:
    """Return each trial's most probably correct responses, of the observer of its task."""
    observer, _ = _OBSERVERS[env.registered_id or ""]
    best = [np.asarray(observer(env, trial)).reshape(-1).tolist() for trial in trials]
    for responses in best:
        if not responses or not set(responses) <= set(range(len(env.actions))):
            raise ValueError(
                f"the observer of {env.task_id} ({_where(observer)}) returns {responses}; "
                f"expected one or more of the actions 0 to {len(env.actions) - 1}."
            )
    return best


def _where(observer: Observer) -> str:
    return f"{observer.__module__}.{getattr(observer, '__qualname__', observer)}"


def _evidence(trial: Trial, period: str, where: list[int]) -> np.ndarray:
    """Observations of the named channels, summed over a period, [len(where)]."""
    return _shown(trial, period)[:, where].sum(0, dtype=np.float64)


def _shown(trial: Trial, period: str) -> np.ndarray:
    """All observations of a period, [steps, d]; none if the trial has no such period."""
    start, end = trial.periods.get(period, (0, 0))
    obs = trial.obs if trial.planned_obs is None else trial.planned_obs
    if len(obs) < end:
        raise ValueError(f"the trial has {len(obs)} steps; its {period} ends at step {end}.")
    return obs[start:end]


def _toward(theta: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """The evidence for each direction theta_k: sum_i evidence_i cos(theta_i - theta_k)."""
    return np.cos(theta[:, None] - theta[None, :]).T @ evidence


def _log_likelihood(shown: np.ndarray, stimuli: np.ndarray, sigma: float) -> np.ndarray:
    """log p(shown | s) of each stimulus s of [..., n] at every step of [T, n], but for a constant.

    sum_t -|x_t - s|^2 / (2 sigma^2), without the terms that all stimuli share. A sigma of 0 stands
    for one far below every difference between stimuli.
    """
    fit = stimuli @ shown.sum(0, dtype=np.float64) - len(shown) * (stimuli**2).sum(-1) / 2
    return fit / max(sigma, 1e-6) ** 2


def _highest(values: np.ndarray) -> list[int]:
    """The actions, from 1 up, with the highest of `values`; several where only rounding differs."""
    return (1 + np.flatnonzero(values >= values.max() - 1e-9)).tolist()


def _perceptual_decision_making(env: TrialEnv, trial: Trial) -> list[int]:
    # The stimulus is 0.5 + coh/200 cos(theta_i - theta_k): its norm is the same for every k, so for
    # each coherence from 0 up, and so for their mixture, the likelihood rises with this sum.
    task = env.task
    where = list(range(1, 1 + task.dim_ring))
    if min(task.cohs) >= 0:
        return _highest(_toward(task.theta, _evidence(trial, "stimulus", where)))
    strength = np.reshape(task.cohs, (-1, 1, 1)) / 200
    stimuli = 0.5 + strength * np.cos(task.theta - task.theta[:, None])  # (coherence, k, i)
    shown = _shown(trial, "stimulus")[:, where]
    return _highest(np.logaddexp.reduce(_log_likelihood(shown, stimuli, task.sigma)))


def _context_decision_making(env: TrialEnv, trial: Trial) -> list[int]:
    # As above, in the modality that counts; the other is independent of the correct response.
    task = env.task
    first = 1 + task.dim_ring * int(trial.conditions["context"])
    where = list(range(first, first + task.dim_ring))
    return _highest(_toward(task.theta, _evidence(trial, "stimulus", where)))


def _delay_match_sample(env: TrialEnv, trial: Trial) -> list[int]:
    # log p(sample, test | sample at theta_k, test at theta_k or opposite), summed over k.
    task, ring = env.task, env.task.theta
    at, opposite = (0.5 + 0.5 * np.cos(ring - ring[:, None] - turn) for turn in (0, np.pi))
    sample, test = (_shown(trial, name)[:, 1:] for name in ("sample", "test"))
    shown = _log_likelihood(sample, at, task.sigma)  # (k,), as the two below
    match, other = (shown + _log_likelihood(test, s, task.sigma) for s in (at, opposite))
    return _highest(np.array([np.logaddexp.reduce(match), np.logaddexp.reduce(other)]))


def _reversal_bandit(env: TrialEnv, trial: Trial) -> list[int]:
    # The task tracks the posterior given the previous trials; both arms are equally informative.
    return [1 if trial.conditions["belief"] >= 0.5 else 2]


def _pulse_decision_making(env: TrialEnv, trial: Trial) -> list[int]:
    # The side with more pulses is correct; the pulses carry no noise. If both have equally many,
    # the task adds U[-0.1, 0.1] to one of them, which no observation reveals.
    cues = [name for name in trial.periods if name.startswith("cue")]
    pulses = sum((_evidence(trial, cue, [1, 2]) > 0 for cue in cues), np.zeros(2))
    return (1 + np.flatnonzero(pulses == np.max(pulses))).tolist()


def _nearest(obs: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the vectors [k, d] each of obs [T, d] is nearest to, and the squared distances."""
    distances = ((obs[:, None] - vectors) ** 2).sum(2, dtype=np.float64)  # [T, k]
    return distances.argmin(1), distances.min(1)


def _most(decoded: np.ndarray, n_classes: int, least: bool = False) -> list[int]:
    counts = np.bincount(decoded, minlength=n_classes)[:n_classes]
    return np.flatnonzero(counts == (counts.min() if least else counts.max())).tolist()


def _integration(env: TrialEnv, trial: Trial) -> list[int]:
    # Each input is identified on its own, then counted: at a noise of 0.1 two vectors are dozens of
    # standard deviations apart. The context is the one under which the inputs fit best.
    task, obs = env.task, _shown(trial, "stimulus")
    vectors = task.table[: task.n_classes + 1]
    if not task.anti:
        return _most(_nearest(obs, vectors)[0], task.n_classes)
    pro, anti = (_nearest(obs, vectors + task.vectors[name]) for name in ("pro", "anti"))
    is_anti = bool(anti[1].sum() < pro[1].sum())
    return _most((anti if is_anti else pro)[0], task.n_classes, least=is_anti)


def _context_integration(env: TrialEnv, trial: Trial) -> list[int]:
    # As above; the noise of the context's steps is independent of the noise of the stimulus.
    vectors = env.task.vectors
    contexts = np.stack([vectors["context_a"], vectors["context_b"]])
    name = "ab"[int(_nearest(_shown(trial, "context").mean(0)[None], contexts)[0][0])]
    half = env.task.input_size // 2
    where = slice(0, half) if name == "a" else slice(half, None)
    shown = np.stack([vectors[f"{name}_{kind}"][where] for kind in ("evid_1", "evid_2", "null")])
    return _most(_nearest(_shown(trial, "stimulus")[:, where], shown)[0], 2)


def _continuous_integration(env: TrialEnv, trial: Trial) -> list[int]:
    # The projection on the vector, summed over the steps, is a sufficient statistic for both the
    # mean and the summed strength: all is Gaussian with the same variances at every step. Both
    # posteriors are symmetric for a sum of 0 and shift with it.
    evidence = _evidence(trial, "stimulus", list(range(len(env.channels))))
    return [int(evidence @ env.task.vectors["evid"] < 0)]


for _task_id, _observer in (
    ("PerceptualDecisionMaking-v0", _perceptual_decision_making),
    ("ContextDecisionMaking-v0", _context_decision_making),
    ("DelayMatchSample-v0", _delay_match_sample),
    ("PulseDecisionMaking-v0", _pulse_decision_making),
    (REVERSAL_BANDIT, _reversal_bandit),
    (INTEGRATION, _integration),
    (CONTEXT_INTEGRATION, _context_integration),
    (CONTINUOUS_INTEGRATION, _continuous_integration),
):
    register_observer(_task_id, _observer)
