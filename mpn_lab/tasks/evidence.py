"""Evidence vectors: how often each of N classes appears in a trial, drawn without ties."""

from __future__ import annotations

from math import comb

import numpy as np


def evidence_vectors(
    rng: np.random.Generator, n_classes: int, steps: int, one_least: np.ndarray
) -> np.ndarray:
    """Draw evidence vectors uniformly from all those without a tie. -> [B, N + 1] int64

    An evidence vector counts at how many of the `steps` each class appears and, in its last entry,
    at how many none does. Where `one_least` [B] is false, exactly one class is the most frequent;
    where it is true, in addition exactly one class is the least frequent.

    The method is rejection sampling: candidates are drawn uniformly, and those with a tie for the
    most frequent class are drawn again. It needs at least as many steps as classes; otherwise every
    candidate might be rejected.
    """
    result: np.ndarray = np.empty((len(one_least), n_classes + 1), np.int64)
    missing: np.ndarray = np.arange(len(result))
    while len(missing):
        least = one_least[missing]
        drawn: np.ndarray = np.empty((len(missing), n_classes + 1), np.int64)
        all_steps = np.full(int((~least).sum()), steps)
        drawn[~least] = compositions(rng, all_steps, n_classes + 1)
        drawn[least] = _with_one_least(rng, n_classes, steps, int(least.sum()))
        ascending = np.sort(drawn[:, :n_classes], axis=1)
        fits = ascending[:, -1] > ascending[:, -2]
        result[missing[fits]] = drawn[fits]
        missing = missing[~fits]
    return result


def compositions(rng: np.random.Generator, totals: np.ndarray, parts: int) -> np.ndarray:
    """Draw non-negative integers [B, parts] that sum to `totals` [B], all equally probable."""
    # Stars and bars: choose parts - 1 bars among total + parts - 1 places; a part is the number of
    # places between two bars.
    places = totals + parts - 1  # [B]
    keys = rng.random((len(totals), int(places.max(initial=parts - 1))))
    keys[np.arange(keys.shape[1]) >= places[:, None]] = 2  # no place of this row
    bars = np.sort(np.argpartition(keys, parts - 2, axis=1)[:, : parts - 1], axis=1)
    before = np.full((len(totals), 1), -1)
    return np.diff(np.concatenate([before, bars, places[:, None]], axis=1), axis=1) - 1


def sequences(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """Draw sequences in which index j occurs counts[:, j] times, in random order. -> [B, steps]"""
    kinds = np.broadcast_to(np.arange(counts.shape[1]), counts.shape)
    ordered = np.repeat(kinds.ravel(), counts.ravel()).reshape(len(counts), -1)
    return rng.permuted(ordered, axis=1)


def _with_one_least(rng: np.random.Generator, n_classes: int, steps: int, rows: int) -> np.ndarray:
    """Draw uniformly from the evidence vectors with one least frequent class. -> [rows, N + 1]"""
    # The least frequent class appears m times, every other at least m + 1 times. The remaining
    # steps are distributed freely over the other classes and null: comb(steps - N m, N - 1) ways,
    # whichever class is the least frequent.
    others = n_classes - 1
    ways = [comb(steps - n_classes * m, others) for m in range((steps - others) // n_classes + 1)]
    m = rng.choice(len(ways), rows, p=[way / sum(ways) for way in ways])
    left = compositions(rng, steps - others - n_classes * m, n_classes)  # [rows, N]
    result = np.concatenate([m[:, None], left], axis=1)
    result[:, 1:n_classes] += m[:, None] + 1
    row, where = np.arange(rows), rng.integers(n_classes, size=rows)
    result[row, 0], result[row, where] = result[row, where], m
    return result
