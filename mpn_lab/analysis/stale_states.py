"""How far the states stored with lived trials fall behind the parameters that replay them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy import stats
from torch import Tensor

from mpn_lab.analysis.schema import FORMAT, STALENESS, check_staleness
from mpn_lab.analysis.recording import core_attrs, warn_of_size
from mpn_lab.analysis.replayed_states import ReplayedStates, Strategy
from mpn_lab.analysis.trial_variables import coordinates, lived_variables, pad
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.tasks.rollout import Trial
from mpn_lab.tasks.trial_env import TrialEnv
from mpn_lab.training.files import RunError
from mpn_lab.training.stored_trials import lived_checkpoints, load_lived
from mpn_lab.training.run import PACKAGES, Run

_AGES = 6  # checkpoints, where they are not named
_DISTANCES = ("dM", "dM_raw", "dQ", "dQ_raw", "dQ_from_start")


def staleness(
    run: Run,
    lived_at: int | None = None,
    *,
    window: int = 8,
    burn_in: int = 4,
    ages: Sequence[int] | None = None,
    states: bool = True,
) -> xr.Dataset:
    """Replay kept trials with later parameters, and compare with what was stored when they lived.

    Each trial is tiled by windows of `window` steps (its last may be shorter). A strategy says
    which state a window begins with, from where it goes on with the parameters of the age:

    - `zero`: M_0. `stored`: the one stored when the trial was lived;
    - `zero, burn-in k` and `stored, burn-in k`: the same k steps before the window, or at the
      trial's start where that is nearer. Left out where `burn_in` is 0;
    - `start`: replayed from the trial's start (the stored state there, where it was carried over).

    At every step t, with h_hat the replayed state that acts at t, h the stored one, and the same
    theta, that of the age, on both sides:

        dQ = ||q(h_hat; theta) - q(h; theta)||_2 / max |q(h_hat; theta)|
        dM = ||M_{t-1} replayed - M_{t-1} stored||_F / ||M_{t-1} replayed||_F

    The maximum is over all actions and the steps of the window (R2D2 divides by |max q|, which is
    near 0 where the best value is). `_raw` are the numerators. 0 / 0 is 0; another number / 0, and
    a step after the trial's end, is nan.

    The state is that of all layers together; of a GRU, LSTM or RNN, dM is that of its flattened
    h (and c). States are compared as they are kept (`StateCodec`): where that is half precision,
    replayed ones are rounded alike. So at age 0 `start` is exactly 0 on the machine that trained.

    Dimensions: `strategy`; `age`, updates since the trials were lived, with the coordinate
    `trained_trials` (checkpoints without an update between them count once); `trial`, `time` (ms),
    `channel`, `action`, `hidden`, `input` as in `record`.

    - `dM`, `dM_raw`, `dQ`, `dQ_raw` [strategy, age, trial, time]; `dQ_from_start`, the distance to
      q replayed from the trial's start, divided as dQ; `flipped`, whether the greedy action is
      another than the stored state's;
    - `Q_replayed` [strategy, age, trial, time, action]; `Q_stored` [age, trial, time, action], of
      the stored state; `Q_lived` [trial, time, action], of the parameters when lived;
    - `M_replayed` [strategy, age, trial, time, hidden, input] and `M_stored` [trial, time, hidden,
      input]: M_{t-1} of the first layer, which acts at t; an MPN's only;
    - `obs`, `taken_action`, `reward`, `ground_truth`, `valid` and the trials' coordinates as in
      `record`; `step_in_window` [time];
    - attrs: those of `record` (epsilon and trained_trials when the trials were lived), window,
      burn_in, lived_at.

    Args:
        run: one trained with `keep_lived`.
        lived_at: the checkpoint, in trials, that the trials were lived with; None: the first.
        window: steps.
        burn_in: k, steps; fewer than the window.
        ages: checkpoints, in trials, to replay with, besides `lived_at`; None: at most 6 evenly
            spaced ones, the last included.
        states: whether to keep `M_stored` and `M_replayed`.

    Raises:
        ValueError: a number out of range, or a checkpoint that there is not.
        RunError: the run kept no trials, has no later checkpoint, or its files are damaged.

    Warns:
        ResourceWarning: the result would take more than `recording.MEMORY_SHARE` of the memory.

    Source: Kapturowski et al., R2D2, ICLR 2019, equation for delta Q; dM is its twin for M.
    """
    if window < 1:
        raise ValueError(f"window is {window}; expected 1 step or more.")
    if not 0 <= burn_in < window:
        raise ValueError(
            f"burn_in is {burn_in} and window {window}; expected 0 or more steps of burn-in, fewer "
            "than the window has."
        )
    lived_at, updates = _checkpoints(run, lived_at, ages)
    networks = [run.network_at(trials) for trials in updates]
    lived, kept = load_lived(run.path, lived_at, networks[0])
    T = max(len(trial) for trial in lived)
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
    row = run.metrics.set_index("trials").loc[lived_at]
    variables = lived_variables(lived)
    dataset = xr.Dataset(
        variables | _replayed(networks, lived, kept, strategies, window, states),
        coords=coordinates(lived, env)
        | {
            "strategy": [strategy.name for strategy in strategies],
            "age": np.array(list(updates.values())) - updates[lived_at],
            "trained_trials": ("age", list(updates)),
            "step_in_window": ("time", np.arange(T) % window),
        },
        attrs={
            FORMAT: 1,
            STALENESS: 1,
            "run": str(run.path),
            "trained_trials": lived_at,
            "task": run.config.task,
            "task_kwargs": json.dumps(run.config.task_kwargs),
            "seed": run.config.seed,
            "epsilon": float(row["epsilon"]),
            "reset_state": run.config.reset_state,
            "trials_per_episode": run.config.trials_per_episode,
            "dt": env.dt,
            "versions": json.dumps({name: version(name) for name in (*PACKAGES, "xarray")}),
            "window": window,
            "burn_in": burn_in,
            "lived_at": lived_at,
        }
        | core_attrs(networks[0]),
    ).reset_coords("step_in_window")
    dataset["time"].attrs = {"units": "ms", "long_name": "time from the trial's start"}
    dataset["age"].attrs = {"units": "updates", "long_name": "updates since the trial was lived"}
    return dataset


def by_position(lens: xr.Dataset) -> xr.Dataset:
    """Mean distances at the first and the last step of the windows, with 95 % intervals.

    Windows that begin at the trial's start are left out: every reset state is right there. Each
    trial counts with the mean of its windows; the intervals are Student's t over trials.

    Args:
        lens: from `staleness`.

    Returns:
        `dQ`, `dM`, `dQ_raw`, `dM_raw` and `dQ_from_start` [strategy, age, position], position
        `first` or `last`, each with its interval `dQ_low`, `dQ_high` ... (nan for fewer than 2
        trials); nan where no step has a number, as dM at the first step from a zero state.

    Raises:
        ValueError: another Dataset, or trials of a single window.
    """
    check_staleness(lens)
    valid, window = lens["valid"].values, int(lens.attrs["window"])
    step = np.arange(valid.shape[1])
    later = valid & (step >= window)
    if not later.any():
        raise ValueError(
            f"every trial ends within its first window of {window} steps; choose a shorter window."
        )
    ends = np.pad(~valid[:, 1:], ((0, 0), (0, 1)), constant_values=True)  # the trial's last step
    at = {
        "first": later & (step % window == 0),
        "last": later & (ends | (step % window == window - 1)),
    }
    result: dict[str, Any] = {}
    for name in _DISTANCES:
        parts = [
            _interval(lens[name].transpose("strategy", "age", "trial", "time").values, mask)
            for mask in at.values()
        ]
        for suffix, values in zip(("", "_low", "_high"), np.stack(parts, -1), strict=True):
            result[name + suffix] = (("strategy", "age", "position"), values)
    return xr.Dataset(
        result,
        coords={name: lens[name] for name in ("strategy", "age", "trained_trials")}
        | {"position": list(at)},
        attrs=lens.attrs,
    )


def _interval(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over trials of each one's mean where `mask`, and its interval, [3, strategy, age]."""
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
    run: Run, lived_at: int | None, ages: Sequence[int] | None
) -> tuple[int, dict[int, int]]:
    """When the trials were lived, and the updates at the checkpoints to replay with, ascending."""
    kept, there = lived_checkpoints(run.path), run.checkpoints
    if not there:
        raise RunError(f"{run.path} has no checkpoint yet; resume the run to make some.")
    if not kept:
        raise RunError(f"{run.path} kept no lived trials; train with keep_lived, for example 10.")
    lived_at = kept[0] if lived_at is None else lived_at
    if lived_at not in kept:
        raise ValueError(
            f"lived_at is {lived_at}, but {run.path} kept the trials lived with its checkpoints "
            f"at {_listed(kept)} trials; choose one of them."
        )
    later = [trials for trials in there if trials > lived_at]
    if not later:
        raise RunError(
            f"{run.path} has no checkpoint after {lived_at} trials to replay with; resume the run, "
            "or choose an earlier lived_at."
        )
    unknown = [trials for trials in ages or () if trials not in [lived_at, *later]]
    if unknown:
        raise ValueError(
            f"ages holds {unknown[0]}, but the checkpoints of {run.path} from {lived_at} trials on "
            f"are at {_listed([lived_at, *later])} trials; choose among them."
        )
    metrics = run.metrics
    count = dict(zip(metrics["trials"], metrics["updates"], strict=True)) if len(metrics) else {}
    updates: dict[int, int] = {}
    for trials in sorted({lived_at, *(later if ages is None else ages)}):
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
    return lived_at, updates


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)


