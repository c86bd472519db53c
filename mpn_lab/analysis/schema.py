"""The schema of records: the attributes that mark them; look-ups of trials, steps, conditions."""

from __future__ import annotations

import numpy as np
import xarray as xr

from mpn_lab.checks import check_int, check_number, show

FORMAT = "mpn_lab_record"  # the attribute that marks a record; its value is the format version
STALENESS = "mpn_lab_staleness"  # the attribute that marks a Dataset from `staleness`


class RecordError(Exception):
    """Raised if a file cannot be read or written as a record."""


def check_record(record: xr.Dataset, *variables: str) -> None:
    """Raise ValueError unless `record` is marked as a record and has these variables."""
    check_marked(record, FORMAT, "is not a record", "mpn_lab.record(...)")
    for name in variables:
        if not isinstance(name, str) or name not in record.variables:
            core = record.attrs.get("core", "unknown")
            held = ", ".join(str(v) for v in record.data_vars if "trial" in record[v].dims)
            raise ValueError(f"the record of this {core} network has no {name}; it has {held}.")


def check_sizes(record: xr.Dataset, channels: int, actions: int) -> None:
    """Raise ValueError unless a record fits a network with so many channels and actions."""
    sizes = record.sizes["channel"], record.sizes["action"]
    if sizes != (channels, actions):
        raise ValueError(
            f"the record has {sizes[0]} channels and {sizes[1]} actions, but the network takes "
            f"{channels} and {actions}; pass the network that it was made with."
        )


def check_marked(data: xr.Dataset, mark: str, verdict: str, maker: str) -> None:
    """Raise ValueError unless a Dataset has the mark and the attributes that all panels read."""
    if not isinstance(data, xr.Dataset):
        raise ValueError(f"{show(data)} is no Dataset; expected one from {maker}.")
    for name in (mark, "dt", "task", "core"):
        if name not in data.attrs:
            raise ValueError(
                f"this Dataset {verdict}: it has no attribute {name!r}; make one with {maker}, and "
                "keep its attributes (keep_attrs=True, or changed.attrs = original.attrs)."
            )


def main_state(record: xr.Dataset) -> str:
    """Return the name of the default state: M if the record has one, or else h."""
    check_record(record, "h")
    return "M" if "M" in record else "h"


def age_position(data: xr.Dataset, age: int | None) -> int:
    """Return the position of an age in updates; None: the oldest. Raises ValueError if missing."""
    ages = data["age"].values
    if age is not None:
        check_int("age", age)
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
    check_int("trial", trial)
    numbers = record["trial"].values
    where = np.flatnonzero(numbers == trial)
    if not len(where):
        raise ValueError(
            f"there is no trial {trial} in this record of {len(numbers)} trials "
            f"(numbers {numbers.min()} to {numbers.max()})."
        )
    if len(where) > 1:
        raise ValueError(
            f"{len(where)} trials have the number {trial}; renumber them: "
            f"record.assign_coords(trial=range({len(numbers)}))."
        )
    return int(where[0])


def trial_positions(record: xr.Dataset) -> dict[int, int]:
    """Return number -> position of every trial. Raises ValueError where two have one number."""
    numbers = record["trial"].values.tolist()
    positions = {number: i for i, number in enumerate(numbers)}
    if len(positions) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        trial_position(record, twice)  # raises
    return positions


def trial_length(record: xr.Dataset, position: int) -> int:
    """Return the number of steps of the trial at a position, up to its last valid one."""
    return int(np.flatnonzero(record.variables["valid"].values[position])[-1]) + 1


def step_duration(record: xr.Dataset) -> float:
    """Return the time between the record's steps, in ms.

    Raises:
        ValueError: the times are not evenly spaced.
    """
    apart = np.diff(record["time"].values.astype(float))
    if not len(apart):
        return float(record.attrs["dt"])
    if not (apart[0] > 0 and np.allclose(apart, apart[0])):
        k = int(np.flatnonzero(~np.isclose(apart, max(apart[0], 0)))[0]) if apart[0] > 0 else 0
        before, after = record["time"].values[k : k + 2]
        raise ValueError(
            f"the record's times are not evenly spaced ({before:g} ms is followed by {after:g}); "
            "select a range of times, or every k-th step."
        )
    return float(apart[0])


def previous_missing(record: xr.Dataset) -> xr.DataArray:
    """Return at which valid steps, [trial, time], the step before was not selected."""
    times, dt = record["time"].values.astype(float), float(record.attrs["dt"])
    follows = np.isclose(np.diff(times, prepend=-dt), dt)  # the first step follows the start
    valid = record["valid"]
    return valid & ~(valid.shift(time=1, fill_value=True) & xr.DataArray(follows, dims="time"))


def time_step(record: xr.Dataset, position: int, time: float | int) -> int:
    """Return the step at a time in ms. Raises ValueError for a time outside the trial."""
    check_number("time", time)
    start, dt = float(record["time"].values[0]), step_duration(record)
    length = trial_length(record, position)
    step = int(np.floor((time - start) / dt + 1e-6))
    if not 0 <= step < length:
        raise ValueError(
            f"time {time:g} ms lies outside trial {int(record['trial'].values[position])}, which "
            f"lasts from {start:g} to {start + length * dt:g} ms."
        )
    return step


def condition_of(record: xr.Dataset, condition: str) -> xr.DataArray:
    """Return a coordinate along `trial`. Raises ValueError, listing the names, if it is missing."""
    if (
        not isinstance(condition, str)
        or condition not in record.coords
        or record[condition].dims != ("trial",)
    ):
        names = ", ".join(condition_names(record))
        raise ValueError(f"the record has no condition {show(condition)}; it has {names}.")
    return record[condition]


def with_condition(record: xr.Dataset, condition: str) -> xr.Dataset:
    """Return the trials whose condition is known. Raises ValueError if there are none."""
    known = condition_of(record, condition).notnull().values
    if not known.any():
        raise ValueError(f"{condition} is unknown (nan) in all trials; choose another condition.")
    return record if known.all() else record.isel(trial=known)


def condition_names(record: xr.Dataset) -> list[str]:
    """Return the conditions of the trials: all coordinates along `trial` but the trial number."""
    return [str(n) for n, c in record.coords.items() if c.dims == ("trial",) and n != "trial"]
