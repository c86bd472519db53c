"""Lets the edited network act on the task itself, in the trials of a record."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from mpn_lab.analysis.recording import LOCKSTEP, RECORD_STREAM, dataset_of, weights_of
from mpn_lab.analysis.trial_variables import pad
from mpn_lab.interventions.changes import Change, resolve
from mpn_lab.interventions.edited_network import run_edited
from mpn_lab.interventions.edits import Edit
from mpn_lab.interventions.open_loop import (
    Starts,
    observations,
    pad_with_nan,
    run_changes,
    run_factual,
    take_recorded,
)
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import State
from mpn_lab.tasks.rollout import Policy, Trial, make_envs, n_envs_for, rollout
from mpn_lab.tasks.trial_env import TrialEnv


def closed_loop(network: QNetwork, trials: xr.Dataset, edits: Sequence[Edit]) -> xr.Dataset:
    """Collect the trials of a record again, while edits act on the network.

    Returns:
        A record with the time axis of the given one, which goes on where an edited trial lasts
        longer than all that were given.

    Raises:
        ValueError: the trials cannot be repeated, or as in `counterfactual`.
    """
    numbers = trials["trial"].values
    if len(np.unique(numbers)) < len(numbers):
        raise ValueError("two trials have the same number; repeat the trials of each record alone.")
    repeated, env = _collect(trials, network, numbers)
    _check_same(trials, repeated)
    plan = _plan(trials, repeated, env)
    changes = [c for e in edits for c in resolve(network, *_as_planned(plan, e, env.max_steps))]
    obs, length = observations(trials)
    factual = run_factual(network, obs, length, Starts(network, trials))[2]
    for change in changes:
        change.factual = factual

    collected, env = _collect(trials, _EditedPolicy(network, changes, numbers), numbers)
    _check_same(trials, collected)  # what an edited trial did may change the environment's next one
    lengths = np.array([len(trial) for trial in collected])
    T = max(trials.sizes["time"], int(lengths.max()))
    for change in changes:
        change.limit(lengths, T)
    before, after = obs.numpy(), pad([trial.obs for trial in collected], T, 0, np.float32)
    same = (after[:, : before.shape[1]] == before).all(2)
    same &= np.arange(before.shape[1]) < np.minimum(length, lengths)[:, None]
    obs, starts = torch.from_numpy(after), Starts(network, trials)
    arrays, dims, _ = run_factual(network, obs, lengths, starts)
    take_recorded(arrays, dims, trials, np.logical_and.accumulate(same, axis=1))
    run_changes(network, changes, factual, obs, starts, arrays)
    pad_with_nan(arrays, lengths)
    named = {name: (("trial", "time", *dims[name]), array) for name, array in arrays.items()}
    result = dataset_of(collected, env, network, named | weights_of(network), dict(trials.attrs))
    return _as_recorded(result.assign_coords(trial=numbers), trials)


def _as_recorded(result: xr.Dataset, trials: xr.Dataset) -> xr.Dataset:
    """Return the result with all labels of the record's trials, and with their types.

    The types of labels depend on all the trials of a record, of which these may be some: the
    longest name of a period, or whether each trial has a condition.
    """
    for name, own in trials.coords.items():
        if name not in result.coords and own.dims == ("trial",):  # of other trials alone
            result = result.assign_coords({name: own})
        elif name in result.coords and np.can_cast(result[name].dtype, own.dtype):
            result = result.assign_coords({name: result[name].astype(own.dtype)})
    return result


def _as_planned(plan: xr.Dataset, edit: Edit, most: int) -> tuple[xr.Dataset, list[Edit]]:
    """Return the plan of the trials as an edit needs it, and the edit.

    A mask, if it has one, is extended by False. An edit that goes on by the clock, however long the
    trial lasts, acts beyond the planned end too, up to the task's `most` steps.
    """
    during: np.ndarray = np.asarray(edit.during)
    T = plan.sizes["time"]
    if during.dtype == bool:
        later = [(0, 0)] * (during.ndim - 1) + [(0, max(0, T - during.shape[-1]))]
        return plan, [replace(edit, during=np.pad(during, later).tolist())]
    if edit.at is None and not isinstance(edit.during, str):
        dt = float(plan.attrs["dt"])
        if edit.during is not None:
            T = max(T, min(most, math.ceil((edit.during[1] - float(plan["time"][0])) / dt)))
        time = float(plan["time"][0]) + np.arange(T) * dt
        plan = plan.reindex(time=time, fill_value={"valid": True, "period": ""})
        plan["valid"] = xr.ones_like(plan["valid"])
    return plan, [edit]


class _EditedPolicy:
    """The edited network as a policy of `rollout`; its state says which trials, and the step."""

    def __init__(self, network: QNetwork, changes: list[Change], numbers: np.ndarray) -> None:
        self.network, self.changes, self.device = network, changes, network.device
        self.position = {number: i for i, number in enumerate(numbers.tolist())}
        self.begun = 0  # number of trials so far

    def step(self, obs: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is None:
            order = range(self.begun, self.begun + len(obs))
            rows = np.array([self.position.get(number, -1) for number in order])  # -1: not edited
            self.begun += len(obs)
            inner: State | None = None
            t = 0
        else:
            rows, t, inner = state
        if any(change.acting(rows, t, 1).any() for change in self.changes):
            edited = run_edited(self.network, self.changes, obs[:, None], inner, rows, t)
            q, inner = edited.q[:, 0], edited.state
        else:
            q, inner = self.network.step(obs, inner)
        return q, (rows, t + 1, inner)

    def select_state(self, state: Any, index: Tensor) -> Any:
        rows, t, inner = state
        return rows[index.numpy()], t, self.network.select_state(inner, index)

    def join_states(self, states: list[Any]) -> Any:
        raise NotImplementedError("a closed loop carries no state from trial to trial")


def _collect(
    trials: xr.Dataset, policy: Policy, numbers: np.ndarray
) -> tuple[list[Trial], TrialEnv]:
    """Collect the trials with these numbers from the seed of a record; also an environment."""
    attrs = trials.attrs
    for name, value, expected in (
        ("reset_state", attrs.get("reset_state"), "trial"),
        ("epsilon", attrs.get("epsilon"), 0.0),
    ):
        if value != expected:
            raise ValueError(
                f"the record has {name}={value!r}, and its trials cannot be repeated one by one; "
                f"record with {name}={expected!r}, or choose mode='open'."
            )
    total = int(numbers.max()) + 1
    n = n_envs_for(total, LOCKSTEP, "trial", 1)
    try:
        kwargs = json.loads(attrs["task_kwargs"])
        envs = make_envs(str(attrs["task"]), kwargs, n, (int(attrs["seed"]), RECORD_STREAM))
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"the task of the record cannot be made ({str(error).rstrip('.')}); choose mode='open'."
        ) from error
    collected = rollout(envs, policy, total)
    return [collected[number] for number in numbers.tolist()], envs[0]


def _check_same(trials: xr.Dataset, repeated: list[Trial]) -> None:
    """Raise ValueError unless the trials are those of the record, as long as the actions are."""
    obs, length = observations(trials)
    taken = trials["taken_action"].transpose("trial", "time").values
    for i, trial in enumerate(repeated):
        T = min(len(trial), length[i])
        other = np.flatnonzero(trial.action[:T] != taken[i, :T])
        T = min(T, other[0] + 1) if len(other) else T
        if not np.array_equal(trial.obs[:T], obs[i, :T].numpy()):
            raise ValueError(
                f"trial {int(trials['trial'][i])} of {trials.attrs['task']} is another one when it "
                "is collected again from the record's seed, so the loop cannot be closed; choose "
                "mode='open'."
            )


def _plan(trials: xr.Dataset, repeated: list[Trial], env: TrialEnv) -> xr.Dataset:
    """Return the periods of the trials as planned, which may extend beyond the recorded steps."""
    ends = [max([end for _, end in t.periods.values()] + [len(t)]) for t in repeated]
    T = max([trials.sizes["time"], *ends])
    period = np.full((len(repeated), T), "", object)
    for i, trial in enumerate(repeated):
        for name, (start, end) in sorted(trial.periods.items(), key=lambda item: item[1]):
            period[i, start:end] = name
    valid = np.arange(T) < np.array(ends)[:, None]
    steps = ("trial", "time")
    return xr.Dataset(
        {"valid": (steps, valid)},
        coords={
            "trial": trials["trial"].values,
            "time": np.arange(T) * env.dt,
            "channel": trials["channel"].values,
            "period": (steps, period.astype(str)),
        },
        attrs=trials.attrs,
    )
