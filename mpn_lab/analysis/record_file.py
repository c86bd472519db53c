"""Records on disk: netCDF files, written atomically and read without executing code."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import xarray as xr

from mpn_lab.analysis.schema import FORMAT, RecordError, check_record
from mpn_lab.checks import check_path


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
    path, temporary = check_path("path", path), None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        record.to_netcdf(temporary, engine="h5netcdf")
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise RecordError(
            f"{path} could not be written ({error.strerror or error}); free some space or choose "
            "another folder."
        ) from error
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
    path = check_path("path", path)
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
