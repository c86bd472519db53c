"""What TrialExplorer shows of several records: its traits, times, means, page and picture."""

import gc
import json
import re
import weakref

import numpy as np
import pytest

import mpn_lab
from mpn_lab import edits
from tests.explorer_data import asked, make_network, make_record


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def trials(network):
    return make_record(network)


@pytest.fixture
def explorer(trials, network):
    made = mpn_lab.TrialExplorer(trials, network=network)
    yield made
    made.close()


def with_late_tests(trials):
    """The test of trial 1 is two steps later, trial 4 has none."""
    period = trials["period"].values.copy()
    period[1, 2:] = period[1, :-2]
    period[1, ~trials["valid"].values[1]] = ""
    period[4, period[4] == "test"] = "delay"
    return trials.assign_coords(period=(("trial", "time"), period))


def test_times_count_from_the_period_that_trials_are_aligned_to(trials, network):
    trials = with_late_tests(trials)
    explorer = mpn_lab.TrialExplorer(trials, network=network)
    starts = explorer._header["starts"]["test"]
    assert starts == [
        int((row == "test").argmax()) if "test" in row else -1 for row in trials["period"].values
    ]
    assert starts[1] == starts[0] + 2
    assert starts[4] == -1
    explorer.time = 500
    explorer.align = "test"
    assert explorer.time == 500 - 100 * starts[0]
    assert explorer._frame(None, None) == (0, 5)  # the step stays
    explorer.trial = 1  # the time stays
    assert explorer._frame(None, None) == (1, 7)
    explorer.align = ""
    assert explorer.time == 700
    explorer.set_state({"align": "test", "time": 0.0})  # both, as the browser sets them
    assert (explorer.time, explorer._frame(None, None)) == (0, (1, starts[1]))
    explorer.go_to(time=-100.0 * starts[1])
    explorer.trial = 0  # which begins later on this axis
    assert explorer._frame(None, None) == (0, 0)
    with pytest.raises(ValueError, match=f"lies outside trial 0, which lasts from -{starts[0]}00 "):
        explorer.time = -100.0 * starts[1]
    explorer.trial = 4  # without the period: from its start
    explorer.go_to(time=300)
    assert explorer._frame(None, None) == (4, 3)
    with pytest.raises(ValueError, match="align is 'lunch'; expected one of fixation, sample"):
        explorer.align = "lunch"
    assert (explorer.align, explorer.time) == ("test", 300)


def test_a_refused_change_of_the_axis_leaves_the_time(explorer):
    explorer.time = 500
    explorer.set_state({"align": "test", "time": 0.0, "trial": 99})
    assert (explorer.align, explorer.time, explorer.trial) == ("", 500, 0)
    explorer.align = "test"
    assert explorer.time == 500 - 100 * explorer._header["starts"]["test"][0]


def test_times_fit_the_trial_of_the_record_that_is_shown_first(trials):
    other = make_record(make_network(1))
    lengths, others = trials["length"].values, other["length"].values
    i = int((lengths - others).argmax())
    assert lengths[i] > others[i]
    explorer = mpn_lab.TrialExplorer({"long": trials, "short": other})
    explorer.go_to(i, 100.0 * int(lengths[i] - 1))
    explorer.shown = ["short", "long"]
    assert explorer.time == 100 * (lengths[i] - 1)  # the long one is still shown
    assert explorer._frame(None, None) == (i, others[i] - 1)
    explorer.shown = ["short"]
    assert explorer.time == 100 * (others[i] - 1)


def test_times_go_as_far_as_what_is_shown(trials, explorer, tmp_path):
    lengths = trials["length"].values
    short, long = int(lengths.argmin()), int(lengths.argmax())
    end, last = 100.0 * int(lengths[short]), 100.0 * int(lengths[long] - 1)
    assert end <= last
    explorer.trial = short
    with pytest.raises(ValueError, match=f"lies outside trial {short}, which lasts from 0 to"):
        explorer.time = last
    for name, value, before in (("view", "mean", "trial"), ("view", "difference", "trial"),
                                ("beside", [long], [])):  # fmt: skip
        setattr(explorer, name, value)
        explorer.set_state({"time": last})  # as the browser does, which shows it
        assert explorer.time == last
        assert explorer._frame(None, None) == (short, lengths[short] - 1)  # of the figure
        with pytest.raises(ValueError, match="what is shown, which lasts from 0 to"):
            explorer.go_to(time=last + 100)
        assert explorer.go_to(time=end).time == end
        setattr(explorer, name, before)
        assert explorer.time == end - 100
    with pytest.raises(ValueError, match=f"lies outside trial {short}, which lasts"):
        explorer.save(tmp_path / "x.svg", time=end)


