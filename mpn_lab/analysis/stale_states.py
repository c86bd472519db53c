"""Staleness: how far stored states are from those that the current parameters would produce."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy import stats
from torch import Tensor

from mpn_lab.analysis.recording import core_attrs, network_names, warn_of_size
from mpn_lab.analysis.replayed_states import ReplayedStates, Strategy
from mpn_lab.analysis.restore import as_staleness
from mpn_lab.analysis.schema import FORMAT, STALENESS
from mpn_lab.analysis.trial_variables import coordinates, pad, step_variables
from mpn_lab.checks import check_int, show
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.registry import Dims
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.tasks.rollout import Trial
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.device import torch_threads
from mpn_lab.training.files import RunError
from mpn_lab.training.provenance import package_versions
from mpn_lab.training.run import Run
from mpn_lab.training.stored_trials import load_stored_trials, stored_trials_checkpoints

_AGES = 6  # number of checkpoints by default
_DISTANCES = ("dM", "dM_raw", "dQ", "dQ_raw", "dQ_from_start")


def staleness(
    run: Run,
    collected_at: int | None = None,
    *,
    window: int = 8,
    burn_in: int = 4,
    ages: Sequence[int] | None = None,
    states: bool = True,
    threads: int = 1,
) -> xr.Dataset:
    """Replay stored trials with later parameters and compare with the states stored at collection.

    Each trial is tiled by windows of `window` steps (the last may be shorter). A strategy specifies
    the state from which a window is replayed with the parameters of the age:

    - `zero`: M_0. `stored`: the state stored at collection;
    - `zero, burn-in k` and `stored, burn-in k`: the same state k steps before the window, or at the
      trial's start if that is nearer. Omitted if `burn_in` is 0;
    - `start`: replayed from the trial's start (the stored state there, if it was carried over).

    At every step t, with h_hat the replayed state that acts at t, h the stored one, and the same
    theta, that of the age, on both sides:

        dQ = ||q(h_hat; theta) - q(h; theta)||_2 / max |q(h_hat; theta)|
        dM = ||M_{t-1} replayed - M_{t-1} stored||_F / ||M_{t-1} replayed||_F

    The maximum is over all actions and the steps of the window (R2D2 divides by |max q|, which is
    near 0 if the best value is). `_raw` are the numerators. 0 / 0 is 0; any other number / 0, and
    a step after the trial's end, is nan.

    M stands for the whole state: all tensors of all layers, flattened (for an LSTM h and c, for a
    custom core all the states that it names). States are compared in the precision in which they
    are stored (`StateCodec`): if that is half precision, replayed states are rounded in the same
    way. At age 0, `start` is therefore exactly 0 on the machine that trained the network.

    Dimensions: `strategy`; `age`, updates since collection, with the coordinate
    `trained_trials` (checkpoints without an update between them count once); `trial`, `time` (ms),
    `channel`, `action`, `hidden`, `input` as in `record`.

    - `dM`, `dM_raw`, `dQ`, `dQ_raw` [strategy, age, trial, time]; `dQ_from_start`, the distance to
      q replayed from the trial's start, normalised as dQ; `flipped`, whether the greedy action
      differs from that of the stored state;
    - `Q_replayed` [strategy, age, trial, time, action]; `Q_stored` [age, trial, time, action], from
      the stored state; `Q_collected` [trial, time, action], with the parameters at collection;
    - `M_replayed` [strategy, age, trial, time, hidden, input] and `M_stored` [trial, time, hidden,
      input], for cores with a state M: M_{t-1} of the first layer, which acts at t;
    - `obs`, `taken_action`, `reward`, `ground_truth`, `valid` and the trials' coordinates as in
      `record`; `step_in_window` [time];
    - attrs: those of `record` (epsilon and trained_trials at collection), window,
      burn_in, collected_at.

    Args:
        run: a run trained with `store_trials`.
        collected_at: the checkpoint, in trials, whose parameters collected the trials; None: the
            first.
        window: number of steps in a window.
        burn_in: number k of burn-in steps, smaller than the window.
        ages: checkpoints, in trials, to replay with, besides `collected_at`; None: at most 6 evenly
            spaced ones, including the last.
        states: whether to return `M_stored` and `M_replayed`.
        threads: number of torch threads.

    Raises:
        ValueError: a number is out of range, or a checkpoint does not exist.
        RunError: the run stored no trials, has no later checkpoint, or its files are damaged.

    Warns:
        ResourceWarning: the result would take more than `recording.MEMORY_SHARE` of the memory.

    Source: Kapturowski et al., R2D2, ICLR 2019, equation for delta Q; dM is its analogue for M.
    """
    if not isinstance(run, Run):
        raise ValueError(f"run is {show(run)}; expected a Run, from train or load_run.")
    window = check_int("window", window, 1)
    burn_in = check_int("burn_in", burn_in, 0)
    if collected_at is not None:
        collected_at = check_int("collected_at", collected_at, 0)
    if ages is not None:
        if isinstance(ages, str) or not isinstance(ages, Sequence | np.ndarray):
            raise ValueError(f"ages is {show(ages)}; expected a list of checkpoints, in trials.")
        ages = [check_int("each of ages", age, 0) for age in ages]
    if burn_in >= window:
        raise ValueError(
            f"burn_in is {burn_in} and window {window}; expected 0 or more steps of burn-in, fewer "
            "than the window has."
        )
    collected_at, updates = _checkpoints(run, collected_at, ages)
    networks = [run.network_at(at) for at in updates]
    trials, codes = load_stored_trials(run, collected_at, networks[0])
    T = max(len(trial) for trial in trials)
    if window > T:
        raise ValueError(
            f"window is {window} steps, but the longest trial has {T}; choose a shorter window."
        )
    strategies = [Strategy("zero", "zero"), Strategy("stored", "stored")]
    if burn_in:
        strategies += [
            Strategy(f"{start}, burn-in {burn_in}", start, burn_in) for start in ("zero", "stored")
        ]
    strategies.append(Strategy("start", "trial"))
    env = TrialEnv(run.config.task, seed=0, **run.config.task_kwargs)
    row = run.metrics.set_index("trials").loc[collected_at]
    variables = step_variables(trials, T)
    with torch_threads(threads):
        replayed = _replayed(networks, trials, codes, strategies, window, states)
    dataset = xr.Dataset(
        variables | replayed,
        coords=coordinates(trials, T, env, network_names(networks[0]))
        | {
            "strategy": [strategy.name for strategy in strategies],
            "age": np.array(list(updates.values())) - updates[collected_at],
            "trained_trials": ("age", list(updates)),
            "step_in_window": ("time", np.arange(T) % window),
        },
        attrs=core_attrs(networks[0])
        | {
            FORMAT: 1,
            STALENESS: 1,
            "run": str(run.path),
            "run_identity": run.identity,
            "training": "dqn",  # the only loop that stores trials
            "trained_trials": collected_at,
            "task": run.config.task,
            "task_kwargs": json.dumps(run.config.task_kwargs),
            "seed": run.config.seed,
            "epsilon": float(row["epsilon"]),
            "reset_state": run.config.reset_state,
            "trials_per_episode": run.config.trials_per_episode,
            "dt": env.dt,
            "versions": json.dumps(package_versions("xarray")),
            "window": window,
            "burn_in": burn_in,
            "collected_at": collected_at,
        },
    ).reset_coords("step_in_window")
    dataset["time"].attrs = {"units": "ms", "long_name": "time from the trial's start"}
    dataset["age"].attrs = {"units": "updates", "long_name": "updates since collection"}
    return dataset


def by_position(data: xr.Dataset) -> xr.Dataset:
    """Average the distances at the first and the last step of the windows, with 95 % intervals.

    Windows that begin at the trial's start are excluded, because every reset state is exact there.
    Each trial contributes the mean over its windows; the intervals are Student's t over trials.

    Args:
        data: from `staleness`.

    Returns:
        `dQ`, `dM`, `dQ_raw`, `dM_raw` and `dQ_from_start` [strategy, age, position], position
        `first` or `last`, each with its interval `dQ_low`, `dQ_high` ... (nan for fewer than 2
        trials); nan if no step has a value, as for dM at the first step from a zero state.

    Raises:
        ValueError: the Dataset is not from `staleness`, or every trial is a single window.
    """
    data = as_staleness(data, *_DISTANCES, "length", "trained_trials")
    valid, window = data["valid"].values, int(data.attrs["window"])
    step = np.rint(data["time"].values / float(data.attrs["dt"])).astype(int)
    later = valid & (step >= window)
    if not later.any():
        raise ValueError(
            f"every trial ends within its first window of {window} steps; choose a shorter window."
        )
    ends = step == data["length"].values[:, None] - 1  # the trial's last step
    at = {
        "first": later & (step % window == 0),
        "last": later & (ends | (step % window == window - 1)),
    }
    result: dict[str, Any] = {}
    for name in _DISTANCES:
        parts = [
            _interval(data[name].transpose("strategy", "age", "trial", "time").values, mask)
            for mask in at.values()
        ]
        for suffix, values in zip(("", "_low", "_high"), np.stack(parts, -1), strict=True):
            result[name + suffix] = (("strategy", "age", "position"), values)
    return xr.Dataset(
        result,
        coords={name: data[name] for name in ("strategy", "age", "trained_trials")}
        | {"position": list(at)},
        attrs=data.attrs,
    )


def _interval(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Average over trials the mean over `mask`, with its interval, [3, strategy, age]."""
    mask = mask & np.isfinite(values)
    steps = mask.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        trial = np.where(mask, values, 0).sum(-1) / steps  # (S, A, trial), nan without a step
        n = (steps > 0).sum(-1)
        mean = np.where(steps > 0, trial, 0).sum(-1) / n
        square = np.where(steps > 0, (trial - mean[..., None]) ** 2, 0).sum(-1)
        half = stats.t.ppf(0.975, n - 1) * np.sqrt(square / (n - 1) / n)
    return np.stack([mean, mean - half, mean + half])


