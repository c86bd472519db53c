"""What follows from the length of the task's trials: how far back credit and memory reach."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import NetworkConfig
from mpn_lab.training.learner import FOLLOWS

Config = TypeVar("Config", bound=NetworkConfig)

SHORT = 40
"""Trials of up to so many steps have the reach of the short tasks; it grows with longer ones."""


def with_reach(config: Config) -> Config:
    """The configuration with a number for gamma, td_lambda, lam_max and learning_rate where None.

    A discount, a lambda-return and a modulation reach over about 1 / (1 - x) steps. Up to `SHORT`
    steps that is 100 steps for gamma and lam_max and 20 for td_lambda; in longer trials of T steps
    it grows as T does, so that every trial spans the same share of it. The learning rate falls.
    What each contributes is measured in ai_docs/long_trials.md:

        share = min(1, SHORT / T)
        1 - gamma = 1 - lam_max = 0.01 share
        1 - td_lambda = 0.05 share
        learning_rate = 0.004 sqrt(share)

    Raises:
        ValueError: a task that cannot be made.
    """
    open_ones = [name for name in FOLLOWS if getattr(config, name, 0) is None]
    if not open_ones and config.mpn.lam_max is not None:
        return config
    share = min(1.0, SHORT / trial_length(config))
    found = {
        "gamma": 1 - 0.01 * share,
        "td_lambda": 1 - 0.05 * share,
        "learning_rate": 0.004 * math.sqrt(share),
    }
    missing: dict[str, Any] = {name: found[name] for name in open_ones}
    if config.mpn.lam_max is None:
        missing["mpn"] = config.mpn.model_copy(update={"lam_max": 1 - 0.01 * share})
    return config.model_copy(update=missing)


def trial_length(config: NetworkConfig, trials: int = 20) -> float:
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
