"""A record comes back as it was saved, or is refused in one line; a crafted file reads nothing."""

import io
import re

import h5py
import numpy as np
import pytest
import xarray as xr

from mpn_lab import RecordError, load_record, save_record
from mpn_lab.analysis.record_file import with_checksum


@pytest.mark.filterwarnings("ignore:In a future version")
@pytest.mark.parametrize(
    "change",
    [
        lambda r: r,
        lambda r: r.sel(trial=[1, 3]),
        lambda r: r.isel(trial=0),
        lambda r: r.isel(trial=slice(0, 0)),
        lambda r: r.transpose("hidden", ...),
        lambda r: r.where(r.sample_theta > 1),
        lambda r: r.where(r.sample_theta > 1, drop=True),
        lambda r: r.drop_vars("period").groupby("sample_theta").mean(),
        lambda r: xr.concat([r, r], "run"),
        lambda r: r.assign_attrs(note="\u00e9\n", x=3, y=np.nan, z=[1, 2], empty=""),
        lambda r: r.assign_coords(label=("trial", [f"\u00e9{i}" for i in range(20)])),
        lambda r: r.assign_coords(label=("trial", np.array(["a"] * 20, object))),
        lambda r: r.assign_coords(label=("trial", [""] * 20)),
        lambda r: r.assign(more=r.h.astype("f2"), bits=r.h > 0, count=r.length.astype("u8")),
        lambda r: r.assign(since=r.h.assign_attrs(units="days since 2000-01-01")),
        lambda r: r.assign(scaled=r.h.assign_attrs(scale_factor=2.0, _FillValue=0.0)),
    ],
)
def test_a_record_comes_back_as_it_was_saved(example_trials, tmp_path, change):
    saved = change(example_trials)
    loaded = load_record(save_record(saved, tmp_path / "trials.nc"))
    assert loaded.identical(saved)
    for name, variable in saved.variables.items():
        assert loaded[name].dtype.kind == (
            "U" if variable.dtype.kind in "UO" else variable.dtype.kind
        )
        assert loaded[name].dtype.itemsize == variable.dtype.itemsize or variable.dtype.kind in "UO"
    assert type(loaded.attrs["seed"]) is int
    assert not any(variable.encoding for variable in loaded.variables.values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.assign_attrs(note=None), "note"),
        (lambda r: r.assign_attrs(note={"a": 1}), "note"),
        (lambda r: r.assign_attrs(note=["a", "b"]), "the attribute 'note' is neither"),
        (lambda r: r.assign_attrs(note="a\0b"), "NULL"),
        (lambda r: r.assign_attrs(note="\ud800"), "surrogates"),
        (lambda r: r.assign_attrs(note=2**70), "no native HDF5"),
        (lambda r: r.assign({"a/b": r.h}), "Forward slashes"),
        (lambda r: r.assign(z=r.h.astype(complex)), "COMPLEX"),
        (
            lambda r: r.assign_coords(z=("trial", np.array([1, "a"] * 10, object))),
            "z does not hold",
        ),
        (lambda r: r.assign_coords(z=("trial", np.zeros(20, "M8[ns]"))), "give back z"),
        (lambda r: r.stack(both=("trial", "time")), "both does not hold strings alone"),
    ],
)
def test_what_netcdf_cannot_store_is_said_in_one_line(example_trials, tmp_path, change, said):
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        save_record(change(example_trials), tmp_path / "trials.nc")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def external_link(file, secret):
    file["obs"] = h5py.ExternalLink(str(secret), "/x")


def soft_link(file, secret):
    file["x"] = np.zeros(3)
    file["obs"] = h5py.SoftLink("/x")


def external_storage(file, secret):
    file.create_dataset("obs", (10,), "u1", external=[(str(secret), 0, 10)])


def virtual(file, secret):
    layout = h5py.VirtualLayout((10,), "u1")
    layout[:] = h5py.VirtualSource(str(secret), "x", (10,))
    file.create_virtual_dataset("obs", layout)


