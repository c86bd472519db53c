"""What is read from resume.safetensors is refused, in one line, before any of it is used.

The files are crafted: their checksums are right.
"""

import re
import shutil

import numpy as np
import pytest

from mpn_lab import Run, RunError, SupervisedConfig, load_run, resume, train, train_supervised
from mpn_lab.training.dqn import DQNTrainer
from mpn_lab.training.files import read_tensors, write_tensors
from mpn_lab.training.stored_trials import load_stored_trials, stored_trials_path
from mpn_lab.training.supervised import SupervisedTrainer


def edit(path, change, run):
    """Write a tensor file anew, changed; its checksum is right, and so is the run's identity."""
    arrays, meta = read_tensors(path)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, meta)
    write_tensors(path, arrays, meta, run.identity)


def put(name, array):
    return lambda arrays, meta: arrays.update({name: array})


def cut(name, where):
    return lambda arrays, meta: arrays.update({name: arrays[name][where].copy()})


def at(name, index, value):
    return lambda arrays, meta: arrays[name].__setitem__(index, value)


def say(name, value):
    return lambda arrays, meta: meta.update({name: value})


def inside(outer, name, value):
    return lambda arrays, meta: meta[outer].update({name: value})


def in_last_row(name, value):
    return lambda arrays, meta: meta["rows"][-1].update({name: value})


FLOAT = np.float32
CRAFTED = {
    "moments of another shape": (put("adam.0.exp_avg", np.zeros(9, FLOAT)), "adam.0.exp_avg has"),
    "moments of another dtype": (put("adam.0.exp_avg", np.zeros((8, 10))), "dtype float64"),
    "moments of no parameter": (put("adam.99.step", np.ones(1, FLOAT)), "'adam.99.step' is not"),
    "no moments": (lambda a, m: a.pop("adam.1.step"), "adam.1.step is missing"),
    "more steps than updates": (at("adam.0.step", 0, 1e6), "adam.0.step is 1000000.0"),
    "half a step": (at("adam.0.step", 0, 0.5), "adam.0.step is 0.5"),
    "negative squares": (at("adam.0.exp_avg_sq", (0, 0), -1), "adam.0 holds moments"),
    "weights of another shape": (put("target.core.W", np.zeros((10, 8), FLOAT)), "target.core.W"),
    "an array of nobody": (put("network.core.X", np.zeros(1, FLOAT)), "'network.core.X' is not"),
    "an array beside all": (put("other", np.zeros(1, FLOAT)), "'other' is not"),
    "a length of 0": (at("buffer.length", 0, 0), "length holds 0"),
    "a length beyond the steps": (at("buffer.length", 0, 10**6), "length holds 1000000"),
    "a length where nothing is": (at("buffer.length", -1, 3), "length of the empty places"),
    "an action out of range": (at("buffer.action", (0, 0), 3), "action holds 3"),
    "a negative action": (at("buffer.action", (0, 0), -1), "action holds -1"),
    "nan observed": (at("buffer.obs", (0, 0, 0), np.nan), "obs holds nan"),
    "a reward after the end": (at("buffer.reward", (0, -1), 1), "reward is not zero after"),
    "an end in the middle": (at("buffer.terminated", (0, 0), True), "terminated is true before"),
    "other channels": (cut("buffer.obs", np.s_[..., :2]), "obs has 2 channels"),
    "fewer trials": (cut("buffer.obs", np.s_[:9]), "obs has shape"),
    "pushed less": (inside("buffer", "pushed", 149), "expected"),
    "pushed a text": (inside("buffer", "pushed", "150"), "pushed is '150'"),
    "another generator": (inside("rng", "bit_generator", "MT19937"), "expected one of PCG64"),
    "an even inc": (inside("rng", "state", {"state": 1, "inc": 2}), "generator's inc is 2"),
    "no generator": (say("rng", None), "the generator's state is None"),
    "no buffer": (say("buffer", []), "the buffer is not described"),
    "trials beyond the end": (say("trials", 200), "trials is 200"),
    "trials between rows": (say("trials", 149), "trials is 149"),
    "true trials": (say("trials", True), "trials is True"),
    "updates a fraction": (say("updates", 80.0), "updates is 80.0"),
    "updates of no round": (say("updates", 81), "updates is 81"),
    "negative steps": (say("env_steps", -1), "env_steps is -1"),
    "no row": (lambda a, m: m.pop("rows"), "the rows of the metrics are missing"),
    "no rows": (say("rows", []), "rows of metrics are not those of 150 trials"),
    "rows of text": (say("rows", ["a", "b", "c"]), "the rows of the metrics are missing"),
    "a row of other trials": (in_last_row("trials", 100), "row 3 of the metrics is that of 100"),
    "a column too many": (in_last_row("more", 1), "row 3 of the metrics has other columns"),
    "a number as text": (in_last_row("loss", "0"), "row 3 of the metrics holds"),
    "another count in the row": (in_last_row("env_steps", 1), "env_steps is"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), CRAFTED.values(), ids=CRAFTED.keys())
