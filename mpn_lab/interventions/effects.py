"""How much an intervention matters: a record beside its counterfactual."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from mpn_lab.analysis.restore import as_record
from mpn_lab.analysis.schema import condition_of


def effect(trials: xr.Dataset, changed: xr.Dataset, by: str | None = None) -> xr.Dataset:
    """Compare a record with its counterfactual.

    Args:
        trials: from `record`.
        changed: from `counterfactual`, of the same trials.
        by: a condition, for each of whose values the effect is computed (not for nan); None: all
            trials together.

    Returns:
        With the dimension `by` where it is given, and 95 % intervals along `bound` (low, high):

        - `n`, the number of trials; `flipped`, the share of trials with another response, and
          `flipped_ci` (Wilson's interval);
        - `accuracy` and `accuracy_changed`, means of `performance`, with `..._ci` (Wilson's; of the
          mean for a graded performance); nan where the task counts no trial as correct or wrong;
          `accuracy_changed` is nan, too, where a trial whose performance was known is no longer
          judged, as when in an open loop a trial turns in which no response is correct;
        - `return` and `return_changed`, mean sums of rewards, and `return_difference` with its
          interval, trial by trial; nan where a reward is unknown, as in an open loop in which an
          action changes;
        - `dQ` [time, action], the mean change of Q over the trials that last as long in both
          records, and `dQ_ci`; nan where there are none.

    Raises:
        ValueError: the Datasets hold different trials, the first was recorded with exploration, or
            there is no such condition.
    """
    trials, changed = (as_record(data, "Q", "reward") for data in (trials, changed))
    if not np.array_equal(trials["trial"].values, changed["trial"].values):
        raise ValueError(
            "the two records hold different trials; pass a counterfactual of the first."
        )
    if (epsilon := float(trials.attrs.get("epsilon", 0))) > 0:
        raise ValueError(
            f"the record was made with epsilon={epsilon:g}, and its explored actions would count "
            "as an effect; record with epsilon=0."
        )
    if by is None:
        return _effect(trials, changed)
    known = condition_of(trials, by).notnull().values
    trials, changed = trials.isel(trial=known), changed.isel(trial=known)
    values = condition_of(trials, by).values
    parts = [
        _effect(trials.isel(trial=values == v), changed.isel(trial=values == v))
        for v in np.unique(values)
    ]
    return xr.concat(parts, xr.DataArray(np.unique(values), dims=by, name=by))


def _effect(trials: xr.Dataset, changed: xr.Dataset) -> xr.Dataset:
    n = trials.sizes["trial"]
    flips = int((trials["response"].values != changed["response"].values).sum())
    bound = xr.DataArray(["low", "high"], dims="bound")
    data: dict[str, Any] = {
        "n": n,
        "flipped": flips / n,
        "flipped_ci": ("bound", wilson(flips, n)),
    }
    returns = {}
    for suffix, record in (("", trials), ("_changed", changed)):
        scores = record["performance"].values.astype(float)
        if np.isnan(scores[np.isfinite(trials["performance"].values.astype(float))]).any():
            scores = np.full(n, np.nan)  # the trials that are still known are no sample of them
        data[f"accuracy{suffix}"], interval = _mean(scores)
        known = scores[np.isfinite(scores)]
        if len(known) and np.isin(known, (0, 1)).all():
            interval = wilson(int(known.sum()), len(known))
        data[f"accuracy{suffix}_ci"] = ("bound", interval)
        valid, reward = record["valid"].values.astype(bool), record["reward"].values
        returns[suffix] = np.where(valid, reward, 0).sum(1)  # nan where a reward is unknown
        data[f"return{suffix}"] = returns[suffix].mean()
    difference = returns["_changed"] - returns[""]
    if np.isnan(difference).any():  # those known are the trials in which no action changed
        difference = np.full(n, np.nan)
    data["return_difference"], interval = _mean(difference)
    data["return_difference_ci"] = ("bound", interval)
    # after the end of either trial dQ is unknown
    before, after = xr.align(trials["Q"], changed["Q"], join="outer")
    dQ = (after - before).transpose("trial", "time", "action")
    count = dQ.notnull().sum("trial")
    mean, error = dQ.mean("trial"), dQ.std("trial", ddof=1) / np.sqrt(count)
    half = error * stats.t.ppf(0.975, np.maximum(count - 1, 1))
    data |= {"dQ": mean, "dQ_ci": xr.concat([mean - half, mean + half], bound)}
    return xr.Dataset(data, coords={"bound": bound})


def wilson(hits: int, n: int) -> np.ndarray:
    """Return Wilson's 95 % interval of a share, [low, high]."""
    interval = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return np.array([interval.low, interval.high])


def _mean(values: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of the known values and its 95 % interval (Student's)."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return float(known.mean()) if len(known) else np.nan, np.full(2, np.nan)
    half = stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean()), known.mean() + np.array([-half, half])
