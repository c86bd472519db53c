"""Records trials of a network as one labelled Dataset, for every analysis, plot and explorer."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optree
import torch
import xarray as xr

from mpn_lab.analysis.schema import FORMAT
from mpn_lab.analysis.trial_variables import coordinates, latent_variables, pad, step_variables
from mpn_lab.checks import (
    LARGEST_SEED,
    MOST_SAMPLED,
    check_choice,
    check_int,
    check_memory,
    check_number,
    memory,
    show,
)
from mpn_lab.networks.qnetwork import Projection, QNetwork
from mpn_lab.networks.registry import Dims
from mpn_lab.tasks.ceiling import ceiling_kind, known_faults
from mpn_lab.tasks.making import Task, check_task_kwargs
from mpn_lab.tasks.rollout import ResetState, Trial, make_envs, n_envs_for, rollout
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.config import SupervisedConfig
from mpn_lab.training.device import resolve_device, torch_threads
from mpn_lab.training.evaluate import check_fit
from mpn_lab.training.provenance import package_versions
from mpn_lab.training.run import Run

MEMORY_SHARE = 0.25
"""A warning is given before a record that would take more than this part of the memory."""

RECORD_STREAM = (
    0x7265636F7264  # separates the seeds of records from those of training and evaluation
)
LOCKSTEP = 250  # maximum number of environments
CHUNK = 64  # trials whose states are computed at once


def record(
    network: QNetwork | Run,
    task: Task | None = None,
    task_kwargs: dict[str, Any] | None = None,
    *,
    trials: int = 100,
    seed: int = 0,
    epsilon: float = 0.0,
    reset_state: ResetState | None = None,
    trials_per_episode: int | None = None,
    device: str | torch.device | None = None,
    threads: int = 1,
) -> xr.Dataset:
    """Collect fresh trials and record the network's inputs, states, values and actions.

    The trials depend only on the task and the seed: every network receives the same ones, and the
    first 10 of 100 trials are those of a record of 10. If the state is carried over
    (`reset_state`), it passes from each trial to the next of the same environment. The trials of an
    episode (with "never", up to 50 trials of one environment) are then consecutive, so that the
    number of trials also determines which trials are recorded.

    Dimensions: `trial` (its number), `time` (ms from the trial's start, one entry per step),
    `channel` and `action` (their names), `input` (d), `hidden` (n). A trial shorter than the
    longest is padded: nan, action -1, `valid` False.

    - `obs` [trial, time, channel]; `embedded` [trial, time, input], the x_t that the core sees;
    - `h` [trial, time, hidden], the output of the last layer's core;
    - each state of the core under its own name, *after* step t: for an MPN `M` [trial, time,
      hidden, input] (M_{t-1} acted at t), for an LSTM `c`, for a custom core the states that
      `state_dims` names; layers above the first have `M_2` ..., layers below the last `h_1` ...;
    - each state before the trial's first step, as `M_start` [trial, hidden, input] ..., if the
      state is carried over;
    - `Q` [trial, time, action]; `taken_action` and `greedy_action` [trial, time], as indices;
      `reward`; `ground_truth` [trial, time], the correct action (-1 if the task has none);
    - the latent variables of the task (`Trial.latent`), each under its own name, [trial, time] or,
      with one entry per action, [trial, time, action]: for "mpn_lab/Integration-v0", `shown` and
      `evidence`. A variable with another number of entries has the dimension `NAME_of`;
    - `valid` [trial, time], and the coordinate `period` [trial, time], the period's name;
    - coordinates of a trial: the task's conditions (coherence, context ...), `length` in steps,
      `correct_response` (-1: none), `response` (the last action), `performance` (nan if the task
      does not judge the trial), `correct` (bool; if some trials are not judged, or graded between
      correct and wrong, 1, 0 and nan for those), and `ideal_response` (the ideal observer's, -1:
      none);
    - weights: `readout` [action, hidden], `readout_bias`, `projection` [input, channel],
      `projection_bias`, and those that the first layer's core reports: `W`, `b`, `eta`, `lam`,
      `M0`;
    - attrs: run, training ("dqn"; "supervised", whose `Q` are logits; "unknown" for a network),
      task, task_kwargs, seed, epsilon, reset_state, trials_per_episode, dt (ms), core, its
      equations, versions; `ceiling`, where a ceiling on the accuracy comes from ("ideal observer",
      "best known", "oracle" or "none"), and `known_faults`, what is known to be wrong with the
      task's ground truth or performance (JSON, as task_kwargs and versions are).

    Args:
        network: a network, or a run (whose last checkpoint is used).
        task: an id, or a class or function that makes an environment; None: the run's own task with
            its arguments.
        task_kwargs: arguments of the task.
        trials: number of trials.
        seed: seed of the trials.
        epsilon: probability of a random action at each step; 0: always the greedy action.
        reset_state, trials_per_episode: when the state is reset, as in `TrainConfig`; None: as in
            the run's training, or before every trial for a network.
        device: device to which the network is moved, "auto" for a GPU if there is one; None: the
            network stays on its device.
        threads: number of torch threads.

    Raises:
        ValueError: the task is missing, not registered or does not fit the network, a number is out
            of range, or the device is not available.

    Warns:
        ResourceWarning: the record would take more than `MEMORY_SHARE` of the memory.

    Example:
        >>> import mpn_lab
        >>> network = mpn_lab.QNetwork(3, 3, hidden_size=8)
        >>> trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
        >>> dict(trials.M.sizes)
        {'trial': 4, 'time': ..., 'hidden': 8, 'input': 10}
    """
    attrs: dict[str, Any] = {FORMAT: 1, "run": "", "run_identity": ""}
    attrs |= {"trained_trials": -1, "training": "unknown"}
    if isinstance(network, Run):
        run, network = network, network.network
        attrs |= {"run": str(run.path or "in memory"), "run_identity": run.identity}
        attrs["trained_trials"] = run.checkpoints[-1]
        attrs["training"] = "supervised" if isinstance(run.config, SupervisedConfig) else "dqn"
        if task is None:
            run.check_task()
            check_task_kwargs(task_kwargs := {} if task_kwargs is None else task_kwargs)
            task, task_kwargs = run.config.task, run.config.task_kwargs | task_kwargs
        if reset_state is None:
            reset_state = run.config.reset_state
            if trials_per_episode is None:
                trials_per_episode = run.config.trials_per_episode
    if not isinstance(network, QNetwork):
        raise ValueError(f"network is {show(network)}; expected a QNetwork or a Run.")
    if task is None:
        raise ValueError("task is missing: a network does not store its task; pass the task's id.")
    reset_state, k = reset_state or "trial", 1 if trials_per_episode is None else trials_per_episode
    check_choice("reset_state", reset_state, ResetState)
    trials = check_int("trials", trials, 1, MOST_SAMPLED)
    seed = check_int("seed", seed, 0, LARGEST_SEED)
    k = check_int("trials_per_episode", k, 1)
    epsilon = check_number("epsilon", epsilon, 0, 1)
    states = optree.tree_leaves(network.initial_state(1))
    check_memory(
        4 * trials * sum(state.numel() for state in states),
        f"a record of {trials:,} trials, even of one step each,",
        "record fewer trials",
    )
    if device is not None:
        network.to(resolve_device(device))
    n = n_envs_for(trials, LOCKSTEP, reset_state, k)
    envs = make_envs(task, task_kwargs, n, (seed, RECORD_STREAM))
    check_fit(network, envs[0])
    rng = np.random.default_rng((seed, RECORD_STREAM))
    with torch_threads(threads):
        collected = rollout(envs, network, trials, reset_state, k, epsilon=epsilon, rng=rng)
        of_network = _network_variables(network, collected) | weights_of(network)
    attrs |= {
        "task": envs[0].task_id,
        "task_kwargs": json.dumps(task_kwargs or {}),
        "seed": seed,
        "epsilon": epsilon,
        "reset_state": reset_state,
        "trials_per_episode": k,
        "dt": envs[0].dt,
        "ceiling": ceiling_kind(envs[0], collected),
        "known_faults": json.dumps(known_faults(envs[0])),
        "versions": json.dumps(package_versions("xarray")),
    }
    return dataset_of(collected, envs[0], network, of_network, attrs)


def dataset_of(
    trials: list[Trial],
    env: TrialEnv,
    network: QNetwork,
    of_network: dict[str, Any],
    attrs: dict[str, Any],
) -> xr.Dataset:
    """Assemble a record from collected trials and the variables of the network, of T steps."""
    T = of_network["Q"][1].shape[1]
    dataset = xr.Dataset(
        latent_variables(trials, T, len(env.actions), network_names(network))
        | step_variables(trials, T)
        | of_network,
        coords=coordinates(trials, T, env, network_names(network)),
        attrs=core_attrs(network) | attrs,
    )
    dataset["greedy_action"] = (
        ("trial", "time"),
        np.where(dataset["valid"].values, np.nan_to_num(dataset["Q"].values).argmax(2), -1),
    )
    dataset["time"].attrs = {"units": "ms", "long_name": "time from the trial's start"}
    return dataset


@torch.no_grad()
def _network_variables(network: QNetwork, trials: list[Trial]) -> dict[str, Any]:
    """Recompute Q, x, h and the states at every step from the recorded observations.

    Each trial starts from the state from which it was collected (`Trial.initial_state`).
    """
    T, B = max(len(trial) for trial in trials), len(trials)
    result: dict[str, Any] = {}
    carried = any(trial.initial_state is not None for trial in trials)
    for where in _chunks(trials):
        chunk = [trials[i] for i in where]
        obs = torch.from_numpy(pad([t.obs for t in chunk], T, 0, np.float32)).to(network.device)
        state = None
        if chunk[0].initial_state is not None:
            state = network.join_states([trial.initial_state for trial in chunk])
        q, _, activity = network(obs, state, return_states=True)
        named: dict[str, tuple[Dims, torch.Tensor]] = {"Q": (("action",), q)}
        named |= {"embedded": (("input",), activity.embedded), "h": (("hidden",), activity.h)}
        named |= network.named_states(activity.states)
        first = network.initial_state(len(chunk)) if state is None else state
        starts = network.named_states(first) if carried else {}
        if not result:
            arrays = {k: np.empty((B, T, *v.shape[2:]), np.float32) for k, (_, v) in named.items()}
            size = sum(array.nbytes for array in arrays.values())
            warn_of_size(size, f"record of {B} trials", "record fewer trials")
            result = {k: (("trial", "time", *named[k][0]), arrays[k]) for k in named}
            for name, (dims, value) in starts.items():
                array = np.empty((B, *value.shape[1:]), np.float32)
                result[f"{name}_start"] = (("trial", *dims), array)
        for name, (_, value) in named.items():
            array = result[name][1]
            array[where] = value.cpu().numpy()
            for i, trial in zip(where, chunk, strict=True):
                array[i, len(trial) :] = np.nan
        for name, (_, value) in starts.items():
            result[f"{name}_start"][1][where] = value.cpu().numpy()
    return result


def _chunks(trials: Sequence[Trial]) -> Iterator[list[int]]:
    """Yield the trials to compute at once: those with a carried state apart from the others."""
    for has_state in (False, True):
        group = [i for i, t in enumerate(trials) if (t.initial_state is not None) == has_state]
        yield from (group[i : i + CHUNK] for i in range(0, len(group), CHUNK))


def weights_of(network: QNetwork) -> dict[str, Any]:
    """Return the weights in a record, with their dimensions."""
    result: dict[str, Any] = {
        "readout": (("action", "hidden"), _array(network.readout.weight)),
    }
    if network.readout.bias is not None:
        result["readout_bias"] = ("action", _array(network.readout.bias))
    if isinstance(network.embedding, Projection):
        result["projection"] = (("input", "channel"), _array(network.embedding.weight))
        result["projection_bias"] = ("input", _array(network.embedding.bias))
    own: dict[str, Any] = getattr(network.layers[0], "weights", dict)()
    return result | {name: (dims, _array(value)) for name, (dims, value) in own.items()}


def core_attrs(network: QNetwork) -> dict[str, Any]:
    """Return a record's attributes of the network: its core, its layers and its equations."""
    first = network.layers[0]
    attrs: dict[str, Any] = {"core": type(first).__name__, "layers": len(network.layers)}
    return getattr(first, "equations", dict)() | attrs


def network_names(network: QNetwork) -> set[str]:
    """Return the names and the dimensions of a network's states and weights in a record."""
    named = dict(network.named_states(network.initial_state(1)))
    named |= getattr(network.layers[0], "weights", dict)()
    return set(named).union(*(dims for dims, _ in named.values()))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def warn_of_size(size: int, what: str, advice: str) -> None:
    """Warn (ResourceWarning) if `size` bytes are more than `MEMORY_SHARE` of the memory."""
    total = memory()
    if size > MEMORY_SHARE * total:
        warnings.warn(
            f"this {what} will take {size / 1e9:.1f} GB, more than {MEMORY_SHARE:.0%} of the "
            f"machine's {total / 1e9:.1f} GB; {advice}.",
            ResourceWarning,
            stacklevel=4,
        )