def _checkpoints(
    run: Run, collected_at: int | None, ages: Sequence[int] | None
) -> tuple[int, dict[int, int]]:
    """Return the checkpoint at collection, and the updates at the checkpoints to replay with."""
    stored, there = stored_trials_checkpoints(run.folder), run.checkpoints
    if not there:
        raise RunError(f"{run.path} has no checkpoint yet; resume the run to make some.")
    if not stored:
        raise RunError(f"{run.path} stored no trials; train with store_trials, for example 10.")
    collected_at = stored[0] if collected_at is None else collected_at
    if collected_at not in stored:
        raise ValueError(
            f"collected_at is {collected_at}, but {run.path} stored the trials collected with its "
            f"checkpoints at {_listed(stored)} trials; choose one of them."
        )
    later = [trials for trials in there if trials > collected_at]
    if not later:
        raise RunError(
            f"{run.path} has no checkpoint after {collected_at} trials to replay with; resume the "
            "run, or choose an earlier collected_at."
        )
    unknown = [trials for trials in ages or () if trials not in [collected_at, *later]]
    if unknown:
        raise ValueError(
            f"ages holds {unknown[0]}, but the checkpoints of {run.path} from {collected_at} "
            f"trials on are at {_listed([collected_at, *later])} trials; choose among them."
        )
    metrics = run.metrics
    count = dict(zip(metrics["trials"], metrics["updates"], strict=True)) if len(metrics) else {}
    updates: dict[int, int] = {}
    for trials in sorted({collected_at, *(later if ages is None else ages)}):
        if trials not in count:
            raise RunError(
                f"{run.path}/metrics.csv has no row at {trials} trials; resume the run to write it."
            )
        if count[trials] not in updates.values():
            updates[trials] = int(count[trials])
    if ages is None:
        some = list(updates)
        where = np.linspace(0, len(some) - 1, min(_AGES, len(some))).round().astype(int)
        updates = {some[i]: updates[some[i]] for i in where}
    return collected_at, updates


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)


