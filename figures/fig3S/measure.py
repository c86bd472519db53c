"""The supplement of figure 3: networks of three classes, and the largest M of ReLU networks."""

from __future__ import annotations

from functools import partial

import numpy as np

import figures.figS.measure as figS
from figures.cache import Key, Measurements, Values
from figures.fig3.measure import RATIO
from figures.integration import record_of
from figures.networks import SEEDS, Trained, config_of
from mpn_lab import SupervisedConfig
from mpn_lab.analysis import participation_ratio

RECURRENT = ("RNN", "GRU")
KINDS = (*RECURRENT, "MPN")
LARGEST = "largest |M|"


def configs(kind: str) -> dict[str, SupervisedConfig]:
    """Networks of three classes, by seed; the MPNs are figure S's."""
    if kind == "MPN":
        return figS.configs("three classes")
    return {
        f"fig3S/three-{kind}-seed{seed}": config_of(kind, seed, task_kwargs={"n_classes": 3})
        for seed in SEEDS
    }


def measurements(networks: dict[str, list[Trained]], relu: list[Trained]) -> Measurements:
    """What measures each value.

    Args:
        networks: of three classes, one of `KINDS` -> by seed.
        relu: the ReLU networks by seed.
    """
    result: Measurements = {}
    for seed in SEEDS:
        for kind in KINDS:
            key = Key(RATIO, f"{kind}, three classes", seed)
            result[key] = partial(dimensions, networks[kind][seed])
        result[Key(LARGEST, "ReLU", seed)] = partial(largest_modulation, relu[seed])
    return result


def dimensions(one: Trained) -> Values:
    """(e)"""
    trials = record_of(one)
    return {
        RATIO: float(participation_ratio(trials, "h")),
        "accuracy": float(trials["correct"].mean()),
        "updates": one.updates,
    }


def largest_modulation(one: Trained) -> Values:
    """The largest |M_ij| of 200 trials, and the learned eta."""
    return {LARGEST: float(np.abs(record_of(one)["M"]).max()), "eta": one.eta}
