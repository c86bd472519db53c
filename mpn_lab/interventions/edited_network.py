"""Runs a network on trials while edits act on it; the engine of `counterfactual`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optree
import torch
from torch import Tensor, nn

from mpn_lab.interventions.changes import Change
from mpn_lab.networks.qnetwork import Activity, QNetwork
from mpn_lab.networks.recurrent import Stack
from mpn_lab.networks.registry import State, initial_state, state_dims

NEVER = np.iinfo(np.int64).max


class Edited(NamedTuple):
    """What `run_edited` returns."""

    q: Tensor  # [R, T, A]
    state: State  # after the last step
    obs: Tensor  # as edited, [R, T, d]
    activity: Activity  # at every step
    since: np.ndarray  # [R] the first step at which an edit changed a value; NEVER if none did


@torch.no_grad()
def run_edited(
    network: QNetwork,
    changes: list[Change],
    obs: Tensor,
    state: State | None,
    rows: np.ndarray,
    start: int = 0,
) -> Edited:
    """Run steps `start` to `start + T` of some trials.

    Args:
        network: the network.
        changes: from `resolve`; applied in this order.
        obs: [R, T, d].
        state: before the first of these steps; None: the trials' start.
        rows: positions of the trials in the record, [R].
        start: number of the first of the steps.

    Returns:
        Q, the observations, the activity and the states as edited, and since when each trial is.
    """
    T, stacked = obs.shape[1], isinstance(network.core, Stack)
    since: np.ndarray = np.full(len(rows), NEVER)
    obs = _edit_sequence("obs", changes, obs, rows, start, since)
    x = _edit_sequence("x", changes, network.embedding(obs), rows, start, since)
    of_layers: Any = (state if stacked else (state,)) if state is not None else None
    lasts, states, h = [], [], x
    for k, layer in enumerate(network.layers):
        own = of_layers[k] if of_layers is not None else None
        mine = [c for c in changes if c.place.layer == k and c.place.what not in ("obs", "x")]
        pattern: np.ndarray = np.zeros((len(rows), len(mine), T), bool)
        for i, change in enumerate(mine):
            pattern[:, i] = change.acting(rows, start, T)
        if pattern.any():
            own = initial_state(layer, h) if own is None else own
            h, last, after = _run_layer(layer, mine, pattern, h, own, rows, start, since)
        else:
            h, last, after = layer(h, own, return_states=True)
        lasts.append(last)
        states.append(after)
    activity = Activity(x, h, tuple(states) if stacked else states[0])
    last = tuple(lasts) if stacked else lasts[0]
    return Edited(network.readout(h), last, obs, activity, since)


def _edit_sequence(
    what: str, changes: list[Change], values: Tensor, rows: np.ndarray, start: int, since: Any
) -> Tensor:
    """Apply the edits of obs or x to all steps, [R, T, d]."""
    for change in changes:
        r, t = np.nonzero(change.acting(rows, start, values.shape[1]))
        if change.place.what == what and len(r):
            before = values[r, t]
            after = change.apply(before, rows[r], start + t)
            differ = _rows_differ(before, after)
            np.minimum.at(since, r[differ], start + t[differ])
            values = values.clone()
            values[r, t] = after
    return values


def _run_layer(
    layer: nn.Module,
    changes: list[Change],
    pattern: np.ndarray,
    x: Tensor,
    state: State,
    rows: np.ndarray,
    start: int,
    since: np.ndarray,
) -> tuple[Tensor, State, State]:
    """Run a layer on x [R, T, d], together the trials on which the edits act at the same steps.

    `pattern` [R, change, T] says where each change acts.
    """
    flat = np.packbits(pattern.reshape(len(rows), -1), axis=1)
    _, group_of = np.unique(flat, axis=0, return_inverse=True)
    groups = [np.flatnonzero(group_of.reshape(-1) == g) for g in range(group_of.max() + 1)]
    results: list[Any] = []
    for group in groups:
        own = optree.tree_map(lambda s, group=group: s[group], state)
        part = _run_group(layer, changes, pattern[group[0]], x[group], own, rows[group], start)
        since[group] = np.minimum(since[group], part[-1])
        results.append(part[:-1])
    if len(groups) == 1:
        return results[0]
    order = torch.as_tensor(np.argsort(np.concatenate(groups)), device=x.device)
    return tuple(  # type: ignore[return-value]
        optree.tree_map(lambda *p: torch.cat(p)[order], *parts)
        for parts in zip(*results, strict=True)
    )


def _run_group(
    layer: nn.Module,
    changes: list[Change],
    pattern: np.ndarray,
    x: Tensor,
    state: State,
    rows: np.ndarray,
    start: int,
) -> tuple[Tensor, State, State, np.ndarray]:
    """Run trials whose edits act at the same steps, `pattern` [change, T]."""
    since: np.ndarray = np.full(len(rows), NEVER)
    steps: np.ndarray = np.zeros(len(rows), int)

    def edit(change: Change, value: Tensor) -> Tensor:
        after = change.apply(value, rows, steps)
        differ = _rows_differ(value, after)
        since[differ] = np.minimum(since[differ], steps[differ])
        return after

    spec = optree.tree_structure(state)
    outputs, states = [], []
    for t0, t1 in _segments(changes, pattern):
        steps[:] = start + t0
        now = [c for c, active in zip(changes, pattern[:, t0], strict=True) if active]

        leaves = optree.tree_leaves(state)
        for change in now:
            if change.place.what == "state":
                leaves[change.place.leaf] = edit(change, leaves[change.place.leaf])
        before = optree.tree_unflatten(spec, leaves)
        parameters = _parameters(layer, now)
        if any((v != layer.get_parameter(name)).any() for name, v in parameters.items()):
            np.minimum(since, steps, out=since)
        h, state, after = torch.func.functional_call(
            layer, parameters, (x[:, t0:t1], before), {"return_states": True}
        )
        if any(change.place.what in ("output", "hold") for change in now):  # a single step
            y, state = _edit_step(layer, now, parameters, x[:, t0], before, h[:, 0], state, edit)
            h, after = y[:, None], optree.tree_map(lambda s: s[:, None], state)
        outputs.append(h)
        states.append(after)
    joined = optree.tree_map(lambda *s: torch.cat(s, 1), *states)
    return torch.cat(outputs, 1), state, joined, since


def _edit_step(
    layer: nn.Module,
    now: list[Change],
    parameters: dict[str, Tensor],
    x: Tensor,
    before: State,
    h: Tensor,
    state: State,
    edit: Callable[[Change, Tensor], Tensor],
) -> tuple[Tensor, State]:
    """Edit the output of a step, h [R, n], and the state after it; hold the states to be held."""
    names, edited = list(state_dims(layer)), h
    for change in now:
        if change.place.what == "output":
            edited = edit(change, edited)
    new = optree.tree_leaves(state)
    if edited is not h and hasattr(layer, "state_after"):
        own = {f"layer.{name}": value for name, value in parameters.items()}
        again = torch.func.functional_call(_StateAfter(layer), own, (before, x, edited))
        same = (edited == h).all(1)  # there the kernel's own result stays, to the bit
        new = [
            torch.where(same.view(-1, *[1] * (a.dim() - 1)), a, b)
            for a, b in zip(new, optree.tree_leaves(again), strict=True)
        ]
    for change in now:
        leaf = change.place.leaf
        if change.place.what == "output" and leaf >= 0:
            new[leaf] = edited
        elif change.place.what == "hold":
            change.held = optree.tree_leaves(before)[leaf]
            new[leaf] = edit(change, new[leaf])
            edited = new[leaf] if names[leaf] == "h" else edited
    return edited, optree.tree_unflatten(optree.tree_structure(state), new)


class _StateAfter(nn.Module):
    """A core's `state_after` as a module, so that edited parameters can be put into it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, state: State, x: Tensor, h: Tensor) -> State:
        return self.layer.state_after(state, x, h)  # type: ignore[operator]