@torch.no_grad()
def _replayed(
    networks: list[QNetwork],
    trials: list[Trial],
    codes: list[np.ndarray],
    strategies: list[Strategy],
    window: int,
    keep_states: bool,
) -> dict[str, Any]:
    """Compute distances, values and states of all strategies and ages, with their dimensions."""
    network = networks[0]
    B, T, A = len(trials), max(len(trial) for trial in trials), network.n_actions
    valid = pad([np.ones(len(trial), bool) for trial in trials], T, False, bool)
    many, steps = (len(strategies), len(networks), B, T), ("trial", "time")
    dims = ("strategy", "age", *steps)
    named = network.named_states(network.initial_state(1))
    keep_states = keep_states and "M" in named
    sizes: dict[str, tuple[Dims, Dims, tuple[int, ...]]]
    sizes = {
        "Q_replayed": (dims, ("action",), (A,)),
        "Q_stored": (dims[1:], ("action",), (A,)),
    }
    if keep_states:
        own, M = named["M"]
        sizes["M_replayed"] = dims, own, tuple(M.shape[1:])
        sizes["M_stored"] = steps, own, tuple(M.shape[1:])
    shapes = {name: (*many[-len(d) :], *s) for name, (d, _, s) in sizes.items()}
    warn_of_size(
        sum(4 * int(np.prod(shape)) for shape in shapes.values()),
        f"comparison of {B} trials",
        "take fewer ages, or states=False",
    )
    result: dict[str, Any] = {
        name: ((*d, *own), np.full(shapes[name], np.nan, np.float32))
        for name, (d, own, _) in sizes.items()
    }
    result |= {name: (dims, np.full(many, np.nan)) for name in _DISTANCES}
    result["flipped"] = (dims, np.zeros(many, bool))
    rows = ReplayedStates(trials, codes, networks, window)
    for part in rows.parts():
        v, stored = valid[part], rows.stored(part)  # (b, T), (b, T, s)
        if keep_states:
            result["M_stored"][1][part] = _M_of(network, rows.codec, stored, v)
        for a in range(len(networks)):
            q_stored = rows.values(part, a, stored)  # (b, T, A)
            result["Q_stored"][1][a, part] = np.where(v[..., None], q_stored, np.nan)
            states = [rows.replayed(part, a, strategy, stored) for strategy in strategies]
            q = [rows.values(part, a, state) for state in states]
            for i, (state, q_hat) in enumerate(zip(states, q, strict=True)):
                at = i, a, part
                result["Q_replayed"][1][at] = np.where(v[..., None], q_hat, np.nan)
                if keep_states:
                    result["M_replayed"][1][at] = _M_of(network, rows.codec, state, v)
                dM = (state - stored).norm(dim=2).numpy()
                dQ = np.linalg.norm(q_hat - q_stored, axis=2)
                largest = _window_max(np.where(v, np.abs(q_hat).max(2), 0), window)
                from_start = np.linalg.norm(q_hat - q[-1], axis=2)
                for name, value in (
                    ("dM_raw", dM),
                    ("dM", _ratio(dM, state.norm(dim=2).numpy())),
                    ("dQ_raw", dQ),
                    ("dQ", _ratio(dQ, largest)),
                    ("dQ_from_start", _ratio(from_start, largest)),
                ):
                    result[name][1][at] = np.where(v, value, np.nan)
                result["flipped"][1][at] = v & (q_hat.argmax(2) != q_stored.argmax(2))
    # age 0 are the parameters at collection
    return result | {"Q_collected": ((*steps, "action"), result["Q_stored"][1][0].copy())}


def _M_of(network: QNetwork, codec: StateCodec, states: Tensor, valid: np.ndarray) -> np.ndarray:
    """Extract M of the first layer, (b, T, n, d), from flattened states; nan after the end."""
    b, T, _ = states.shape
    M = network.named_states(codec.unflatten(states.flatten(0, 1)))["M"][1].float()  # (b T, n, d)
    valid = valid.reshape(b, T, *[1] * (M.dim() - 1))
    return np.where(valid, M.unflatten(0, (b, T)).numpy(), np.nan)


def _window_max(values: np.ndarray, window: int) -> np.ndarray:
    """Return the maximum of the values (b, T) over the window of each step."""
    b, T = values.shape
    tiles = np.pad(values, ((0, 0), (0, -T % window))).reshape(b, -1, window)
    return tiles.max(2).repeat(window, 1)[:, :T]


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; 0 / 0 is 0, any other number / 0 is nan."""
    safe = np.where(denominator > 0, denominator, 1)
    undefined = (denominator == 0) & (numerator != 0)
    return np.where(undefined, np.nan, numerator / safe)
