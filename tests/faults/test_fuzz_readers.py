"""Whatever bytes a reader meets, it returns or raises one sentence.

MPN_LAB_FUZZ_MINUTES=10 fuzzes for so long; what it finds is left in corpus/, which every run reads.
"""

import hashlib
import io
import json
import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from mpn_lab import RecordError, RunError, load_record, load_run, save_record, train
from mpn_lab.analysis.record_file import with_checksum
from mpn_lab.cli import _parse_pairs
from mpn_lab.training.dqn import DQNTrainer
from mpn_lab.training.files import read_tensors, tensor_bytes
from mpn_lab.training.provenance import identity_of
from mpn_lab.training.stored_trials import load_stored_trials, stored_trials_path

CORPUS = Path(__file__).parent / "corpus"
MINUTES = float(os.environ.get("MPN_LAB_FUZZ_MINUTES", "0"))
EXAMPLES = 25
OPTIONS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=not MINUTES,
    suppress_health_check=list(HealthCheck),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([2**63, -1, 10**30, 1e308, "", "0", "dqn"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 64), st.binary(max_size=64)), min_size=1, max_size=4
)


def edited(data, edits):
    """Replace pieces of `data`: each from a share of its length on, so many bytes, by others."""
    for share, length, piece in edits:
        at = int(share * len(data))
        data = data[:at] + piece + data[at + length :]
    return data


class Readers:
    """The readers, each of which takes the bytes of a file in the folder of a run or a record."""

    def __init__(self, folder, config, record):
        self.run = train(config, folder / "run", progress=False)
        self.record = save_record(record, folder / "trials.nc")
        self.network = self.run.network_at(50)
        self.files = {
            "config": self.run.path / "config.json",
            "checkpoint": self.run.checkpoint_path(50),
            "resume": self.run.path / "resume.safetensors",
            "stored": stored_trials_path(self.run.path, 50),
            "metrics": self.run.path / "metrics.csv",
            "record": self.record,
        }
        self.whole = {name: path.read_bytes() for name, path in self.files.items()}
        self.trainer = DQNTrainer(self.run.config)

    def read(self, name, data):
        """Give a reader these bytes; AssertionError unless it returns or says one sentence."""
        path = self.files[name]
        path.write_bytes(data)
        said = "."
        try:
            self._read(name)
        except (RunError, RecordError, ValueError) as error:
            said = str(error)
        finally:
            path.write_bytes(self.whole[name])
        assert said.endswith("."), said
        assert "\n" not in said, said
        assert len(said) < 1000, said

    def _read(self, name):
        run = self.run
        if name == "config":
            load_run(run.path)
        elif name == "checkpoint":
            run.network_at(50)
        elif name == "resume":
            self.trainer.trials, self.trainer.rows = 0, []
            arrays, meta = read_tensors(self.files[name], run.identity)
            try:
                self.trainer.load_state(arrays, meta)
            except ValueError as error:  # `restore` puts it into its sentence
                raise RunError(f"{error}.") from error
        elif name == "stored":
            load_stored_trials(run, 50, self.network)
        elif name == "metrics":
            run.metrics  # noqa: B018
        else:
            load_record(self.files[name])


@pytest.fixture(scope="module")
def readers(short_config, example_trials, tmp_path_factory):
    config = short_config(trials=100, store_trials=1, hidden_size=4, eval_trials=4, buffer_size=100)
    return Readers(tmp_path_factory.mktemp("fuzz"), config, example_trials.isel(trial=slice(2)))


# The ways to make the bytes of a file, each (readers, draw) -> name of the reader, bytes ----------


def any_bytes(readers, draw):
    name = draw(st.sampled_from(sorted(readers.files)))
    return name, draw(st.binary(max_size=300))


def edited_bytes(readers, draw):
    name = draw(st.sampled_from(sorted(readers.files)))
    return name, edited(readers.whole[name], draw(EDITS))


def any_configuration(readers, draw):
    """Entries of config.json of any value, with the right identity."""
    content = json.loads(readers.whole["config"])
    for _ in range(draw(st.integers(1, 3))):
        inside = content["config"] if draw(st.booleans()) else content
        if not isinstance(inside, dict):
            break
        key = draw(st.sampled_from([*sorted(inside), "more"]))
        inside[key] = draw(JSON)
    if isinstance(content, dict) and draw(st.booleans()):
        content["identity"] = identity_of(content)
    return "config", json.dumps(content).encode("utf-8", "surrogatepass")