def test_a_crafted_file_is_refused(run_copy, change, said):
    edit(run_copy / "resume.safetensors", change, load_run(run_copy))
    with pytest.raises(RunError, match=re.escape(said)) as error:
        resume(run_copy, progress=False)
    assert "does not belong to the run" in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_loaded_where_something_is_refused(run_copy, short_config):
    edit(run_copy / "resume.safetensors", in_last_row("loss", None), load_run(run_copy))
    trainer = DQNTrainer(short_config())
    arrays, before = trainer.state()
    loaded, meta = read_tensors(run_copy / "resume.safetensors")
    for change in (say("rng", {}), inside("buffer", "pushed", 0), put("adam.0.step", np.zeros(2))):
        broken = {name: array.copy() for name, array in loaded.items()}
        about = {**meta, "buffer": dict(meta["buffer"])}
        about.pop("rows")
        change(broken, about)
        with pytest.raises(ValueError, match="expected"):
            trainer.load_state(broken, about)
        after, now = trainer.state()
        assert now == before
        assert after.keys() == arrays.keys()
        assert all(np.array_equal(after[name], arrays[name]) for name in arrays)


@pytest.fixture(scope="module")
def windows(short_config, tmp_path_factory):
    """A run whose buffer has stored states, carried states and several trials per segment."""
    sequence = {"window": 4, "start": "stored", "across_trials": True}
    config = short_config(
        replay="sequence", sequence=sequence, reset_state="never", trials_per_episode=2,
        train_freq=50, core="gru", store_trials=3,
    )  # fmt: skip
    return train(config, tmp_path_factory.mktemp("windows") / "run", progress=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (at("buffer.ends", (0, 0), 0), "ends holds 0"),
        (at("buffer.ends", (0, 0), 10**6), "ends holds 1000000"),
        (at("buffer.ends", (0, 1), 1), "ends do not rise"),
        (cut("buffer.codes", np.s_[:, :9]), "codes and obs"),
        (cut("buffer.codes", np.s_[..., :3]), "codes has shape"),
        (cut("buffer.initial", np.s_[:, :3]), "initial has"),
        (cut("buffer.carried", np.s_[:1]), "carried has shape"),
        (lambda a, m: a.pop("buffer.carried"), "the array carried is missing"),
    ],
)  # fmt: skip
def test_a_crafted_buffer_of_segments_is_refused(windows, change, said):
    arrays, meta = read_tensors(windows.path / "resume.safetensors")
    trainer = DQNTrainer(windows.config)
    trainer.load_state(arrays, meta)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, meta)
    with pytest.raises(ValueError, match=said):
        DQNTrainer(windows.config).load_state(arrays, meta)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, m: a.pop("0.codes"), "the array 0.codes is missing"),
        (put("3.obs", np.zeros((1, 3), FLOAT)), "'3.obs' is not expected"),
        (at("0.action", 0, 9), "0.action holds 9"),
        (at("0.terminated", 0, True), "0.terminated is true before"),
        (put("0.reward", np.zeros(1, FLOAT)), "0.reward has shape"),
        (put("0.action", np.zeros(0, np.int64)), "0.obs has shape"),
        (say("kind", "half"), "codes are of the kind 'half'"),
        (say("trials", 3), "trials are not described"),
        (lambda a, m: m["trials"][0].pop("periods"), "trial 0 is not described by"),
        (lambda a, m: m["trials"][0].update(performance="good"), "performance of trial 0"),
        (lambda a, m: m["trials"][0]["periods"].update(fixation=[0, "1"]), "the period 'fixation'"),
    ],
)
def test_crafted_stored_trials_are_refused(windows, tmp_path, change, said):
    run = load_run(shutil.copytree(windows.path, tmp_path / "run"))
    network = run.network_at(50)
    assert len(load_stored_trials(run, 50, network)[0]) == 3
    edit(stored_trials_path(run.path, 50), change, run)
    with pytest.raises(RunError, match=said) as error:
        load_stored_trials(run, 50, network)
    assert "\n" not in str(error.value)


def test_crafted_counters_of_supervised_training_are_refused(tmp_path):
    config = SupervisedConfig(trials=16, batch_size=8, eval_freq=8, eval_trials=4, hidden_size=4)
    run = train_supervised(config, tmp_path / "run", progress=False)
    arrays, meta = read_tensors(run.path / "resume.safetensors")
    SupervisedTrainer(run.config).load_state(arrays, meta)
    del meta["rows"]
    with pytest.raises(ValueError, match="updates is 1, which 16 trials cannot have made"):
        SupervisedTrainer(run.config).load_state(arrays, meta | {"updates": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", 10**50])
def test_a_configuration_that_would_not_come_back_is_refused_at_the_start(
    short_config, tmp_path, value
):
    config = short_config(core_options={"bound": value})
    with pytest.raises(ValueError, match="could not be read again as it would be written"):
        Run.create(tmp_path / "run", config, 3, 3)
    assert not list((tmp_path / "run").iterdir())
