"""The monitor draws what training reports, and shows what goes wrong."""

import base64

import numpy as np

import mpn_lab
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.widgets.monitor import TrainingMonitor


def row(trials, accuracy=0.5, loss=0.1):
    return {
        "trials": trials, "env_steps": 0, "updates": 0, "epsilon": 0.3, "learning_rate": 1e-3,
        "loss": loss, "train_return": 0.2, "accuracy": accuracy, "ideal_accuracy": 1.0,
        "mean_return": 0.4, "eta": 1.0, "lam": 0.95,
    }  # fmt: skip


def test_the_monitor_draws_each_row_and_ends_up_to_date():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    frames = {monitor.image.value}
    monitor(row(250, loss=float("nan")))
    frames.add(monitor.image.value)
    for n in range(500, 2000, 250):  # too soon after each other: they wait
        monitor(row(n, accuracy=n / 2000, loss=50.0 / n))
    monitor(row(2000, accuracy=0.9))  # the last is always drawn
    frames.add(monitor.image.value)
    assert len(frames) == 3
    assert monitor.message.value == ""
    assert "accuracy 0.900 of 1.000 after 2000 trials" in repr(monitor)
    titles = [ax.get_title(loc="left") for ax in monitor._picture.figure.axes]
    assert titles[2:] == ["TD loss", "plasticity", r"exploration $\epsilon$"]
    lines = {name: line for line, name in monitor._lines}
    np.testing.assert_array_equal(lines["accuracy"].get_xdata(), np.arange(250, 2001, 250))


def test_a_row_that_waits_is_in_the_static_picture():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    monitor(row(250))
    monitor(row(500))
    before = monitor.image.value
    assert monitor._waiting
    assert monitor._repr_mimebundle_()["image/png"] != base64.b64encode(before).decode()


def test_an_error_in_the_monitor_does_not_end_the_training():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    monitor({"trials": 250})
    assert 'role="alert"' in monitor.message.value


def test_the_monitor_draws_what_another_core_reports():
    monitor = TrainingMonitor(TrainConfig(trials=2000))
    for n in (250, 500, 750):
        reported = {name: value for name, value in row(n).items() if name not in ("eta", "lam")}
        monitor(reported | {"u_norm": n / 100})
    monitor(reported | {"trials": 2000, "u_norm": 9.0})
    assert monitor.message.value == ""
    titles = [ax.get_title(loc="left") for ax in monitor._picture.figure.axes]
    assert "core metrics" in titles
    lines = {name: line for line, name in monitor._lines}
    assert lines["u_norm"].get_ydata() == [2.5, 5.0, 7.5, 9.0]


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
        assert monitor.message.value == ""
        assert monitor.rows["trials"] == [32, 64]
        assert set(monitor.rows) == set(run.metrics)
        titles = [ax.get_title(loc="left") for ax in monitor._picture.figure.axes]
        assert loss in titles
        assert "plasticity" not in titles  # a GRU reports nothing
        assert (r"exploration $\epsilon$" in titles) == (train is mpn_lab.train)