def test_times_on_an_axis_go_as_far_as_what_is_shown(trials, network):
    explorer = mpn_lab.TrialExplorer(with_late_tests(trials), network=network)
    header = explorer._header
    starts, lengths = header["starts"]["test"], header["lengths"]
    explorer.align = "test"
    with pytest.raises(ValueError, match="lies outside trial 0, which lasts from"):
        explorer.time = -100.0 * starts[1]
    explorer.beside = [1]
    explorer.time = -100.0 * starts[1]
    assert explorer._frame(None, None) == (0, 0)
    explorer.view, explorer.beside = "mean", []
    assert explorer.time == -100 * starts[1]
    ends = [n - max(start, 0) for n, start in zip(lengths, starts, strict=True)]
    explorer.time = 100.0 * (max(ends) - 1)  # in trial 4, which has no test
    late = mpn_lab.TrialExplorer(with_late_tests(trials).isel(time=slice(2, None)))
    late.trial, late.align = 4, "test"
    assert late.time == 0  # as in the browser, where such a trial begins at 0


def test_the_browser_may_ask_for_times_next_to_what_is_shown(trials, network, monkeypatch):
    explorer = mpn_lab.TrialExplorer(with_late_tests(trials), network=network)
    sent, starts = [], explorer._header["starts"]["test"]
    monkeypatch.setattr(explorer, "_send", lambda message, buffers=None: sent.append(message))
    explorer.set_state({"align": "test", "trial": 1, "time": -100.0 * starts[1]})
    explorer.set_state({"trial": 0, "time": -100.0 * starts[1]})  # which begins later on the axis
    assert (explorer.trial, explorer.time) == (0, -100 * starts[0])
    assert {"time": explorer.time} in [message["state"] for message in sent]
    explorer.set_state({"time": 1e9})
    assert explorer._frame(None, None) == (0, explorer._header["lengths"][0] - 1)


def test_the_browser_is_told_what_was_refused(explorer, monkeypatch):
    sent = []
    monkeypatch.setattr(explorer, "send", sent.append)
    monkeypatch.setattr(explorer, "_send", lambda message, buffers=None: sent.append(message))
    for state, words in (
        ({"trial": 99, "time": 0.0}, "there is no trial 99 in this record of 10 trials"),
        ({"time": float("inf")}, "time is inf; expected a finite number"),
        ({"trial": "x"}, "The 'trial' trait of a TrialExplorer instance expected an int"),
        ({"shown": [], "time": 0.0}, "shown is []; expected 1 to 4 different names of records."),
    ):
        sent.clear()
        before = explorer.get_state(list(state))
        explorer.set_state(state)
        assert explorer.get_state(list(state)) == before
        *_, update, told = sent
        assert (update["method"], update["state"]) == ("update", before)
        assert told["key"] is None
        assert told["error"].startswith(words)


def test_the_mean_of_a_question_is_that_of_the_record(trials, network):
    trials = with_late_tests(trials)
    explorer = mpn_lab.TrialExplorer(trials, network=network)
    header, arrays = asked(explorer, "mean", "recorded", trials=[0, 2, 4], align="")
    assert (header["averaged"], header["first"]) == (3, 0)
    mean = trials["Q"].sel(trial=[0, 2, 4]).mean("trial", skipna=True).values
    np.testing.assert_allclose(arrays["Q"], mean[: len(arrays["Q"])], atol=1e-5)
    header, arrays = asked(explorer, "mean", "recorded", trials=[0, 1, 4], align="test")
    late = int(explorer._header["starts"]["test"][1])
    assert (header["averaged"], header["first"]) == (2, -late)
    expected = (trials["Q"].values[0, late - 2] + trials["Q"].values[1, late]) / 2
    np.testing.assert_allclose(arrays["Q"][late], expected, atol=1e-5)
    for given, words in (
        ({"trials": [4], "align": "test"}, "none of the trials to average has the period 'test'"),
        ({"trials": [], "align": ""}, "no trial is left to average; remove some filters"),
        ({"trials": [99], "align": ""}, "there is no trial 99"),
        ({"trials": [1], "align": "lunch"}, "none of the trials to average has the period 'lunch'"),
    ):
        with pytest.raises(ValueError, match=words):
            asked(explorer, "mean", "recorded", **given)


