"""Explorers act on their controls, leak nothing, and show what goes wrong."""

import base64
import gc
import io
import json
import re
import weakref

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib import pyplot
from PIL import Image

import mpn_lab
from mpn_lab.plotting.style import style
from mpn_lab.plotting.view import trial_title
from mpn_lab.training.config import SupervisedConfig, TrainConfig
from mpn_lab.widgets.explorer import Picture, png
from mpn_lab.widgets.monitor import TrainingMonitor
from mpn_lab.widgets.trial import TrialExplorer


@pytest.fixture(scope="module")
def trials():
    network = mpn_lab.QNetwork(
        7, 3, hidden_size=9, embedding_size=4, generator=torch.Generator().manual_seed(0)
    )
    kwargs = {"use_expl_context": True}
    made = mpn_lab.record(network, "ContextDecisionMaking-v0", kwargs, trials=16, epsilon=0.2)
    correct = np.arange(16) % 3 == 0
    return made.assign_coords(correct=("trial", correct))


@pytest.fixture
def explorer(trials):
    return TrialExplorer(trials)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_the_slider_changes_the_picture_and_restores_it(explorer):
    first = explorer.image.value
    explorer.time.value = 500
    assert explorer.image.value != first
    explorer.time.value = 0
    assert explorer.image.value == first


def test_a_frame_equals_the_figure_drawn_whole(explorer):
    explorer.time.value = 700
    picture = explorer._picture
    frame = pixels(explorer.image.value)
    for artist in picture.panel.artists:
        artist.set_animated(False)
    with style():
        picture.canvas.draw()
    # Animated artists lie on top in a frame; drawn whole, an axis may lie above them.
    different = (np.abs(pixels(png(picture.image())) - frame) > 8).any(2).mean()
    assert different < 0.002


def test_every_control_changes_the_picture(explorer):
    seen = {explorer.image.value}
    for control, value in (
        (explorer.time, 300),
        (explorer.trial, 4),
        (explorer.show, "effective weights"),
        (explorer.show, "change of M"),
        (explorer.order, "cluster"),
        (explorer.order, "index"),
    ):
        control.value = value
        assert explorer.message.value == ""
        assert explorer.image.value not in seen
        seen.add(explorer.image.value)


def test_time_ends_with_the_trial(explorer, trials):
    lengths = trials["length"].values
    longest, shortest = int(lengths.argmax()), int(lengths.argmin())
    assert lengths[longest] > lengths[shortest]
    explorer.trial.value = longest
    explorer.time.value = explorer.time.max
    assert explorer.time.max == (lengths[longest] - 1) * 100
    explorer.trial.value = shortest
    assert explorer.time.value == explorer.time.max == (lengths[shortest] - 1) * 100
    assert explorer.message.value == ""


def test_filters_leave_the_trials_asked_for(explorer, trials):
    explorer.outcome.value = "wrong"
    numbers = [number for _, number in explorer.trial.options]
    assert numbers == trials.trial.values[~trials.correct.values].tolist()
    explorer.condition.value = "context = 1"
    numbers = [number for _, number in explorer.trial.options]
    expected = ~trials.correct.values & (trials.context.values == 1)
    assert numbers == trials.trial.values[expected].tolist()
    explorer.go_to(trial=0)
    assert explorer.trial.value == 0
    assert len(explorer.trial.options) == 16


def test_a_filter_that_leaves_no_trial_says_so_and_keeps_the_picture(trials):
    explorer = TrialExplorer(trials.isel(trial=trials.correct.values))
    before = explorer.image.value
    explorer.outcome.value = "wrong"
    assert "No trial of this record is wrong" in explorer.message.value
    assert 'role="alert"' in explorer.message.value
    assert explorer.image.value == before
    assert explorer.outcome.value == "all trials"  # what is shown, not what was asked for
    explorer.condition.value = "context = 1"
    assert explorer.message.value == ""
    explorer.outcome.value = "wrong"
    assert "is wrong and has context = 1; the filter" in explorer.message.value
    assert (explorer.outcome.value, explorer.condition.value) == ("all trials", "context = 1")


def test_an_error_in_a_callback_is_shown_and_then_cleared(explorer, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Picture, "frame", lambda self, step: 1 / 0)
        explorer.time.value = 200
    assert "ZeroDivisionError: division by zero" in explorer.message.value
    explorer.time.value = 300
    assert explorer.message.value == ""