def any_tensors(readers, draw):
    """Arrays of any shape, dtype and name, and any description, with the right checksum."""
    name = draw(st.sampled_from(["checkpoint", "resume", "stored"]))
    arrays, meta = read_tensors(readers.files[name])
    for _ in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from(sorted(arrays)))
        shape = draw(st.lists(st.integers(0, 5), max_size=4))
        dtype = draw(st.sampled_from(["f4", "f8", "f2", "i8", "i4", "u1", "?"]))
        same = draw(st.booleans())
        array = np.full(arrays[key].shape if same else shape, draw(st.integers(-2, 200)) % 256)
        arrays[key] = array.astype(arrays[key].dtype if same else dtype)
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from([*sorted(meta), "more"]))
        meta[key] = draw(JSON)
        if key == "trials" and name == "stored" and draw(st.booleans()):
            meta[key] = [draw(JSON)]
    try:
        return name, tensor_bytes(arrays, meta, readers.run.identity)
    except UnicodeEncodeError:  # no file holds it
        return name, b""


def any_header(readers, draw):
    """A safetensors header of any JSON, before the tensors that there were."""
    data = readers.whole["checkpoint"]
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    key = draw(st.sampled_from(sorted(header)))
    if draw(st.booleans()) and key != "__metadata__":
        header[key][draw(st.sampled_from(sorted(header[key])))] = draw(JSON)
    else:
        header[key] = draw(JSON)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return "checkpoint", len(text).to_bytes(8, "little") + text + data[8 + size :]


def any_hdf5(readers, draw):
    """HDF5 of any variables and attributes, with the right checksum."""
    out = io.BytesIO()
    with h5py.File(out, "w", track_order=draw(st.booleans())) as file:
        file.attrs["mpn_lab_record"] = 1
        for i in range(draw(st.integers(0, 4))):
            dtype = draw(st.sampled_from(["f4", "i8", "S1", "S5", "f2", "c8", "?", "u1"]))
            shape = draw(st.lists(st.integers(0, 4), max_size=3))
            made = file.create_dataset(f"x{i}", data=np.zeros(shape, dtype))
            if draw(st.booleans()):
                made.make_scale(f"x{i}")
            if draw(st.booleans()):
                key = draw(st.sampled_from(["units", "dtype", "_Encoding", "coordinates", "NAME"]))
                made.attrs[key] = draw(
                    st.sampled_from(["bool", "x0", "utf-8", "zip", "", 3, "x9 x9"])
                )
            if made.ndim and draw(st.booleans()) and file["x0"].is_scale and not made.is_scale:
                made.dims[0].attach_scale(file["x0"])
    return "record", with_checksum(out.getvalue())


WAYS = [any_bytes, edited_bytes, any_configuration, any_tensors, any_header, any_hdf5]


def fuzz(readers, way, number):
    """Try examples; the smallest one that fails is left in the corpus."""
    failed = []

    @OPTIONS
    @seed(number)
    @given(st.data())
    def property_(data):
        name, content = way(readers, data.draw)
        try:
            readers.read(name, content)
        except BaseException:
            failed[:] = [(name, content)]
            raise

    try:
        property_()
    except BaseException:
        for name, content in failed:
            CORPUS.mkdir(exist_ok=True)
            label = hashlib.sha256(content).hexdigest()[:8]
            (CORPUS / f"{name}-{label}").write_bytes(content)
        raise


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_readers_return_or_say_one_sentence(readers, way):
    fuzz(readers, way, 0)


@pytest.mark.skipif(not MINUTES, reason="set MPN_LAB_FUZZ_MINUTES")
def test_readers_for_as_long_as_asked(readers):
    end, number = time.monotonic() + 60 * MINUTES, 1
    while time.monotonic() < end:
        fuzz(readers, WAYS[number % len(WAYS)], number)
        number += 1
    print(f"{number - 1} rounds of {EXAMPLES} examples")


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*-*")), ids=lambda path: path.name)
def test_what_was_found_before(readers, path):
    readers.read(path.name.split("-")[0], path.read_bytes())


WORD = st.text(max_size=30) | st.builds(
    lambda key, value: f"{key}={value}", st.text(max_size=5), JSON.map(json.dumps) | st.text()
)


@OPTIONS
@given(st.lists(WORD, max_size=4))
def test_key_value_pairs_are_parsed_or_say_one_sentence(words):
    said, pairs = ".", {}
    try:
        pairs = _parse_pairs(words)
        assert len(pairs) == len(words)
    except ValueError as error:
        said = str(error)
    json.dumps(pairs, allow_nan=False).encode()
    assert "\n" not in said
    assert said.endswith(".")


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5000, "NaN", "1e999", '"\\ud800"'])
def test_values_that_no_configuration_can_hold(value):
    with pytest.raises(ValueError, match="cannot be the value of an argument") as error:
        _parse_pairs([f"x={value}"])
    assert len(str(error.value)) < 300