def test_what_is_not_there_cannot_be_shown(explorer):
    for name, value, words in (
        ("shown", [], "shown is []; expected 1 to 4 different names of records"),
        ("shown", list("abcde"), "expected 1 to 4 different names of records"),
        ("shown", ["recorded", "recorded"], "expected 1 to 4 different names"),
        ("shown", ["what if 1"], "shown is 'what if 1'; expected one of recorded."),
        ("shown", ["checkpoint 16"], "shown is 'checkpoint 16'; expected"),
        ("beside", [99], "there is no trial 99 in this record of 10 trials"),
        ("beside", [1, 2, 3, 4], "expected the numbers of up to 3 different trials"),
        ("beside", [2, 2], "expected the numbers of up to 3 different trials"),
        ("by", "hunger", "by is 'hunger'; expected one of"),
    ):
        before = getattr(explorer, name)
        with pytest.raises(ValueError, match=re.escape(words)):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before
    explorer.beside, explorer.by = [4, 1], "outcome"
    with pytest.raises(ValueError, match="record is 'other'; expected one of recorded"):
        asked(explorer, "trial", "other", trial=1)


def test_a_page_has_what_is_shown_of_the_records(explorer, tmp_path):
    explorer.edits = [edits.zero("M", at="test")]
    explorer.where, explorer.align, explorer.beside = {"outcome": "wrong"}, "test", [0, 1, 9]
    explorer.shown = ["what if 1", "recorded"]
    wrong = explorer._left()
    page = explorer.to_html(tmp_path / "page.html").read_text()
    parts, values = (
        json.loads(re.search(rf'id="{name}">(.*?)</script>', page, re.S).group(1))
        for name in ("parts", "values")
    )
    header = parts["overview"]["header"]
    assert (header["record"], header["records"]) == ("what if 1", ["what if 1", "recorded"])
    assert (header["checkpoints"], header["edits"], header["page"]) == ([], None, True)
    assert header["numbers"] == wrong
    assert set(header["conditions"]["outcome"]["code"]) == {1}  # wrong, as recorded
    assert values["where"] == {"outcome": "wrong"}
    assert values["beside"] == [n for n in (0, 1, 9) if n in wrong]
    for name in ("what if 1", "recorded"):
        expected = asked(explorer, "overview", name)[0]
        own = parts[f"overview {name}"]["header"]
        assert own["record"] == name
        for key in ("labels", "lengths"):
            assert own[key] == [expected[key][n] for n in wrong]
        assert own["starts"]["test"] == [expected["starts"]["test"][n] for n in wrong]
        for number in wrong:
            assert f"trial {name} {number}" in parts
        for key in (f"order {name} cluster", f"components {name} M", f"components {name} h"):
            assert key in parts
    assert not any("checkpoint" in key for key in parts)
    assert "order recorded index" not in parts  # the browser does not ask for it


def test_the_picture_is_of_the_record_that_is_shown_first(explorer, trials):
    explorer.go_to(trial=3, time=1900)
    explorer.edits = [edits.zero("M", at="test")]

    def texts():
        return " ".join(text.get_text() for text in explorer._draw(3, 19).texts)

    of_record = explorer.png()
    assert "the comparison shows where the explorer runs" in texts()
    explorer.shown = ["what if 1"]
    assert explorer.png() != of_record
    assert "what if 1: zero M at test" in texts()
    assert "This picture" not in texts()
    explorer.shown = ["recorded"]
    assert "This picture" not in texts()
    explorer.align = "test"
    assert explorer.png() == mpn_lab.TrialExplorer(trials).go_to(3, 1900).png()


def test_a_closed_explorer_frees_what_it_computed(trials, network):
    explorer = mpn_lab.TrialExplorer(trials, network=network)
    explorer.edits = [edits.zero("M")]
    asked(explorer, "components", "what if 1", variable="M")
    held = weakref.ref(explorer.counterfactual)
    assert held() is not None
    explorer.close()
    gc.collect()
    assert held() is None
    with pytest.raises(ValueError, match="this explorer is closed"):
        explorer.edits = []
    with pytest.raises(ValueError, match="this explorer is closed"):
        asked(explorer, "trial", "recorded", trial=1)


def test_a_span_stays_where_it_is_in_the_trial(explorer):
    explorer.selection = {"span": [300, 500]}
    explorer.time = 700
    explorer.align = "test"
    low, high = explorer.selection["span"]
    assert (high - low, explorer.time - low) == (200, 400)
    explorer.align = ""
    assert explorer.selection == {"span": [300, 500]}


def test_the_time_fits_a_mean_of_fewer_trials(explorer, trials):
    lengths = trials["length"].values
    explorer.view = "mean"
    explorer.time = float(trials["time"][lengths.max() - 1])
    explorer.where = {"length": int(lengths.min())}
    assert explorer.time == float(trials["time"][lengths.min() - 1])
