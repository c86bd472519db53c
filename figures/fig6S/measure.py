"""The supplement of figure 6: the presynaptic and the additive MPN."""

from __future__ import annotations

from functools import partial

import pandas as pd

import figures.figS.measure as figS
from figures.cache import Key, Measurements, compute_missing
from figures.fig6.measure import capacities, forgetting, noise_and_readout
from figures.networks import SEEDS, Trained
from mpn_lab import SupervisedConfig

ADDED = ("MPNpre", "additive")


def configs() -> dict[str, SupervisedConfig]:
    """The stored networks, the additive ones of figure S."""
    return figS.configs("additive")


def compute_values(networks: dict[str, Trained], fresh: bool, processes: int) -> pd.DataFrame:
    """All values that figure 6 does not have, measured now where they are missing."""
    return compute_missing("fig6S", measurements(networks), fresh=fresh, processes=processes)


def measurements(networks: dict[str, Trained]) -> Measurements:
    """What measures each value."""
    result = noise_and_readout({"additive": list(networks.values())})
    result |= capacities({kind: (kind, 10) for kind in ADDED})
    for seed in SEEDS:
        for kind in ADDED:
            result[Key("first task, updates", kind, seed)] = partial(forgetting, kind, seed)
    return result
