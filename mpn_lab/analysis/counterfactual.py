"""What a network would have done, had something in it been different: `counterfactual`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from mpn_lab.analysis.changes import Change, Factual, resolve
from mpn_lab.analysis.edited_network import run_edited
from mpn_lab.analysis.edits import Edit, to_json
from mpn_lab.analysis.recording import CHUNK
from mpn_lab.analysis.schema import check_record
from mpn_lab.networks.qnetwork import Activity, QNetwork
from mpn_lab.networks.registry import State
from mpn_lab.training.device import resolve_device, torch_threads
from mpn_lab.training.run import Run

Mode = Literal["open", "closed"]


def counterfactual(
    network: QNetwork | Run,
    trials: xr.Dataset,
    edits: Edit | Sequence[Edit],
    *,
    mode: Mode = "open",
    device: str | torch.device | None = None,
    threads: int = 1,
) -> xr.Dataset:
    """Run a network on recorded trials again, with edits, and return a record of what it does.

    In an *open* loop the network receives the recorded observations, whatever it now prefers: what
    would it have valued, and answered? `taken_action` is then the greedy action, `response` the one
    at the trial's last step, and `reward` is unknown (nan) from the first action on that was not
    the recorded one. `correct` and `performance` compare a response that has changed with the
    correct one; they are unknown (nan) if the task has none. In a *closed* loop the network acts on
    the task itself: the trials are collected again from their seed, identical up to the edit.

    Without an edit, and in each trial in which an edit changes no value, the result equals the
    record bit for bit.

    Args:
        network: the network, or a run (whose last checkpoint is used).
        trials: from `record`, with the same network or another.
        edits: one or several of `mpn_lab.edits`, applied in this order.
        mode: "open" or "closed".
        device: device to which the network is moved, "auto" for a GPU if there is one; None: the
            network stays on its device.
        threads: number of torch threads.

    Returns:
        The same variables and coordinates as the record, so that `changed.Q - trials.Q` is the
        effect on the values; the attributes `edits` (JSON) and `counterfactual` (the mode) are new.

    Raises:
        ValueError: the Dataset is not a record or does not fit the network; an edit names something
            that the network does not have, a time outside the trials, or a donor or direction that
            does not fit; a closed loop is asked for on a task that cannot be repeated.

    Example:
        >>> import mpn_lab
        >>> from mpn_lab import edits
        >>> network = mpn_lab.QNetwork(3, 3, hidden_size=8)
        >>> trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
        >>> changed = mpn_lab.counterfactual(network, trials, edits.zero("M", at="test"))
        >>> float(abs(changed.M.sel(time=0) - trials.M.sel(time=0)).max())  # long before the test
        0.0
    """
    network = network.network if isinstance(network, Run) else network
    given = [edits] if isinstance(edits, Edit) else list(edits)
    for edit in given:
        if not isinstance(edit, Edit):
            raise ValueError(f"edits holds {edit!r}; expected values such as edits.zero('M').")
    if mode not in get_args(Mode):
        raise ValueError(f"mode is {mode!r}; expected open or closed.")
    check_record(trials, "obs", "valid")
    sizes = trials.sizes["channel"], trials.sizes["action"]
    if sizes != (network.obs_size, network.n_actions):
        raise ValueError(
            f"the record has {sizes[0]} channels and {sizes[1]} actions, but the network takes "
            f"{network.obs_size} and {network.n_actions}; pass the network that it was made with."
        )
    if device is not None:
        network.to(resolve_device(device))
    with torch_threads(threads):
        result = _open_loop(network, trials, given)
    result.attrs |= {"edits": to_json(given), "counterfactual": mode}
    return result


def _open_loop(network: QNetwork, trials: xr.Dataset, edits: list[Edit]) -> xr.Dataset:
    obs, length = _observations(trials)
    changes, start = resolve(network, trials, edits), _Starts(network, trials)
    arrays, dims, factual = _factual(network, obs, length, start)
    if any(change.donor is not None for change in changes):
        for change in changes:
            change.set_factual(factual)
    changed: np.ndarray = np.zeros(len(obs), bool)
    for rows in start.chunks() if changes else ():
        got = run_edited(network, changes, obs[rows].to(network.device), start.of(rows), rows)
        where = rows[got.changed]
        changed[where] = True
        named = _named(network, got.q, got.activity) | {"obs": (("channel",), got.obs)}
        for name, (_, value) in named.items():
            arrays[name][where] = value[got.changed].cpu().numpy()
    for array in arrays.values():
        array[np.arange(array.shape[1]) >= length[:, None]] = np.nan
    result = trials.assign(
        {name: (("trial", "time", *dims[name]), array) for name, array in arrays.items()}
    )
    return _with_answers(result, trials, changed)


def _observations(trials: xr.Dataset) -> tuple[Tensor, np.ndarray]:
    """Return the observations [B, T, channel], 0 after a trial's end, and the lengths [B]."""
    obs = trials["obs"].transpose("trial", "time", "channel").values
    valid = trials["valid"].transpose("trial", "time").values.astype(bool)
    return torch.from_numpy(np.where(valid[..., None], obs, 0).astype(np.float32)), valid.sum(1)


class _Starts:
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
        spec = torch.utils._pytree.tree_structure(self.network.initial_state(1))
        return torch.utils._pytree.tree_unflatten(leaves, spec)

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
def _factual(
    network: QNetwork, obs: Tensor, length: np.ndarray, start: _Starts
) -> tuple[dict[str, np.ndarray], dict[str, Any], Factual]:
    """Run the unedited network; return its variables, their dimensions, and the donors' values."""
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
    named = {name: torch.from_numpy(a.copy()).to(network.device) for name, a in arrays.items()}
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
    scores = {
        name: (
            "trial",
            np.where(
                turned, np.where(truth < 0, np.nan, last == truth), trials[name].values.astype(float)
            ),
        )
        for name in ("correct", "performance")
    }
    steps = ("trial", "time")
    result = result.assign(
        greedy_action=(steps, greedy), taken_action=(steps, taken), reward=(steps, reward)
    )
    return result.assign_coords(response=("trial", last), **scores)
