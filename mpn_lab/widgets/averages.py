"""Averages over trials for the front end, from the trials' starts or from a period's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from mpn_lab.plotting.panel import has_modulations, period_spans
from mpn_lab.widgets.payload import Arrays, half

_HALF = ("obs", "h", "M")


def averaged(
    record: xr.Dataset,
    positions: Sequence[int],
    starts: Sequence[int] | None = None,
    align: str = "",
) -> tuple[dict[str, Any], Arrays]:
    """Return the mean and the standard deviation over some trials at each step.

    Args:
        record: from `record`.
        positions: the trials to average; a step counts those that have it.
        starts: the first step of the period `align` in each trial of the record, -1 in those
            without it, which are left out; None: steps count from the trials' starts.
        align: name of the period.

    Returns:
        A header: `periods` of the longest trial, as [name, first, last + 1] in steps of the arrays;
        `averaged`, the number of trials; `first`, the step at which the arrays begin, counted from
        the period's start. The arrays obs, Q, h, and reward and M where there are, [time, ...];
        `obs_sd`, `Q_sd`, `h_sd`, `M_sd`, their standard deviations over the trials (0 of a single
        one); `count` [time], how many trials have the step; `M_start` [hidden, input], if the
        record has it, the mean M before the first step of the trials that begin there.

    Raises:
        ValueError: no trial is left.
    """
    if not len(positions):
        raise ValueError("no trial is left to average; remove some filters.")
    if starts is None:
        starts = [0] * record.sizes["trial"]
    kept = [i for i in positions if starts[i] >= 0]
    if not kept:
        raise ValueError(
            f"none of the trials to average has the period {align!r}; align to another, or remove "
            "some filters."
        )
    before = max(starts[i] for i in kept)  # steps before the period's start
    valid = record["valid"].values
    rows = []  # of each trial: its position, its steps, their places in the arrays
    for i in kept:
        steps = np.flatnonzero(valid[i])
        rows.append((i, steps, steps + before - starts[i]))
    count = np.bincount(np.concatenate([places for *_, places in rows])).astype(np.int32)
    arrays: Arrays = {}
    names = [name for name in ("obs", "Q", "h", "reward") if name in record]
    for name in [*names, "M"] if has_modulations(record) else names:
        mean, sd = _mean_and_sd(record[name].values, rows, count)
        arrays[name] = half(mean) if name in _HALF else mean.astype(np.float32)
        if name != "reward":
            arrays[f"{name}_sd"] = half(sd) if name in _HALF else sd.astype(np.float32)
    arrays["count"] = count
    begin = [i for i, _, places in rows if places[0] == 0]
    if "M" in arrays and "M_start" in record and begin:
        arrays["M_start"] = half(record["M_start"].values[begin].mean(0))
    longest, steps, places = max(rows, key=lambda row: row[1][-1])
    shift = places[0] - steps[0]
    periods = period_spans(record["period"].values[longest, : steps[-1] + 1])
    header = {
        "periods": [(name, int(first + shift), int(last + shift)) for name, first, last in periods],
        "conditions": "",
        "averaged": len(kept),
        "first": -before,
    }
    return header, arrays


def _mean_and_sd(
    values: np.ndarray, rows: Sequence[tuple[int, np.ndarray, np.ndarray]], count: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation at each step, [T, ...].

    Trial by trial, since all trials together may be as large as the record.

    Args:
        values: of the record, [trial, time, ...].
        rows: of each trial its position, its steps, and their places among the T.
        count: how many trials have the step, [T].
    """
    tail = values.shape[2:]
    total, squares = np.zeros((len(count), *tail)), np.zeros((len(count), *tail))
    counts = count.reshape(-1, *[1] * len(tail))
    with np.errstate(invalid="ignore"):  # a step that no trial has is nan
        for i, steps, places in rows:
            total[places] += values[i, steps]
        mean = total / counts
        for i, steps, places in rows:
            squares[places] += (values[i, steps] - mean[places]) ** 2
        return mean, np.sqrt(squares / counts)
