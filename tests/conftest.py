"""Short runs that many tests share."""

import json
import shutil
from pathlib import Path

import pytest

from mpn_lab import TrainConfig, load_run, resume, train
from mpn_lab.training.files import read_tensors, write_tensors
from mpn_lab.training.provenance import identity_of

SHORT = {
    "trials": 150,
    "hidden_size": 8,
    "eval_freq": 50,
    "eval_trials": 10,
    "learning_starts": 50,
    "batch_size": 16,
    "gradient_steps": 4,
}


@pytest.fixture(scope="session")
def short_config():
    """A training of about a second; called with the fields to change."""

    def config(**changes):
        starts = min(SHORT["learning_starts"], changes.get("trials", SHORT["trials"]))
        return TrainConfig(**(SHORT | {"learning_starts": starts} | changes))

    return config


@pytest.fixture(scope="session")
def short_run(short_config, tmp_path_factory):
    """A finished run, in a folder that no test changes."""
    return train(short_config(), tmp_path_factory.mktemp("run") / "short", progress=False)


@pytest.fixture
def run_copy(short_run, tmp_path):
    """The folder of a finished run, to be changed."""
    return Path(shutil.copytree(short_run.path, tmp_path / "copy"))


@pytest.fixture(scope="session")
def forge():
    """Changes config.json as if the run had begun so: with the new identity in all of its files."""

    def change_config(path, change):
        about = json.loads((path / "config.json").read_text())
        change(about)
        about["identity"] = identity_of(about)
        (path / "config.json").write_text(json.dumps(about))
        for file in path.rglob("*.safetensors"):
            write_tensors(file, *read_tensors(file), about["identity"])

    return change_config


@pytest.fixture(scope="session")
def content():
    """Reads every byte that a run folder consists of."""
    return lambda path: {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="session")
def train_and_resume(content):
    """Trains a run, resumes a copy of its folder as it was after `at` trials, and compares both."""

    def check(start, config, folder, at):
        def copy_folder(row):
            if row["trials"] == at:
                shutil.copytree(folder / "whole", folder / "cut")

        whole = start(config, folder / "whole", progress=False, on_row=copy_folder)
        assert load_run(folder / "cut").checkpoints[-1] == at
        assert content(folder / "cut") != content(folder / "whole")
        assert content(resume(folder / "cut", progress=False).path) == content(whole.path)
        return whole

    return check
