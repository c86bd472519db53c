"""Names for the entries of a flattened observation and for the actions of a task."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces


def channel_names(space: spaces.Space, prefix: str = "") -> list[str]:
    """Name each entry of `gymnasium.spaces.flatten(space, obs)`, in order.

    neurogym's Box spaces name their entries ({"stimulus": [1, 2]} gives stimulus_1, stimulus_2).
    The entries of a Dict are named after their keys, the one-hot entries of a Discrete "name=0",
    "name=1" ...
    """
    if isinstance(space, spaces.Dict):
        parts = [(f"{prefix}{key}", sub) for key, sub in space.spaces.items()]
        return [name for key, sub in parts for name in _within(key, sub)]
    if isinstance(space, spaces.Tuple):
        parts = [(f"{prefix}{i}", sub) for i, sub in enumerate(space.spaces)]
        return [name for key, sub in parts for name in _within(key, sub)]
    name = prefix or "obs"
    if isinstance(space, spaces.Discrete):
        return [f"{name}={space.start + i}" for i in range(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        sizes = np.asarray(space.nvec).reshape(-1)
        return [f"{name}_{i + 1}={k}" for i, n in enumerate(sizes) for k in range(n)]
    size = spaces.flatdim(space)
    return named_entries(getattr(space, "name", None), size, name)


def action_names(space: spaces.Discrete) -> list[str]:
    """Name each action: as neurogym does for most of its tasks, or else action_1, action_2 ..."""
    return named_entries(getattr(space, "name", None), int(space.n), "action")


def named_entries(names: dict[str, Any] | None, size: int, default: str) -> list[str]:
    """Convert neurogym's {name: index or indices} to a list of `size` names."""
    fallback = [f"{default}_{i + 1}" for i in range(size)] if size > 1 else [default]
    result = list(fallback)
    for name, where in (names or {}).items():
        indices = [int(i) for i in np.atleast_1d(np.asarray(where))]
        for k, i in enumerate(indices):
            if 0 <= i < size:
                result[i] = name if len(indices) == 1 else f"{name}_{k + 1}"
    return result if len(set(result)) == size else fallback


def _within(key: str, space: spaces.Space) -> list[str]:
    nested = isinstance(space, spaces.Dict | spaces.Tuple)
    return channel_names(space, f"{key}." if nested else key)
