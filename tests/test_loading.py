"""What is read from files is checked before anything uses it; each refusal is one line."""

import os
from pathlib import Path

import numpy as np
import pytest

from mpn_lab.loading import (
    ArraySpec,
    check_arrays,
    check_generator,
    check_integer,
    parse_json,
    read_regular_file,
)

FLOAT = np.dtype(np.float32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the array x is missing"),
        ({"x": np.zeros((2, 3), FLOAT), "y": np.zeros(1)}, "the array 'y' is not expected"),
        ({"x": np.zeros((3, 2), FLOAT)}, r"x has shape \(3, 2\); expected \(any, 3\)"),
        ({"x": np.zeros(3, FLOAT)}, r"x has shape \(3,\); expected \(any, 3\)"),
        ({"x": np.zeros((2, 3))}, "x has dtype float64; expected float32"),
    ],
)
def test_arrays_of_other_names_shapes_or_dtypes(arrays, message):
    with pytest.raises(ValueError, match=message):
        check_arrays(arrays, {"x": ArraySpec((None, 3), FLOAT)})


def test_arrays_that_fit():
    check_arrays({"x": np.ones((2, 3), FLOAT)}, {"x": np.zeros((2, 3), FLOAT)})


@pytest.mark.parametrize("value", [True, 1.0, "1", None, -1, 11, 10**30])
def test_integers_out_of_range_or_of_another_type(value):
    with pytest.raises(ValueError, match=r"trials is .*; expected an integer from 0"):
        check_integer("trials", value, 0, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"bit_generator": "MT19937"},
        {"has_uint32": 2},
        {"uinteger": 2**32},
        {"state": {"state": 1, "inc": 2}},
        {"state": {"state": 2**128, "inc": 1}},
        {"state": {"state": 1}},
        {"more": 1},
    ],
)
def test_states_that_no_generator_has(changes):
    state = np.random.default_rng(0).bit_generator.state
    assert check_generator(state) is state
    with pytest.raises(ValueError, match="generator's"):
        check_generator(state | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON: Expecting property name"),
        (b"\xff", "it is not UTF-8"),
        ('"\\ud800"', "it is not UTF-8"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ("[NaN]", "it holds NaN"),
        ("[1e999]", "it holds '1e999'"),
        ("9" * 41, "an integer of 41 digits"),
        ("[" * 51 + "]" * 51, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_json_that_is_not_strict(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_json_with_nan_where_it_is_allowed():
    assert str(parse_json("[NaN, 1]", allow_nan=True)) == "[nan, 1]"


def test_only_files_are_read_and_only_up_to_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular_file(tmp_path / "link") == b"content"
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="it is not a file"):
            read_regular_file(path)
    with pytest.raises(ValueError, match="it has 7 bytes; expected at most 6"):
        read_regular_file(tmp_path / "file", 6)
