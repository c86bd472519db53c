"""Defaults derived from trial length: the horizon over which credit and memory act."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from mpn_lab.networks.mpn import SHORT_TRIAL
from mpn_lab.networks.registry import core_class
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import NetworkConfig

Config = TypeVar("Config", bound=NetworkConfig)


def resolve_defaults(config: Config) -> Config:
    """Fill in gamma, td_lambda, learning_rate and core options that the configuration leaves open.

    A discount, a lambda-return or a decay by the factor x acts over a horizon of about 1 / (1 - x)
    steps. In trials of up to `SHORT_TRIAL` steps this is 100 steps for gamma (and for lam_max of an
    MPN) and 20 for td_lambda; in longer trials of T steps it grows in proportion to T. The learning
    rate shrinks with the square root. ai_docs/long_trials.md measures what each contributes.

        share = min(1, SHORT_TRIAL / T)
        1 - gamma = 1 - lam_max = 0.01 share
        1 - td_lambda = 0.05 share
        learning_rate = 0.004 sqrt(share)

    The core's `horizon_options` determines which of its options depend on trial length, and how.

    Raises:
        ValueError: the task cannot be made or ends no trial, or the core is not registered.
    """
    env = TrialEnv(config.task, seed=0, **config.task_kwargs)
    _check_trials_end(env)
    core = core_class(config.core)
    missing = [n for n in ("gamma", "td_lambda", "learning_rate") if getattr(config, n, 0) is None]
    of_core = set(core.horizon_options(1.0)) if hasattr(core, "horizon_options") else set()
    if not missing and of_core <= set(config.core_options):
        return config
    steps = mean_trial_length(env)
    share = min(1.0, SHORT_TRIAL / steps)
    found = {
        "gamma": 1 - 0.01 * share,
        "td_lambda": 1 - 0.05 * share,
        "learning_rate": 0.004 * math.sqrt(share),
    }
    resolved: dict[str, Any] = {name: found[name] for name in missing}
    if of_core:
        resolved["core_options"] = core.horizon_options(steps) | config.core_options
    return config.model_copy(update=resolved)


def _check_trials_end(env: TrialEnv) -> None:
    """Raise ValueError if `max_steps` cuts every trial, with action 0 as with random actions."""
    if not any(_length(env, act) < env.max_steps for act in (_fixate, *[_random(env)] * 3)):
        raise ValueError(
            f"{env.task_id} ends no trial within {env.max_steps:,} steps; end each trial, by "
            'terminated or info["new_trial"], or cut it with max_episode_steps of '
            "gymnasium.register."
        )


def mean_trial_length(env: TrialEnv) -> float:
    """Return the mean length in steps of trials 1 to 20 of seed 0, always taking action 0.

    Where none of them ends, the actions are random.
    """
    env.reset(seed=0)
    lengths = [_length(env, _fixate) for _ in range(20)]
    if min(lengths) >= env.max_steps:
        act = _random(env)
        lengths = [_length(env, act) for _ in range(5)]
    return float(np.mean(lengths))


def _fixate() -> int:
    return 0


def _random(env: TrialEnv) -> Callable[[], int]:
    rng = np.random.default_rng(0)
    return lambda: int(rng.integers(len(env.actions)))


def _length(env: TrialEnv, act: Callable[[], int]) -> int:
    """Run a trial, and return its length in steps."""
    env.reset()
    steps, ended = 0, False
    while not ended:
        _, _, terminated, truncated, _ = env.step(act())
        steps, ended = steps + 1, terminated or truncated
    return steps
