"""How alike the trajectories of networks are: of different seeds, sizes or cores.

The measures are a line of linear algebra each. Of the libraries that have them, netrep is not on
PyPI, and rsatoolbox compares dissimilarity matrices only; `condition_averages` gives the arrays
[condition, time, unit] that both take. `operators` compares dynamics.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from scipy.linalg import svdvals

from mpn_lab.analysis.restore import as_record, step_values
from mpn_lab.analysis.schema import condition_of, with_condition

Metric = Literal["procrustes", "cka"]


def similarity(
    records: Mapping[str, xr.Dataset],
    variable: str = "h",
    condition: str | Sequence[str] = "correct_response",
    period: str | None = None,
    metric: Metric = "procrustes",
    *,
    permutations: int = 199,
    seed: int = 0,
) -> xr.Dataset:
    """Compare the condition-averaged trajectories of networks, pair by pair.

    X and Y hold the trajectories of two networks, a row for each time of each condition and a
    column for each unit, less the columns' means, scaled to a Frobenius norm of 1. The similarity
    is at most 1, and does not change if a trajectory is rotated, scaled or shifted.

    - `procrustes`: the largest trace of X^T Y Q over rotations Q, that is, the sum of the singular
      values of X^T Y: the cosine of the angular Procrustes distance (Williams et al., NeurIPS
      2021).
    - `cka`: linear centred kernel alignment, |Y^T X|^2 / (|X^T X| |Y^T Y|) with Frobenius norms
      (Kornblith et al., ICML 2019), which weighs the large components more.

    All networks see the same inputs and the same course of time, and many units can be rotated onto
    anything, so the number alone says little. Compare it with `shuffled`, where the conditions of
    one of the two are exchanged as wholes, and with an untrained network among the records.

    Args:
        records: name -> record, of the same task.
        variable: `h`, `M` or any other state that all the records have.
        condition: a coordinate of the trials, or several, whose combinations are the conditions.
        period: trajectories from this period's first step; None: from the trial's start. The last
            step is the last that some trial of every condition of every network reaches.
        metric: `procrustes` or `cka`.
        permutations: number of ways in which conditions are exchanged at random; all of them, where
            there are no more.
        seed: seed of the permutations.

    Returns:
        [network, other]: `similarity`; `shuffled`, its mean over the permutations; `p`, the share
        of permutations (the true order among them) with at least the same similarity. With few
        conditions p cannot be small (1/2 for two), nor where exchanging two of them is a rotation.

    Raises:
        ValueError: fewer than two records; one that lacks the variable or a condition, or has other
            conditions or time steps than the rest; a single condition, an unknown period or metric.

    Example:
        >>> import mpn_lab
        >>> networks = {size: mpn_lab.QNetwork(3, 3, hidden_size=size) for size in (8, 12)}
        >>> task = "DelayMatchSample-v0"
        >>> records = {f"n = {n}": mpn_lab.record(net, task) for n, net in networks.items()}
        >>> similarity(records, condition=["sample_theta", "test_theta"]).similarity.shape
        (2, 2)
    """
    if metric not in get_args(Metric):
        raise ValueError(f"metric is {metric!r}; expected {' or '.join(get_args(Metric))}.")
    if len(records) < 2:
        raise ValueError(f"records holds {len(records)} network; expected at least two.")
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}; expected 1 or more.")
    averages = {
        name: condition_averages(record, variable, condition, period)
        for name, record in records.items()
    }
    first_name, first = next(iter(averages.items()))
    for name, average in averages.items():
        for what, coordinate in (("conditions", "condition"), ("time steps", "time")):
            a, b = (each[coordinate].values for each in (first, average))
            n = min(len(a), len(b)) if coordinate == "time" else max(len(a), len(b))
            if a[:n].tolist() != b[:n].tolist():
                raise ValueError(
                    f"the {what} of {name!r} are not those of {first_name!r}; record both on the "
                    "same task, with the same seed."
                )
    C = first.sizes["condition"]
    if C < 2:
        raise ValueError(f"{condition} is the same in all these trials; nothing can be exchanged.")
    T = min(_common_steps(average) for average in averages.values())
    if not T:
        raise ValueError("no step is reached by every condition of every network; record more.")
    X = [_scaled(average.values[:, :T].reshape(C, T, -1)) for average in averages.values()]
    orders = _orders(C, permutations, seed)
    measure, K = _MEASURES[metric], len(X)
    found, shuffled, p = np.full((3, K, K), np.nan)
    for i, j in itertools.combinations_with_replacement(range(K), 2):
        a = X[i].reshape(C * T, -1)
        true, *others = (measure(a, X[j][order].reshape(C * T, -1)) for order in orders)
        found[i, j] = found[j, i] = true
        shuffled[i, j] = shuffled[j, i] = np.mean(others)
        if np.isfinite(true):
            p[i, j] = p[j, i] = (1 + np.sum(np.array(others) >= true - 1e-9)) / len(orders)
    dims, names = ("network", "other"), list(records)
    return xr.Dataset(
        {"similarity": (dims, found), "shuffled": (dims, shuffled), "p": (dims, p)},
        coords={"network": names, "other": names},
        attrs={
            "metric": metric,
            "variable": variable,
            "condition": condition if isinstance(condition, str) else ", ".join(condition),
            "period": period or "whole trial",
            "steps": T,
            "permutations": len(orders) - 1,
        },
    )


def condition_averages(
    record: xr.Dataset,
    variable: str = "h",
    condition: str | Sequence[str] = "correct_response",
    period: str | None = None,
) -> xr.DataArray:
    """Average a variable over the trials of each condition, step by step.

    Args:
        record: from `record`.
        variable: `h`, `M` or any other with the dimensions trial and time.
        condition: a coordinate of the trials, or several, whose combinations are the conditions;
            trials in which one is nan are left out.
        period: times are counted from its first step, and trials without it are left out; None:
            from the trial's start.

    Returns:
        [condition, time, ...]: at each step the mean over the trials that last as long, nan where
        there are none. The coordinate `condition` holds the values, or their combinations as text.

    Raises:
        ValueError: there is no such variable, condition or period.
    """
    record = as_record(record, variable, "period")
    names = [condition] if isinstance(condition, str) else list(condition)
    for name in names:
        record = with_condition(record, name)
    columns = [condition_of(record, name).values for name in names]
    if len(columns) == 1:
        labels, index = np.unique(columns[0], return_inverse=True)
    else:
        each = [np.unique(column, return_inverse=True) for column in columns]
        codes = np.stack([code for _, code in each], 1)
        found, index = np.unique(codes, axis=0, return_inverse=True)
        labels = np.array(
            [
                ", ".join(f"{values[k]}" for (values, _), k in zip(each, row, strict=True))
                for row in found
            ]
        )
    values, valid, times = (
        step_values(record, variable),
        record["valid"].values,
        record["time"].values,
    )
    start: np.ndarray = np.zeros(len(valid), int)
    if period is not None:
        in_period = (record["period"].values == period) & valid
        if not in_period.any():
            names = sorted({str(name) for name in record["period"].values[valid]} - {""})
            raise ValueError(f"there is no period {period!r}; the trials have {', '.join(names)}.")
        start = np.where(in_period.any(1), in_period.argmax(1), len(times))
    step = start[:, None] + np.arange(len(times))
    last = step.clip(max=len(times) - 1)
    inside = (step < len(times)) & np.take_along_axis(valid, last, 1)
    own = [1] * (values.ndim - 2)
    data = values[np.arange(len(valid))[:, None], last]
    data = np.where(inside.reshape(*inside.shape, *own), data, 0)
    member = (index.reshape(-1) == np.arange(len(labels))[:, None]).astype(float)  # (C, trial)
    count = (member @ inside).reshape(len(labels), -1, *own)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.tensordot(member, data, 1) / count
    return xr.DataArray(
        mean,
        dims=("condition", *record[variable].dims[1:]),
        coords={"condition": labels, "time": times - times[0]},
        name=variable,
    )


def _common_steps(average: xr.DataArray) -> int:
    """Return for how many steps every condition has trials."""
    finite = np.isfinite(average.values.reshape(*average.shape[:2], -1)).all((0, 2))
    return int(np.logical_and.accumulate(finite).sum())


def _scaled(X: np.ndarray) -> np.ndarray:
    """Return X [C, T, f] centred, of norm 1, along its principal axes; nan if it is constant."""
    C, T, _ = X.shape
    X = X.reshape(C * T, -1)
    U, S, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
    if S[0] == 0:
        return np.full((C, T, 1), np.nan)
    S = S / np.linalg.norm(S)
    axes = S[::-1].cumsum()[::-1] > 1e-6  # the others change no similarity by more than this
    return (U[:, axes] * S[axes]).reshape(C, T, -1)


def _procrustes(X: np.ndarray, Y: np.ndarray) -> float:
    product = X.T @ Y
    return float(svdvals(product).sum()) if np.isfinite(product).all() else np.nan


def _cka(X: np.ndarray, Y: np.ndarray) -> float:
    norms = np.linalg.norm(X.T @ X) * np.linalg.norm(Y.T @ Y)
    return float(np.linalg.norm(Y.T @ X) ** 2 / norms)


_MEASURES: dict[str, Callable[[Any, Any], float]] = {"procrustes": _procrustes, "cka": _cka}


def _orders(n: int, most: int, seed: int) -> list[list[int]]:
    """Return orders of n conditions, the true one first: all of them, or `most` others."""
    if n < 10 and math.factorial(n) - 1 <= most:
        return [list(order) for order in itertools.permutations(range(n))]
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(n).tolist() for _ in itertools.count())
    others = (order for order in orders if order != list(range(n)))
    return [list(range(n)), *itertools.islice(others, most)]
