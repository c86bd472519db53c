"""A sample of lived trials with their states, kept beside each checkpoint of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.tasks.rollout import Trial
from mpn_lab.training.experience import encode_trials
from mpn_lab.training.files import RunError, read_tensors, write_tensors

_STEPS = ("obs", "action", "reward", "terminated", "ground_truth")


def lived_path(run: Path, trials: int) -> Path:
    """Where the trials are that were lived with the weights of the checkpoint at `trials`."""
    return run / "lived" / f"trial_{trials:06d}.safetensors"


def lived_checkpoints(run: Path) -> list[int]:
    """The checkpoints, in trials, with whose weights trials were lived and kept, ascending."""
    names = (run / "lived").glob("trial_*.safetensors")
    return sorted(int(name.stem.removeprefix("trial_")) for name in names)


def save_lived(run: Path, trials: int, lived: list[Trial], network: QNetwork) -> None:
    """Keep trials and what brings back their states (see `StateCodec`). Raises RunError.

    Their `planned_obs` and `latent` are not kept.
    """
    codec = StateCodec(network)
    arrays: dict[str, np.ndarray] = {}
    about: list[dict[str, Any]] = []
    kept = encode_trials(codec, network, lived)
    for i, trial in enumerate(lived):
        for name in _STEPS:
            if (value := getattr(trial, name)) is not None:
                arrays[f"{i}.{name}"] = value
        arrays[f"{i}.states"] = kept[i]
        if trial.state is not None:
            arrays[f"{i}.start"] = codec.flatten(trial.state).numpy()
        about.append(
            {
                "conditions": json.loads(json.dumps(trial.conditions, default=_plain)),
                "periods": {k: [int(a), int(b)] for k, (a, b) in trial.periods.items()},
                "performance": trial.performance,
                "action_0_is_an_answer": trial.action_0_is_an_answer,
            }
        )
    path = lived_path(run, trials)
    path.parent.mkdir(exist_ok=True)
    write_tensors(path, arrays, {"kind": codec.kind, "trials": about})


def load_lived(run: Path, trials: int, network: QNetwork) -> tuple[list[Trial], list[np.ndarray]]:
    """The trials of `save_lived`, and what was kept of their states, each [T, width].

    Raises:
        RunError: the file is missing or damaged, or was made with another network.
    """
    path, codec = lived_path(run, trials), StateCodec(network)
    if not path.exists():
        raise RunError(
            f"{run} kept no lived trials at {trials} trials; train with keep_lived, for example 10."
        )
    arrays, meta = read_tensors(path)
    lived, kept = [], []
    try:
        for i, about in enumerate(meta["trials"]):
            steps = {name: arrays.get(f"{i}.{name}") for name in _STEPS}
            start = arrays.get(f"{i}.start")
            state = None if start is None else codec.unflatten(torch.from_numpy(start.copy()))
            periods = {name: (a, b) for name, (a, b) in about.pop("periods").items()}
            lived.append(Trial(**steps, **about, periods=periods, state=state))  # type: ignore[arg-type]
            kept.append(arrays[f"{i}.states"])
        fits = meta["kind"] == codec.kind and all(k.shape[1] == codec.width for k in kept)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{path} is damaged ({error}); train the run again.") from error
    if not fits:
        raise RunError(
            f"{path} holds the states of another network than {run}/config.json describes; "
            "restore the file that belongs there."
        )
    return lived, kept


def _plain(value: Any) -> Any:
    """What JSON can hold of a condition."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
