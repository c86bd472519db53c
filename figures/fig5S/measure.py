"""The supplement of figure 5: MPNs with an input in the delay, and values step by step."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import torch
import xarray as xr

import figures.fig5.measure as fig5
from figures.cache import Key, Measurements, Values, compute_missing
from figures.decoding import respond
from figures.networks import SEEDS, Trained, config_of, network_names
from mpn_lab import SupervisedConfig, record
from mpn_lab.analysis import decode_across_times, first_order_error

INPUTS = {"MPN, delay input 0.05": 0.05, "MPN, delay input 0.1": 0.1}
NETWORKS = ("MPN", *INPUTS, "GRU")
ACROSS = "decoding by decoders of other steps"
EVERY = 3  # steps between those of (e)
DECODED_ACROSS = ("GRU", "MPN", "MPN, delay input 0.05")  # the networks of (e)


def configs() -> dict[str, SupervisedConfig]:
    """What is trained, beside figure 5's."""
    return {
        f"fig5S/MPN-input{x}-seed{seed}": config_of(
            "MPN", seed, task_kwargs={**fig5.TASK, "delay_input": x}
        )
        for x in INPUTS.values()
        for seed in SEEDS
    }


def by_kind(networks: dict[str, Trained]) -> dict[str, list[Trained]]:
    """One of `NETWORKS` -> its networks, by seed."""
    result = {}
    for kind in NETWORKS:
        names = [name for _, _, name in network_names("fig5", [kind])]
        if kind in INPUTS:
            names = [f"fig5S/MPN-input{INPUTS[kind]}-seed{seed}" for seed in SEEDS]
        result[kind] = [networks[name] for name in names]
    return result


def compute_values(networks: dict[str, Trained], fresh: bool, processes: int) -> pd.DataFrame:
    """All values, measured now where they are missing."""
    return compute_missing("fig5S", measurements(networks), fresh=fresh, processes=processes)


def measurements(networks: dict[str, Trained]) -> Measurements:
    """What measures each value."""
    result: Measurements = {}
    for kind, by_seed in by_kind(networks).items():
        for seed, one in enumerate(by_seed):
            if kind in INPUTS:
                result[Key("decoding, go", kind, seed)] = partial(fig5.decoding, one)
                result[Key("mean activity, delay", kind, seed)] = partial(fig5.activity, one)
            if kind in DECODED_ACROSS:
                result[Key(ACROSS, kind, seed)] = partial(decoding_across, one)
            if kind == "MPN":
                result[Key("error of h, step 1", kind, seed)] = partial(theory_by_step, one)
    return result


def activity_by_step(one: Trained) -> tuple[np.ndarray, np.ndarray]:
    """(a) Mean |h_i| at every step, (c) `variation` at every step from the fifth on."""
    torch.set_num_threads(1)
    h = respond(one.network, one.task[1]).h
    return np.abs(h).mean((0, 2)), fig5.variation(h)


def decoding_matrix(one: Trained) -> xr.DataArray:
    """(e) Accuracy of the decoder of each step at each step: [train_time, time]."""
    trials = record(one.network, *one.task, trials=300, seed=1)
    return decode_across_times(trials, "correct_response", "h", EVERY)


def decoding_across(one: Trained) -> Values:
    """Accuracy of decoders at other steps than their own, from step 10 on."""
    late = slice(10 // EVERY, None)
    matrix = decoding_matrix(one).isel(train_time=late, time=late).values
    return {ACROSS: float(matrix[~np.eye(len(matrix), dtype=bool)].mean())}


def theory_by_step(one: Trained) -> Values:
    """(d) Error of equations 4 and 5."""
    error = first_order_error(record(one.network, *one.task, trials=fig5.TRIALS))
    return {
        f"error of {name}, step {t + 1}": float(value)
        for name in ("h", "M")
        for t, value in enumerate(error[name].mean("trial").values)
    }
