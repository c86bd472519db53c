"""Trials of a network as one labelled Dataset: what every analysis, plot and explorer looks at."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, get_args

import numpy as np
import torch
import xarray as xr
from torch import nn

from mpn_lab.analysis.schema import FORMAT
from mpn_lab.analysis.trial_variables import coordinates, latent_variables, lived_variables, pad
from mpn_lab.networks.mpn import MPN
from mpn_lab.networks.qnetwork import Projection, QNetwork
from mpn_lab.tasks.rollout import Trial
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.evaluate import ResetState, live_trials, lockstep, make_envs
from mpn_lab.training.run import PACKAGES, Run

MEMORY_SHARE = 0.25
"""A record that would take more than this part of the machine's memory is warned of first."""

_RECORD = 0x7265636F7264  # keeps the seeds of records apart from those of training and evaluation
_LOCKSTEP = 250  # environments at most
_CHUNK = 64  # trials whose states are computed at once


def record(
    network: QNetwork | Run,
    task: str | None = None,
    task_kwargs: dict[str, Any] | None = None,
    *,
    trials: int = 100,
    seed: int = 0,
    epsilon: float = 0.0,
    reset_state: ResetState | None = None,
    trials_per_episode: int | None = None,
) -> xr.Dataset:
    """Live fresh trials and keep everything the network saw, held, computed and did.

    The trials depend on task and seed alone: every network gets the same ones, and the first 10
    of 100 are the 10 of a record of 10. A state that is carried over (`reset_state`) goes from a
    trial to the next in one environment: episodes stand one after the other, and with "never" up
    to 50 trials, so that their number decides which trials they are.

    Dimensions: `trial` (its number), `time` (ms from the trial's start, one entry per step),
    `channel` and `action` (their names), `input` (d), `hidden` (n). A trial shorter than the
    longest is padded: nan, action -1, `valid` False.

    - `obs` [trial, time, channel]; `embedded` [trial, time, input], the x_t that the core sees;
    - `h` [trial, time, hidden] of the last layer; `M` [trial, time, hidden, input], M_t *after*
      step t (M_{t-1} acted at t), of the first layer, and `M_2` ... of MPN layers above it;
      an LSTM's `c`; `h_1`, `c_1` ... of layers below the last;
    - `M_start` [trial, hidden, input], where the state is carried over: the first layer's M before
      the trial's first step;
    - `Q` [trial, time, action]; `taken_action` and `greedy_action` [trial, time], as indices;
      `reward`; `ground_truth` [trial, time], the right action (-1 where the task has none);
    - what the task knows of every step (`Trial.latent`), under its own name, [trial, time] or
      [trial, time, action] with one entry per action: of "mpn_lab/Integration-v0", `shown` and
      `evidence`. One with another number of entries has the dimension `NAME_of`;
    - `valid` [trial, time], and the coordinate `period` [trial, time], the period's name;
    - coordinates of a trial: the task's conditions (coherence, context ...), `length` in steps,
      `answer` (the right response, -1: none), `response` (the last action), `correct`,
      `performance`, and `ideal_answer` (the ideal observer's, -1: none);
    - weights: `W`, `b`, `eta`, `lam`, `M0` of the first MPN layer, `readout` [action, hidden],
      `readout_bias`, `projection` [input, channel], `projection_bias`;
    - attrs: run, task, task_kwargs, seed, epsilon, reset_state, trials_per_episode, dt (ms), core,
      the MPN's equations, versions.

    Args:
        network: a live network, or a run (whose last checkpoint is used).
        task: a neurogym id; None: the run's own task and its arguments.
        task_kwargs: passed on to the task.
        trials: how many.
        seed: fixes the trials.
        epsilon: the probability of a random action at each step; 0: always the greedy one.
        reset_state, trials_per_episode: when the state is reset, as in `TrainConfig`; None: as the
            run was trained, and before every trial for a live network.

    Raises:
        ValueError: no task, a task that the network does not fit, or a number out of range.

    Warns:
        ResourceWarning: the record would take more than `MEMORY_SHARE` of the memory.

    Example:
        >>> import mpn_lab
        >>> network = mpn_lab.QNetwork(3, 3, hidden_size=8)
        >>> trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
        >>> dict(trials.M.sizes)
        {'trial': 4, 'time': 32, 'hidden': 8, 'input': 10}
    """
    attrs: dict[str, Any] = {FORMAT: 1, "run": "", "trained_trials": -1}
    if isinstance(network, Run):
        run, network = network, network.network
        attrs |= {"run": str(run.path), "trained_trials": run.checkpoints[-1]}
        if task is None:
            task, task_kwargs = run.config.task, {**run.config.task_kwargs, **(task_kwargs or {})}
        if reset_state is None:
            reset_state = run.config.reset_state
            trials_per_episode = trials_per_episode or run.config.trials_per_episode
    if task is None:
        raise ValueError("task is missing: a live network does not know its task; give its id.")
    reset_state, k = reset_state or "trial", 1 if trials_per_episode is None else trials_per_episode
    if reset_state not in get_args(ResetState):
        expected = ", ".join(get_args(ResetState))
        raise ValueError(f"reset_state is {reset_state!r}; expected one of {expected}.")
    for name, value, low in (
        ("trials", trials, 1),
        ("seed", seed, 0),
        ("trials_per_episode", k, 1),
    ):
        if value < low:
            raise ValueError(f"{name} is {value}; expected {low} or more.")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon}; expected 0 to 1.")
    n = lockstep(trials, _LOCKSTEP, reset_state, k)
    envs = make_envs(task, task_kwargs or {}, n, (seed, _RECORD))
    _check_fit(network, envs[0])
    rng = np.random.default_rng((seed, _RECORD))
    lived = live_trials(envs, network, trials, reset_state, k, epsilon=epsilon, rng=rng)
    attrs |= {
        "task": task,
        "task_kwargs": json.dumps(task_kwargs or {}),
        "seed": seed,
        "epsilon": epsilon,
        "reset_state": reset_state,
        "trials_per_episode": k,
        "dt": envs[0].dt,
        "versions": json.dumps({name: version(name) for name in (*PACKAGES, "xarray")}),
    }
    dataset = xr.Dataset(
        latent_variables(lived, len(envs[0].actions))
        | lived_variables(lived)
        | _network_variables(network, lived)
        | _weights(network),
        coords=coordinates(lived, envs[0]),
        attrs=attrs | core_attrs(network),
    )
    dataset["greedy_action"] = (
        ("trial", "time"),
        np.where(dataset["valid"].values, np.nan_to_num(dataset["Q"].values).argmax(2), -1),
    )
    dataset["time"].attrs = {"units": "ms", "long_name": "time from the trial's start"}
    return dataset


