"""Decoding a trial's conditions from the network's states at every step."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mpn_lab.analysis.restore import as_record, step_values
from mpn_lab.analysis.schema import condition_of, with_condition
from mpn_lab.checks import check_int

FOLDS = 5


def decode(
    record: xr.Dataset, condition: str = "correct_response", variable: str = "h"
) -> xr.Dataset:
    """Compute the accuracy with which a condition can be decoded from a variable at each step.

    The decoder of each step is a ridge classifier on standardised features, 5-fold cross-validated
    over trials.

    Args:
        record: from `record`.
        condition: a coordinate of the trials, each of its values a class; trials in which it is nan
            are left out.
        variable: `h`, `M`, `embedded` or any other state in the record.

    Returns:
        `accuracy` [time] on held-out trials, its standard error over folds `sem` [time], and
        `chance` [time], the share of the most frequent class. nan at steps that fewer than two
        classes of 5 trials reach.

    Raises:
        ValueError: there is no such variable or condition, or too few trials of two classes.

    Example:
        >>> decode(trials, "sample_theta", "M").accuracy.plot()  # doctest: +SKIP
    """
    record = with_condition(as_record(record), condition)
    T = record.sizes["time"]
    accuracy, sem, chance = np.full((3, T), np.nan)
    for t, (data, labels) in enumerate(_per_step(record, condition, variable)):
        if data is None:
            continue
        scores = [
            float((_fit(data[train], labels[train]).predict(data[test]) == labels[test]).mean())
            for train, test in _folds(labels)
        ]
        accuracy[t], sem[t] = np.mean(scores), np.std(scores, ddof=1) / FOLDS**0.5
        chance[t] = np.unique(labels, return_counts=True)[1].max() / len(labels)
    return xr.Dataset(
        {"accuracy": ("time", accuracy), "sem": ("time", sem), "chance": ("time", chance)},
        coords={"time": record["time"]},
        attrs={"condition": condition, "variable": variable},
    )


def decode_across_times(
    record: xr.Dataset, condition: str = "correct_response", variable: str = "h", every: int = 1
) -> xr.DataArray:
    """Compute the accuracy of decoders trained at one time and tested at another.

    The result has the dimensions [train_time, time]. If only the diagonal is high, the code changes
    over time; if a block is high, the code is stable there. Only trials that reach both times are
    used; no trial is tested on a decoder that was trained on it.

    Args:
        record: from `record`.
        condition: a coordinate of the trials, each of its values a class; trials in which it is nan
            are left out.
        variable: `h`, `M`, `embedded` or any other state in the record.
        every: use only every `every`-th step.

    Raises:
        ValueError: as `decode`, or `every` below 1.
    """
    every = check_int("every", every, 1)
    record = with_condition(as_record(record), condition)
    steps = range(0, record.sizes["time"], every)
    labels, valid = _classes(record, condition), record["valid"].values
    usable = [data is not None for data, _ in _per_step(record, condition, variable)]
    features = _features(record, variable)
    fold_of = np.empty(len(labels), int)
    for k, (_, test) in enumerate(_folds(labels)):
        fold_of[test] = k
    result = np.full((len(steps), len(steps)), np.nan)
    for i, s in enumerate(steps):
        if not usable[s]:
            continue
        hits, asked = np.zeros(len(steps)), np.zeros(len(steps))
        for k in range(FOLDS):
            train = valid[:, s] & (fold_of != k)
            if len(np.unique(labels[train])) < 2:
                continue
            fitted = _fit(features[train, s], labels[train])
            for j, t in enumerate(steps):
                test = valid[:, s] & valid[:, t] & (fold_of == k)
                if test.any():
                    hits[j] += (fitted.predict(features[test, t]) == labels[test]).sum()
                    asked[j] += test.sum()
        result[i] = np.where(asked > 0, hits / np.maximum(asked, 1), np.nan)
    times = record["time"].values[list(steps)]
    return xr.DataArray(
        result,
        dims=("train_time", "time"),
        coords={"train_time": times, "time": times},
        name="accuracy",
        attrs={"condition": condition, "variable": variable},
    )


def _fit(data: np.ndarray, labels: np.ndarray) -> Pipeline:
    return make_pipeline(StandardScaler(), RidgeClassifier()).fit(data, labels)


def _folds(labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    with warnings.catch_warnings():  # a rare class may be missing from a fold
        warnings.simplefilter("ignore", UserWarning)
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels))


def _classes(record: xr.Dataset, condition: str) -> np.ndarray:
    """Return the class of each trial, one integer for each value of the condition."""
    return np.unique(condition_of(record, condition).values, return_inverse=True)[1]


def _features(record: xr.Dataset, variable: str) -> np.ndarray:
    values = step_values(record, variable)
    return values.reshape(*values.shape[:2], -1)


def _per_step(record: xr.Dataset, condition: str, variable: str) -> list:
    """Return features [k, f] and labels [k] of the trials at each step; (None, None): too few."""
    labels, features = _classes(record, condition), _features(record, variable)
    result = []
    for t in range(record.sizes["time"]):
        use = record["valid"].values[:, t]
        counts = np.unique(labels[use], return_counts=True)[1]
        enough = len(counts) > 1 and np.sort(counts)[-2] >= FOLDS
        result.append((features[use, t], labels[use]) if enough else (None, None))
    if all(data is None for data, _ in result):
        raise ValueError(
            f"{condition} cannot be decoded: at no time are there two classes of at least {FOLDS} "
            "trials; record more trials, or choose a condition with fewer values."
        )
    return result
