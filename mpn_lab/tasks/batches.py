"""What a task's sequences are to a supervised training: observations, right actions, and a mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class TaskBatch(NamedTuple):
    """B sequences of T steps."""

    obs: np.ndarray  # [B, T, d] float32
    truth: np.ndarray  # [B, T] int64, the right action at every step
    mask: np.ndarray  # [B, T] bool, the steps that are trained and scored
    latent: dict[str, np.ndarray]  # what the task knows of every step, [B, T] or [B, T, k]
    conditions: dict[str, np.ndarray]  # of each sequence, [B]
