"""Panels of stored and replayed states show the Dataset's own numbers, for each age and time."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import mpn_lab
from mpn_lab import plotting
from mpn_lab.analysis.restore import as_trials
from mpn_lab.plotting.staleness import strategy_color

make_staleness = runpy.run_path(str(Path(__file__).with_name("staleness_data.py")))[
    "make_staleness"
]


@pytest.fixture(scope="module")
def data():
    return make_staleness()


@pytest.fixture
def ax():
    return plotting.new_figure(4, 3).subplots()


def lengths(data, trial):
    return int(data["length"].sel(trial=trial))


def drawn(values, variable):
    """Distances as they are drawn: those of M_t at t, which the Dataset has at t + 1."""
    return np.append(values[1:], np.nan) if variable.startswith("dM") else values


@pytest.mark.parametrize("variable", ["dM", "dQ", "dM_raw", "dQ_raw", "dQ_from_start"])
def test_a_line_for_each_strategy_follows_the_age(data, ax, variable):
    panel = plotting.plot_staleness_over_trial(ax, data, 2, 500, 4, "zero", variable)
    n = lengths(data, 2)
    lines = {line.get_label(): line for line in panel.background.artists}
    assert list(lines) == data.strategy.values.tolist()
    for position, age in ((1, 4), (4, 256)):
        panel.background.update(position)
        for name, line in lines.items():
            own = data[variable].sel(strategy=name, age=age, trial=2).values[:n]
            np.testing.assert_array_equal(line.get_ydata(), drawn(own, variable))
    widths = {name: line.get_linewidth() for name, line in lines.items()}
    assert max(widths, key=widths.get) == "zero"
    panel.update(7)
    head = panel.artists[-1]
    own = drawn(data[variable].sel(strategy="zero", age=256, trial=2).values[:n], variable)
    assert head.get_ydata()[0] == own[7]
    values = data[variable].sel(trial=2).values
    assert ax.get_ylim()[0] < 0 < np.nanmax(values) < ax.get_ylim()[1]  # all ages fit


def test_the_map_is_the_distance_by_age_and_time(data, ax):
    panel = plotting.plot_staleness_map(ax, data, 1, 300, 16, "zero")
    own = data["dQ"].sel(strategy="zero", trial=1).values[:, : lengths(data, 1)]
    np.testing.assert_array_equal(ax.images[0].get_array().filled(np.nan), own)
    (frame,) = panel.background.artists
    assert (frame.get_y(), frame.get_height()) == (1.5, 1)
    panel.background.update(0)
    assert frame.get_y() == -0.5
    panel.update(6)
    assert panel.artists[0].get_xdata()[0] == 600
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "4", "16", "64", "256"]


def test_dots_lie_where_the_greedy_action_differs(data, ax):
    assert data["flipped"].values[0, :, 0].any()
    plotting.plot_staleness_map(ax, data, 0, strategy="zero")
    rows, steps = np.nonzero(data["flipped"].values[0, :, 0, : lengths(data, 0)])
    dots = ax.collections[0].get_offsets()
    np.testing.assert_array_equal(dots, np.column_stack([steps * 100, rows]))


def test_a_distance_that_is_not_defined_is_left_out(data, ax):
    values = data["dM"].values[:, :, :, 10]  # the first step of the second window, from zero
    assert np.isnan(values[0]).all()
    plotting.plot_staleness_map(ax, data, 0, strategy="zero", variable="dM")
    assert ax.images[0].get_array().mask[:, 9].all()  # of the M after the step before


def test_many_ages_are_not_all_written(data, ax):
    data = data.isel(age=[0] * 30).assign_coords(age=list(range(0, 300, 10)))
    plotting.plot_staleness_map(ax, data, 0)
    written = [text.get_text() for text in ax.get_yticklabels()]
    assert len(written) <= 8
    assert written[-1] == "290"


def test_q_of_both_states_uses_the_parameters_of_the_age(data, ax):
    panel = plotting.plot_staleness_q(ax, data, 3, 400, 64, "stored")
    n, lines = lengths(data, 3), panel.background.artists[:6]
    for position, age in ((3, 64), (0, 0)):
        panel.background.update(position)
        replayed = data.Q_replayed.sel(strategy="stored", age=age, trial=3).values[:n]
        stored = data.Q_stored.sel(age=age, trial=3).values[:n]
        np.testing.assert_array_equal(np.stack([ln.get_ydata() for ln in lines[::2]], 1), replayed)
        np.testing.assert_array_equal(np.stack([ln.get_ydata() for ln in lines[1::2]], 1), stored)
        panel.update(5)
        heads = [head.get_ydata()[0] for head in panel.artists[1:]]
        np.testing.assert_array_equal(heads, np.column_stack([replayed[5], stored[5]]).ravel())
    assert all(line.get_linestyle() == "--" for line in lines[1::2])


def test_squares_are_ringed_where_the_greedy_actions_differ(data, ax):
    trial = int(data["flipped"].sel(strategy="zero", age=256).any("time").values.argmax())
    panel = plotting.plot_staleness_q(ax, data, trial, 0, 256, "zero")
    flipped = data["flipped"].sel(strategy="zero", age=256, trial=trial).values
    flipped = flipped[: lengths(data, trial)]
    for row in panel.background.artists[-2:]:
        np.testing.assert_array_equal(row.get_edgecolors()[:, 3] == 1, flipped)
    stored, replayed = (row.get_facecolors() for row in panel.background.artists[-2:])
    np.testing.assert_array_equal((stored != replayed).any(1), flipped)


def test_matrices_share_one_scale_that_is_centred_on_zero(data):
    axes = plotting.new_figure(6, 2).subplots(1, 3)
    order = np.random.default_rng(0).permutation(data.sizes["hidden"])
    panels = {
        show: plotting.plot_staleness_modulations(ax, data, 1, 700, 4, "zero", show, order)
        for ax, show in zip(axes, ("stored", "replayed", "difference"), strict=True)
    }
    stored = data.M_stored.sel(trial=1).values
    replayed = data.M_replayed.sel(trial=1, strategy="zero").values  # (age, time, n, d)
    top = max(np.nanmax(np.abs(stored)), np.nanmax(np.abs(replayed)))
    for j, step in ((1, 7), (4, 12), (4, 3)):
        for panel in panels.values():
            panel.background.update(j)
            panel.update(step)
        after = step + 1  # M_t, which the Dataset has where it acts
        expected = {"stored": stored[after], "replayed": replayed[j, after]}
        expected["difference"] = replayed[j, after] - stored[after]
        for show, panel in panels.items():
            image = panel.artists[0]
            np.testing.assert_array_equal(image.get_array(), expected[show][order])
            np.testing.assert_allclose(image.get_clim(), (-top, top), rtol=1e-6)


def test_window_starts_are_marked(data, ax):
    plotting.plot_staleness_over_trial(ax, data, 0)
    dotted = [line for line in ax.lines if line.get_color() == "#707070"]
    assert [line.get_xdata()[0] for line in dotted] == [
        t - 50 for t in (1000, 2000, 3000) if t < lengths(data, 0) * 100
    ]


def test_windows_are_marked_before_the_M_that_they_start_from(data, ax):
    plotting.plot_staleness_over_trial(ax, data, 0, variable="dM")
    dotted = [line for line in ax.lines if line.get_color() == "#707070"]
    assert [line.get_xdata()[0] for line in dotted] == [
        t - 150 for t in (1000, 2000, 3000) if t < lengths(data, 0) * 100
    ]


def test_no_M_is_drawn_after_the_last_step(data, ax):
    last = lengths(data, 1) - 1
    panel = plotting.plot_staleness_modulations(ax, data, 1, last * 100, show="stored")
    assert np.isnan(np.ma.filled(panel.artists[0].get_array(), np.nan)).all()


def test_inputs_of_these_trials_can_be_drawn_too(data, ax):
    as_trials(data)
    plotting.plot_inputs(ax, data, 0, 200)
    np.testing.assert_array_equal(
        ax.lines[0].get_ydata(), data.obs.values[0, : lengths(data, 0), 0]
    )


def test_all_panels_are_updated_at_once(data):
    figure, panel = plotting.draw_staleness(data, 0, 300, age=0, strategy="start")
    panel.update(4)
    panel.background.update(2)
    words = {text.get_text() for text in figure.texts}
    assert "400 ms  sample" in words
    assert "age: 16 updates since collection    replayed from: start" in words
    figure.canvas.draw()
    labelled = [ax for ax in figure.axes if ax.lines and ax.get_xlabel()]
    assert {ax.get_xlabel() for ax in labelled} == {"time (ms)"}


def test_the_defaults_are_the_oldest_age_and_the_stored_state(data):
    figure, _ = plotting.draw_staleness(data, 0)
    assert "age: 256 updates since collection    replayed from: stored" in {
        t.get_text() for t in figure.texts
    }
    figure, _ = plotting.draw_staleness(data.sel(strategy=["start", "zero"]), 0)
    assert "age: 256 updates since collection    replayed from: start" in {
        t.get_text() for t in figure.texts
    }


def test_each_strategy_has_its_own_colour():
    names = ("zero", "stored", "zero, burn-in 4", "stored, burn-in 4", "start")
    assert len({strategy_color(name) for name in names}) == 5
    assert strategy_color("zero, burn-in 8") == strategy_color("zero, burn-in 4")


@pytest.mark.parametrize("measure", ["relative", "absolute", "relative, from the start"])
def test_one_age_one_trial_and_one_strategy_can_be_drawn(data, measure):
    small = data.isel(age=[0], trial=[2], strategy=[1])
    figure, _ = plotting.draw_staleness(small, 2, measure=measure)
    figure.canvas.draw()


def test_bad_requests_get_one_sentence(data, ax):
    lstm = make_staleness(trials=2, ages=(0, 4), core="lstm")
    record = mpn_lab.record(mpn_lab.QNetwork(3, 3), "DelayMatchSample-v0", trials=2)
    line, draw = plotting.plot_staleness_over_trial, plotting.draw_staleness
    matrix = plotting.plot_staleness_modulations
    for ask, words in (
        (lambda: line(ax, xr.Dataset(), 0), "holds no stored and replayed states"),
        (lambda: line(ax, record, 0), "holds no stored and replayed states"),
        (lambda: matrix(ax, lstm, 0), "there is no M_stored among .* of this LSTM network"),
        (lambda: line(ax, lstm, 0, variable="dM"), "there is no dM among"),
        (lambda: line(ax, data, 0, variable="dX"), "variable is 'dX'; expected one of dM, dQ"),
        (lambda: line(ax, data, 0, 0, 7), "no age of 7 updates; there are 0, 4, 16, 64, 256"),
        (lambda: line(ax, data, 0, 0, 4, "none"), "no strategy 'none'; there are 'zero', 'stored'"),
        (lambda: line(ax, data, 77), "there is no trial 77"),
        (lambda: line(ax, data, 0, 1e9), "lies outside trial 0"),
        (lambda: matrix(ax, data, 0, show="W"), "show is 'W'; expected one of stored, replayed"),
        (lambda: draw(data, 0, measure="m"), "measure is 'm'; expected one of relative, absolute"),
        (lambda: mpn_lab.TrialExplorer(data), "this Dataset is not a record"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()


def test_without_M_its_panels_say_so():
    lstm = make_staleness(trials=2, ages=(0, 4), core="lstm")
    figure, panel = plotting.draw_staleness(lstm, 0)
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert words.count("There is no M: the core is LSTM.") == 2
    panel.update(3)
    panel.background.update(0)
    figure.canvas.draw()
