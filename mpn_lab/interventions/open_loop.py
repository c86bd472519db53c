"""Runs the edited network on the recorded observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optree
import torch
import xarray as xr
from torch import Tensor

from mpn_lab.analysis.recording import CHUNK
from mpn_lab.interventions.changes import Change, Factual, resolve
from mpn_lab.interventions.edited_network import NEVER, run_edited
from mpn_lab.interventions.edits import Edit
from mpn_lab.networks.qnetwork import Activity, QNetwork
from mpn_lab.networks.registry import State


def open_loop(network: QNetwork, trials: xr.Dataset, edits: Sequence[Edit]) -> xr.Dataset:
    """Run the edited network on the recorded observations.

    Raises:
        ValueError: as in `counterfactual`.
    """
    obs, length = observations(trials)
    changes, starts = resolve(network, trials, edits), Starts(network, trials)
    arrays, dims, factual = run_factual(network, obs, length, starts)
    if any(change.donor is not None for change in changes):  # `arrays` are written over
        factual.named = {name: value.clone() for name, value in factual.named.items()}
    inside = np.arange(obs.shape[1]) < length[:, None]
    own = take_recorded(arrays, dims, trials, inside)
    since = run_changes(network, changes, factual, obs, starts, arrays)
    pad_with_nan(arrays, length)
    result = trials.assign(
        {name: (("trial", "time", *dims[name]), array) for name, array in arrays.items()}
    )
    return _with_answers(result, trials, (since < NEVER) | (not own))


def run_changes(
    network: QNetwork,
    changes: list[Change],
    factual: Factual,
    obs: Tensor,
    starts: Starts,
    arrays: dict[str, np.ndarray],
) -> np.ndarray:
    """Run the edited network; put what it does into `arrays`, from the first changed step on.

    Returns that step for each trial, [B].
    """
    since: np.ndarray = np.full(len(obs), NEVER)
    for change in changes:
        change.factual = factual
    for rows in starts.chunks() if changes else ():
        got = run_edited(network, changes, obs[rows].to(network.device), starts.of(rows), rows)
        since[rows] = got.since
        named = _named(network, got.q, got.activity) | {"obs": (("channel",), got.obs)}
        for name, (_, value) in named.items():
            changed = value.cpu().numpy()
            for r, first in enumerate(np.minimum(got.since, obs.shape[1])):
                arrays[name][rows[r], first:] = changed[r, first:]
    return since


def take_recorded(
    arrays: dict[str, np.ndarray], dims: dict[str, Any], trials: xr.Dataset, where: np.ndarray
) -> bool:
    """Put recorded values in place of computed ones, if it is the network that made them.

    Returns whether it is.

    The two can differ in the last bit: matrix products depend on the size of the batch.

    Args:
        arrays: name -> [trial, time, ...], at least as many steps as in the record.
        dims: name -> the dimensions after trial and time.
        trials: the record.
        where: the steps of the record that were computed from the same observations, [trial, time].
    """
    of_network = [name for name in arrays if name in trials]
    recorded = {n: trials[n].transpose("trial", "time", *dims[n]).values for n in of_network}
    T = where.shape[1]
    computed = {n: arrays[n][:, :T] for n in of_network}
    own = all(
        np.allclose(recorded[n][i, at], computed[n][i, at], 1e-3, 1e-4)
        for n in of_network
        for i, at in enumerate(where)  # trial by trial: the values stay in the processor's cache
    )
    for name in of_network if own else ():
        at = where.reshape(*where.shape, *[1] * (recorded[name].ndim - 2))
        np.copyto(computed[name], recorded[name], where=at)
    return own


def pad_with_nan(arrays: dict[str, np.ndarray], length: np.ndarray) -> None:
    """Set the steps after a trial's end to nan."""
    for array in arrays.values():
        array[np.arange(array.shape[1]) >= length[:, None]] = np.nan


def observations(trials: xr.Dataset) -> tuple[Tensor, np.ndarray]:
    """Return the observations [B, T, channel], 0 after a trial's end, and the lengths [B]."""
    obs = trials["obs"].transpose("trial", "time", "channel").values
    valid = trials["valid"].transpose("trial", "time").values.astype(bool)
    return torch.from_numpy(np.where(valid[..., None], obs, 0).astype(np.float32)), valid.sum(1)


