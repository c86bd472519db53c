"""Figure 3's networks, and what is measured of their hidden activity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from sklearn.decomposition import PCA

from figures.integration import SHOWN, evidence_of, record_of
from figures.networks import Trained, config_of, network_names
from mpn_lab import SupervisedConfig
from mpn_lab.analysis import participation_ratio, pca, variance_explained

KINDS = ("RNN", "GRU", "MPN", "MPNpre")
COMPONENTS = 6
R2_EVIDENCE, R2_INPUT = "r2 of h on accumulated evidence", "r2 of h on present input"
RATIO = "participation ratio of h"
COSINE = "cosine of h and readout except at go"
ALIGNMENT = "readout alignment of non-go clusters"
ALIGNMENT_GO = "readout alignment of the go cluster"
VARIANCE = "share of variance of h, PC {}"


def configs(kinds: Sequence[str] = KINDS) -> dict[str, SupervisedConfig]:
    """What is trained, network by network and seed by seed."""
    return {name: config_of(kind, seed) for kind, seed, name in network_names("fig3", kinds)}


def measure(one: Trained) -> dict[str, float]:
    """All values of one network, from whole trials."""
    trials = record_of(one)
    shares = pca(trials, "h", COMPONENTS)["explained_variance_ratio"].values
    values = {
        **explained(trials),
        RATIO: float(participation_ratio(trials, "h")),
        COSINE: readout_cosine(trials),
        ALIGNMENT: readout_alignment(trials, range(3)),
        ALIGNMENT_GO: readout_alignment(trials, [3]),
        **{VARIANCE.format(i + 1): float(share) for i, share in enumerate(shares)},
        "accuracy": float(trials["correct"].mean()),
        "updates": float(one.updates),
    }
    return values | ({"eta": one.eta} if one.network.mpn_layers() else {})


def explained(trials: xr.Dataset) -> dict[str, float]:
    """r2 of h on the evidence and on the present input, mean over all neurons."""
    r2 = variance_explained(trials, evidence_of(trials), "h", None, trials["shown"])
    return {R2_EVIDENCE: float(r2["evidence"].mean()), R2_INPUT: float(r2["input"].mean())}


def readout_alignment(trials: xr.Dataset, inputs: Sequence[int]) -> float:
    """Mean |cos| between the readout vectors and the first component of h where one input is shown.

    Args:
        trials: a record.
        inputs: which inputs, as indices into `SHOWN`.
    """
    h, shown = trials["h"].values, trials["shown"].values
    r = trials["readout"].values  # (class, hidden)
    first = np.stack([PCA(1).fit(h[shown == k]).components_[0] for k in inputs])  # (input, hidden)
    return float(np.abs(first @ r.T / np.linalg.norm(r, axis=1)).mean())


def readout_cosine(trials: xr.Dataset) -> float:
    """Mean |cos| between the readout vectors and h itself, over all steps except go."""
    h, r = trials["h"].values[trials["shown"].values != SHOWN.index("go")], trials["readout"].values
    cosine = h @ r.T / np.linalg.norm(h, axis=1, keepdims=True) / np.linalg.norm(r, axis=1)
    return float(np.abs(cosine).mean())
