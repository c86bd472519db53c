"""Psychometric curves and performance of the network and of the ideal observer."""

from __future__ import annotations

import numpy as np
import xarray as xr

from mpn_lab.analysis.restore import aligned, as_record
from mpn_lab.analysis.schema import condition_of
from mpn_lab.checks import check_int


def signed_coherence(record: xr.Dataset, toward: int = 2) -> xr.DataArray:
    """Return the coherence of the relevant evidence, [trial], positive if it favours `toward`.

    The trials need a coherence `coh`, or `coh_1`, `coh_2` and a `context` that selects the relevant
    one. The unit is that of the task (%).

    Raises:
        ValueError: the trials have no coherence.
    """
    record = as_record(record, "correct_response")
    if {"coh_1", "coh_2", "context"} <= set(record.coords):
        coherence = xr.where(record["context"] == 0, record["coh_1"], record["coh_2"])
    else:
        coherence = condition_of(record, "coh")
    check_int("toward", toward, 0, record.sizes["action"] - 1)
    signed = coherence * xr.where(record["correct_response"] == toward, 1, -1)
    return signed.rename("signed_coherence").assign_attrs(toward=toward, units="%")


def psychometric(record: xr.Dataset, evidence: xr.DataArray, choice: int = 2) -> xr.Dataset:
    """Compute the proportion of trials with the response `choice`, by strength of evidence.

    Args:
        record: from `record`.
        evidence: [trial], for example from `signed_coherence(record, toward=choice)`.
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
    ideal = record["ideal_response"].values
    result = _shares(evidence.values, record["response"].values == choice, ideal == choice, ideal)
    return result.rename(group="evidence", ideal_share="ideal").assign_attrs(
        choice=str(record["action"].values[choice])
    )


def performance_by(record: xr.Dataset, condition: str) -> xr.Dataset:
    """Compute the proportion of correct trials for each value of a condition.

    Returns:
        Along the condition: `share` with its 95 % interval `low`, `high` (Wilson's), `ideal`, the
        ideal observer's share on the same trials (nan: none), and `trials`, their number.

    Raises:
        ValueError: no such condition.

    Example:
        >>> performance_by(trials, "context")  # doctest: +SKIP
    """
    record = as_record(record, "correct", "correct_response", "ideal_response")
    ideal = record["ideal_response"].values
    groups = condition_of(record, condition).values
    correct, ideal_correct = record["correct"].values, ideal == record["correct_response"].values
    result = _shares(groups, correct, ideal_correct, ideal)
    return result.rename(group=condition, ideal_share="ideal")


def _shares(
    groups: np.ndarray, hit: np.ndarray, ideal_hit: np.ndarray, ideal: np.ndarray
) -> xr.Dataset:
    values, index = np.unique(groups, return_inverse=True)
    n = np.bincount(index)
    hits = np.bincount(index, hit)
    ideal_share = (
        np.bincount(index, ideal_hit) / n if (ideal >= 0).all() else np.full(len(n), np.nan)
    )
    low, high = _wilson(hits, n)
    return xr.Dataset(
        {
            "share": ("group", hits / n),
            "low": ("group", low),
            "high": ("group", high),
            "ideal_share": ("group", ideal_share),
            "trials": ("group", n),
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