class Starts:
    """The states before the trials' first steps, from a record."""

    def __init__(self, network: QNetwork, trials: xr.Dataset) -> None:
        self.network, self.count = network, trials.sizes["trial"]
        first = network.initial_state(1)
        self.named = network.named_states(first)
        self.values: dict[str, Tensor] | None = None
        self.carried: np.ndarray = np.zeros(self.count, bool)  # from the trial before
        if all(f"{name}_start" in trials for name in self.named):
            self.values = {}
            for name, (dims, initial) in self.named.items():
                own = trials[f"{name}_start"].transpose("trial", *dims).values
                self.values[name] = torch.from_numpy(own.astype(np.float32)).to(network.device)
                differs = self.values[name] != initial.detach()
                self.carried |= differs.flatten(1).any(1).cpu().numpy()

    def of(self, rows: np.ndarray) -> State | None:
        """Return the state of these trials; None: the network's own initial state."""
        if self.values is None or not self.carried[rows].any():
            return None
        leaves = [value[rows] for value in self.values.values()]
        spec = optree.tree_structure(self.network.initial_state(1))
        return optree.tree_unflatten(spec, leaves)

    def by_name(self) -> dict[str, Tensor]:
        """Return name -> [trial, ...]."""
        if self.values is not None:
            return self.values
        named = self.network.named_states(self.network.initial_state(self.count))
        return {name: value.detach() for name, (_, value) in named.items()}

    def chunks(self) -> list[np.ndarray]:
        """Return the positions of trials that are computed at once, as `record` does it."""
        groups = [np.flatnonzero(self.carried == carried) for carried in (False, True)]
        return [g[i : i + CHUNK] for g in groups for i in range(0, len(g), CHUNK)]


@torch.no_grad()
def run_factual(
    network: QNetwork, obs: Tensor, length: np.ndarray, start: Starts
) -> tuple[dict[str, np.ndarray], dict[str, Any], Factual]:
    """Run the unedited network; return its variables, their dimensions, and the donors' values.

    The donors' values are those of the variables, not copies.
    """
    arrays: dict[str, np.ndarray] = {}
    dims: dict[str, Any] = {"obs": ("channel",)}
    for rows in start.chunks():
        q, _, activity = network(obs[rows].to(network.device), start.of(rows), return_states=True)
        for name, (own, value) in _named(network, q, activity).items():
            dims[name] = own
            if name not in arrays:
                arrays[name] = np.empty((*obs.shape[:2], *value.shape[2:]), np.float32)
            arrays[name][rows] = value.cpu().numpy()
    arrays["obs"] = obs.numpy().copy()
    named = {name: torch.from_numpy(a).to(network.device) for name, a in arrays.items()}
    named["x"] = named["embedded"]
    return arrays, dims, Factual(named, start.by_name(), length)


def _named(network: QNetwork, q: Tensor, activity: Activity) -> dict[str, Any]:
    """Return the variables of a record that the network makes: name -> (dimensions, values)."""
    named: dict[str, Any] = {"Q": (("action",), q), "embedded": (("input",), activity.embedded)}
    return named | {"h": (("hidden",), activity.h)} | network.named_states(activity.states)


def _with_answers(result: xr.Dataset, trials: xr.Dataset, changed: np.ndarray) -> xr.Dataset:
    """Fill in what the changed trials answer in an open loop."""
    valid = trials["valid"].transpose("trial", "time").values.astype(bool)
    greedy = np.where(valid, np.nan_to_num(result["Q"].values).argmax(2), -1)
    before = trials["taken_action"].transpose("trial", "time").values
    taken = np.where(changed[:, None], greedy, before)
    other = np.logical_or.accumulate((taken != before) & valid, axis=1)  # from there on
    reward = np.where(other, np.nan, trials["reward"].transpose("trial", "time").values)
    last = taken[np.arange(len(taken)), valid.sum(1) - 1]
    turned, truth = last != trials["response"].values, trials["correct_response"].values
    scores: dict[str, Any] = {}
    for name in ("correct", "performance"):
        was = trials[name].values.astype(float)
        now = np.where((truth < 0) | np.isnan(was), np.nan, last == truth)
        score = np.where(turned, now, was)
        is_bool = trials[name].dtype == bool and not np.isnan(score).any()
        scores[name] = ("trial", score.astype(bool) if is_bool else score)
    steps = ("trial", "time")
    result = result.assign(
        greedy_action=(steps, greedy), taken_action=(steps, taken), reward=(steps, reward)
    )
    return result.assign_coords(response=("trial", last), **scores)
