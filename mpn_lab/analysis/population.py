"""Population measures of the activity h, the modulations M or any other state in a record."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.cluster import hierarchy
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from mpn_lab.analysis.restore import aligned, as_mpn_record, as_record, step_values
from mpn_lab.analysis.schema import (
    condition_of,
    main_state,
    previous_missing,
    with_condition,
)
from mpn_lab.checks import check_choice, check_int


def pca(record: xr.Dataset, variable: str | None = None, components: int = 3) -> xr.Dataset:
    """Compute the principal components of a variable over all steps of all trials (scikit-learn).

    Args:
        record: from `record`.
        variable: `h`, `M`, or any other with the dimensions trial and time, such as a state of
            a custom core; None: M if the record has one, or else h.
        components: number of components; at most the number of features and of steps.

    Returns:
        `trajectory` [trial, time, component], the position of each trial at each step (nan after
        its end); `explained_variance_ratio` [component]; `axes` [component, ...] of unit length,
        and `mean`.

    Raises:
        ValueError: there is no such variable, or `components` is too large.

    Example:
        >>> pca(trials, "h").trajectory.sel(trial=3)  # doctest: +SKIP
    """
    record = as_record(record)
    variable = main_state(record) if variable is None else variable
    values, valid = _steps(record, variable)
    most = min(values.shape)
    components = check_int("components", components, 1, most)
    with np.errstate(invalid="ignore"):  # constant values: the explained share is nan
        # Of many features, scikit-learn finds the first components by power iterations: 3 in place
        # of 7 take a third of the time and leave an error of 1e-5 of the largest value.
        fitted = PCA(components, copy=False, random_state=0, iterated_power=3)
        positions = fitted.fit_transform(values)  # overwrites the values, which are a copy
    trajectory = np.full((*valid.shape, components), np.nan)
    trajectory[valid] = positions
    dims = record[variable].dims[2:]
    shape = tuple(record.sizes[dim] for dim in dims)
    result = xr.Dataset(
        {
            "trajectory": (("trial", "time", "component"), trajectory),
            "explained_variance_ratio": ("component", fitted.explained_variance_ratio_),
            "axes": (("component", *dims), fitted.components_.reshape(components, *shape)),
            "mean": (dims, fitted.mean_.reshape(shape)),
        },
        coords={"component": np.arange(1, components + 1)} | _of_trials(record),
        attrs={**record.attrs, "variable": variable},
    )
    return result


def participation_ratio(record: xr.Dataset, variable: str = "h") -> xr.DataArray:
    """Compute the effective dimension of a variable: (sum lambda)^2 / sum lambda^2.

    lambda are the eigenvalues of its covariance over all steps of all trials. The ratio is 1 for a
    line and the number of features for a ball. `variable` is `h`, `M` or any other state.

    Source: Gao et al., bioRxiv 2017, 214262.
    """
    ratio = dimensions_filled(_steps(as_record(record), variable)[0])
    return xr.DataArray(ratio, name="participation_ratio", attrs={"variable": variable})


def dimensions_filled(values: np.ndarray) -> float:
    """Return the participation ratio of rows of features, [k, f]; nan if they never differ."""
    values = values - values.mean(0)
    # tr C and tr C^2 are those of the Gram matrix, whichever side is the smaller.
    gram = values.T @ values if values.shape[1] <= len(values) else values @ values.T
    total = float((gram**2).sum())
    return float(np.trace(gram)) ** 2 / total if total else np.nan


def effective_weights(record: xr.Dataset) -> xr.DataArray:
    """Compute the weights from inputs to hidden units after step t: W * (1 + M_t) or W + M_t.

    They act at step t + 1: M_{t-1} acts at t. [trial, time, hidden, input].

    Raises:
        ValueError: the record is not of an MPN.
    """
    record = as_mpn_record(record)
    if record.attrs["modulation"] == "multiplicative":
        weights = record["W"] * (1 + record["M"])
    else:
        weights = record["W"] + record["M"]
    return weights.transpose(*record["M"].dims).rename("effective_weights")


def modulation_change(record: xr.Dataset) -> xr.DataArray:
    """Compute M_t - M_{t-1} at every step, [trial, time, hidden, input]; M_{-1} is the start.

    It is nan at a step whose previous step was not selected.

    Raises:
        ValueError: the record is of a core without a state M.
    """
    record = as_record(record, "M")
    M = record["M"]
    first = record.get("M_start", record.get("M0", 0.0))
    change = M - M.shift(time=1)
    change[{"time": 0}] = (M.isel(time=0) - first).transpose(*change.isel(time=0).dims)
    change = change.where(~previous_missing(record))
    return change.rename("modulation_change")


def selectivity(
    record: xr.Dataset,
    condition: str = "correct_response",
    variable: str = "h",
    period: str | None = None,
) -> xr.Dataset:
    """Compute the share of each unit's variance across trials that a condition explains.

    Each trial contributes the unit's mean over a period.

    Args:
        record: from `record`.
        condition: a coordinate of the trials, each of its values a class.
        variable: `h`, `M` or any other state in the record.
        period: the period's name; None: the whole trial.

    Returns:
        `selectivity`: variance between the classes' means / variance between trials (eta squared,
        0 to 1; nan for a unit that never changes); `preferred`: the class with the highest mean.
        Both with the variable's dimensions without trial and time.

    Raises:
        ValueError: no such variable, condition or period, or a single class.
    """
    record = with_condition(as_record(record, variable), condition)
    labels = condition_of(record, condition).values
    values, mask = step_values(record, variable), period_mask(record, period).values
    counts, tail = mask.sum(1), (1,) * (values.ndim - 2)
    present = counts > 0  # has the period
    total = np.sum(values, 1, where=mask.reshape(*mask.shape, *tail))
    data = total[present].astype(np.float64) / counts[present].reshape(-1, *tail)
    labels = labels[present]
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"{condition} is the same in all these trials; nothing can be told apart.")
    means = np.stack([data[index == k].mean(0) for k in range(len(classes))])
    shares = np.bincount(index) / len(index)
    total = data.var(0)
    between = np.einsum("k,k...->...", shares, (means - data.mean(0)) ** 2)
    flat = total <= 1e-12 * max(float(total.max()), 1e-300)
    explained = np.where(flat, np.nan, between / np.where(flat, 1, total))
    dims = record[variable].dims[2:]
    return xr.Dataset(
        {"selectivity": (dims, explained), "preferred": (dims, classes[means.argmax(0)])},
        attrs={"condition": condition, "variable": variable, "period": period or "whole trial"},
    )


def accumulated_evidence(
    record: xr.Dataset, plus: str, minus: str, period: str = "stimulus"
) -> xr.DataArray:
    """Compute the running sum of one channel minus another over a period, up to the current step.

    [trial, time]; 0 before the period, constant after it, nan after the trial.
    """
    record = as_record(record, "obs", "period")
    for name in (plus, minus):
        if name not in record["channel"].values:
            names = ", ".join(record["channel"].values)
            raise ValueError(f"there is no channel {name!r}; the task has {names}.")
    inside = period_mask(record, period)
    if (lost := (previous_missing(record) & inside).any("trial")).any():
        raise ValueError(
            f"the record lacks the step before {float(record['time'][lost.values][0]):g} ms, in "
            f"the period {period}; compute the evidence of whole trials, and select times later."
        )
    difference = record["obs"].sel(channel=plus, drop=True) - record["obs"].sel(
        channel=minus, drop=True
    )
    return difference.where(inside, 0.0).cumsum("time").where(record["valid"]).rename("evidence")


def variance_explained(
    record: xr.Dataset,
    evidence: xr.DataArray,
    variable: str = "h",
    period: str | None = "stimulus",
    shown: xr.DataArray | None = None,
) -> xr.Dataset:
    """Compute the shares of each unit's variance that the current input and the evidence explain.

    The shares come from two least-squares fits over all steps of a period in all trials: on the
    current input, and on the accumulated evidence.

    Args:
        record: from `record`.
        evidence: [trial, time], for example from `accumulated_evidence`.
        variable: `h`, `M` or any other state in the record.
        period: the period's name; None: the whole trial.
        shown: [trial, time], which of several inputs is present, for example `record["shown"]` of
            the integration tasks: the regressors are one indicator per input, as in the paper.
            None: the regressors are all entries of the embedded input x_t.

    Returns:
        `input` and `evidence`, r^2 of each unit (nan for a unit that never changes).

    Source: Aitken & Mihalas, eLife 2023;12:e83035, figure 3 (whose numbers are means over units).
    """
    record = as_record(record, "embedded")
    target = _in_period(record, variable, period)
    dims = target.dims[2:]
    values = target.values.reshape(*target.shape[:2], -1)
    x = record["embedded"].values
    if shown is not None:
        which = aligned(shown, record, "shown", "trial", "time").values
        x = which[..., None] == np.unique(which)[:-1]  # the last indicator follows from the others
    e = aligned(evidence, record, "evidence", "trial", "time").values[..., None]
    use = np.isfinite(values).all(2) & np.isfinite(e).all(2)
    if not use.any():
        raise ValueError(
            "the evidence is nan at every step of the period; pass that of these trials and steps."
        )
    y = values[use].astype(np.float64)
    result = {}
    for name, regressor in (("input", x), ("evidence", e)):
        features = regressor[use].astype(np.float64)
        predicted = LinearRegression().fit(features, y).predict(features)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = ((y - y.mean(0)) ** 2).sum(0)
            r2 = 1 - ((y - predicted) ** 2).sum(0) / np.where(total > 1e-12, total, np.nan)
        result[name] = (dims, r2.reshape([record.sizes[dim] for dim in dims]))
    return xr.Dataset(result, attrs={"variable": variable, "period": period or "whole trial"})


def hidden_order(
    record: xr.Dataset, by: str = "selectivity", condition: str = "correct_response"
) -> np.ndarray:
    """Order the hidden units so that similar ones are adjacent; returns indices [hidden].

    Args:
        record: from `record`.
        by: `index` (unsorted); `selectivity` (by preferred class of the condition, the most
            selective unit first; measured on a unit's row of M if there is an M [hidden, input],
            or else on its h); `cluster` (leaves of the average-linkage tree of the correlations of
            h over steps and trials).
        condition: for `selectivity`.

    Raises:
        ValueError: another `by`.
    """
    record = as_record(record, "h")
    check_choice("by", by, ("index", "selectivity", "cluster"))
    if by == "index":
        return np.arange(record.sizes["hidden"])
    if by == "selectivity":
        variable = main_state(record)
        if record[variable].dims[2:] != ("hidden", "input"):
            variable = "h"
        try:
            found = selectivity(record, condition, variable)
        except ValueError:  # a single class: nothing to sort by
            return np.arange(record.sizes["hidden"])
        strength = found["selectivity"].fillna(0)
        preferred = found["preferred"]
        if variable == "M":
            strongest = strength.argmax("input")
            preferred, strength = preferred.isel(input=strongest), strength.mean("input")
        return np.lexsort((-strength.values, preferred.values))
    values, _ = _steps(record, "h")
    return leaf_order(values)


def leaf_order(values: np.ndarray) -> np.ndarray:
    """Order units so that correlated ones are adjacent; returns indices [units].

    The order is that of the leaves of the average linkage tree of their correlations over samples,
    `values` [samples, units].
    """
    values = values[:: max(1, len(values) // 2000)]
    values = values - values.mean(0)
    norm = np.linalg.norm(values, axis=0)
    distance = 1 - (values.T @ values) / np.maximum(np.outer(norm, norm), 1e-12)
    upper = distance[np.triu_indices(len(distance), 1)]
    if not len(upper):
        return np.zeros(1, int)
    tree = hierarchy.linkage(np.clip(upper, 0, 2), "average", optimal_ordering=True)
    return hierarchy.leaves_list(tree)


def _steps(record: xr.Dataset, variable: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all valid steps of all trials as rows [N, features], with their mask [trial, time]."""
    valid = record["valid"].values
    data = step_values(record, variable)[valid]
    return data.reshape(len(data), -1), valid


def period_mask(record: xr.Dataset, period: str | None) -> xr.DataArray:
    """Return whether a step lies in a period (None: in the trial). Raises ValueError if unknown."""
    if period is None:
        return record["valid"]
    names = [str(name) for name in np.unique(record["period"].values) if name]
    if period not in names:
        raise ValueError(f"there is no period {period!r}; the trials have {', '.join(names)}.")
    return record["valid"] & (record["period"] == period)


def _in_period(record: xr.Dataset, variable: str, period: str | None) -> xr.DataArray:
    step_values(record, variable)
    return record[variable].where(period_mask(record, period))


def _of_trials(record: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the coordinates of trials and steps."""
    return {
        str(name): coord
        for name, coord in record.coords.items()
        if set(coord.dims) <= {"trial", "time"}
    }