def _check_fit(network: QNetwork, env: TrialEnv) -> None:
    channels, actions = len(env.channels), len(env.actions)
    if (network.obs_size, network.n_actions) != (channels, actions):
        raise ValueError(
            f"the network takes {network.obs_size} channels and values {network.n_actions} "
            f"actions, but {env.task_id} has {channels} channels and {actions} actions; give the "
            "task that it was trained on, with its task_kwargs."
        )


@torch.no_grad()
def _network_variables(network: QNetwork, lived: list[Trial]) -> dict[str, Any]:
    """Q, x, h and the states at every step, computed anew on the lived observations.

    Every trial starts from the state that it was lived from (`Trial.state`).
    """
    T, B = max(len(trial) for trial in lived), len(lived)
    device = next(network.parameters()).device
    result: dict[str, Any] = {}
    carried = any(trial.state is not None for trial in lived)
    for where in _chunks(lived):
        chunk = [lived[i] for i in where]
        obs = torch.from_numpy(pad([t.obs for t in chunk], T, 0, np.float32)).to(device)
        state = None
        if chunk[0].state is not None:
            state = network.join_states([trial.state for trial in chunk])
        q, _, activity = network(obs, state, return_states=True)
        named = {"Q": (("action",), q), "embedded": (("input",), activity.embedded)}
        named |= {"h": (("hidden",), activity.h)} | _named_states(network, activity.states)
        if not result:
            arrays = {k: np.empty((B, T, *v.shape[2:]), np.float32) for k, (_, v) in named.items()}
            size = sum(array.nbytes for array in arrays.values())
            warn_of_size(size, f"record of {B} trials", "record fewer trials")
            result = {k: (("trial", "time", *named[k][0]), arrays[k]) for k in named}
            if carried and "M" in named:
                M_start = np.empty((B, *named["M"][1].shape[2:]), np.float32)
                result["M_start"] = (("trial", "hidden", "input"), M_start)
        for name, (_, value) in named.items():
            array = result[name][1]
            array[where] = value.cpu().numpy()
            for i, trial in zip(where, chunk, strict=True):
                array[i, len(trial) :] = np.nan
        if "M_start" in result:
            first = _first_M(network, state, len(chunk))
            result["M_start"][1][where] = first.cpu().numpy()
    return result


