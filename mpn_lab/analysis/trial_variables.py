"""The variables and coordinates of a record that come from the trials, labelled and padded."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np

from mpn_lab.networks.registry import RESERVED
from mpn_lab.tasks.ideal import ideal_actions
from mpn_lab.tasks.rollout import Trial
from mpn_lab.tasks.trial_env import TrialEnv

TAKEN = RESERVED | {"M", "h", "W", "b", "eta", "lam"}
"""Names of every record: what a task calls so becomes `trial_NAME` in it."""


def pad(rows: Sequence[np.ndarray], length: int, fill: Any, dtype: Any) -> np.ndarray:
    """Arrays [T_i, ...] as one [len(rows), length, ...]."""
    result = np.full((len(rows), length, *rows[0].shape[1:]), fill, dtype)
    for i, row in enumerate(rows):
        result[i, : min(len(row), length)] = row[:length]
    return result


def step_variables(trials: list[Trial], T: int) -> dict[str, Any]:
    """Observations, actions and rewards of T steps, with their dimensions."""
    none = np.zeros(0, np.int64)
    truth = [none if t.ground_truth is None else t.ground_truth[: len(t)] for t in trials]
    steps = ("trial", "time")
    return {
        "obs": ((*steps, "channel"), pad([t.obs for t in trials], T, np.nan, np.float32)),
        "taken_action": (steps, pad([t.action for t in trials], T, -1, np.int64)),
        "reward": (steps, pad([t.reward for t in trials], T, np.nan, np.float32)),
        "ground_truth": (steps, pad(truth, T, -1, np.int64)),
        "valid": (steps, pad([np.ones(len(t), bool) for t in trials], T, False, bool)),
    }


def latent_variables(
    trials: list[Trial], T: int, n_actions: int, of_network: Set[str] = frozenset()
) -> dict[str, Any]:
    """What the task knows of T steps, with its dimensions; padded with nan, whole numbers -1.

    A name that is in TAKEN or among those `of_network` becomes `trial_NAME`.
    """
    result: dict[str, Any] = {}
    for name, first in trials[0].latent.items():
        rows = [trial.latent[name][: len(trial)] for trial in trials]
        fill = {"f": np.nan, "i": -1}.get(first.dtype.kind, 0)
        own = (
            () if first.ndim == 1 else ("action" if first.shape[1] == n_actions else f"{name}_of",)
        )
        name = f"trial_{name}" if name in TAKEN | of_network else name
        result[name] = (("trial", "time", *own), pad(rows, T, fill, first.dtype))
    return result


def coordinates(
    trials: list[Trial], T: int, env: TrialEnv, of_network: Set[str] = frozenset()
) -> dict[str, Any]:
    """The names and labels of trials, steps, channels and actions; names as `latent_variables`."""
    period = np.full((len(trials), T), "", dtype="<U32")
    for i, trial in enumerate(trials):
        for name, (start, end) in sorted(trial.periods.items(), key=lambda item: item[1]):
            period[i, start : min(end, len(trial))] = name
    longest = int(np.char.str_len(period).max(initial=1))
    performance = np.array([trial.performance for trial in trials])
    own = {
        "length": np.array([len(trial) for trial in trials]),
        "correct_response": np.array(
            [-1 if t.correct_response is None else t.correct_response for t in trials]
        ),
        "response": np.array([int(trial.action[-1]) for trial in trials]),
        "correct": _verdicts(performance),
        "performance": performance,
        "ideal_response": np.array([_ideal_response(env, trial) for trial in trials]),
    }
    taken = TAKEN | of_network | set(own) | set(trials[0].latent)
    names = dict.fromkeys(name for trial in trials for name in trial.conditions)
    conditions = {
        (f"trial_{name}" if name in taken else name): _column(
            [t.conditions.get(name) for t in trials]
        )
        for name in names
    }
    return {
        "trial": np.arange(len(trials)),
        "time": np.arange(T) * env.dt,
        "channel": list(env.channels),
        "action": list(env.actions),
        "period": (("trial", "time"), period.astype(f"<U{max(1, longest)}")),
        **{name: ("trial", values) for name, values in (conditions | own).items()},
    }


def _verdicts(performance: np.ndarray) -> np.ndarray:
    """Whether each trial is correct: bool, so that it selects trials; 1, 0 and nan if some are
    neither known to be correct nor to be wrong."""
    known = np.isin(performance, (0, 1))
    return performance == 1 if known.all() else np.where(known, performance, np.nan)


def _ideal_response(env: TrialEnv, trial: Trial) -> int:
    try:
        answers = ideal_actions(env, [trial])
    except ValueError:  # it ended before its evidence did, and the rest is not known
        return -1
    return -1 if answers is None else int(answers[0])


def _column(values: list[Any]) -> np.ndarray:
    """One condition of all trials: numbers where they all are, else text."""
    if all(
        v is None or (np.ndim(v) == 0 and isinstance(v, int | float | np.number)) for v in values
    ):
        return np.array([np.nan if v is None else v for v in values])
    as_text = [
        "" if v is None else v if isinstance(v, str) else str(np.asarray(v).tolist())
        for v in values
    ]
    return np.array(as_text)
