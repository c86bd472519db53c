"""Records on disk: netCDF files with a checksum, written atomically, read without executing code.

A file ends with a line that HDF5 and netCDF ignore: the number of the format and the SHA-256 of all
bytes before it. It is compared before any library parses them. That finds damage, not malice, since
whoever changes a file can write its checksum too: so what the file declares is checked as well,
before anything is read that it may refer to or expand to.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from mpn_lab.analysis.schema import RecordError, check_record
from mpn_lab.checks import check_path
from mpn_lab.files import write_whole
from mpn_lab.loading import read_regular_file, reason_of, shorten

_FORMAT = 2  # of the file; 1 was that of version 0.1, without a checksum
_LAST_LINE = "\nmpn_lab record, format {}, sha256 {}\n"
_PATTERN = re.compile(rb"\nmpn_lab record, format (\d{1,9}), sha256 ([0-9a-f]{64})\n\Z")
_LENGTH = 120  # the last line is shorter
_MOST = 2000  # variables, or attributes of one
_PLAIN = [
    np.dtype(name)
    for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f4", "S1")
]
_OF_DIMENSIONS = ("DIMENSION_LIST", "REFERENCE_LIST")  # netCDF's own references
_OPEN: dict[str, Any] = {"engine": "h5netcdf", "decode_times": False, "mask_and_scale": False}


def save_record(record: xr.Dataset, path: str | Path) -> Path:
    """Write a record to a netCDF file, which any netCDF reader can open.

    `load_record` returns the same Dataset: names, dimensions, numbers to the bit, attributes.
    Numbers of any kind, booleans and strings can be stored.

    Raises:
        ValueError: the Dataset is not a record, or holds something that netCDF cannot store
            unchanged.
        RecordError: the file cannot be written; an existing file is unchanged.

    Example:
        >>> save_record(trials, "trials.nc").name
        'trials.nc'
    """
    check_record(record)
    path = check_path("path", path)
    # In memory first: HDF5 crashes the process if it finds the disk full while it closes a file.
    write_whole(path, record_bytes(record), RecordError)
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
        data = read_regular_file(path)
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise RecordError(f"{path} cannot be read: {error}.") from error
    if not data.startswith(b"\x89HDF\r\n\x1a\n"):
        raise RecordError(
            f"{path} is not a record: it is not a netCDF file; expected one that save_record wrote."
        )
    last = _PATTERN.search(data, max(0, len(data) - _LENGTH))
    if last is None:
        raise RecordError(
            f"{path} does not end with the checksum of a record: it is damaged or cut short, of "
            f"another program, or of version 0.1 (format 1; this version reads format {_FORMAT}); "
            "copy it again, or record anew."
        )
    if int(last[1]) != _FORMAT:
        raise RecordError(
            f"{path} has the format {int(last[1])}, but this version reads format {_FORMAT}; open "
            "it with the version that wrote it, or record anew."
        )
    content = memoryview(data)[: last.start()]
    if hashlib.sha256(content).hexdigest().encode() != last[2]:
        raise RecordError(
            f"{path} is damaged (its checksum does not match); copy it again, or record anew."
        )
    try:
        check_declared(content)
        with xr.open_dataset(io.BytesIO(content), **_OPEN) as file:
            record = _with_plain_types(file.load())
        check_record(record)
    except Exception as error:  # whatever the libraries meet in a crafted file
        raise RecordError(f"{path} is not a record ({reason_of(error)}); record anew.") from error
    return record


def record_bytes(record: xr.Dataset) -> bytes:
    """Return the content of a record's file. Raises ValueError as `save_record`."""
    encoding: dict[Any, Any] = {}
    for name, variable in record.variables.items():
        if variable.dtype.kind == "f":
            encoding[name] = {"_FillValue": None}
        elif variable.dtype.kind in "UO":
            if not all(isinstance(value, str) for value in variable.values.flat):
                raise ValueError(
                    f"{name} does not hold strings alone, so that netCDF cannot store it; leave it "
                    f"out with record.drop_vars({str(name)!r}), or replace what is missing."
                )
            # fixed-length characters: strings of HDF5 may refer to anything, and be of any size
            encoding[name] = {"dtype": "S1"}
    try:
        content = bytes(record.drop_encoding().to_netcdf(engine="h5netcdf", encoding=encoding))
        check_declared(memoryview(content))
        differs = _difference(record, content)
    except Exception as error:  # whatever the libraries say of names, types and attributes
        raise ValueError(
            f"the record cannot be stored as netCDF ({reason_of(error)}); leave out what is no "
            "number, boolean or string, or convert it."
        ) from error
    if differs:
        raise ValueError(
            f"netCDF would not give back {differs} unchanged; leave it out, or convert it to "
            "numbers, booleans or strings."
        )
    return with_checksum(content)


