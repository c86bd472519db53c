"""The networks of the paper's text, and what is measured of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr

from figures.fig3.measure import RATIO, explained
from figures.integration import accuracy_of, record_of
from figures.networks import SEEDS, Trained, config_of
from mpn_lab import SupervisedConfig
from mpn_lab.analysis import participation_ratio
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, INTEGRATION

ACCURACY, ETA = "accuracy", "eta after training"
SIZE_M, SIZE_H = "size of M, step {}", "size of h, step {}"
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MPN": ("MPN", INTEGRATION, {}),
    "MPNpost": ("MPNpost", INTEGRATION, {}),
    "MPNpre": ("MPNpre", INTEGRATION, {}),
    "bound 1": ("bound 1", INTEGRATION, {}),
    "bound 0.1": ("bound 0.1", INTEGRATION, {}),
    "additive": ("additive", INTEGRATION, {}),
    "ReLU": ("ReLU", INTEGRATION, {}),
    "three classes": ("MPN", INTEGRATION, {"n_classes": 3}),
    "prospective context": ("MPN", CONTEXT_INTEGRATION, {"context": "prospective"}),
    "true-anti": ("MPN", INTEGRATION, {"anti": True}),
}
"""Name -> network, task and the task's arguments."""
SHARED = {"MPN": "fig3/MPN", "MPNpre": "fig3/MPNpre"}  # the same training as figure 3's
PLAIN = [name for name, (_, _, changes) in VARIANTS.items() if not changes]  # all one task
BOUNDS = {"MPN": "no bound", "bound 1": "1", "bound 0.1": "0.1"}


def configs(name: str) -> dict[str, SupervisedConfig]:
    """What is trained of one of `VARIANTS`, by seed."""
    kind, task, task_kwargs = VARIANTS[name]
    where = SHARED.get(name, f"figS/{name.replace(' ', '-')}")
    return {
        f"{where}-seed{seed}": config_of(kind, seed, task, task_kwargs=task_kwargs)
        for seed in SEEDS
    }


def measure(name: str, one: Trained) -> dict[str, float]:
    """All values of one of a variant's networks."""
    torch.set_num_threads(1)
    values = {ACCURACY: accuracy_of(one), ETA: one.eta}
    if name in PLAIN:
        trials = record_of(one)
        values |= explained(trials) | {RATIO: float(participation_ratio(trials, "h"))}
        if name in BOUNDS:
            values |= sizes(trials["h"], SIZE_H)
            values |= sizes(trials["M"].isel(time=slice(0, -1)), SIZE_M)  # M_T is never read
    return values


def sizes(states: xr.DataArray, quantity: str) -> dict[str, float]:
    """Root mean square of the entries of [trial, time, ...] at every step, mean over trials."""
    entries = states.values.reshape(*states.shape[:2], -1)  # (trial, time, entry)
    rms = np.sqrt((entries**2).mean(2)).mean(0)
    return {quantity.format(t + 1): float(value) for t, value in enumerate(rms)}
