"""A real short training that learns, and runs that survive whatever happens to them."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

from mpn_lab import MPNConfig, RunError, TrainConfig, evaluate, load_run, resume, train
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.training import files, reach
from mpn_lab.training.config import SequenceConfig
from mpn_lab.training.learner import Learner
from mpn_lab.training.stored_trials import load_stored_trials
from mpn_lab.training.horizon import resolve_defaults

SHORT = TrainConfig(
    trials=300,
    hidden_size=8,
    eval_freq=50,
    eval_trials=20,
    learning_starts=50,
    batch_size=16,
    gradient_steps=4,
)
CONTENT = ("metrics.csv", "resume.safetensors", "config.json")


def content(path):
    """Every byte that the result of a run consists of."""
    names = [*CONTENT, *(f"checkpoints/{p.name}" for p in (path / "checkpoints").iterdir())]
    return {name: (path / name).read_bytes() for name in sorted(names)}


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return train(SHORT, tmp_path_factory.mktemp("run") / "short", progress=False)


@pytest.mark.slow
def test_learns_delay_match_to_sample(tmp_path):
    run = train(TrainConfig(task="DelayMatchSample-v0"), tmp_path / "run", progress=False)
    assert run.evaluate(trials=1000, seed=1).ratio >= 0.99


@pytest.mark.slow
def test_control_without_embedding_stays_at_chance(tmp_path):
    """The observation is zero at the response, and a raw MPN says the same whatever it saw."""
    config = TrainConfig(task="DelayMatchSample-v0", embedding="none", trials=1500)
    result = train(config, tmp_path / "run", progress=False).evaluate(trials=2000, seed=1)
    assert result.accuracy < 0.55


@pytest.mark.slow
def test_the_same_bytes_with_one_thread_and_with_two(tmp_path):
    """At the default sizes, where the kernels do share their work between threads."""
    config = TrainConfig(trials=200, eval_freq=100, eval_trials=20)
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            train(config, tmp_path / str(threads), progress=False)
    finally:
        torch.set_num_threads(1)
    assert content(tmp_path / "1") == content(tmp_path / "2")


@pytest.mark.parametrize("core", ["gru", "lstm", "rnn"])
def test_every_core_trains(core, tmp_path):
    config = SHORT.model_copy(update={"core": core, "num_layers": 2, "trials": 100})
    run = train(config, tmp_path / "run", progress=False)
    assert np.isfinite(run.metrics.loss.iloc[-1])
    assert run.metrics.eta.isna().all()


@pytest.mark.parametrize(
    ("task", "kwargs", "share"),  # of 40 steps in a trial
    [
        ("DelayMatchSample-v0", {}, 1),  # 32 steps
        ("PerceptualDecisionMaking-v0", {}, 1),
        ("ContextDecisionMaking-v0", {}, 1),
        ("ContextDecisionMaking-v0", {"use_expl_context": True}, 1),
        ("Bandit-v0", {}, 1),  # one step, nothing planned
        ("DelayMatchSample-v0", {"dt": 20}, 40 / 160),
        ("PulseDecisionMaking-v0", {}, 40 / 250),
    ],
)
def test_reach_follows_from_the_length_of_the_trials(task, kwargs, share):
    config = resolve_defaults(TrainConfig(task=task, task_kwargs=kwargs, seed=3))
    assert config.gamma == config.mpn.lam_max == 1 - 0.01 * share
    assert config.td_lambda == 1 - 0.05 * share
    assert config.learning_rate == 0.004 * share**0.5
    if share == 1:  # to the last bit what short trials were always trained with
        numbers = (config.gamma, config.td_lambda, config.learning_rate, config.mpn.lam_max)
        assert numbers == (0.99, 0.95, 4e-3, 0.99)
    assert resolve_defaults(config) is config
    assert resolve_defaults(TrainConfig(task=task, task_kwargs=kwargs)).gamma == config.gamma


def test_what_is_given_stays():
    long = {"task_kwargs": {"dt": 20}}
    given = TrainConfig(**long, td_lambda=0.0, mpn=MPNConfig(eta_init=0.5))
    assert resolve_defaults(given) == given.model_copy(
        update={
            "gamma": 0.9975,
            "learning_rate": 0.002,
            "mpn": MPNConfig(eta_init=0.5, lam_max=0.9975),
        }
    )
    given = TrainConfig(**long, gamma=0.5, learning_rate=0.1, mpn=MPNConfig(lam_max=0.8))
    assert resolve_defaults(given) == given.model_copy(update={"td_lambda": 0.9875})


def test_a_learner_needs_the_numbers():
    with pytest.raises(
        ValueError, match="gamma, td_lambda, learning_rate is None; `resolve_defaults`"
    ):
        Learner(TrainConfig(), 3, 3)


def test_a_run_keeps_the_numbers_and_resumes_with_them(tmp_path, monkeypatch):
    config = SHORT.model_copy(update={"task_kwargs": {"dt": 50}, "trials": 100})  # 64 steps
    whole = train(config, tmp_path / "whole", progress=False)
    kept = json.loads((whole.path / "config.json").read_text())["config"]
    assert kept["gamma"] == kept["mpn"]["lam_max"] == 1 - 0.01 * 40 / 64
    assert kept["td_lambda"] == 1 - 0.05 * 40 / 64
    assert whole.config == resolve_defaults(config)
    assert whole.network.core.lam_max == kept["gamma"]

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=False, on_row=_interrupt)
    monkeypatch.setattr(reach, "SHORT", 10)  # another rule does not change a run that has begun
    resumed = resume(tmp_path / "cut", progress=False)
    assert content(resumed.path) == content(whole.path)


def _interrupt(row):
    raise KeyboardInterrupt


def test_metrics(short):
    metrics = short.metrics
    assert metrics.trials.tolist() == [50, 100, 150, 200, 250, 300]
    assert metrics.updates.tolist() == [4, 12, 20, 28, 36, 44]
    assert metrics.epsilon.iloc[-1] == pytest.approx(SHORT.exploration_final_eps)
    assert (metrics.ideal_accuracy == 1).all()
    assert metrics.env_steps.is_monotonic_increasing
    assert short.checkpoints == metrics.trials.tolist()


def test_same_seed_same_bytes_and_another_seed_another_run(short, tmp_path):
    again = train(SHORT, tmp_path / "again", progress=False)
    assert content(again.path) == content(short.path)
    other = train(SHORT.model_copy(update={"seed": 1}), tmp_path / "other", progress=False)
    assert content(other.path)["metrics.csv"] != content(short.path)["metrics.csv"]


def test_global_generators_change_nothing_and_are_left_alone(short, tmp_path):
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = train(SHORT, tmp_path / "again", progress=False)
    assert content(again.path) == content(short.path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_checkpoints_hold_the_network_of_their_time(short):
    one, two = short.network_at(50), short.network_at(300)
    assert not torch.equal(one.core.W, two.core.W)
    torch.testing.assert_close(two.core.W, short.network.core.W)
    assert torch.equal(one.embedding.weight, two.embedding.weight)


@pytest.mark.parametrize("task", ["DelayMatchSample-v0", "HierarchicalReasoning-v0"])
def test_resumed_after_an_interruption_ends_the_same(task, tmp_path):
    """HierarchicalReasoning has blocks that live longer than a trial."""
    config = SHORT.model_copy(update={"task": task, "trials": 200})
    whole = train(config, tmp_path / "whole", progress=False)

    def interrupt(row):
        if row["trials"] == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=False, on_row=interrupt)
    assert load_run(tmp_path / "cut").checkpoints == [50, 100]
    resumed = resume(tmp_path / "cut", progress=False)
    assert content(resumed.path) == content(whole.path)
    resume(tmp_path / "cut", progress=False)  # a finished run stays as it is
    assert content(resumed.path) == content(whole.path)


WINDOWS = SequenceConfig(window=5, start="stored", burn_in=2)
STRATEGIES = {
    "transition": {"replay": "transition", "batch_size": 200},
    "stored": {"replay": "sequence", "sequence": WINDOWS},
    "zero": {"replay": "sequence", "sequence": SequenceConfig(window=5, start="zero")},
    "replayed": {"replay": "sequence", "sequence": SequenceConfig(window=5, start="replayed")},
    "across": {
        "replay": "sequence",
        "sequence": SequenceConfig(window=30, across_trials=True),
        "trials_per_episode": 5,
    },
    "episode": {"reset_state": "episode", "trials_per_episode": 5, "batch_size": 8},
    "never": {"reset_state": "never", "trials_per_episode": 5, "batch_size": 8},
    "truncated": {"backprop": "truncated", "chunk": 10},
    "checkpointed": {"backprop": "checkpointed", "chunk": 10},
    "gru": {"replay": "transition", "batch_size": 200, "core": "gru"},
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_trains_and_resumes_exactly(name, tmp_path):
    config = TrainConfig(**(SHORT.model_dump() | {"trials": 150} | STRATEGIES[name]))
    whole = train(config, tmp_path / "whole", progress=False)
    assert np.isfinite(whole.metrics["loss"].iloc[-1])

    def interrupt(row):
        if row["trials"] == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=False, on_row=interrupt)
    assert content(resume(tmp_path / "cut", progress=False).path) == content(whole.path)


def test_lived_trials_are_kept_with_their_states(tmp_path):
    config = SHORT.model_copy(update={"trials": 150, "store_trials": 4})
    run = train(config, tmp_path / "run", progress=False)
    for trials in (50, 100):  # none after the last checkpoint: nothing was lived with it
        network = run.network_at(trials)
        lived, kept = load_stored_trials(run.path, trials, network)
        assert len(lived) == 4
        codec = StateCodec(network)
        for trial, steps in zip(lived, kept, strict=True):
            _, M = network(torch.from_numpy(trial.obs)[None])
            again = codec.decode(torch.from_numpy(steps)[None], torch.tensor([len(steps)]))
            torch.testing.assert_close(again, M, rtol=1e-5, atol=1e-6)
    with pytest.raises(RunError, match="kept no lived trials at 150 trials"):
        load_stored_trials(run.path, 150, network)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"sequence": {"window": 4, "burn_in": 4}}, "burn_in is 4 steps and window 4"),
        ({"sequence": {"burn_in": 2, "start": "replayed"}}, "goes back to the trial's start"),
        ({"trials_per_episode": 5}, "reset_state='trial' makes every trial its own"),
        ({"trials_per_episode": 7, "reset_state": "never"}, "trials is 2500; expected a multiple"),
        ({"mpn": {"train_M0": True}, "replay": "transition"}, "needs rows that begin with M_0"),
        ({"store_trials": 26}, "store_trials is 26; expected at most the 25"),
    ],
)
def test_strategies_that_do_not_fit_together(bad, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**bad)


def _train_quietly(path):
    torch.set_num_threads(1)
    train(SHORT, path, progress=False)


def _resume_quietly(path):
    torch.set_num_threads(1)
    resume(path, progress=False)


@pytest.mark.slow
def test_killed_at_twenty_instants_and_resumed(short, tmp_path):
    context = multiprocessing.get_context("fork")  # all imports done, all kernels compiled
    whole = context.Process(target=_train_quietly, args=(tmp_path / "whole",))
    whole.start()
    whole.join()
    expected = content(short.path)
    assert content(tmp_path / "whole") == expected
    written = sorted(p.stat().st_mtime for p in (tmp_path / "whole" / "checkpoints").iterdir())
    a_row = (written[-1] - written[0]) / (len(written) - 1)  # seconds from one to the next

    rng, killed = np.random.default_rng(0), 0
    for i in range(20):
        path = tmp_path / str(i)
        process = context.Process(target=_train_quietly, args=(path,))
        process.start()
        # After the i-th part of its checkpoints and a random while, wherever that finds it.
        rows = i * len(short.checkpoints) // 20
        while process.is_alive() and len(list(path.glob("checkpoints/trial_*"))) < rows:
            time.sleep(0.002)
        time.sleep(a_row * rng.random())
        if process.is_alive():
            killed += 1
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        go_on = _resume_quietly if (path / "config.json").exists() else _train_quietly
        again = context.Process(target=go_on, args=(path,))
        again.start()
        again.join()
        assert content(path) == expected, f"killed at {i}/20 of the run"
    assert killed >= 15


def test_not_finite_loss_stops_and_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    from mpn_lab.training import learner

    real, calls = learner.compute_td_loss_trial, []

    def poisoned(*args, **options):
        calls.append(1)
        return real(*args, **options) * (float("nan") if len(calls) > 20 else 1)

    monkeypatch.setattr(learner, "compute_td_loss_trial", poisoned)
    with pytest.raises(
        RunError, match="the loss is nan after 20 updates; the last good checkpoint"
    ):
        train(SHORT, tmp_path / "run", progress=False)
    run = load_run(tmp_path / "run")
    assert run.checkpoints == [50, 100, 150]
    assert all(torch.isfinite(p).all() for p in run.network.parameters())


def test_full_disk_keeps_what_was_written_and_resumes(short, tmp_path, monkeypatch):
    real, written = os.fsync, []

    def full(handle):
        written.append(1)
        if len(written) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(RunError, match="could not be written \\(No space left on device\\)"):
            train(SHORT, tmp_path / "run", progress=False)
    left = [p.name for p in (tmp_path / "run").rglob(".*")]
    assert left == []  # no half-written file
    resume(tmp_path / "run", progress=False)
    assert content(tmp_path / "run") == content(short.path)


def test_other_versions_are_said(copy):
    text = (copy / "config.json").read_text()
    (copy / "config.json").write_text(text.replace('"torch": "', '"torch": "1.'))
    with pytest.warns(UserWarning, match="was begun with other versions \\(torch 1"):
        resume(copy, progress=False)


def test_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = train(SHORT.model_copy(update={"trials": 50}), progress=False)
    assert run.path == Path("runs/DelayMatchSample-v0-seed0")


def test_folder_in_use(short):
    with pytest.raises(RunError, match="is not empty; resume the run that is in it"):
        train(SHORT, short.path, progress=False)


@pytest.fixture
def copy(short, tmp_path):
    return Path(shutil.copytree(short.path, tmp_path / "copy"))


def test_no_run(tmp_path):
    with pytest.raises(RunError, match=r"is no run folder: it has no config\.json"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged or foreign"),
        ("[]", "damaged or foreign"),
        ('{"config": {"task": 3}, "obs_size": 3, "n_actions": 3}', "task: Input should be a valid"),
        ('{"config": {"foo": 3}, "obs_size": 3, "n_actions": 3}', "foo: Extra inputs are not"),
        ('{"model": "other"}', "damaged or foreign"),
    ],
)
def test_damaged_or_foreign_configuration(copy, text, message):
    (copy / "config.json").write_text(text)
    with pytest.raises(RunError, match=message):
        load_run(copy)


@pytest.mark.parametrize("name", ["checkpoints/trial_000300.safetensors", "resume.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "noise", "foreign"])
def test_damaged_checkpoints(copy, name, damage):
    data = (copy / name).read_bytes()
    if damage == "foreign":
        save_file({"x": np.zeros(3)}, copy / name)
    else:
        (copy / name).write_bytes(data[: len(data) // 2] if damage == "cut" else b"noise" * 100)
    message = "of another program" if damage == "foreign" else "is damaged"
    with pytest.raises(RunError, match=message):
        load_run(copy).network if "trial" in name else resume(copy, progress=False)


def test_one_flipped_bit_is_noticed(copy):
    path = copy / "checkpoints/trial_000300.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(RunError, match="is damaged"):
        load_run(copy).network  # noqa: B018


def test_checkpoint_of_another_network(copy, tmp_path):
    config = SHORT.model_copy(update={"hidden_size": 9, "trials": 50})
    other = train(config, tmp_path / "other", progress=False)
    name = "checkpoints/trial_000300.safetensors"
    (copy / name).write_bytes((other.path / "checkpoints/trial_000050.safetensors").read_bytes())
    with pytest.raises(RunError, match="holds the weights of another network"):
        load_run(copy).network  # noqa: B018
    (copy / "resume.safetensors").write_bytes((other.path / "resume.safetensors").read_bytes())
    with pytest.raises(RunError, match="does not belong to the run"):
        resume(copy, progress=False)


def test_checkpoint_that_was_not_kept(short):
    with pytest.raises(RunError, match="kept no checkpoint at 60 trials"):
        short.network_at(60)


def test_nothing_on_disk_is_code(short):
    """Tables, JSON and safetensors: plain data, readable by other programs."""
    kinds = {p.suffix for p in short.path.rglob("*") if p.is_file()}
    assert kinds == {".json", ".csv", ".safetensors"}
    assert load_file(short.checkpoint_path(300))["network.core.W"].shape == (8, 10)
    assert len(pd.read_csv(short.path / "metrics.csv")) == 6


def test_evaluation_is_reproducible_and_has_an_interval(short):
    one, two = short.evaluate(trials=300, seed=4), short.evaluate(trials=300, seed=4)
    assert one == two
    low, high = one.accuracy_ci95
    assert low <= one.accuracy <= high
    assert high - low < 0.2
    assert one.ratio == one.accuracy / one.ideal_accuracy
    assert short.evaluate(trials=300, seed=5) != one


def test_evaluation_without_an_ideal_observer(tmp_path):
    config = SHORT.model_copy(update={"task": "Reaching1D-v0", "trials": 50})
    result = train(config, tmp_path / "run", progress=False).evaluate(trials=20)
    assert result.ratio is None
    assert result.accuracy_ci95[0] <= result.accuracy <= result.accuracy_ci95[1]


@pytest.mark.parametrize(("name", "value"), [("trials", 0), ("seed", -1)])
def test_bad_evaluation(short, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        evaluate(short.network, "DelayMatchSample-v0", **{name: value})


@pytest.mark.parametrize(
    "bad",
    [
        {"gamma": 1.5},
        {"td_lambda": -0.1},
        {"trials": 0},
        {"core": "transformer"},
        {"learning_rate": 0},
        {"typo": 1},
    ],
)
def test_bad_configuration(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        TrainConfig(**bad)


def test_mpn_options_reach_the_layer(tmp_path):
    mpn = MPNConfig(update="presynaptic", lam_shape="hidden", eta_init=0.5, train_M0=True)
    config = SHORT.model_copy(update={"mpn": mpn, "trials": 50})
    layer = train(config, tmp_path / "run", progress=False).network.core
    assert layer.update == "presynaptic"
    assert layer.lam.shape == (8, 1)
    assert layer.M0 is not None
