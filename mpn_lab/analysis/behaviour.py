"""Psychometric curves and performance of the network and of the ideal observer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from mpn_lab.analysis.restore import aligned, as_record
from mpn_lab.analysis.schema import condition_of
from mpn_lab.checks import check_int


def signed_coherence(record: xr.Dataset, toward: int = 2) -> xr.DataArray:
    """Return the coherence of the relevant evidence, [trial], positive if it favours `toward`.

    The trials need a coherence `coh`, or `coh_1`, `coh_2` and a `context` that selects the relevant
    one. The unit is that of the task (%). It is nan in a trial without a correct response.

    Raises:
        ValueError: the trials have no coherence.
    """
    record = as_record(record, "correct_response")
    if {"coh_1", "coh_2", "context"} <= set(record.coords):
        coherence = xr.where(record["context"] == 0, record["coh_1"], record["coh_2"])
    else:
        coherence = condition_of(record, "coh")
    check_int("toward", toward, 0, record.sizes["action"] - 1)
    correct = record["correct_response"]
    signed = coherence * xr.where(correct == toward, 1, -1)
    if (correct < 0).any():
        signed = signed.where(correct >= 0)
    return signed.rename("signed_coherence").assign_attrs(toward=toward, units="%")


def psychometric(record: xr.Dataset, evidence: xr.DataArray, choice: int = 2) -> xr.Dataset:
    """Compute the proportion of trials with the response `choice`, by strength of evidence.

    Args:
        record: from `record`.
        evidence: [trial], for example from `signed_coherence(record, toward=choice)`; trials in
            which it is nan are left out.
        choice: an action's index.

    Returns:
        Along `evidence` (its values, ascending): `share` with its 95 % interval `low`, `high`
        (Wilson's), `ideal`, the ideal observer's share on the same trials (nan: none), and
        `trials`, their number.

    Raises:
        ValueError: there is no such action, or the evidence is not one number per trial.

    Example:
        >>> psychometric(trials, signed_coherence(trials)).share.plot()  # doctest: +SKIP
    """
    record = as_record(record, "response", "ideal_response")
    choice = check_int("choice", choice, 0, record.sizes["action"] - 1)
    evidence = aligned(evidence, record, "evidence", "trial")
    ideal, response = record["ideal_response"].values, record["response"].values
    every = np.ones(len(response), bool)
    result = _shares(evidence.values, response == choice, every, ideal == choice, ideal >= 0)
    return result.rename(group="evidence", ideal_share="ideal").assign_attrs(
        choice=str(record["action"].values[choice])
    )


def performance_by(record: xr.Dataset, condition: str) -> xr.Dataset:
    """Compute the proportion of correct trials for each value of a condition.

    Trials that are not judged, or graded between correct and wrong, are left out.

    Returns:
        Along the condition: `share` with its 95 % interval `low`, `high` (Wilson's), `ideal`, the
        ideal observer's share on the same trials (nan: none), and `trials`, their number.

    Raises:
        ValueError: no such condition.

    Example:
        >>> performance_by(trials, "context")  # doctest: +SKIP
    """
    record = as_record(record, "performance", "correct_response", "ideal_response")
    ideal, right = record["ideal_response"].values, record["correct_response"].values
    performance = record["performance"].values
    known, ideal_known = np.isin(performance, (0, 1)), (ideal >= 0) & (right >= 0)
    groups = condition_of(record, condition).values
    result = _shares(groups, performance == 1, known, ideal == right, ideal_known)
    return result.rename(group=condition, ideal_share="ideal")


def _shares(
    groups: np.ndarray,
    hit: np.ndarray,
    known: np.ndarray,
    ideal_hit: np.ndarray,
    ideal_known: np.ndarray,
) -> xr.Dataset:
    """Compute the shares of hits among the known trials of each group; a nan group is left out."""
    named = ~pd.isnull(groups)
    values, index = np.unique(groups[named], return_inverse=True)
    use = known[named]
    n, hits, ideal_hits = (
        np.bincount(index[use], weights[named][use], len(values))
        for weights in (known, hit, ideal_hit)
    )
    with np.errstate(invalid="ignore"):
        share, ideal_share = hits / n, ideal_hits / n
    if not ideal_known[named][use].all():
        ideal_share[:] = np.nan
    low, high = _wilson(hits, n)
    return xr.Dataset(
        {
            "share": ("group", share),
            "low": ("group", low),
            "high": ("group", high),
            "ideal_share": ("group", ideal_share),
            "trials": ("group", n.astype(int)),
        },
        coords={"group": values},
    )


def _wilson(successes: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval (Wilson's) of a share, element by element; nan where n is 0."""
    z, successes, n = 1.959963984540054, np.asarray(successes, float), np.asarray(n, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = successes / n
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