def _chunks(lived: Sequence[Trial]) -> Iterator[list[int]]:
    """Which trials are computed at once: with a state of their own, or from M_0."""
    for has_state in (False, True):
        group = [i for i, trial in enumerate(lived) if (trial.state is not None) == has_state]
        yield from (group[i : i + _CHUNK] for i in range(0, len(group), _CHUNK))


def _first_M(network: QNetwork, state: Any, rows: int) -> torch.Tensor:
    """M of the first layer before the first step, [rows, n, d]."""
    if state is None:
        return network.mpn_layers()[0].initial_state(rows)
    return state[0] if isinstance(network.core, nn.ModuleList) else state


def _named_states(network: QNetwork, states: Any) -> dict[str, Any]:
    """The states of every layer with their names and dimensions; `h` of the last is known."""
    layers = list(network.core) if isinstance(network.core, nn.ModuleList) else [network.core]
    per_layer = states if isinstance(network.core, nn.ModuleList) else (states,)
    named: dict[str, Any] = {}
    for k, (layer, state) in enumerate(zip(layers, per_layer, strict=True), start=1):
        if isinstance(layer, MPN):
            dims = ("hidden", "input") if k == 1 else ("hidden", "hidden_below")
            named["M" if k == 1 else f"M_{k}"] = (dims, state)
            continue
        parts = dict(zip("hc", state if isinstance(state, tuple) else (state,), strict=False))
        last = k == len(layers)
        named |= {
            name if last else f"{name}_{k}": (("hidden",), part)
            for name, part in parts.items()
            if not (last and name == "h")
        }
    return named


def _weights(network: QNetwork) -> dict[str, Any]:
    result: dict[str, Any] = {
        "readout": (("action", "hidden"), _array(network.readout.weight)),
    }
    if network.readout.bias is not None:
        result["readout_bias"] = ("action", _array(network.readout.bias))
    if isinstance(network.embedding, Projection):
        result["projection"] = (("input", "channel"), _array(network.embedding.weight))
        result["projection_bias"] = ("input", _array(network.embedding.bias))
    for layer in network.mpn_layers()[:1]:
        result["W"] = (("hidden", "input"), _array(layer.W))
        if layer.b is not None:
            result["b"] = ("hidden", _array(layer.b))
        if layer.M0 is not None:
            result["M0"] = (("hidden", "input"), _array(layer.M0))
        for name, value in (("eta", layer.eta), ("lam", layer.lam.clamp(0, layer.lam_max))):
            dims: tuple[str, ...] = ("hidden", "input")[2 - value.dim() :]
            if value.dim() == 2 and value.shape[1] == 1:
                value, dims = value.squeeze(1), ("hidden",)
            result[name] = (dims, _array(value))
    return result


def core_attrs(network: QNetwork) -> dict[str, Any]:
    """What a record says of the network: its core, its layers and the MPN's equations."""
    layers = list(network.core) if isinstance(network.core, nn.ModuleList) else [network.core]
    attrs: dict[str, Any] = {"core": type(layers[0]).__name__, "layers": len(layers)}
    for layer in network.mpn_layers()[:1]:
        attrs |= {
            "update": layer.update,
            "modulation": layer.modulation,
            "activation": layer.activation,
        }
    return attrs


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def warn_of_size(size: int, what: str, advice: str) -> None:
    """Warn (ResourceWarning) where `size` bytes are more than `MEMORY_SHARE` of the memory."""
    memory = _memory()
    if size > MEMORY_SHARE * memory:
        warnings.warn(
            f"this {what} will take {size / 1e9:.1f} GB, more than {MEMORY_SHARE:.0%} of the "
            f"machine's {memory / 1e9:.1f} GB; {advice}.",
            ResourceWarning,
            stacklevel=4,
        )


def _memory() -> int:
    """The machine's memory in bytes; a very large number where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 62
