"""A run folder: plain data, and one sentence for whatever is wrong with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

from mpn_lab import RunError, load_run, loading, resume, train
from mpn_lab.training import check as check_module
from mpn_lab.training import run as run_module

LAST = "checkpoints/trial_000150.safetensors"


def test_checkpoints_hold_the_network_of_their_time(short_run):
    one, two = short_run.network_at(50), short_run.network_at(150)
    assert not torch.equal(one.core.W, two.core.W)
    assert torch.equal(two.core.W, short_run.network.core.W)
    assert torch.equal(one.embedding.weight, two.embedding.weight)


def test_nothing_on_disk_is_code(short_run):
    """Tables, JSON and safetensors: plain data, readable by other programs."""
    kinds = {p.suffix for p in short_run.path.rglob("*") if p.is_file()}
    assert kinds == {".json", ".csv", ".safetensors"}
    assert load_file(short_run.checkpoint_path(150))["network.core.W"].shape == (8, 10)
    assert len(pd.read_csv(short_run.path / "metrics.csv")) == 3
    content = json.loads((short_run.path / "config.json").read_text())
    assert content["kind"] == "dqn"
    assert content["initial_weights"] == "seed"
    assert set(content["modules"]) == {"task", "core"}


def test_the_default_folder(tmp_path, monkeypatch, short_config):
    monkeypatch.chdir(tmp_path)
    run = train(short_config(trials=25, eval_freq=25), progress=False)
    assert run.path == Path("runs/DelayMatchSample-v0-seed0")
    assert repr(run) == "Run(runs/DelayMatchSample-v0-seed0, DelayMatchSample-v0, 25 of 25 trials)"


def test_a_folder_in_use(short_run, short_config):
    with pytest.raises(RunError, match="is not empty; resume the run that is in it"):
        train(short_config(), short_run.path, progress=False)


def test_no_run(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no config\.json"):
        load_run(tmp_path)


DQN = '{"kind": "dqn", "obs_size": 3, "n_actions": 3, "config": '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged or was not written by mpn_lab"),
        ("[]", "damaged or was not written by mpn_lab"),
        (DQN + '{"task": 3}}', "task is 3; a configuration names its task by id"),
        (DQN + '{"foo": 3}}', "TrainConfig has no field foo; see help"),
        (
            '{"kind": "dqn", "config": {}, "n_actions": 3}',
            "damaged or was not written by mpn_lab: 'obs_size'",
        ),
        (
            '{"config": {}, "obs_size": 3, "n_actions": 3}',
            "damaged or was not written by mpn_lab: 'kind'",
        ),
        ('{"kind": "other", "config": {}}', "has the kind 'other'; expected dqn or supervised"),
        ('{"model": "other"}', "damaged or was not written by mpn_lab"),
    ],
)
def test_damaged_or_foreign_configuration(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunError, match=message):
        load_run(tmp_path)


@pytest.mark.parametrize("name", [LAST, "resume.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "noise", "foreign"])
def test_damaged_checkpoints(run_copy, name, damage):
    data = (run_copy / name).read_bytes()
    if damage == "foreign":
        save_file({"x": np.zeros(3)}, run_copy / name)
    else:
        (run_copy / name).write_bytes(data[: len(data) // 2] if damage == "cut" else b"noise" * 100)
    message = "by another program" if damage == "foreign" else "is damaged"
    with pytest.raises(RunError, match=message):
        load_run(run_copy).network if "trial" in name else resume(run_copy, progress=False)


def test_one_flipped_bit_is_noticed(run_copy):
    data = bytearray((run_copy / LAST).read_bytes())
    data[-5] ^= 1
    (run_copy / LAST).write_bytes(bytes(data))
    with pytest.raises(RunError, match="is damaged"):
        load_run(run_copy).network  # noqa: B018


def test_damaged_metrics(run_copy):
    (run_copy / "metrics.csv").write_bytes(b'trials,loss\n1,2\n3,"4,5,6\n')
    with pytest.raises(RunError, match=r"metrics.csv is missing, damaged or of another run; `mpn"):
        load_run(run_copy).metrics  # noqa: B018


def test_metrics_are_read_while_the_training_writes_them(run_copy, tmp_path, monkeypatch):
    """metrics.csv is written before resume.safetensors: a reader between two rows sees either."""
    run, csv = load_run(run_copy), run_copy / "metrics.csv"
    whole, state = csv.read_bytes(), (run_copy / "resume.safetensors").read_bytes()
    older = tmp_path / "older"
    with pytest.raises(KeyboardInterrupt):
        train(run.config, older, progress=False, on_row=_stop_at_100)
    shutil.copy(older / "resume.safetensors", run_copy)
    csv.write_bytes((older / "metrics.csv").read_bytes())
    read = loading.read_regular_file

    def while_it_writes(path, *limits, **options):
        data = read(path, *limits, **options)
        if path == csv:  # the next row is written right after the reader has looked
            csv.write_bytes(whole)
            (run_copy / "resume.safetensors").write_bytes(state)
        return data

    for module in (run_module, check_module):
        monkeypatch.setattr(module, "read_regular_file", while_it_writes)
    assert len(run.metrics) == 2
    monkeypatch.undo()
    assert len(run.metrics) == 3


def _stop_at_100(row):
    if row["trials"] == 100:
        raise KeyboardInterrupt


def test_checkpoint_of_another_network(run_copy, forge):
    forge(run_copy, lambda about: about["config"].update(hidden_size=9))
    with pytest.raises(RunError, match="holds weights that do not match the network"):
        load_run(run_copy).network  # noqa: B018
    with pytest.raises(RunError, match="does not belong to the run"):
        resume(run_copy, progress=False)


def test_a_missing_checkpoint_is_refused(short_run):
    with pytest.raises(RunError, match="has no checkpoint at 60 trials; expected one of 50, 100"):
        short_run.network_at(60)


def test_a_run_without_a_checkpoint_yet(tmp_path, short_run):
    shutil.copy(short_run.path / "config.json", tmp_path)
    run = load_run(tmp_path)
    assert run.checkpoints == []
    assert run.metrics.empty
    with pytest.raises(RunError, match="has no checkpoint yet; resume it to make one"):
        run.network  # noqa: B018


def test_a_task_that_is_not_registered_names_its_module(run_copy, forge):
    def change(about):
        about["config"]["task"], about["modules"]["task"] = "Own-v0", "my_tasks"

    forge(run_copy, change)
    run = load_run(run_copy)
    assert run.network.obs_size == 3  # the network needs no task
    for use in (run.evaluate, lambda: resume(run, progress=False)):
        with pytest.raises(ValueError, match=r"Own-v0.*my_tasks"):
            use()


def test_a_core_that_is_not_registered_names_its_module(run_copy, forge):
    def change(about):
        about["config"]["core"], about["modules"]["core"] = "own", "my_cores"

    forge(run_copy, change)
    with pytest.raises(
        ValueError, match=r"'own' is not registered.*import my_cores, which registered it"
    ):
        load_run(run_copy).network  # noqa: B018
