"""What follows from the length of the task's trials: how far back credit and memory reach."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import TrainConfig

SHORT = 40
"""Trials of up to so many steps have the reach of the short tasks; it grows with longer ones."""


def with_reach(config: TrainConfig) -> TrainConfig:
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
    if None not in (config.gamma, config.td_lambda, config.learning_rate, config.mpn.lam_max):
        return config
    share = min(1.0, SHORT / trial_length(config))
    found = {
        "gamma": 1 - 0.01 * share,
        "td_lambda": 1 - 0.05 * share,
        "learning_rate": 0.004 * math.sqrt(share),
    }
    missing: dict[str, Any] = {
        name: value for name, value in found.items() if getattr(config, name) is None
    }
    if config.mpn.lam_max is None:
        missing["mpn"] = config.mpn.model_copy(update={"lam_max": 1 - 0.01 * share})
    return config.model_copy(update=missing)


def trial_length(config: TrainConfig, trials: int = 20) -> float:
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
