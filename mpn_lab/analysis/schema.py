"""The schema of records: checks that say in one sentence what a Dataset lacks."""

from __future__ import annotations

import numpy as np
import xarray as xr

FORMAT = "mpn_lab_record"  # the attribute that marks a record; its value is the format's version
STALENESS = "mpn_lab_staleness"  # the same of a Dataset from `staleness`


class RecordError(Exception):
    """Raised if a file cannot be read or written as a record."""


def check_record(record: xr.Dataset, *variables: str) -> None:
    """Raise ValueError unless `record` is a record that has these variables."""
    if FORMAT not in record.attrs:
        raise ValueError(
            f"this Dataset is not a record: it has no attribute {FORMAT!r}; make one with "
            "mpn_lab.record(...), and keep its attributes."
        )
    for name in variables:
        if name not in record.variables:
            core = record.attrs.get("core", "unknown")
            held = ", ".join(str(v) for v in record.data_vars if "trial" in record[v].dims)
            raise ValueError(f"the record of this {core} network has no {name}; it has {held}.")


def check_mpn(record: xr.Dataset) -> None:
    """Raise ValueError unless `record` is of an MPN: has M, W and the attribute `modulation`."""
    check_record(record, "M", "W")
    if "modulation" not in record.attrs:
        core = record.attrs.get("core", "unknown")
        raise ValueError(
            f"the record is of a {core} network, which does not say how M acts on W (attribute "
            "modulation); expected one of an MPN."
        )


def main_state(record: xr.Dataset) -> str:
    """Return the name of the default state: M if the record has one, or else h."""
    check_record(record, "h")
    return "M" if "M" in record else "h"


def check_trials(data: xr.Dataset) -> None:
    """Raise ValueError unless `data` contains trials: a record, or a result of `staleness`."""
    if STALENESS not in data.attrs:
        check_record(data)


def check_staleness(data: xr.Dataset, *variables: str) -> None:
    """Raise ValueError unless `data` is from `staleness` and has these variables."""
    if STALENESS not in data.attrs:
        raise ValueError(
            f"this Dataset holds no stored and replayed states: it has no attribute {STALENESS!r}; "
            "make one with mpn_lab.analysis.staleness(...), and keep its attributes."
        )
    for name in variables:
        if name not in data.variables:
            core = data.attrs.get("core", "unknown")
            raise ValueError(
                f"there is no {name} among the stored and replayed states of this {core} network; "
                f"there are {', '.join(str(v) for v in data.data_vars)}."
            )


def age_position(data: xr.Dataset, age: int | None) -> int:
    """Return the position of an age in updates; None: the oldest. Raises ValueError if missing."""
    ages = data["age"].values
    where = np.flatnonzero(ages == age) if age is not None else [len(ages) - 1]
    if not len(where):
        raise ValueError(
            f"there is no age of {age} updates; there are {', '.join(str(a) for a in ages)}."
        )
    return int(where[0])


def strategy_position(data: xr.Dataset, strategy: str | None) -> int:
    """Return a strategy's position; None: "stored", or else the first. Raises ValueError."""
    names = [str(name) for name in data["strategy"].values]
    if strategy is None:
        return names.index("stored") if "stored" in names else 0
    if strategy not in names:
        listed = ", ".join(repr(name) for name in names)
        raise ValueError(f"there is no strategy {strategy!r}; there are {listed}.")
    return names.index(strategy)


def trial_position(record: xr.Dataset, trial: int) -> int:
    """Return the position of the trial with this number. Raises ValueError if there is none."""
    where = np.flatnonzero(record["trial"].values == trial)
    if not len(where):
        numbers = record["trial"].values
        raise ValueError(
            f"there is no trial {trial} in this record of {len(numbers)} trials "
            f"(numbers {numbers.min()} to {numbers.max()})."
        )
    return int(where[0])


def trial_length(record: xr.Dataset, position: int) -> int:
    """Return the number of steps of the trial at a position."""
    return int(record["valid"].values[position].sum())


def time_step(record: xr.Dataset, position: int, time: float | int) -> int:
    """Return the step at a time in ms. Raises ValueError for a time outside the trial."""
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
    """Return a coordinate along `trial`. Raises ValueError, listing the names, if it is missing."""
    if condition not in record.coords or record[condition].dims != ("trial",):
        names = ", ".join(condition_names(record))
        raise ValueError(f"the record has no condition {condition!r}; it has {names}.")
    return record[condition]


def condition_names(record: xr.Dataset) -> list[str]:
    """Return the conditions of the trials: all coordinates along `trial` but the trial number."""
    return [str(n) for n, c in record.coords.items() if c.dims == ("trial",) and n != "trial"]
