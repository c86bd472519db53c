"""Records on disk: netCDF files, written atomically and read without executing code."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from mpn_lab.analysis.schema import FORMAT, RecordError, check_record
from mpn_lab.files import user_path, write_whole


def save_record(record: xr.Dataset, path: str | Path) -> Path:
    """Write a record to a netCDF file, which any netCDF reader can open.

    Raises:
        ValueError: the Dataset is not a record.
        RecordError: the file cannot be written; an existing file is unchanged.

    Example:
        >>> save_record(trials, "trials.nc").name
        'trials.nc'
    """
    check_record(record)
    path = user_path(path)
    # In memory first: HDF5 crashes the process if it finds the disk full while it closes a file.
    data = record.to_netcdf(engine="h5netcdf")
    write_whole(path, data, RecordError)
    return path


def load_record(path: str | Path) -> xr.Dataset:
    """Read what `save_record` wrote, into memory.

    Raises:
        RecordError: the file is missing, truncated, damaged, or contains something else.

    Example:
        >>> path = save_record(trials, "trials.nc")
        >>> load_record(path).identical(trials)
        True
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from error
    if start != b"\x89HDF\r\n\x1a\n":
        raise RecordError(
            f"{path} is not a record: it is not a netCDF file; expected one that save_record wrote."
        )
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            record = file.load()
    except Exception as error:  # whatever the reader meets in a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(
            f"{path} is damaged or cut short ({reason}); copy it again, or record anew."
        ) from error
    if FORMAT not in record.attrs:
        raise RecordError(
            f"{path} is not a record: it is a netCDF file of another program; expected one that "
            "save_record wrote."
        )
    return record
