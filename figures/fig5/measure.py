"""Figure 5's networks: how well the label is read off h, and the error of equations 4 and 5."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from figures.cache import Key, Measurements, Values, compute_missing
from figures.decoding import decode_label, respond
from figures.networks import SEEDS, Trained, config_of, network_names, train_in_memory
from mpn_lab import QNetwork, SupervisedConfig, record
from mpn_lab.analysis import first_order_error
from mpn_lab.training.config import StopConfig

TASK = {"n_classes": 3, "delay": 20}
STIMULUS, GO = 19, 39  # the first step of the delay, and the go step, counted from 0
SETTINGS: dict[str, dict[str, Any]] = {  # of networks that are trained with a delay
    "MPN": {},
    "GRU": {"l1": 0.0, "stop": StopConfig(min_updates=500)},
}
DECODED = [*range(0, 19, 3), *range(19, 39, 3), 38, 39]  # steps
SIZES = (10, 20, 50, 100, 200)
FEW = range(3)  # seeds of networks trained with other sizes
TRIALS = 100  # of the theory's error


def configs() -> dict[str, SupervisedConfig]:
    """What is trained."""
    return {
        name: config_of(kind, seed, task_kwargs=dict(TASK), **SETTINGS[kind])
        for kind, seed, name in network_names("fig5", list(SETTINGS))
    }


def compute_values(networks: dict[str, Trained], fresh: bool, processes: int) -> pd.DataFrame:
    """All values, measured now where they are missing."""
    return compute_missing("fig5", measurements(networks), fresh=fresh, processes=processes)


def measurements(networks: dict[str, Trained]) -> Measurements:
    """What measures each value."""
    result: Measurements = {}
    for kind in ("MPN", "GRU"):
        for _, seed, name in network_names("fig5", [kind]):
            result[Key("decoding, go", kind, seed)] = partial(decoding, networks[name])
            result[Key("mean activity, delay", kind, seed)] = partial(activity, networks[name])
            if kind == "MPN":
                result[Key("error of h", kind, seed)] = partial(trained_error, networks[name])
    sizes = {(d, 100) for d in SIZES} | {(50, n) for n in SIZES}
    for d, n in sorted(sizes):
        for seed in SEEDS:
            key = Key(f"error of h, d={d} n={n}", "new MPN", seed)
            result[key] = partial(new_error, d, n, seed)
    for seed in FEW:
        for d, n in sorted(sizes - {(50, 100)}):
            if min(d, n) >= 20:
                key = Key(f"trained, d={d} n={n}: error of h", "MPN", seed)
                result[key] = partial(trained_size_error, d, n, seed)
    return result


def decoding(one: Trained) -> Values:
    """(b) How well the label is read off h, over time."""
    responses = respond(one.network, one.task[1])
    at = {step: decode_label(responses.h[:, step], responses.label) for step in DECODED}
    return {
        "accuracy": responses.accuracy,
        "decoding, end of stimulus": at[STIMULUS - 1],
        "decoding, delay": float(np.mean([at[s] for s in DECODED if STIMULUS <= s < GO])),
        "decoding, end of delay": at[GO - 1],
        "decoding, go": at[GO],
        **{f"decoding, step {step + 1}": value for step, value in at.items()},
    }


def activity(one: Trained) -> Values:
    """How active h is, mean of |h_i|, and how much it varies, in stimulus and delay."""
    h = respond(one.network, one.task[1]).h
    varies = variation(h)
    return {
        "mean activity, stimulus": float(np.abs(h[:, :STIMULUS]).mean()),
        "mean activity, delay": float(np.abs(h[:, STIMULUS:GO]).mean()),
        "variation over 5 steps, stimulus": float(varies[: STIMULUS - 4].mean()),
        "variation over 5 steps, delay": float(varies[STIMULUS : GO - 4].mean()),
    }


def variation(h: np.ndarray) -> np.ndarray:
    """Variance of h_i over 5 steps / its mean square there, mean over neurons and trials.

    [B, T, n] -> [T - 4], at the last step of each window.
    """
    windows = np.lib.stride_tricks.sliding_window_view(h, 5, axis=1)  # (B, T - 4, n, 5)
    return (windows.var(3) / np.maximum((windows**2).mean(3), 1e-12)).mean((0, 2))


def trained_error(one: Trained) -> Values:
    """(d) Of the equations, in a trained network."""
    trials = record(one.network, *one.task, trials=TRIALS)
    error = first_order_error(trials)
    result = {}
    for name in ("h", "M"):
        result[f"error of {name}"] = float(error[name].mean())
        for period in ("stimulus", "delay", "go"):
            inside = error[name].where(trials["period"] == period)
            result[f"error of {name}, {period}"] = float(inside.mean())
    return result


def new_error(d: int, n: int, seed: int) -> Values:
    """(d) Of the equations, in a network with its start values."""
    network = QNetwork(
        d,
        3,
        hidden_size=n,
        embedding="none",
        bias=False,
        lam_max=0.95,
        generator=torch.Generator().manual_seed(seed),
    )
    kwargs = {"n_classes": 3, "input_size": d, "vectors_seed": seed}
    error = first_order_error(record(network, "mpn_lab/Integration-v0", kwargs, trials=20))
    return {f"error of {name}, d={d} n={n}": float(error[name].mean()) for name in ("h", "M")}


def trained_size_error(d: int, n: int, seed: int) -> Values:
    """(d) Of the equations, in a network of another size, trained for 2,000 batches."""
    config = config_of(
        "MPN", seed, task_kwargs={**TASK, "input_size": d}, hidden_size=n, trials=64 * 2_000
    )
    network, _ = train_in_memory(config)
    error = first_order_error(record(network, config.task, config.task_kwargs, trials=20))
    return {
        f"trained, d={d} n={n}: error of {name}": float(error[name].mean()) for name in ("h", "M")
    }
