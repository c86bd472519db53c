"""Defaults that follow from the length of the task's trials: how far back credit and memory go."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from mpn_lab.networks.mpn import SHORT_TRIAL
from mpn_lab.networks.registry import core_class
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import NetworkConfig

Config = TypeVar("Config", bound=NetworkConfig)


def resolve_defaults(config: Config) -> Config:
    """Fill in gamma, td_lambda, learning_rate and the core's own options where they are not given.

    A discount, a lambda-return and a modulation act over about 1 / (1 - x) steps. Up to
    `SHORT_TRIAL` steps that is 100 steps for gamma (and lam_max of an MPN) and 20 for td_lambda; in
    longer trials of T steps it grows as T does, so that every trial spans the same share of it. The
    learning rate falls. What each contributes is measured in ai_docs/long_trials.md:

        share = min(1, SHORT_TRIAL / T)
        1 - gamma = 1 - lam_max = 0.01 share
        1 - td_lambda = 0.05 share
        learning_rate = 0.004 sqrt(share)

    A core says by `horizon_options` which of its options follow, and how.

    Raises:
        ValueError: a task that cannot be made, or a core that is not registered.
    """
    core = core_class(config.core)
    missing = [n for n in ("gamma", "td_lambda", "learning_rate") if getattr(config, n, 0) is None]
    of_core = set(core.horizon_options(1.0)) if hasattr(core, "horizon_options") else set()
    if not missing and of_core <= set(config.core_options):
        return config
    steps = mean_trial_length(config)
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


def mean_trial_length(config: NetworkConfig, trials: int = 20) -> float:
    """Mean length in steps of a task's first trials under seed 0, taking action 0 to their end."""
    env = TrialEnv(config.task, seed=0, **config.task_kwargs)
    lengths = []
    for _ in range(trials):
        env.reset()
        steps, ended = 0, False
        while not ended:
            _, _, terminated, truncated, _ = env.step(0)
            steps, ended = steps + 1, terminated or truncated
        lengths.append(steps)
    return float(np.mean(lengths))
