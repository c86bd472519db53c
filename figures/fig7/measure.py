"""Figure 7's networks for a context and for numbers, and their readout differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr

from figures.integration import record_of, respond_to_go
from figures.networks import Trained, config_of, network_names
from mpn_lab import SupervisedConfig
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, CONTINUOUS_INTEGRATION

# An input x times its strength s moves M by eta phi(s W x) s x^T, the same for s and -s: it takes a
# bias to tell them apart.
SIGNED: dict[str, Any] = {"core_options": {"bias": True}, "trials": 64 * 3_000, "stop": None}
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "retrospective context": (CONTEXT_INTEGRATION, {}),
    "continuous": (CONTINUOUS_INTEGRATION, SIGNED),
}
COUNTS = "readout difference, subtask that counts, step {}"
OTHER = "readout difference, other, step {}"
SUBTASKS = ("a", "b")


def configs(name: str) -> dict[str, SupervisedConfig]:
    """What is trained on one of `TASKS`, by seed."""
    task, changes = TASKS[name]
    return {
        full: config_of(kind, seed, task, **changes)
        for kind, seed, full in network_names(f"fig7/{name.split()[0]}", ["MPN"])
    }


def differences(one: Trained) -> dict[str, float]:
    """(d) The readout differences by step, means over the two subtasks."""
    torch.set_num_threads(1)
    by_subtask = readout_difference(one, record_of(one))
    values = {}
    for quantity, pairs in ((COUNTS, ("aa", "bb")), (OTHER, ("ab", "ba"))):
        mean = np.mean([by_subtask[subtask, counts] for subtask, counts in pairs], axis=0)
        values |= {quantity.format(t + 1): float(value) for t, value in enumerate(mean)}
    return values


def readout_difference(one: Trained, trials: xr.Dataset) -> dict[tuple[str, str], np.ndarray]:
    """(subtask, the one that counts) -> the readout difference at every step before go."""
    _, y = respond_to_go(one, trials.isel(time=slice(0, -1)))  # M_T is never read
    result = {}
    for subtask in SUBTASKS:
        label = trials[f"label_{subtask}"].values
        for counts in SUBTASKS:
            here = trials["context"].values == counts
            first, second = (y[here & (label == k)].mean(0) for k in (0, 1))
            result[subtask, counts] = (first - second) / 2
    return result