def compressed(file, secret):
    file.create_dataset("obs", data=np.zeros(10**6), compression="gzip")


def in_pieces(file, secret):
    file.create_dataset("obs", (10**12,), "f8", chunks=(10**6,))


def declared_alone(file, secret):
    file.create_dataset("obs", (10**12,), "f8")


def compact_filter(file, secret):
    file.create_dataset("obs", (0,), "f8", chunks=(1,), maxshape=(None,), fletcher32=True)


def long_strings(file, secret):
    file["obs"] = np.array(["x" * 100] * 10, object)


def references(file, secret):
    file["x"] = np.zeros(3)
    file["obs"] = np.array([file["x"].ref] * 3, h5py.ref_dtype)


def a_group(file, secret):
    file.create_group("obs")["itself"] = file["/"]


def a_type(file, secret):
    file["obs"] = np.dtype("f8")


def an_enumeration(file, secret):
    file.create_dataset("obs", data=[0, 1], dtype=h5py.enum_dtype({"a": 0, "b": 1}))


def compound(file, secret):
    file["obs"] = np.zeros(3, [("a", "f8"), ("b", "i4")])


def strings_in_an_attribute(file, secret):
    file["obs"] = np.zeros(3)
    file["obs"].attrs["note"] = ["x" * 10_000] * 3


def an_opaque_attribute(file, secret):
    file.attrs["note"] = np.void(b"x" * 1000)


CRAFTED = [
    *(external_link, soft_link, external_storage, virtual, compressed, in_pieces, declared_alone),
    *(compact_filter, long_strings, references, a_group, a_type, an_enumeration, compound),
    *(strings_in_an_attribute, an_opaque_attribute),
]


@pytest.mark.parametrize("craft", CRAFTED, ids=lambda craft: craft.__name__)
def test_a_crafted_file_is_refused_before_anything_is_read(tmp_path, craft, monkeypatch):
    """Its checksum is right: whoever crafts a file writes that too."""
    secret = tmp_path / "secret"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(10, dtype="u1")
    crafted = io.BytesIO()
    with h5py.File(crafted, "w") as file:
        file.attrs["mpn_lab_record"] = 1
        craft(file, secret)
    path = tmp_path / "trials.nc"
    path.write_bytes(with_checksum(crafted.getvalue()))
    monkeypatch.setattr(xr, "open_dataset", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(RecordError, match="is not a record") as error:
        load_record(path)
    assert "\n" not in str(error.value)
    assert str(error.value).isascii()


def test_parts_that_lie_upon_each_other_are_refused(example_trials, tmp_path):
    """Many variables that refer to the same bytes are together larger than the file."""
    crafted = io.BytesIO()
    with h5py.File(crafted, "w") as file:
        file["x"] = np.zeros(10_000)
        for i in range(10):
            file[f"x{i}"] = file["x"]
    path = tmp_path / "trials.nc"
    path.write_bytes(with_checksum(crafted.getvalue()))
    with pytest.raises(RecordError, match="its parts are together larger than the file"):
        load_record(path)


def test_files_of_other_formats_are_named(example_trials, tmp_path):
    path = save_record(example_trials, tmp_path / "trials.nc")
    data = path.read_bytes()
    assert data.startswith(b"\x89HDF")
    path.write_bytes(data.replace(b"record, format 2,", b"record, format 3,"))
    with pytest.raises(RecordError, match=r"has the format 3, but this version reads format 2;"):
        load_record(path)
    example_trials.to_netcdf(path, engine="h5netcdf")  # as version 0.1 did
    with pytest.raises(RecordError, match=r"or of version 0.1 \(format 1; this version reads"):
        load_record(path)


def test_any_netcdf_reader_opens_a_record(example_trials, tmp_path):
    path = save_record(example_trials, tmp_path / "trials.nc")
    with xr.open_dataset(path, engine="h5netcdf") as file:
        np.testing.assert_array_equal(file["M"], example_trials["M"])
        assert list(file["channel"].values) == list(example_trials["channel"].values)
