"""The monitor shows every row of one training or of several, and never ends one."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

import mpn_lab
from mpn_lab.training import trainer
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.widgets.modules import bundle
from mpn_lab.widgets.monitor import TrainingMonitor


def row(trials, accuracy=0.5, loss=0.1):
    return {
        "trials": trials, "env_steps": 0, "updates": 0, "epsilon": 0.3, "learning_rate": 1e-3,
        "loss": loss, "train_return": 0.2, "accuracy": accuracy, "ideal_accuracy": 1.0,
        "mean_return": 0.4, "eta": 1.0, "lam": 0.95,
    }  # fmt: skip


def panels(monitor):
    return {one["title"]: one for one in monitor._overview["header"]["panels"]}


def sent(monitor, column, run=0):
    """The column of a run that the browser has."""
    layout = monitor._overview["arrays"][f"{run} {column}"]
    values = np.frombuffer(monitor._overview["buffers"][layout["at"]], layout["dtype"])
    return values.tolist()


def test_the_browser_has_every_row_at_the_end():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    assert sent(monitor, "trials") == []
    assert monitor._overview["header"]["words"] == "no row yet"
    monitor(row(250, loss=float("nan")))
    assert sent(monitor, "trials") == [250]
    for n in range(500, 2000, 250):
        monitor(row(n, accuracy=n / 2000, loss=50.0 / n))
    monitor(row(2000, accuracy=0.9))  # the last is always sent
    assert sent(monitor, "trials") == monitor.rows["trials"] == list(range(250, 2001, 250))
    assert sent(monitor, "accuracy")[-2:] == [0.875, pytest.approx(0.9)]
    assert monitor.error == ""
    assert "accuracy 0.900 of 1.000 after 2000 trials" in repr(monitor)
    header = monitor._overview["header"]
    assert header["words"] == "accuracy 0.900 of 1.000 after 2,000 of 2,000 trials"
    assert [*panels(monitor)] == ["accuracy", "trial return", "TD loss", "plasticity",
                                  "exploration ε"]  # fmt: skip
    lines = panels(monitor)["accuracy"]["lines"]
    assert [line["name"] for line in lines] == ["network", "ideal observer"]


def test_rows_that_come_too_soon_are_sent_together(monkeypatch):
    monkeypatch.setattr("mpn_lab.widgets.monitor.perf_counter", lambda: 1.0)  # no time passes
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    monitor(row(250))
    monitor._cost = 1.0
    monitor(row(500))
    assert sent(monitor, "trials") == [250]
    before = monitor.png()
    monitor(row(750))
    assert monitor.png() != before  # the static picture has every row
    monitor(row(2000))
    assert sent(monitor, "trials") == [250, 500, 750, 2000]


def test_an_error_in_the_monitor_is_shown_and_does_not_end_the_training():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    monitor({"trials": 250})
    assert monitor.error.startswith("a row of the metrics lacks env_steps; expected those of")
    assert monitor._overview["header"]["error"] == monitor.error
    monitor(row(500))
    assert monitor.error == monitor._overview["header"]["error"] == ""
    assert monitor.rows["trials"] == [500]


def test_where_the_accuracy_is_unknown_the_return_takes_its_place():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    nan = float("nan")
    monitor(row(2000, accuracy=nan) | {"ideal_accuracy": nan})
    assert "accuracy" not in panels(monitor)
    assert [line["column"] for line in panels(monitor)["trial return"]["lines"]] == [
        "mean_return", "train_return"
    ]  # fmt: skip
    assert monitor._overview["header"]["words"] == "return 0.4 after 2,000 of 2,000 trials"


def test_without_an_ideal_observer_there_is_no_line_for_it():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    monitor(row(2000) | {"ideal_accuracy": float("nan")})
    assert [line["name"] for line in panels(monitor)["accuracy"]["lines"]] == ["network"]


def test_the_monitor_shows_what_another_core_reports():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    for n in (250, 500, 2000):
        reported = {name: value for name, value in row(n).items() if name not in ("eta", "lam")}
        monitor(reported | {"u_norm": n / 100})
    assert monitor.error == ""
    assert [line["name"] for line in panels(monitor)["core metrics"]["lines"]] == ["u_norm"]
    assert sent(monitor, "u_norm") == [2.5, 5.0, 20.0]


def test_several_trainings_are_shown_together():
    configs = {"MPN": TrainConfig(trials=500), "GRU": TrainConfig(trials=1000, core="gru")}
    monitor = TrainingMonitor(configs)
    monitor["MPN"](row(500, accuracy=0.8))
    without = {name: value for name, value in row(250).items() if name not in ("eta", "lam")}
    monitor["GRU"](without)
    monitor["GRU"](without | {"trials": 1000})
    header = monitor._overview["header"]
    assert [run["name"] for run in header["runs"]] == ["MPN", "GRU"]
    assert header["runs"][0]["words"] == "accuracy 0.800 of 1.000 after 500 of 500 trials"
    assert header["last"] == 1000
    assert sent(monitor, "trials", 0) == [500]
    assert sent(monitor, "trials", 1) == [250, 1000]
    assert "0 eta" in monitor._overview["arrays"]
    assert "1 eta" not in monitor._overview["arrays"]
    assert repr(monitor) == "TrainingMonitor(DelayMatchSample-v0: 2 of 2 trainings)"
    named = TrainingMonitor({"MPN": TrainConfig(trials=500)})
    named["MPN"](row(500))
    assert named._overview["header"]["words"].startswith("accuracy 0.500")
    one = Image.open(io.BytesIO(TrainingMonitor(TrainConfig(trials=500)).png()))
    both = Image.open(io.BytesIO(monitor.png()))
    assert both.size == (one.width, 2 * one.height)


def test_both_loops_are_shown_together():
    configs = {"dqn": TrainConfig(trials=500), "taught": SupervisedConfig(trials=512)}
    monitor = TrainingMonitor(configs)
    for name in configs:
        monitor[name](row(500) | {"step_accuracy": 0.5})
    assert monitor.error == ""
    assert "loss" in panels(monitor)
    assert [line["name"] for line in panels(monitor)["trial return"]["lines"]] == [
        "greedy", "trained on"
    ]  # fmt: skip


def test_bad_requests_get_one_sentence():
    monitor = TrainingMonitor({"a": TrainConfig(trials=500), "b": TrainConfig(trials=500)})
    for ask, words in (
        (lambda: TrainingMonitor({}), re.escape("config is {}; expected the TrainConfig")),
        (lambda: monitor["c"], "there is no training 'c'; there are a, b"),
        (lambda: TrainingMonitor(TrainConfig(), trial=100), "trial is 100; expected 0 to 99"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()


def test_without_a_front_end_the_picture_is_shown():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    monitor(row(250))
    bundle, _ = monitor._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == monitor.png()
    assert bundle["text/plain"] == repr(monitor)
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_the_monitor_watches_both_loops():
    sizes = {"trials": 64, "eval_freq": 32, "eval_trials": 5, "hidden_size": 4, "core": "gru"}
    for train, config, loss in (
        (mpn_lab.train, TrainConfig(**sizes, learning_starts=64), "TD loss"),
        (
            mpn_lab.train_supervised,
            SupervisedConfig(**sizes, batch_size=32),
            "cross-entropy",
        ),
    ):
        monitor = TrainingMonitor(config)
        run = train(config, False, progress=False, on_row=monitor)
        assert monitor.error == ""
        assert monitor.rows["trials"] == sent(monitor, "trials") == [32, 64]
        assert set(monitor.rows) == set(run.metrics)
        assert loss in panels(monitor)
        assert "plasticity" not in panels(monitor)  # a GRU reports nothing
        assert ("exploration ε" in panels(monitor)) == (train is mpn_lab.train)


SMALL = {"trials": 64, "eval_freq": 32, "eval_trials": 5, "hidden_size": 4}
BOTH = [
    (mpn_lab.train, TrainConfig(**SMALL, learning_starts=32)),
    (mpn_lab.train_supervised, SupervisedConfig(**SMALL, batch_size=32, core="gru")),
]


def decoded(part):
    """The arrays of a part of a page."""
    return {
        name: np.frombuffer(base64.b64decode(part["buffers"][one["at"]]), one["dtype"]).reshape(
            one["shape"]
        )
        for name, one in part["arrays"].items()
    }


@pytest.mark.parametrize(("train", "config"), BOTH)
def test_the_trial_is_that_of_the_network_as_it_is(train, config):
    monitor = TrainingMonitor(config, trial=3)
    assert monitor._overview["header"]["waits"] == "shown after the first row"
    run = train(config, False, progress=False, on_row=monitor)
    assert monitor.error == ""
    expected = mpn_lab.record(run, trials=4).isel(trial=[3])
    assert monitor.records[""].equals(expected)
    assert monitor.records[""].attrs == expected.attrs | {"run": "", "run_identity": ""}
    (page,) = monitor._pages
    assert page["words"] == "after 64 of 64 trials; the same trial at every row"
    assert page["values"]["trial"] == 3
    length = int(expected["length"][0])
    assert page["values"]["time"] == float(expected["time"][length - 1])
    Q = expected["Q"].values[0, :length]
    np.testing.assert_array_equal(decoded(page["parts"]["trial recorded 3"])["Q"], Q)
    unit = page["values"]["selection"]["unit"]
    name, of_unit = ("M", (1, 2)) if config.core == "mpn" else ("h", 1)
    last = expected[name].values[0, length - 1 : length]
    assert np.abs(last[0, unit]).max() == np.abs(last).max(axis=of_unit)


@pytest.mark.parametrize(("train", "config"), BOTH)
def test_a_monitor_changes_nothing_of_the_training(train, config):
    def trained(on_row):
        torch.manual_seed(1)
        run = train(config, False, progress=False, on_row=on_row)
        state = {name: value.numpy() for name, value in run.network.state_dict().items()}
        return run.metrics.to_dict("list"), state | {"generator": torch.get_rng_state().numpy()}

    monitor = TrainingMonitor(config, trial=1)
    metrics, state = trained(None)
    metrics_seen, state_seen = trained(monitor)
    assert [*monitor.records] == [""]
    np.testing.assert_equal(metrics_seen, metrics)  # nan equals nan
    np.testing.assert_equal(state_seen, state)


def test_the_trial_comes_with_the_rows_that_are_sent(monkeypatch):
    clock = iter(np.arange(0.0, 1e6, 1.0))  # a call takes a second
    monkeypatch.setattr("mpn_lab.widgets.monitor.perf_counter", lambda: float(next(clock)))
    recorded = []
    monkeypatch.setattr(
        "mpn_lab.widgets.monitor.record_present",
        lambda network, config, trial, trained: recorded.append(trained) or next_record(),
    )
    network = mpn_lab.QNetwork(3, 3, hidden_size=4)

    def next_record():
        for _ in range(9):
            next(clock)
        return mpn_lab.record(network, "DelayMatchSample-v0", trials=1)

    monitor = TrainingMonitor(TrainConfig(trials=2000), trial=0)
    for trials in range(1, 2000):
        monitor.with_network(row(trials), network)
    monitor.with_network(row(2000), network)
    assert monitor.error == ""
    assert sent(monitor, "trials") == list(range(1, 2001))
    assert recorded[0] == 1
    assert recorded[-1] == 2000  # the last is always shown
    passed = next(clock)
    assert 10 * (len(recorded) - 2) <= 0.03 * passed
    assert len(recorded) > 5


def train_half(config, folder):
    """Train until the first of two rows."""

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mpn_lab.train(config, folder, progress=False, on_row=interrupt)


def test_a_resumed_training_is_seen_too(tmp_path):
    config = BOTH[0][1]
    train_half(config, tmp_path / "run")
    monitor = TrainingMonitor(config, trial=0)
    run = mpn_lab.resume(tmp_path / "run", progress=False, on_row=monitor)
    assert monitor.rows["trials"] == [64]
    assert monitor.records[""].equals(mpn_lab.record(run, trials=1))


@pytest.mark.parametrize("trial", [None, 2])
def test_trainings_of_other_processes_are_read_from_their_folders(trial, tmp_path):
    config = BOTH[0][1]
    folders = {"first": tmp_path / "first", "second": tmp_path / "second"}
    monitor = TrainingMonitor(dict.fromkeys(folders, config), trial=trial)
    monitor.read(folders)  # none has begun
    assert sent(monitor, "trials") == []
    train_half(config, folders["first"])
    monitor.read(folders)
    assert sent(monitor, "trials") == [32]
    run = mpn_lab.resume(folders["first"], progress=False)
    other = mpn_lab.train(config, folders["second"], progress=False)
    monitor.read(folders)
    state = monitor._overview
    monitor.read(folders)  # nothing new
    assert monitor._overview is state
    for name, of_one in (("first", run), ("second", other)):
        np.testing.assert_equal(monitor.tables[name], of_one.metrics.to_dict("list"))
        if trial is not None:
            expected = mpn_lab.record(of_one, trials=3).isel(trial=[2])
            assert monitor.records[name].equals(expected)
    assert sent(monitor, "loss", 1) == pytest.approx(other.metrics.loss, nan_ok=True)
    assert monitor.error == ""
    one = TrainingMonitor(config)
    one.read(str(folders["second"]))
    assert sent(one, "trials") == [32, 64]
    with pytest.raises(ValueError, match="there is no training 'third'; there are first, second"):
        monitor.read({"third": tmp_path})


def test_the_trial_explorer_comes_with_the_monitor_but_not_as_an_entry():
    code = bundle("monitor.js")
    assert "class TrialExplorer extends" in code
    assert code.count("function mount(") == code.count("export default") == 1
    assert "new TrainingMonitor(root, model)" in code.split("function mount(")[1]


def test_each_of_several_trainings_has_its_trial():
    configs = {core: TrainConfig(trials=500, core=core.lower()) for core in ("MPN", "GRU")}
    monitor = TrainingMonitor(configs, trial=0)
    networks = {
        name: mpn_lab.QNetwork(3, 3, hidden_size=4, core=config.core)
        for name, config in configs.items()
    }
    for name in ("MPN", "GRU", "MPN"):
        listener = monitor[name]
        assert isinstance(listener, trainer.WithNetwork)
        listener.with_network(row(500), networks[name])
    assert monitor.error == ""
    assert [page["name"] for page in monitor._pages] == ["GRU", "MPN"]  # the newest is the last
    assert {name: one.attrs["core"] for name, one in monitor.records.items()} == {
        "MPN": "MPN", "GRU": "GRU",
    }  # fmt: skip
    with_trials = Image.open(io.BytesIO(monitor.png()))
    monitor.records = {}
    curves = Image.open(io.BytesIO(monitor.png()))
    assert with_trials.width == curves.width
    assert with_trials.height > 2 * curves.height


def test_rows_without_a_network_still_fill_the_curves():
    monitor = TrainingMonitor(TrainConfig(trials=500), trial=0)
    monitor(row(500))
    assert sent(monitor, "trials") == [500]
    assert monitor._overview["header"]["waits"].startswith("not shown: no network came")
    assert monitor.records == {}
    assert TrainingMonitor(TrainConfig(trials=500))._overview["header"]["waits"] == ""


def test_a_trial_that_cannot_be_recorded_is_said_and_does_not_end_the_training():
    config = TrainConfig(trials=500)
    monitor = TrainingMonitor(config, trial=0)
    monitor.with_network(row(250), mpn_lab.QNetwork(2, 3, hidden_size=4))  # of another task
    assert monitor.error.startswith("the network takes 2 channels and has 3 actions, but Delay")
    assert monitor.rows["trials"] == sent(monitor, "trials") == [250]
    monitor.with_network(row(500), mpn_lab.QNetwork(3, 3, hidden_size=4))
    assert monitor.error == ""
    assert [*monitor.records] == [""]


def test_a_closed_monitor_keeps_no_trial():
    monitor = TrainingMonitor(TrainConfig(trials=500), trial=0)
    monitor.with_network(row(500), mpn_lab.QNetwork(3, 3, hidden_size=4))
    monitor.close()
    assert monitor.records == {}
    assert "_pages" not in monitor._trait_values
