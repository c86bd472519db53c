"""A file of another run, of another checkpoint, or an altered one is refused, never believed."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpn_lab import RunError, load_run, record, resume, staleness, train
from mpn_lab.cli import main
from mpn_lab.training.files import read_meta, read_tensors
from mpn_lab.training.stored_trials import load_stored_trials

CHECKPOINT = "checkpoints/trial_000004.safetensors"
STORED = "stored_trials/trial_000002.safetensors"


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A finished run, to be changed."""
    return Path(shutil.copytree(tiny_run.path, tmp_path / "copy"))


@pytest.fixture(scope="module")
def other(tiny_config, tmp_path_factory):
    """The same training with another seed."""
    path = tmp_path_factory.mktemp("other") / "run"
    return train(tiny_config(seed=1), path, progress=False)


def test_the_identity_stands_in_every_file(tiny_run):
    assert len(tiny_run.identity) == 64
    assert json.loads((tiny_run.path / "config.json").read_text())["identity"] == tiny_run.identity
    files = sorted(tiny_run.path.rglob("*.safetensors"))
    assert len(files) == 4
    for file in files:
        read_tensors(file, tiny_run.identity)
        read_meta(file, tiny_run.identity)


def test_what_decides_the_bits_decides_the_identity(tiny_run, tiny_config, other, tmp_path):
    again = train(tiny_config(), tmp_path / "again", progress=False)
    assert again.identity == tiny_run.identity
    threads = train(tiny_config(store_trials=0), out=False, progress=False, threads=2)
    plain = train(tiny_config(store_trials=0), out=False, progress=False)
    assert len({run.identity for run in (again, other, threads, plain)}) == 4
    assert {"numba", "llvmlite", "numpy", "torch", "python"} <= set(again.content["versions"])
    assert {"system", "architecture", "cpu", "vectors"} <= set(again.content["machine"])
    assert again.content["machine"]["kernels"] == "compiled"


@pytest.mark.parametrize(
    "alter",
    [
        lambda about: about["config"].update(learning_rate=0.1),
        lambda about: about["config"].update(seed=7),
        lambda about: about["config"].update(task="GoNogo-v0"),
        lambda about: about.update(threads=3),
        lambda about: about["versions"].update(torch="1.0"),
        lambda about: about.update(identity="0" * 64),
    ],
)
def test_an_altered_configuration(alter, copy):
    file = copy / "config.json"
    about = json.loads(file.read_text())
    alter(about)
    file.write_text(json.dumps(about))
    for use in (load_run, lambda path: resume(path, progress=False)):
        with pytest.raises(RunError, match=r"config.json was altered: .* identity .*; restore"):
            use(copy)


def test_a_configuration_of_an_earlier_version(copy):
    file = copy / "config.json"
    about = json.loads(file.read_text())
    del about["identity"]
    file.write_text(json.dumps(about))
    with pytest.raises(RunError, match="has no identity: it is of an earlier version"):
        load_run(copy)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        (CHECKPOINT, lambda path: load_run(path).network),
        ("resume.safetensors", lambda path: resume(path, progress=False)),
        ("resume.safetensors", lambda path: load_run(path).metrics),
        (STORED, lambda path: staleness(load_run(path), 2, window=2, burn_in=0)),
    ],
)
def test_a_file_of_another_run_names_both(name, use, copy, other):
    shutil.copy(other.path / name, copy / name)
    words = f"{name} belongs to the run {other.identity[:12]}, not to the run"
    with pytest.raises(RunError, match=words):
        use(copy)


def test_metrics_of_another_run_are_not_read_and_are_written_anew(copy, other, tiny_run):
    shutil.copy(other.path / "metrics.csv", copy)
    with pytest.raises(RunError, match=r"metrics.csv is missing, damaged or of another run; `mpn-"):
        load_run(copy).metrics  # noqa: B018
    with pytest.warns(UserWarning, match=r"metrics.csv was missing or damaged and is written anew"):
        resume(copy, progress=False)
    assert load_run(copy).metrics.equals(tiny_run.metrics)


def test_a_checkpoint_in_anothers_place(copy):
    shutil.copy(copy / "checkpoints/trial_000002.safetensors", copy / CHECKPOINT)
    with pytest.raises(RunError, match=r"trial_000004.safetensors holds the weights after 2 trial"):
        load_run(copy).network  # noqa: B018
    shutil.copy(copy / STORED, copy / "stored_trials/trial_000004.safetensors")
    with pytest.warns(UserWarning, match="trial_000004.safetensors was missing or damaged"):
        run = resume(copy, progress=False)
    with pytest.raises(RunError, match="holds the trials stored at 2 trials"):
        load_stored_trials(run, 4, run.network)


def test_a_lost_last_checkpoint_is_noticed_and_written_anew(copy, tiny_run, content):
    (copy / CHECKPOINT).unlink()
    with pytest.raises(RunError, match=r"trial_000004.safetensors, the last checkpoint, is missin"):
        load_run(copy).network  # noqa: B018
    with pytest.warns(UserWarning, match="trial_000004.safetensors was missing or damaged and is"):
        resume(copy, progress=False)
    assert content(copy) == content(tiny_run.path)


@pytest.mark.parametrize("name", [CHECKPOINT, "resume.safetensors", STORED])
def test_any_flipped_bit_is_noticed(name, copy, tiny_run):
    data = (copy / name).read_bytes()
    rng = np.random.default_rng(0)
    end = 8 + int.from_bytes(data[:8], "little")  # of the header
    places = [*rng.integers(0, end, 60), *rng.integers(end, len(data), 20), *range(8)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(bytes(damaged))
        with pytest.raises(RunError, match=r"^[^\n]*\.$"):
            read_tensors(copy / name, tiny_run.identity)


def test_what_may_not_be_read_is_not_called_damaged(copy, monkeypatch):
    """As root every file may be read, so that the refusal is made here."""
    real = os.open

    def refuse(path, flags, *mode):
        name = Path(path).name
        if not flags & os.O_WRONLY and name.endswith(denied):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *mode)

    denied = ".safetensors"
    monkeypatch.setattr(os, "open", refuse)
    for use in (lambda: load_run(copy).network, lambda: resume(copy, progress=False)):
        with pytest.raises(RunError, match=r"safetensors cannot be read \(Permission denied\)"):
            use()
    denied = "metrics.csv"
    with pytest.raises(RunError, match=r"metrics.csv cannot be read \(Permission denied\)"):
        load_run(copy).metrics  # noqa: B018
    denied = "config.json"
    with pytest.raises(RunError, match=r"config.json cannot be read \(Permission denied\)"):
        load_run(copy)


def test_records_and_pictures_name_the_run(copy, tiny_run):
    assert record(tiny_run, trials=2).attrs["run_identity"] == tiny_run.identity
    main(["plot", str(copy)])
    for name in ("trial.png", "learning_curve.png"):
        with Image.open(copy / name) as picture:
            assert picture.text["run_identity"] == tiny_run.identity
