"""Intervals and tests over ten seeds, without assumptions about how the seeds are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from scipy.stats import binom


class Median(NamedTuple):
    """A median over seeds and its interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


def median(values: Sequence[float] | np.ndarray) -> Median:
    """The median over seeds, and an interval that covers the true one in at least 95 % of samples.

    It goes from the k-th smallest to the k-th largest value, and misses only where fewer than k of
    n values lie on one side of the population's median: with ten seeds k is 2, and the coverage
    1 - 22 / 2^10 = 97.9 %, however the values are distributed.

    Raises:
        ValueError: fewer than six values, or some are unknown.
    """
    ordered = np.sort(np.asarray(values, float))
    k = int(binom.ppf(0.025, len(ordered), 0.5))  # P(fewer than k on one side) <= 2.5 %
    if k < 1 or not np.isfinite(ordered).all():
        raise ValueError(f"values are {ordered}; expected at least six numbers, one per seed.")
    return Median(float(np.median(ordered)), float(ordered[k - 1]), float(ordered[-k]))


def sign_flip_p(differences: Sequence[float] | np.ndarray) -> float:
    """The p value of a mean difference between pairs: the exact test over all changes of sign."""
    differences = np.asarray(differences, float)
    signs = np.array(list(product((1, -1), repeat=len(differences))))
    means = np.abs(signs @ differences)
    return float((means >= abs(differences.sum()) * (1 - 1e-9)).mean())


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's correction of p values for their number. Source: Holm, Scand. J. Stat. 1979;6:65."""
    p = np.asarray(p, float)
    order, corrected = np.argsort(p), np.empty(len(p))
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected[order] = np.minimum(steps, 1)
    return corrected


def median_line(ax: Axes, x: Sequence[float], values: Sequence[np.ndarray], **style: Any) -> None:
    """Medians over seeds with their intervals, at each x."""
    middle, low, high = np.transpose([median(v) for v in values])
    ax.errorbar(x, middle, (middle - low, high - middle), **style)


def seeds_and_median(ax: Axes, y: float, values: np.ndarray, color: str, height: float) -> None:
    """One point per seed along x, and their median as a line across."""
    spread = np.linspace(-0.35, 0.35, len(values)) * height
    ax.plot(values, y + spread, "o", ms=2.6, color=color, alpha=0.75, mew=0, clip_on=False)
    ax.vlines(median(values).median, y - height / 2, y + height / 2, color=color, lw=2)
