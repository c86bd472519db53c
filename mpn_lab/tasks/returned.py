"""Checks of what an environment returns from `reset` and `step`, before anything uses it.

Each raises ValueError with one sentence that names the task, the value and what gymnasium asks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from mpn_lab.checks import show


def check_reset(task_id: str, returned: Any) -> Any:
    """Return the observation of (observation, info), as `reset` returns them."""
    if not isinstance(returned, tuple) or len(returned) != 2 or not isinstance(returned[1], dict):
        raise _wrong(task_id, f"{show(returned)} from reset", "a tuple (observation, info)")
    return returned[0]


def check_step(task_id: str, returned: Any) -> tuple[Any, float, bool, bool, dict]:
    """Return (observation, reward, terminated, truncated, info), as `step` returns them."""
    if not isinstance(returned, tuple) or len(returned) != 5:
        expected = "a tuple (observation, reward, terminated, truncated, info)"
        raise _wrong(task_id, f"{show(returned)} from step", expected)
    obs, given, terminated, truncated, info = returned
    reward = given if type(given) is float else _number(given)
    if reward is None:
        raise _wrong(task_id, f"the reward {show(given)}", "one number per step")
    if not isinstance(info, dict):
        raise _wrong(task_id, f"the info {show(info)} from step", "a dict")
    return obs, reward, terminated, truncated, info


def check_performance(task_id: str, given: Any) -> float:
    """Return a trial's performance, 0 to 1; nan for None, if it is unknown."""
    performance = np.nan if given is None else _number(given)
    if performance is None or not (np.isnan(performance) or 0 <= performance <= 1):
        expected = "a number from 0 to 1, or None where it is unknown"
        raise _wrong(task_id, f"the performance {show(given)} at a trial's end", expected)
    return performance


def flatten(task_id: str, space: spaces.Space, obs: Any) -> np.ndarray:
    """Return an observation as [d] float32; numpy would broadcast one of another shape."""
    box = isinstance(space, spaces.Box)
    fits = not box or np.shape(obs) == space.shape
    try:
        if box and (fits or (np.shape(obs) == () and space.shape == (1,))):  # Null-v0 gives 0
            return np.array(obs, np.float32).reshape(-1)
        flat = np.asarray(spaces.flatten(space, obs), np.float32)
    except Exception:  # whatever numpy and gymnasium raise for what the space does not hold
        fits = False
    if not fits or flat.shape != (spaces.flatdim(space),):
        raise _wrong(task_id, f"the observation {show(obs)}", f"one of the space {space}")
    return flat


def _number(value: Any) -> float | None:
    """Return a number of any kind as float; None for anything else."""
    try:
        return None if isinstance(value, str) else float(np.asarray(value).item())
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def _wrong(task_id: str, given: str, expected: str) -> ValueError:
    return ValueError(f"{task_id} gives {given}; expected {expected}: correct the task.")