@torch.no_grad()
def _replayed(
    networks: list[QNetwork],
    lived: list[Trial],
    kept: list[np.ndarray],
    strategies: list[Strategy],
    window: int,
    keep_states: bool,
) -> dict[str, Any]:
    """The distances, values and states of all strategies and ages, with their dimensions."""
    network = networks[0]
    B, T, A = len(lived), max(len(trial) for trial in lived), network.n_actions
    valid = pad([np.ones(len(trial), bool) for trial in lived], T, False, bool)
    many, steps = (len(strategies), len(networks), B, T), ("trial", "time")
    dims = ("strategy", "age", *steps)
    layers = network.mpn_layers()
    M_shape = (layers[0].hidden_size, layers[0].input_size) if layers else (0, 0)
    keep_states = keep_states and bool(layers)
    sizes: dict[str, tuple[tuple[str, ...], tuple[int, ...]]]
    sizes = {"Q_replayed": (dims, (A,)), "Q_stored": (dims[1:], (A,))}
    if keep_states:
        sizes |= {"M_replayed": (dims, M_shape), "M_stored": (steps, M_shape)}
    shapes = {name: (*many[-len(d) :], *s) for name, (d, s) in sizes.items()}
    warn_of_size(
        sum(4 * int(np.prod(shape)) for shape in shapes.values()),
        f"comparison of {B} trials",
        "take fewer ages, or states=False",
    )
    last = {2: ("hidden", "input"), 1: ("action",)}
    result: dict[str, Any] = {
        name: ((*d, *last[len(s)]), np.full(shapes[name], np.nan, np.float32))
        for name, (d, s) in sizes.items()
    }
    result |= {name: (dims, np.full(many, np.nan)) for name in _DISTANCES}
    result["flipped"] = (dims, np.zeros(many, bool))
    rows = ReplayedStates(lived, kept, networks, window)
    for part in rows.parts():
        v, stored = valid[part], rows.stored(part)  # (b, T), (b, T, s)
        if keep_states:
            result["M_stored"][1][part] = _first_layer(stored, v, M_shape)
        for a in range(len(networks)):
            q_stored = rows.values(part, a, stored)  # (b, T, A)
            result["Q_stored"][1][a, part] = np.where(v[..., None], q_stored, np.nan)
            states = [rows.replayed(part, a, strategy, stored) for strategy in strategies]
            q = [rows.values(part, a, state) for state in states]
            for i, (state, q_hat) in enumerate(zip(states, q, strict=True)):
                at = i, a, part
                result["Q_replayed"][1][at] = np.where(v[..., None], q_hat, np.nan)
                if keep_states:
                    result["M_replayed"][1][at] = _first_layer(state, v, M_shape)
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
    # age 0 are the parameters that the trials were lived with
    return result | {"Q_lived": ((*steps, "action"), result["Q_stored"][1][0].copy())}


def _first_layer(states: Tensor, valid: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """M of the first layer, (b, T, n, d); nan after a trial's end."""
    M = states[..., : shape[0] * shape[1]].unflatten(2, shape).float().numpy()
    return np.where(valid[..., None, None], M, np.nan)


def _window_max(values: np.ndarray, window: int) -> np.ndarray:
    """At every step the largest of the values (b, T) within its window."""
    b, T = values.shape
    tiles = np.pad(values, ((0, 0), (0, -T % window))).reshape(b, -1, window)
    return tiles.max(2).repeat(window, 1)[:, :T]


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """0 / 0 = 0; anything else / 0 is nan."""
    safe = np.where(denominator > 0, denominator, 1)
    undefined = (denominator == 0) & (numerator != 0)
    return np.where(undefined, np.nan, numerator / safe)
