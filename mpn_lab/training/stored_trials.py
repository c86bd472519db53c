"""Trials stored with their states beside each checkpoint of a run, for `mpn_lab.staleness`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpn_lab.files import make_folder
from mpn_lab.loading import ArraySpec, check_arrays, check_within, shorten
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.tasks.rollout import Trial
from mpn_lab.training.experience import encode_trials
from mpn_lab.training.files import (
    RunError,
    numbered_file,
    numbered_files,
    read_tensors,
    write_tensors,
)
from mpn_lab.training.run import Run

_STEPS = ("obs", "action", "reward", "terminated", "ground_truth")


def stored_trials_path(run: Path, trials: int) -> Path:
    """Return the file of the trials that were collected with the weights of checkpoint `trials`."""
    return run / "stored_trials" / numbered_file(trials)


def stored_trials_checkpoints(run: Path) -> list[int]:
    """List the checkpoints, in trials, for which trials were stored, in ascending order."""
    return numbered_files(run / "stored_trials")


def save_stored_trials(run: Run, at: int, trials: list[Trial], network: QNetwork) -> None:
    """Store trials, without `planned_obs` and `latent`, together with their encoded states.

    `StateCodec` describes the encoding: one row of numbers, the code, for each step.

    Args:
        run: the run, in a folder.
        at: the checkpoint, in trials, whose weights collected them.
        trials: the trials.
        network: the network that collected them.

    Raises:
        RunError: the file cannot be written.
    """
    codec = StateCodec(network)
    arrays: dict[str, np.ndarray] = {}
    about: list[dict[str, Any]] = []
    codes = encode_trials(codec, network, trials)
    for i, trial in enumerate(trials):
        for name in _STEPS:
            if (value := getattr(trial, name)) is not None:
                arrays[f"{i}.{name}"] = value
        arrays[f"{i}.codes"] = codes[i]
        if trial.initial_state is not None:
            arrays[f"{i}.initial_state"] = codec.flatten(trial.initial_state).cpu().numpy()
        about.append(
            {
                "conditions": json.loads(json.dumps(trial.conditions, default=_plain)),
                "periods": {k: [int(a), int(b)] for k, (a, b) in trial.periods.items()},
                "performance": trial.performance,
                "action_0_is_response": trial.action_0_is_response,
            }
        )
    path = stored_trials_path(run.folder, at)
    make_folder(path.parent, RunError)
    meta = {"kind": codec.kind, "collected_at": at, "trials": about}
    write_tensors(path, arrays, meta, run.identity)


def load_stored_trials(
    run: Run, at: int, network: QNetwork
) -> tuple[list[Trial], list[np.ndarray]]:
    """Load the trials that `save_stored_trials` stored, and their states' codes, each [T, width].

    Raises:
        RunError: the file is missing or damaged, or was made with another network.
    """
    path, codec = stored_trials_path(run.folder, at), StateCodec(network)
    if not path.exists():
        raise RunError(
            f"{run.path} stored no trials at {at} trials; train with store_trials, for example 10."
        )
    arrays, meta = read_tensors(path, run.identity)
    if meta.get("collected_at") != at:
        raise RunError(
            f"{path} holds the trials stored at {shorten(meta.get('collected_at'))} trials; "
            "restore the file that belongs there."
        )
    trials, codes = [], []
    try:
        _check(arrays, meta, codec, network)
        for i, about in enumerate(meta["trials"]):
            steps = {name: arrays.get(f"{i}.{name}") for name in _STEPS}
            flat = arrays.get(f"{i}.initial_state")
            state = None if flat is None else codec.unflatten(torch.from_numpy(flat.copy()))
            periods = {name: (a, b) for name, (a, b) in about.pop("periods").items()}
            trials.append(Trial(**steps, **about, periods=periods, initial_state=state))  # type: ignore[arg-type]
            codes.append(arrays[f"{i}.codes"])
    except ValueError as error:
        raise RunError(
            f"{path} does not belong to the network of {run.path}/config.json ({error}); restore "
            "the file that does."
        ) from error
    return trials, codes


def _check(
    arrays: dict[str, np.ndarray], meta: dict[str, Any], codec: StateCodec, network: QNetwork
) -> None:
    """Raise ValueError unless all is as `save_stored_trials` stores it for such a network."""
    if meta.get("kind") != codec.kind:
        raise ValueError(f"its codes are of the kind {shorten(meta.get('kind'))}")
    if not isinstance(meta.get("trials"), list):
        raise ValueError("its trials are not described")
    expected: dict[str, ArraySpec | np.ndarray] = {}
    for i, about in enumerate(meta["trials"]):
        _check_description(i, about)
        T = arrays[f"{i}.action"].size if f"{i}.action" in arrays else 0
        codes = np.dtype(str(codec.dtype).removeprefix("torch."))
        for name, shape, dtype in (
            ("obs", (T, network.obs_size), np.float32),
            ("action", (T,), np.int64),
            ("reward", (T,), np.float32),
            ("terminated", (T,), np.bool_),
            ("codes", (T, codec.width), codes),
        ):
            expected[f"{i}.{name}"] = ArraySpec(shape, np.dtype(dtype))
        if f"{i}.initial_state" in arrays:
            expected[f"{i}.initial_state"] = ArraySpec((1, codec.size), np.dtype(np.float32))
        if (truth := arrays.get(f"{i}.ground_truth")) is not None:
            integers = truth.dtype if truth.dtype.kind in "iu" else np.dtype(np.int64)
            expected[f"{i}.ground_truth"] = ArraySpec((None,), integers)
    check_arrays(arrays, expected)
    for i in range(len(meta["trials"])):
        if not arrays[f"{i}.action"].size:
            raise ValueError(f"trial {i} has no step")
        check_within(f"{i}.action", arrays[f"{i}.action"], 0, network.n_actions - 1)
        if arrays[f"{i}.terminated"][:-1].any():
            raise ValueError(f"{i}.terminated is true before the last step")


def _check_description(i: int, about: Any) -> None:
    """Raise ValueError unless this describes a trial."""
    types = {
        "conditions": dict,
        "periods": dict,
        "performance": float,
        "action_0_is_response": bool,
    }
    if not isinstance(about, dict) or set(about) != set(types):
        raise ValueError(f"trial {i} is not described by {', '.join(types)}")
    for name, kind in types.items():
        if not isinstance(about[name], (int, float) if kind is float else kind):
            raise ValueError(f"{name} of trial {i} is {shorten(about[name])}")
    for name, span in about["periods"].items():
        if not isinstance(span, list) or len(span) != 2 or any(type(t) is not int for t in span):
            raise ValueError(f"the period {shorten(name)} of trial {i} is {shorten(span)}")


def _plain(value: Any) -> Any:
    """Return a condition's value as JSON can hold it."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
