"""Measures of networks that integrate: the evidence, and how a network would respond to go."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from figures.networks import Trained
from mpn_lab import TrialEnv, record
from mpn_lab.training.data import step_accuracies

SHOWN = ("class 1", "class 2", "null", "go")  # in the order of a record's `shown`
TESTED = 2_000  # fresh trials behind every accuracy


def record_of(one: Trained) -> xr.Dataset:
    """200 fresh trials, the same for every network of a seed."""
    return record(one.network, *one.task, trials=200, seed=1)


def evidence_of(record: xr.Dataset, counts: str = "evidence") -> xr.DataArray:
    """How much more often class 1 than class 2 was shown, up to each step [trial, time]."""
    shown = record[counts]
    return shown.isel(action=0, drop=True) - shown.isel(action=1, drop=True)


def accuracy_of(one: Trained) -> float:
    """On `TESTED` fresh trials."""
    task, task_kwargs = one.task
    batch = TrialEnv(task, seed=0, **task_kwargs).task.sample_batch(
        np.random.default_rng((one.config.seed, 7)), TESTED
    )
    return step_accuracies(one.network, batch)[0]


@torch.no_grad()
def project_to_go(one: Trained, M: np.ndarray) -> np.ndarray:
    """h_GO(M) = phi([W * (1 + M)] x_go + b), as the layer itself computes it.

    [k, n, d] -> [k, n]
    """
    task, kwargs = one.task
    x_go = torch.tensor(TrialEnv(task, **kwargs).task.vectors["go"], dtype=torch.float32)  # (d)
    state = torch.from_numpy(M)
    h, _ = one.network.core(x_go.expand(len(M), 1, -1), state)  # M acts at the step after it
    return h[:, 0].numpy()


@torch.no_grad()
def respond_to_go(one: Trained, trials: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """h and the readout difference if go were shown at the step after each one.

    Returns:
        h_GO(M_t) [trial, time, hidden], and its readout of class 1 minus that of class 2 [trial,
        time].
    """
    M = trials["M"].values  # (trial, time, n, d)
    h = project_to_go(one, M.reshape(-1, *M.shape[2:]))
    y = one.network.readout(torch.from_numpy(h)).numpy()
    return h.reshape(*M.shape[:2], -1), (y[:, 0] - y[:, 1]).reshape(M.shape[:2])
