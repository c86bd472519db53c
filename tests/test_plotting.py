"""Panels show the record's own numbers, and refuse what they cannot show in one sentence."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import analysis, plotting
from mpn_lab.plotting.style import largest, limits


@pytest.fixture(scope="module")
def trials():
    network = mpn_lab.QNetwork(
        3, 3, hidden_size=6, embedding_size=4, generator=torch.Generator().manual_seed(0)
    )
    return mpn_lab.record(network, "DelayMatchSample-v0", trials=12, epsilon=0.1)


@pytest.fixture
def ax():
    return plotting.new_figure(6, 3).subplots()


def test_inputs_are_the_observations(trials, ax):
    panel = plotting.plot_inputs(ax, trials, 3, 400)
    n = int(trials["length"][3])
    for k in range(3):
        np.testing.assert_array_equal(ax.lines[k].get_ydata(), trials.obs.values[3, :n, k])
    (cursor,) = panel.artists
    assert cursor.get_xdata()[0] == 400
    panel.update(1)
    assert cursor.get_xdata()[0] == 100
    words = {text.get_text() for text in ax.texts}
    assert {"fixation", "sample", "delay"} <= words


def test_many_inputs_are_a_heat_map(ax):
    task = "mpn_lab/Integration-v0", {"input_size": 30}
    network = mpn_lab.QNetwork(30, 2, hidden_size=4, embedding="none")
    trials = mpn_lab.record(network, *task, trials=2)
    (cursor,) = plotting.plot_inputs(ax, trials, 1, 400).artists
    assert list(ax.lines) == [cursor]
    (image,) = ax.images
    np.testing.assert_array_equal(image.get_array(), trials.obs.values[1].T)
    low, high = image.get_clim()
    assert low == -high == -np.abs(trials.obs.values[1]).max()


def test_q_marks_values_at_the_cursor(trials, ax):
    panel = plotting.plot_q(ax, trials, 2, 300)
    heads = panel.artists[-1]
    np.testing.assert_allclose(heads.get_offsets()[:, 1], trials.Q.values[2, 3])
    panel.update(5)
    np.testing.assert_allclose(heads.get_offsets()[:, 1], trials.Q.values[2, 5])


@pytest.mark.parametrize(
    ("training", "label", "title"),
    [("dqn", "Q", "action values"), ("supervised", "logit", "logits of actions")],
)
def test_outputs_are_named_after_the_training(training, label, title, trials, ax):
    plotting.plot_q(ax, trials.assign_attrs(training=training), 2)
    assert (ax.get_ylabel(), ax.get_title()) == (label, title)


@pytest.mark.parametrize("show", ["M", "effective weights", "change of M"])
def test_modulations_are_centred_on_zero_with_one_scale(trials, ax, show):
    order = analysis.hidden_order(trials, "cluster")
    panel = plotting.plot_modulations(ax, trials, 1, 200, show, order)
    image = panel.artists[0]
    whole = {
        "M": trials.M,
        "effective weights": analysis.effective_weights(trials),
        "change of M": analysis.modulation_change(trials),
    }[show].sel(trial=1)
    np.testing.assert_allclose(image.get_array(), whole.values[2][order], rtol=1e-6)
    low, high = image.get_clim()
    assert low == -high
    assert high == pytest.approx(float(np.nanmax(np.abs(whole))))
    panel.update(7)
    assert image.get_clim() == (low, high)
    np.testing.assert_allclose(image.get_array(), whole.values[7][order], rtol=1e-6)


def test_hidden_activity_keeps_the_order(trials, ax):
    order = np.array([3, 1, 0, 2, 5, 4])
    plotting.plot_hidden(ax, trials, 0, 0, order)
    n = int(trials["length"][0])
    np.testing.assert_array_equal(ax.images[0].get_array(), trials.h.values[0, :n].T[order])


def test_the_trajectory_head_is_where_the_trial_is(trials, ax):
    components = analysis.pca(trials, "M", 2)
    panel = plotting.plot_trajectory(ax, trials, components, 4, 600)
    (head,) = panel.artists
    assert np.r_[head.get_xdata(), head.get_ydata()] == pytest.approx(
        components.trajectory.values[4, 6]
    )


@pytest.mark.parametrize(
    ("values", "ends", "scale"),
    [
        ([-3.0, 2.0], (-3, 2), 3),
        ([1.0, 2.0], (1, 2), 2),
        ([np.nan, -1.0, np.inf, 4.0], (-1, 4), 4),
        ([0.0, np.nan], (0, 0), 1),
        ([-np.inf], (0, 0), 1),
        ([], (0, 0), 1),
    ],
)
def test_scales_leave_out_what_is_not_finite(values, ends, scale):
    assert limits(np.array(values)) == ends
    assert largest(np.array(values)) == scale


def test_results_are_drawn_with_their_intervals(ax):
    network = mpn_lab.QNetwork(3, 3, hidden_size=4)
    trials = mpn_lab.record(network, "PerceptualDecisionMaking-v0", trials=60)
    curve = analysis.psychometric(trials, analysis.signed_coherence(trials))
    figure = plotting.new_figure(8, 3)
    axes = figure.subplots(1, 4)
    plotting.plot_psychometric(axes[0], curve)
    plotting.plot_performance(axes[1], analysis.performance_by(trials, "coh"))
    plotting.plot_decoding(axes[2], analysis.decode(trials, "correct_response", "M"))
    plotting.plot_cross_decoding(axes[3], analysis.decode_across_times(trials, every=4))
    figure.canvas.draw()
    low_high = axes[0].collections[-1].get_segments()
    np.testing.assert_allclose([s[0, 1] for s in low_high], curve.low, atol=1e-9)


def test_the_style_changes_nothing_outside(trials):
    import matplotlib

    before = dict(matplotlib.rcParams)
    with plotting.style():
        components = analysis.pca(trials, "M", 2)
        figure, _ = plotting.draw_trial(trials, components, 0, 0)
        figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before


def test_neither_panels_nor_widgets_import_pyplot():
    # neurogym imports pyplot itself, so it is taken out again first.
    code = (
        "import neurogym, sys; sys.modules.pop('matplotlib.pyplot');"
        "import mpn_lab.plotting.results, mpn_lab.widgets.trial;"
        "import mpn_lab.widgets.monitor, mpn_lab.widgets.staleness;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    probe = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert probe.returncode == 0, probe.stderr


def test_bad_requests_get_one_sentence(trials, ax):
    lstm = mpn_lab.record(mpn_lab.QNetwork(3, 3, core="lstm"), "DelayMatchSample-v0", trials=2)
    for draw, words in (
        (lambda: plotting.plot_modulations(ax, lstm, 0), "this LSTM network has no M"),
        (lambda: plotting.plot_modulations(ax, trials, 0, 0, "W"), "expected one of M, effective"),
        (lambda: plotting.plot_q(ax, trials, 99), "no trial 99 in this record of 12 trials"),
        (lambda: plotting.plot_q(ax, trials, 0, -100), "time -100 ms lies outside trial 0, which"),
        (lambda: plotting.plot_q(ax, trials, 0, 1e9), "lies outside trial 0"),
        (
            lambda: plotting.plot_q(ax, trials, 0, float("nan")),
            "time is nan; expected a finite number",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            draw()
