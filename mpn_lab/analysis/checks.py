"""What makes a Dataset a record, and one clear sentence where something is asked that it lacks."""

from __future__ import annotations

import numpy as np
import xarray as xr

FORMAT = "mpn_lab_record"  # the attribute that marks a record; its value is the format's version


class RecordError(Exception):
    """A file that cannot be read as a record, or written; one sentence says why and what to do."""


def check_record(record: xr.Dataset, *variables: str) -> None:
    """Raise ValueError unless `record` is a record that has these variables."""
    if FORMAT not in record.attrs:
        raise ValueError(
            f"this Dataset is no record: it has no attribute {FORMAT!r}; make one with "
            "mpn_lab.record(...), and keep its attributes."
        )
    for name in variables:
        if name not in record.variables:
            core = record.attrs.get("core", "unknown")
            held = ", ".join(str(v) for v in record.data_vars if "trial" in record[v].dims)
            raise ValueError(f"the record of this {core} network has no {name}; it has {held}.")


def trial_position(record: xr.Dataset, trial: int) -> int:
    """Where the trial with this number is. Raises ValueError where there is none."""
    where = np.flatnonzero(record["trial"].values == trial)
    if not len(where):
        numbers = record["trial"].values
        raise ValueError(
            f"there is no trial {trial} in this record of {len(numbers)} trials "
            f"(numbers {numbers.min()} to {numbers.max()})."
        )
    return int(where[0])


def trial_length(record: xr.Dataset, position: int) -> int:
    """Steps that the trial at a position lasted."""
    return int(record["valid"].values[position].sum())


def time_step(record: xr.Dataset, position: int, time: float | int) -> int:
    """The step that holds a moment in ms. Raises ValueError for one outside the trial."""
    start, dt = float(record["time"].values[0]), float(record.attrs["dt"])
    length = trial_length(record, position)
    step = int(np.floor((time - start) / dt + 1e-6)) if np.isfinite(time) else -1
    if not 0 <= step < length:
        raise ValueError(
            f"time {time:g} ms lies outside trial {int(record['trial'].values[position])}, which "
            f"lasts from {start:g} to {start + length * dt:g} ms."
        )
    return step


def condition_of(record: xr.Dataset, condition: str) -> xr.DataArray:
    """A coordinate along `trial`. Raises ValueError with the names there are."""
    if condition not in record.coords or record[condition].dims != ("trial",):
        names = ", ".join(condition_names(record))
        raise ValueError(f"the record has no condition {condition!r}; it has {names}.")
    return record[condition]


def condition_names(record: xr.Dataset) -> list[str]:
    """The conditions of the trials: every coordinate along `trial` but the trial's number."""
    return [str(n) for n, c in record.coords.items() if c.dims == ("trial",) and n != "trial"]