def with_checksum(content: bytes) -> bytes:
    """Return the bytes of a netCDF file with the last line of a record's file."""
    digest = hashlib.sha256(content).hexdigest()
    return content + _LAST_LINE.format(_FORMAT, digest).encode()


def check_declared(content: memoryview) -> None:
    """Raise ValueError unless HDF5 bytes hold plain arrays alone, no larger than the bytes.

    No groups, no links but hard ones, no external or virtual storage, no filters (compression
    expands, and a filter may be a plugin), no types with references or of variable length.
    """
    size = total = len(content)
    with h5py.File(io.BytesIO(content), "r") as file:
        texts = _check_attributes(file, "", size)
        if len(file) > _MOST:
            raise ValueError(f"it has {len(file)} variables")
        for name in file:
            if type(file.get(name, getlink=True)) is not h5py.HardLink:
                raise ValueError(f"{shorten(name)} is a link")
            if file.get(name, getclass=True) is not h5py.Dataset:
                raise ValueError(f"{shorten(name)} is no variable")
            variable = file[name]
            total -= _check_storage(variable, name)
            texts += _check_attributes(variable, name, size)
            if total < 0 or texts > size:
                raise ValueError("its parts are together larger than the file")


def _check_storage(variable: h5py.Dataset, name: str) -> int:
    """Return the bytes of a variable, all of which are in the file. Raises ValueError."""
    made = variable.id.get_create_plist()
    dtype = variable.dtype
    odd = variable.external or variable.is_virtual or h5py.check_enum_dtype(dtype) is not None
    if dtype not in _PLAIN or odd or variable.shape is None:
        raise ValueError(f"{shorten(name)} is not a plain array")
    whole = variable.nbytes == 0 or made.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if made.get_nfilters() or not whole:
        raise ValueError(f"{shorten(name)} is compressed or in pieces")
    stored, said = variable.id.get_storage_size(), variable.attrs.get("NAME", b"")
    if not stored and isinstance(said, bytes) and said.startswith(b"This is a netCDF dimension"):
        return 0  # a dimension without a coordinate: its numbers are never read
    if stored != variable.nbytes:
        raise ValueError(f"{shorten(name)} declares {variable.nbytes} bytes, but has {stored}")
    return stored


def _check_attributes(holder: Any, name: str, size: int) -> int:
    """Return the length of all text in the attributes of a variable. Raises ValueError."""
    texts = 0
    if len(holder.attrs) > _MOST:
        raise ValueError(f"{shorten(name)} has {len(holder.attrs)} attributes")
    for key in holder.attrs:
        attribute = holder.attrs.get_id(key)
        dtype, entries = attribute.dtype, int(np.prod(attribute.shape, dtype=object))
        if key in _OF_DIMENSIONS and entries <= _MOST:
            continue
        if h5py.check_string_dtype(dtype) is not None and entries == 1:
            texts += len(holder.attrs[key])
        elif dtype.kind not in "iufb" or entries * dtype.itemsize > size:
            raise ValueError(f"the attribute {shorten(key)} is neither numbers nor one string")
        if texts > size:
            break
    return texts


def _with_plain_types(record: xr.Dataset) -> xr.Dataset:
    """Return the record with arrays of strings, not of Python objects, and Python's numbers."""
    for name, variable in record.variables.items():
        if variable.dtype.kind == "O":
            record[name] = (variable.dims, variable.values.astype(str), variable.attrs)
    numbers = {k: v.item() for k, v in record.attrs.items() if isinstance(v, np.generic)}
    return record.assign_attrs(numbers).drop_encoding()


def _difference(record: xr.Dataset, content: bytes) -> str:
    """Name the first thing that `content` does not give back; "" if there is none."""
    with xr.open_dataset(io.BytesIO(content), **_OPEN) as file:
        for name, variable in record.variables.items():
            back = file.variables.get(name)
            if back is None or not variable.identical(back.load()):
                return str(name)
            if variable.dtype.kind not in "UO" and variable.dtype != back.dtype:
                return f"{name}, whose dtype is {variable.dtype},"
        if set(record.coords) != set(file.coords):
            return "its coordinates"
        wrong = [k for k, v in record.attrs.items() if not _same(v, file.attrs.get(k))]
        return f"the attribute {wrong[0]}" if wrong else ""


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return type(a) is type(b) and a == b
    return b is not None and np.array_equal(a, b, equal_nan=True)
