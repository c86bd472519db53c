"""At which steps of which trials an edit acts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from mpn_lab.analysis.schema import check_record, trial_positions
from mpn_lab.interventions.edits import Edit


def active_steps(edit: Edit, trials: xr.Dataset) -> np.ndarray:
    """Return at which steps of which trials an edit acts, [trial, time] bool.

    Raises:
        ValueError: a trial has no such period, or the time lies outside the trials.
    """
    check_record(trials, "valid", "period")
    valid = trials["valid"].transpose("trial", "time").values.astype(bool)
    period = trials["period"].transpose("trial", "time").values
    numbers = trials["trial"].values
    start, dt = float(trials["time"].values[0]), float(trials.attrs["dt"])
    step = np.arange(valid.shape[1])
    rows: np.ndarray = np.ones(len(numbers), bool)
    if edit.trials is not None:
        trial_positions(trials)
        missing = sorted(set(edit.trials) - set(numbers.tolist()))
        if missing:
            raise ValueError(f"{edit}: the record has no trial {missing[0]}.")
        rows = np.isin(numbers, edit.trials)

    def steps_of(name: str) -> np.ndarray:
        of_period = (period == name) & valid
        lacks = rows & ~of_period.any(1)
        if lacks.any():
            names = ", ".join(sorted(set(period[valid].tolist()) - {""}))
            raise ValueError(
                f"{edit}: trial {numbers[lacks][0]} has no period {name!r}; the periods are "
                f"{names or 'unknown'}."
            )
        return of_period

    if isinstance(edit.at, str):
        active = step == steps_of(edit.at).argmax(1)[:, None]
    elif edit.at is not None:
        times = np.broadcast_to(np.asarray(edit.at, float), len(numbers))
        at = np.floor((times - start) / dt + 1e-6)
        outside = rows & ~((at >= 0) & (at < valid.sum(1)))
        if outside.any():
            i = np.flatnonzero(outside)[0]
            end = start + valid[i].sum() * dt
            raise ValueError(
                f"{edit}: {times[i]:g} ms lies outside trial {numbers[i]}, which lasts from "
                f"{start:g} to {end:g} ms; select trials with trials=, or another time."
            )
        active = step == at[:, None]
    elif edit.from_time is not None:
        active = (start + step * dt >= edit.from_time - 1e-6 * dt)[None] & valid
    elif isinstance(edit.during, str):
        active = steps_of(edit.during)
    elif edit.during is not None and np.asarray(edit.during).dtype != bool:
        first, last = edit.during
        time = start + step * dt
        active = ((time >= first - 1e-6 * dt) & (time < last - 1e-6 * dt))[None] & valid
    elif edit.during is not None:
        mask: np.ndarray = np.asarray(edit.during)
        if mask.shape not in (valid.shape, valid.shape[1:]):
            raise ValueError(
                f"{edit}: the mask has shape {mask.shape}; expected [time] or [trial, time], that "
                f"is {valid.shape[1:]} or {valid.shape}."
            )
        active = np.broadcast_to(mask, valid.shape) & valid
    else:
        active = valid
    active = active & valid & rows[:, None]
    if not active.any():
        raise ValueError(f"{edit}: none of the trials has such a step; choose another time.")
    return active