def _segments(changes: list[Change], pattern: np.ndarray) -> list[tuple[int, int]]:
    """Return spans of steps during which nothing needs to be edited but before the first."""
    T = pattern.shape[1]
    cut = np.zeros(T + 1, bool)
    cut[[0, T]] = True
    for change, active in zip(changes, pattern, strict=True):
        if change.place.what == "parameter":
            cut[1:T] |= active[1:] != active[:-1]
        else:
            cut[:T] |= active
            if change.place.what != "state":  # the step by itself
                cut[1:] |= active
    ends = np.flatnonzero(cut).tolist()
    return list(itertools.pairwise(ends))


def _parameters(layer: nn.Module, changes: list[Change]) -> dict[str, Tensor]:
    """Return the edited parameters of a layer."""
    result: dict[str, Tensor] = {}
    own = dict(layer.named_parameters())
    for change in changes:
        name = change.place.variable
        if change.place.what == "parameter":
            value = result.get(name, own[name]).detach()
            none = np.zeros(1, int)
            result[name] = change.apply(value.expand(change.place.shape)[None], none, none)[0]
    return result


def _rows_differ(a: Tensor, b: Tensor) -> np.ndarray:
    """Whether anything differs in a row, [R] bool."""
    return (a != b).reshape(len(a), -1).any(1).cpu().numpy()