def test_trials_without_ground_truth_get_no_verdict(trials):
    unknown = trials.assign_coords(
        performance=("trial", np.where(np.arange(16) < 3, np.nan, 0.0)),
        correct=("trial", np.zeros(16, bool)),
    )
    explorer = TrialExplorer(unknown)
    labels = [label for label, _ in explorer.trial.options]
    assert not any("correct" in label or "wrong" in label for label in labels[:3])
    assert all(label.endswith(", wrong") for label in labels[3:])
    assert "(wrong)" not in trial_title(unknown, 0)
    assert trial_title(unknown, 3).endswith("(wrong)")
    explorer.outcome.value = "wrong"
    assert [number for _, number in explorer.trial.options] == list(range(3, 16))
    nothing_known = unknown.assign_coords(performance=("trial", np.full(16, np.nan)))
    assert TrialExplorer(nothing_known).outcome.disabled


def test_many_frames_leave_no_figure_and_no_memory(trials):
    explorer = TrialExplorer(trials)
    for k in range(30):
        explorer.time.value = (k % 10) * 100
    gc.collect()
    before = len(gc.get_objects())
    for k in range(60):
        explorer.time.value = (k % 10) * 100
    gc.collect()
    assert len(gc.get_objects()) - before < 200
    assert pyplot.get_fignums() == []
    figure = weakref.ref(explorer._picture.figure)
    explorer.trial.value = 3
    assert explorer._picture.figure is figure()  # one figure, with new content


def test_save_writes_editable_text(explorer, trials, tmp_path):
    path = explorer.save(tmp_path / "frame.svg", trial=3, time=400)
    text = path.read_text()
    assert "action values" in text
    assert re.search(r"<text[^>]*>[^<]*400 ms", text)
    pdf = explorer.save(tmp_path / "frame.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert explorer.save(tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    assert (explorer.trial.value, explorer.time.value) == (0, 0)  # what is shown stays


def test_the_save_button_names_the_file(explorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer.time.value = 300
    explorer.svg.click()
    (path,) = tmp_path.iterdir()
    assert path.name == "ContextDecisionMaking-v0_trial0_300ms.svg"
    assert path.name in explorer.message.value
    monkeypatch.chdir("/proc")
    explorer.pdf.click()
    assert 'role="alert"' in explorer.message.value


def test_the_page_holds_every_frame_and_nothing_from_outside(explorer, trials, tmp_path):
    page = explorer.to_html(tmp_path / "trial.html", trial=5).read_text()
    frames = json.loads(re.search(r"const frames = (\[.*?\]), labels", page).group(1))
    n = int(trials["length"][5])
    assert len(frames) == n
    assert len({*frames}) == n
    assert "http://" not in page
    assert "https://" not in page
    explorer.go_to(trial=5, time=500)
    shown, exported = pixels(explorer.image.value), pixels(base64.b64decode(frames[5]))
    assert np.abs(shown - exported).mean() < 1


def test_without_widgets_the_picture_is_shown(explorer):
    bundle = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == explorer.image.value
    assert bundle["text/plain"] == "TrialExplorer(16 trials of ContextDecisionMaking-v0, MPN)"
    assert repr(explorer) == bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize("core", ["lstm", "gru", "rnn"])
def test_networks_without_M_can_be_explored(core, tmp_path):
    network = mpn_lab.QNetwork(3, 3, hidden_size=5, core=core)
    explorer = TrialExplorer(mpn_lab.record(network, "DelayMatchSample-v0", trials=3))
    assert explorer.show.disabled
    explorer.time.value = 400
    assert explorer.message.value == ""
    svg = explorer.save(tmp_path / "frame.svg").read_text()
    assert f"There is no M: the core is {core.upper()}." in svg


def test_bad_requests_get_one_sentence(explorer, trials):
    for ask, words in (
        (lambda: TrialExplorer(xr.Dataset()), "this Dataset is not a record"),
        (lambda: TrialExplorer(trials.isel(trial=[])), "the record has no trials left"),
        (lambda: explorer.go_to(trial=77), "there is no trial 77"),
        (lambda: explorer.go_to(time=1e6), "lies outside trial 0, which lasts"),
        (lambda: explorer.save("x.svg", time=-1), "time -1 ms lies outside"),
        (lambda: explorer.save("x.xyz"), "expected a file ending in"),
        (lambda: explorer.to_html("x.html", trial=-3), "there is no trial -3"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()


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
