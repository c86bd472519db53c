"""How alike the dynamics of networks are: how their states move, whatever their geometry.

Dynamical similarity analysis (Ostrow, Eisen, Kozachkov & Fiete, NeurIPS 2023; arXiv:2306.10168): a
linear operator is fitted to delay-embedded trajectories, and two operators are compared under the
best rotation. Its library, dsa-metric, would add nine packages to an installation.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import xarray as xr

from mpn_lab.analysis.restore import as_record, step_values
from mpn_lab.checks import LARGEST_SEED, check_int

_STARTS = 4  # random rotations, besides the computed one, from which an alignment begins
_ITERATIONS = 500


def dynamical_distance(
    records: Mapping[str, xr.Dataset],
    variable: str = "h",
    period: str | None = None,
    *,
    rank: int = 8,
    delays: int = 4,
    splits: int = 4,
    seed: int = 0,
) -> xr.Dataset:
    """Compare the dynamics of networks, pair by pair, by the linear operators that fit them.

    The first `rank` principal components of the state are stacked with those of the `delays` - 1
    steps before; of these stacks the first `rank` principal components, scaled to unit variance,
    are y_t, and least squares fit y_{t+1} = A y_t + c. With C over all rotations and reflections,

        distance(A, B) = min_C |A - C B C^T| / sqrt(rank)     (Frobenius norm)

    at the lowest minimum found from five starts. It is 0 for the same dynamics in other
    coordinates, and otherwise in the order of the difference of the eigenvalues: for decays
    exp(-1 / tau), with tau in steps.

    The numbers need a scale, the `null`: the same network, other trials. Each record is split in
    halves at random; a network's null is the distance between its two halves, and the distance of
    two networks that between halves of equal trials. Inputs are part of the dynamics that are
    fitted: compare networks on one task, recorded with one seed.

    Args:
        records: name -> record; the time steps must be equal.
        variable: `h`, `M` or any other state; each record has its own units.
        period: only steps of this period; None: whole trials.
        rank: size of the operators.
        delays: number of steps in a stack.
        splits: number of times that the trials are split at random.
        seed: seed of the splits.

    Returns:
        Means over splits and halves: `distance` [network, other]; `null` [network]; `r2` [network],
        the share of the variance of y_{t+1} that the operator explains.

    Raises:
        ValueError: fewer than two records, other time steps, no such variable or period, or too few
            steps or too few dimensions for this rank.

    Example:
        >>> import mpn_lab
        >>> networks = {size: mpn_lab.QNetwork(3, 3, hidden_size=size) for size in (8, 12)}
        >>> task = "DelayMatchSample-v0"
        >>> records = {f"n = {n}": mpn_lab.record(net, task) for n, net in networks.items()}
        >>> dynamical_distance(records, rank=4).distance.shape
        (2, 2)
    """
    if len(records) < 2:
        raise ValueError(f"records holds {len(records)} network; expected at least two.")
    rank, delays = check_int("rank", rank, 1, 100), check_int("delays", delays, 1, 1000)
    splits = check_int("splits", splits, 1, 1000)
    seed = check_int("seed", seed, 0, LARGEST_SEED)
    steps = {name: float(record.attrs.get("dt", np.nan)) for name, record in records.items()}
    if len(set(steps.values())) > 1:
        raise ValueError(f"the time steps differ ({steps} ms); record all with the same dt.")
    K, names = len(records), list(records)
    pieces = [_trajectories(name, records[name], variable, period, delays) for name in names]
    found, null, r2 = np.zeros((splits, K, K)), np.empty((splits, K)), np.empty((splits, K))
    for s in range(splits):
        fits: list[list[np.ndarray]] = []  # [network][half]
        for k, (name, of_trials) in enumerate(zip(names, pieces, strict=True)):
            order = np.random.default_rng((seed, s)).permutation(len(of_trials))
            halves = [[of_trials[i] for i in half] for half in (order[::2], order[1::2])]
            both = [_operator(name, half, rank, delays) for half in halves]
            fits.append([A for A, _ in both])
            r2[s, k] = np.mean([share for _, share in both])
            null[s, k] = _distance(both[0][0], both[1][0], np.random.default_rng((seed, s)))
        for i, j in itertools.combinations(range(K), 2):
            rng = np.random.default_rng((seed, s))
            each = [_distance(fits[i][half], fits[j][half], rng) for half in (0, 1)]
            found[s, i, j] = found[s, j, i] = np.mean(each)
    return xr.Dataset(
        {
            "distance": (("network", "other"), found.mean(0)),
            "null": ("network", null.mean(0)),
            "r2": ("network", r2.mean(0)),
        },
        coords={"network": names, "other": names},
        attrs={
            "variable": variable,
            "period": period or "whole trial",
            "rank": rank,
            "delays": delays,
            "splits": splits,
        },
    )


def _trajectories(
    name: str, record: xr.Dataset, variable: str, period: str | None, delays: int
) -> list[np.ndarray]:
    """Return the steps of each trial, [T_i, unit]; none where they are too few."""
    record = as_record(record, variable, "period")
    values = step_values(record, variable)
    inside = record["valid"].values
    if period is not None:
        inside = inside & (record["period"].values == period)
        if not inside.any():
            known = sorted({str(p) for p in record["period"].values[record["valid"].values]} - {""})
            raise ValueError(f"there is no period {period!r}; the trials have {', '.join(known)}.")
    counts = np.where(inside.sum(1) > delays, inside.sum(1), 0)
    if (counts > 0).sum() < 2:
        raise ValueError(
            f"{name!r} has {(counts > 0).sum()} trials of more than {delays} steps; expected at "
            "least 2: choose fewer delays, or record longer trials."
        )
    return [
        each[where][:n].reshape(n, -1)
        for each, where, n in zip(values, inside, counts, strict=True)
    ]


def _operator(
    name: str, trials: list[np.ndarray], rank: int, delays: int
) -> tuple[np.ndarray, float]:
    """Return A of y_{t+1} = A y_t [rank, rank], and the share of variance that it explains."""
    trials = [trial for trial in trials if len(trial)]
    if not trials:
        raise ValueError(f"half of the trials of {name!r} are too short; record more trials.")
    states = np.concatenate(trials).astype(float)
    mean = states.mean(0)
    axes = np.linalg.svd(states - mean, full_matrices=False)[2][:rank].T  # [unit, rank at most]
    stacks = []
    for trial in trials:
        z = (trial - mean) @ axes
        stacks.append(np.hstack([z[k : len(z) - delays + 1 + k] for k in range(delays)]))
    joined = np.concatenate(stacks)
    center = joined.mean(0)
    _, S, V = np.linalg.svd(joined - center, full_matrices=False)
    dimensions = int(np.sum(S / S[0] > 1e-6))
    if dimensions < rank:
        raise ValueError(
            f"the trajectories of {name!r} have {dimensions} dimensions in half "
            f"of the trials; choose a rank of at most as many, not {rank}."
        )
    whiten = V[:rank].T * (np.sqrt(len(joined)) / S[:rank])
    y = [(stack - center) @ whiten for stack in stacks]
    now, later = (np.concatenate([part[a:b] for part in y]) for a, b in ((0, -1), (1, None)))
    now, later = now - now.mean(0), later - later.mean(0)  # which fits a constant too
    A = np.linalg.lstsq(now, later, rcond=None)[0].T
    rest = ((later - now @ A.T) ** 2).sum() / (later**2).sum()
    return A, 1 - float(rest)


def _distance(A: np.ndarray, B: np.ndarray, rng: np.random.Generator) -> float:
    """Return min_C |A - C B C^T| / sqrt(r) over orthogonal C.

    The parts a I and b I of A and B stay as they are under C. Of the rest, f(C) = <A, C B C^T> is
    maximised: f(C) + s |C|^2 is convex for s = |A| |B| (spectral norms), so that each
    C <- polar(A C B^T + A^T C B + 2 s C) raises f.
    """
    r = len(A)
    a, b = np.trace(A) / r, np.trace(B) / r
    A, B = A - a * np.eye(r), B - b * np.eye(r)
    shift = 2 * np.linalg.norm(A, 2) * np.linalg.norm(B, 2)
    random = np.linalg.qr(rng.standard_normal((_STARTS, r, r)))[0]
    C, best = np.concatenate([_aligned(A, B)[None], random]), -np.inf
    for _ in range(_ITERATIONS):
        U, _, V = np.linalg.svd(A @ C @ B.T + A.T @ C @ B + shift * C)
        C = U @ V
        before, best = best, (A * (C @ B @ C.transpose(0, 2, 1))).sum((1, 2)).max()
        if best - before <= 1e-9 * shift:
            break
    rest = max((A**2).sum() + (B**2).sum() - 2 * best, 0)
    return float(np.sqrt((a - b) ** 2 + rest / r))


def _aligned(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return the C of A = C B C^T, if there is one and the symmetric parts have it alone.

    The symmetric parts' eigenvectors U and V give C = U D V^T but for their signs D. If U^T A U =
    D (V^T B V) D, the entrywise product of both is positive but for D, and its first eigenvector
    has the signs of D (Perron and Frobenius).
    """
    U, V = (np.linalg.eigh(X + X.T)[1] for X in (A, B))
    product = (U.T @ A @ U) * (V.T @ B @ V)
    first = np.linalg.eigh(np.abs(product + product.T) * np.sign(product + product.T))[1][:, -1]
    return (U * np.where(first < 0, -1, 1)) @ V.T
