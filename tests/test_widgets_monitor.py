"""The monitor shows every row of one training or of several, and never ends one."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

import mpn_lab
from mpn_lab.training.config import SupervisedConfig, TrainConfig
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
            "cross-entropy (nats per step)",
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
