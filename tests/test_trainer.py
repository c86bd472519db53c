"""What all trainings promise: the seed fixes them, memory equals folder, threads and device."""

import numpy as np
import pytest
import torch

from mpn_lab import RunError, TrainConfig, evaluate, load_run, record, resume, staleness, train
from mpn_lab.networks.mpn import MPN
from mpn_lab.training.device import torch_threads


def test_same_seed_same_bytes_and_another_seed_another_run(
    short_run, short_config, content, tmp_path
):
    again = train(short_config(), tmp_path / "again", progress=False)
    assert content(again.path) == content(short_run.path)
    other = train(short_config(seed=1), tmp_path / "other", progress=False)
    assert content(other.path)["metrics.csv"] != content(short_run.path)["metrics.csv"]


def test_global_generators_change_nothing_and_are_left_alone(
    short_run, short_config, content, tmp_path
):
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = train(short_config(), tmp_path / "again", progress=False)
    assert content(again.path) == content(short_run.path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


@pytest.mark.slow
def test_the_same_bytes_with_one_thread_and_with_two(content, forge, tmp_path):
    """At the default sizes, where the kernels do share their work between threads."""
    config = TrainConfig(trials=200, eval_freq=100, eval_trials=20)
    found = []
    for threads in (1, 2):
        path = train(config, tmp_path / str(threads), progress=False, threads=threads).path
        forge(path, lambda about: about.update(threads=1))  # which its identity contains
        found.append(content(path))
    assert found[0] == found[1]


def test_a_callback_that_changes_its_row_changes_no_run(short_config, short_run, tmp_path):
    def spoil(row):
        row["note"] = row.pop("loss")

    run = train(short_config(), tmp_path / "run", progress=False, on_row=spoil)
    assert run.metrics.equals(short_run.metrics)
    assert resume(run, progress=False).rows == []  # finished, and read without a complaint


def test_a_run_in_memory_equals_the_run_in_a_folder(short_run, short_config):
    rows = []
    run = train(short_config(), out=False, progress=False, on_row=rows.append)
    assert run.path is None
    assert run.rows == rows
    assert run.metrics.equals(short_run.metrics)
    assert run.checkpoints == [150]
    assert run.content == short_run.content
    for name, value in short_run.network.state_dict().items():
        assert torch.equal(value, run.network.state_dict()[name])
    assert not run.network.training
    assert run.network_at(150) is run.network
    assert run.evaluate(trials=30) == short_run.evaluate(trials=30)
    one, other = record(run, trials=3), record(short_run, trials=3)
    assert one.drop_attrs().identical(other.drop_attrs())
    assert one.attrs["run"] == "in memory"
    assert repr(run) == "Run(in memory, DelayMatchSample-v0, 150 of 150 trials)"


@pytest.mark.parametrize("use", [resume, staleness])
def test_a_run_in_memory_refuses_what_needs_a_folder(use, short_config):
    run = train(short_config(trials=25, eval_freq=25), out=False, progress=False)
    with pytest.raises(RunError, match=r"^this run is only in memory, but .* train again [^.]*\.$"):
        use(run)


def test_a_run_in_memory_has_one_network(short_config):
    run = train(short_config(trials=50, eval_freq=25), out=False, progress=False)
    with pytest.raises(RunError, match=r"the run in memory has no checkpoint at 25 trials; .* 50"):
        run.network_at(25)


class Interrupted(Exception):
    """Stops a training from within."""


@pytest.fixture
def threads_of_the_core(monkeypatch):
    """The numbers of torch's threads that the core is called with, 2 being set outside."""
    seen, forward = [], MPN.forward

    def watched(self, *arguments, **options):
        seen.append(torch.get_num_threads())
        return forward(self, *arguments, **options)

    monkeypatch.setattr(MPN, "forward", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield seen
    torch.set_num_threads(before)


def test_training_uses_one_thread_and_restores_the_others(threads_of_the_core, short_config):
    def stop(row):
        raise Interrupted

    config = short_config(trials=50, eval_freq=25)
    run = train(config, out=False, progress=False)
    assert set(threads_of_the_core[-10:]) == {1}
    assert run.content["threads"] == 1
    assert torch.get_num_threads() == 2
    with pytest.raises(Interrupted):
        train(config, out=False, progress=False, on_row=stop)
    assert torch.get_num_threads() == 2
    with torch_threads(1):
        train(short_config(trials=25, eval_freq=25), out=False, progress=False, threads=2)
        assert threads_of_the_core[-1] == 2
        assert torch.get_num_threads() == 1


def test_device_and_threads_are_recorded_and_resumed_with(
    short_config, threads_of_the_core, tmp_path
):
    def stop(row):
        raise Interrupted

    config = short_config(trials=50, eval_freq=25)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", progress=False, threads=2, on_row=stop)
    content = load_run(tmp_path / "run").content
    assert (content["device"], content["threads"]) == ("cpu", 2)
    torch.set_num_threads(1)
    resume(tmp_path / "run", progress=False)
    assert threads_of_the_core[-1] == 2
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "nonsense"])
def test_a_missing_device_is_refused(device, short_config, short_run, tmp_path):
    words = f"device is '{device}', which torch does not find on this machine; choose 'cpu'"
    with pytest.raises(ValueError, match=words):
        train(short_config(), tmp_path / "run", progress=False, device=device)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=words):
        resume(short_run.path, progress=False, device=device)
    with pytest.raises(ValueError, match=words):
        evaluate(short_run.network, "DelayMatchSample-v0", trials=5, device=device)


def test_no_threads_at_all(short_config, tmp_path):
    with pytest.raises(ValueError, match="threads is 0; expected 1 or more"):
        train(short_config(), tmp_path / "run", progress=False, threads=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_loss_that_is_not_finite_stops_the_training(
    in_memory, short_config, tmp_path, monkeypatch
):
    from mpn_lab.training import learner

    real, calls = learner.compute_td_loss_trial, []

    def poisoned(*args, **options):
        calls.append(1)
        return real(*args, **options) * (float("nan") if len(calls) > 8 else 1)

    monkeypatch.setattr(learner, "compute_td_loss_trial", poisoned)
    words = "; the last good checkpoint remains \\(trial 50\\)" if not in_memory else ""
    with pytest.raises(RunError, match=f"the loss is nan after 8 updates{words}. Try a smaller"):
        train(short_config(), False if in_memory else tmp_path / "run", progress=False)
    if not in_memory:
        run = load_run(tmp_path / "run")
        assert run.checkpoints == [50]
        assert all(torch.isfinite(p).all() for p in run.network.parameters())
