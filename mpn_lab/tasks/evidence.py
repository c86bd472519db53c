"""Evidence vectors: how often each of N classes is shown in a trial, drawn without ties."""

from __future__ import annotations

from math import comb

import numpy as np


def evidence_vectors(
    rng: np.random.Generator, n_classes: int, steps: int, one_least: np.ndarray
) -> np.ndarray:
    """Uniform among all evidence vectors that leave no tie. -> [B, N + 1] int64

    An evidence vector says at how many of the `steps` each class is shown and, last, at how many
    none is. Where `one_least` [B] is false, exactly one class is shown most often; where it is
    true, exactly one class most often and exactly one least often.

    Candidates are drawn uniformly, those with a tie for the most are drawn anew: what remains is
    uniform. There must be as many steps as classes at least, or no candidate might ever remain.
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
    """Whole numbers from 0 up, [B, parts], that sum to `totals` [B]; all such equally probable."""
    # Each is a choice of parts - 1 bars among total + parts - 1 places; a part is the number of
    # places between two bars.
    places = totals + parts - 1  # [B]
    keys = rng.random((len(totals), int(places.max(initial=parts - 1))))
    keys[np.arange(keys.shape[1]) >= places[:, None]] = 2  # no place of this row
    bars = np.sort(np.argpartition(keys, parts - 2, axis=1)[:, : parts - 1], axis=1)
    before = np.full((len(totals), 1), -1)
    return np.diff(np.concatenate([before, bars, places[:, None]], axis=1), axis=1) - 1


def sequences(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """A uniformly random order of what `counts` [B, k] counts: indices, [B, its row's sum]."""
    kinds = np.broadcast_to(np.arange(counts.shape[1]), counts.shape)
    ordered = np.repeat(kinds.ravel(), counts.ravel()).reshape(len(counts), -1)
    return rng.permuted(ordered, axis=1)


def _with_one_least(rng: np.random.Generator, n_classes: int, steps: int, rows: int) -> np.ndarray:
    """Uniform among the evidence vectors in which one class has the least. -> [rows, N + 1]"""
    # The least is m; each other class has m + 1 or more. What is left of the steps falls to those
    # classes and to none in any way: comb(steps - N m, N - 1) ways, whichever class has the least.
    others = n_classes - 1
    ways = [comb(steps - n_classes * m, others) for m in range((steps - others) // n_classes + 1)]
    m = rng.choice(len(ways), rows, p=[way / sum(ways) for way in ways])
    left = compositions(rng, steps - others - n_classes * m, n_classes)  # [rows, N]
    result = np.concatenate([m[:, None], left], axis=1)
    result[:, 1:n_classes] += m[:, None] + 1
    row, where = np.arange(rows), rng.integers(n_classes, size=rows)
    result[row, 0], result[row, where] = result[row, where], m
    return result
