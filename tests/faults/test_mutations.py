"""A mutated file of a run or a record is refused in one sentence, or gives the same content.

MPN_LAB_MUTATIONS=500 tries as many; each is loaded in a process of its own, so that a crash counts.
"""

import collections
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import struct
import traceback
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpn_lab import RecordError, RunError, load_record, load_run, save_record, train
from mpn_lab.training.dqn import DQNTrainer
from mpn_lab.training.files import read_tensors, tensor_bytes
from mpn_lab.training.learner import network_arrays
from mpn_lab.training.stored_trials import load_stored_trials

MUTATIONS = int(os.environ.get("MPN_LAB_MUTATIONS", "60"))
SECONDS = 60  # that a process may take


def content_of_run(path):
    """A digest of everything that a run gives, the state to resume from included."""
    run = load_run(path)
    networks = [run.network_at(50), run.network_at(100), run.network]
    parts = [run.content, run.metrics.to_dict("list"), [network_arrays(n) for n in networks]]
    parts.append(load_stored_trials(run, 50, networks[0]))
    trainer = DQNTrainer(run.config)
    trainer.restore(run)
    return digest([*parts, trainer.state(), trainer.rows])


def content_of_record(path):
    record = load_record(path)
    variables = {name: (v.dims, v.values, v.attrs) for name, v in record.variables.items()}
    return digest([variables, record.attrs, sorted(record.coords)])


def digest(value):
    return hashlib.sha256(pickle.dumps(value)).hexdigest()


# Mutations: each takes the random generator and the path of a file, and says what it did. ---------


def flip_a_bit(rng, path):
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def flip_a_bit_of_the_header(rng, path):
    data = bytearray(path.read_bytes())
    data[int(rng.integers(min(len(data), 2000)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def change_bytes(rng, path):
    data = bytearray(path.read_bytes())
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 40))
    data[at : at + n] = rng.bytes(n)
    path.write_bytes(data)


def cut(rng, path):
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(len(data)))])


def append(rng, path):
    path.write_bytes(path.read_bytes() + rng.bytes(int(rng.integers(1, 100))))


def move_a_piece(rng, path):
    data = path.read_bytes()
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 200))
    piece, rest = data[at : at + n], data[:at] + data[at + n :]
    to = int(rng.integers(len(rest) + 1))
    path.write_bytes(rest[:to] + piece + rest[to:])


def swap_with_another(rng, path):
    folder = Path(os.environ["MPN_LAB_MUTATED"])
    others = sorted(p for p in folder.rglob("*") if p.is_file() and p != path)
    other = others[int(rng.integers(len(others)))]
    mine, its = path.read_bytes(), other.read_bytes()
    path.write_bytes(its)
    other.write_bytes(mine)


def foreign(rng, path):
    other = io.BytesIO()
    with h5py.File(other, "w") as file:
        file["x"] = np.zeros(3)
    contents = [
        b"", b"\0", b"{}", b"[]", b"null", b"NaN", b'"text"', b"\xff\xfe", b"[" * 100_000,
        b'{"a":' * 100_000, b"9" * 10_000, b'{"kind": "dqn", "kind": "dqn"}', b"\x89HDF\r\n\x1a\n",
        other.getvalue(), tensor_bytes({"x": np.zeros(3)}, {}), pickle.dumps({"a": 1}),
        b"PK\3\4" + rng.bytes(100), b"trials,loss\n1,2\n", rng.bytes(5000), b"\xff" * 8 + b"{}",
        struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 4) + b"null", struct.pack("<Q", 2) + b"{}",
    ]  # fmt: skip
    path.write_bytes(contents[int(rng.integers(len(contents)))])


def put_something_else(rng, path):
    """A link to elsewhere, a folder, a pipe, nothing, a device."""
    path.unlink()
    kind = int(rng.integers(8))
    if kind < 5:
        places = ["/dev/zero", "/etc/passwd", "/nowhere", str(path), "/dev/full"]
        path.symlink_to(places[kind])
    elif kind == 5:
        path.mkdir()
    elif kind == 6:
        os.mkfifo(path)


def craft_a_tensor_file(rng, path):
    """Shapes, dtypes, names and numbers of another kind, with the right checksum and identity."""
    run = load_run(Path(os.environ["MPN_LAB_MUTATED"]))
    if path.suffix != ".safetensors":
        return craft_json(rng, run.folder / "config.json")
    arrays, meta = read_tensors(path, run.identity)
    arrays = {name: array.copy() for name, array in arrays.items()}
    name = sorted(arrays)[int(rng.integers(len(arrays)))]
    array = arrays[name]
    changes = [
        lambda: arrays.pop(name),
        lambda: arrays.update({name: array[:-1].copy() if array.ndim else array[None, None]}),
        lambda: arrays.update({name: np.concatenate([array.ravel(), array.ravel()])}),
        lambda: arrays.update({name: array.astype(np.float64 if array.dtype != float else "i8")}),
        lambda: arrays.update({name: np.zeros((0, *array.shape[1:]), array.dtype)}),
        lambda: arrays.update({name: array[None]}),
        lambda: arrays.update({f"{name}x": array}),
        lambda: arrays.update({"network.core.evil": array}),
        lambda: meta.update(trials=[10**9, -1, "1", None, 1.5, True][int(rng.integers(6))]),
        lambda: meta.pop(sorted(meta)[int(rng.integers(len(meta)))]),
        lambda: meta.update({k: [] for k in list(meta)[1:2]}),
        lambda: meta.update({k: {} for k in list(meta)[-1:]}),
        lambda: meta.update({k: 2**63 for k, v in meta.items() if type(v) is int}),
    ]
    changes[int(rng.integers(len(changes)))]()
    path.write_bytes(tensor_bytes(arrays, meta, run.identity))


def craft_a_header(rng, path):
    """A safetensors header that says other things than the data."""
    if path.suffix != ".safetensors":
        return flip_a_bit(rng, path)
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    names = [name for name in header if name != "__metadata__"]
    tensor = header[names[int(rng.integers(len(names)))]]
    changes = [
        {"dtype": ["BF16", "F8_E4M3", "F64", "X", 3, "BOOL", "U8"][int(rng.integers(7))]},
        {"shape": [[], [2**62, 2**62], [-1], [1.5], "a", [0], [2**64]][int(rng.integers(7))]},
        {"data_offsets": [[0, 2**60], [0, 0], [8, 4], [-1, 1], [], None][int(rng.integers(6))]},
    ]
    tensor.update(changes[int(rng.integers(3))])
    new = json.dumps(header).encode()
    size = [len(new), len(new) + 8, 2**62, 0][int(rng.choice(4, p=[0.7, 0.1, 0.1, 0.1]))]
    path.write_bytes(struct.pack("<Q", size) + new + data[8 + len(data[8 : 8 + size]) :])


def craft_json(rng, path):
    """Entries of config.json of another type, size or name."""
    content = json.loads(path.read_bytes())
    inside = content["config"] if rng.random() < 0.5 else content
    name = sorted(inside)[int(rng.integers(len(inside)))]
    values = [None, -1, 0, 10**30, 1e308, "x" * 10_000, [], {}, True, [[]], "\ud800", float("nan")]
    inside[name] = values[int(rng.integers(len(values)))]
    path.write_text(json.dumps(content))


ON_ANY = [
    flip_a_bit, flip_a_bit_of_the_header, change_bytes, cut, append, move_a_piece, foreign,
    put_something_else,
]  # fmt: skip
ON_RUNS = [*ON_ANY, swap_with_another, craft_a_tensor_file, craft_a_tensor_file, craft_a_header]


def outcome(load, path):
    """Load in a process of its own. Returns "loaded", "refused" or "crash", and what or why."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        signal.alarm(SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = ("loaded", load(path))
        except (RunError, RecordError, ValueError) as error:
            result = ("refused", str(error))
            if "\n" in str(error) or not str(error).endswith("."):
                result = ("crash", f"not one sentence: {error!r}")
        except BaseException:
            result = ("crash", traceback.format_exc())
        os.write(write, json.dumps(result).encode()[:60_000])
        os._exit(0)
    os.close(write)
    said = b"".join(iter(lambda: os.read(read, 65536), b""))
    os.close(read)
    _, status = os.waitpid(child, 0)
    return tuple(json.loads(said)) if said else ("crash", f"status {status}")


@pytest.fixture(scope="module")
def originals(short_config, example_trials, tmp_path_factory):
    """A run with stored trials, a record, and what each gives."""
    folder = tmp_path_factory.mktemp("originals")
    config = short_config(trials=100, store_trials=2, eval_trials=4, buffer_size=200)
    train(config, folder / "run", progress=False)
    (folder / "records").mkdir()
    save_record(example_trials, folder / "records" / "trials.nc")
    before = {
        "run": outcome(content_of_run, folder / "run"),
        "records": outcome(content_of_record, folder / "records" / "trials.nc"),
    }
    assert {kind for kind, _ in before.values()} == {"loaded"}, before
    return folder, before


def test_a_mutated_file_is_refused_or_gives_the_same(originals, tmp_path, monkeypatch):
    folder, before = originals
    seen, wrong = collections.Counter(), []
    for i in range(MUTATIONS):
        rng = np.random.default_rng(i)
        what = "records" if i % 3 == 2 else "run"
        mutations, turn = (ON_ANY, i // 3) if what == "records" else (ON_RUNS, i - i // 3)
        mutate = mutations[turn % len(mutations)]
        copy = Path(shutil.copytree(folder / what, tmp_path / "copy"))
        files = sorted(p for p in copy.rglob("*") if p.is_file())
        path = copy / "trials.nc" if what == "records" else files[int(rng.integers(len(files)))]
        monkeypatch.setenv("MPN_LAB_MUTATED", str(copy))
        mutate(rng, path)
        load, loaded = (
            (content_of_run, copy) if what == "run" else (content_of_record, copy / "trials.nc")
        )
        kind, how = outcome(load, loaded)
        if kind == "loaded":
            kind = "the same" if how == before[what][1] else "SILENT DIFFERENCE"
        seen[what, mutate.__name__, kind] += 1
        if kind not in ("refused", "the same"):
            wrong.append(f"{i}: {mutate.__name__} of {path.relative_to(copy)}: {kind}: {how}")
        shutil.rmtree(copy)
    if MUTATIONS > 100:
        for key, count in sorted(seen.items()):
            print(*key, count)
    assert not wrong, "\n".join(wrong)
    assert sum(seen.values()) == MUTATIONS
