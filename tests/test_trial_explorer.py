"""TrialExplorer in Python: its traits, what it sends, its static picture, files and page."""

import base64
import json
import re

import numpy as np
import pytest
import torch
import xarray as xr

import mpn_lab
from mpn_lab.analysis import pca
from mpn_lab.plotting.style import style
from mpn_lab.plotting.view import draw_trial
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
    made = TrialExplorer(trials)
    yield made
    made.close()


def sent(explorer, monkeypatch, **asked):
    """What the explorer answers to a message of the browser."""
    messages = []
    monkeypatch.setattr(
        type(explorer), "send", lambda _, content, buffers=None: messages.append((content, buffers))
    )
    explorer._on_message(explorer, {"key": "k"} | asked, [])
    return messages[0]


def test_time_stays_within_the_trial(explorer, trials):
    lengths = trials["length"].values
    longest, shortest = int(lengths.argmax()), int(lengths.argmin())
    assert lengths[longest] > lengths[shortest]
    explorer.trial = longest
    explorer.time = 100.0 * (lengths[longest] - 1)
    explorer.trial = shortest
    assert explorer.time == 100 * (lengths[shortest] - 1)
    with pytest.raises(ValueError, match=f"lies outside trial {shortest}, which lasts"):
        explorer.time = 100.0 * lengths[longest]


def test_the_browser_sets_several_traits_at_once(explorer, trials):
    lengths = trials["length"].values
    longest, first = int(lengths.argmax()), 100.0 * (int(lengths[0]) - 1)
    last = 100.0 * (int(lengths[longest]) - 1)
    assert last > first  # outside the trial that is shown
    where = {"outcome": "correct" if longest % 3 == 0 else "wrong"}
    explorer.set_state({"time": last, "trial": longest, "where": where})
    assert (explorer.time, explorer.trial, explorer.where) == (last, longest, where)


def test_where_leaves_the_trials_asked_for(explorer, trials):
    explorer.where = {"outcome": "wrong", "context": "1"}
    expected = trials.trial.values[~trials.correct.values & (trials.context.values == 1)]
    assert explorer._left() == expected.tolist()
    assert explorer.trial == expected[0]
    explorer.go_to(trial=0)
    assert explorer.where == {}
    every = TrialExplorer(trials.isel(trial=trials.correct.values))
    with pytest.raises(ValueError, match="no trial of this record has outcome = wrong; choose"):
        every.where = {"outcome": "wrong"}
    assert every.where == {}


def test_trials_without_ground_truth_get_no_verdict(trials):
    unknown = trials.assign_coords(
        performance=("trial", np.where(np.arange(16) < 3, np.nan, 0.0)),
        correct=("trial", np.zeros(16, bool)),
    )
    header = TrialExplorer(unknown)._header
    assert not any("correct" in label or "wrong" in label for label in header["labels"][:3])
    assert all(label.endswith(", wrong") for label in header["labels"][3:])
    assert header["conditions"]["outcome"]["code"] == [-1] * 3 + [1] * 13
    nothing_known = unknown.assign_coords(performance=("trial", np.full(16, np.nan)))
    assert "outcome" not in TrialExplorer(nothing_known)._header["conditions"]


def test_a_message_of_the_browser_is_answered_with_arrays(explorer, trials, monkeypatch):
    content, buffers = sent(explorer, monkeypatch, ask="trial", record="recorded", trial=4)
    assert content["key"] == "k"
    layout = content["arrays"]["Q"]
    found = np.frombuffer(buffers[layout["at"]], layout["dtype"]).reshape(layout["shape"])
    np.testing.assert_array_equal(found, trials["Q"].values[4, : len(found)])
    content, buffers = sent(
        explorer, monkeypatch, ask="components", record="recorded", variable="h"
    )
    layout = content["arrays"]["trajectory"]
    found = np.frombuffer(buffers[layout["at"]], layout["dtype"]).reshape(layout["shape"])
    expected = pca(trials, "h", 6)
    np.testing.assert_allclose(found, expected["trajectory"], rtol=1e-4, atol=1e-5)
    assert content["header"]["shares"] == pytest.approx(expected["explained_variance_ratio"].values)


def test_what_goes_wrong_in_an_answer_is_sent_as_a_sentence(explorer, monkeypatch):
    content, _ = sent(explorer, monkeypatch, ask="trial", record="recorded", trial=99)
    assert content == {
        "key": "k",
        "error": "there is no trial 99 in this record of 16 trials (numbers 0 to 15).",
    }
    monkeypatch.setattr("mpn_lab.widgets.shown.detail", lambda *_: 1 / 0)
    content, _ = sent(explorer, monkeypatch, ask="trial", record="recorded", trial=1)
    assert content["error"].startswith("ZeroDivisionError: division by zero (")


def test_the_static_picture_is_the_figure_of_what_is_chosen(explorer, trials):
    explorer.go_to(trial=3, time=400)
    explorer.order, explorer.show = "index", "change of M"
    with style():
        figure, _ = draw_trial(trials, pca(trials, "M", 6), 3, 400, show="change of M")
    assert explorer.png() == figure._repr_png_()
    explorer.components = [3, 1]
    labels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in explorer._draw(3, 4).axes]
    assert any(x.startswith("PC 3 (") and y.startswith("PC 1 (") for x, y in labels)


def test_the_static_picture_is_coloured_by_what_is_chosen(explorer, trials):
    def panel():
        axes = explorer._draw(0, 0).axes
        return next(ax for ax in axes if "trajectory" in ax.get_title(loc="left"))

    explorer.color_by = "outcome"
    named = [text.get_text() for text in panel().get_legend().get_texts()]
    assert named == ["outcome: correct", "outcome: wrong"]
    shown = panel().collections[0].get_colors()[:, :3]
    same = (shown[:, None] == shown[None]).all(2)
    correct = trials["correct"].values
    np.testing.assert_array_equal(same, correct[:, None] == correct[None])
    explorer.color_by = ""
    assert panel().get_legend() is None


def test_the_static_picture_says_that_a_mean_is_not_in_it(explorer):
    for view, words in (("trial", []), ("mean", ["the mean shows where the explorer runs."])):
        explorer.view = view
        texts = [text.get_text() for text in explorer._draw(0, 0).texts]
        assert [text.split("; ")[1] for text in texts if text.startswith("This picture")] == words


def test_without_widgets_the_picture_is_shown(explorer):
    bundle, _ = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == explorer.png()
    assert bundle["text/plain"] == "TrialExplorer(16 trials of ContextDecisionMaking-v0, MPN)"
    assert repr(explorer) == bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_save_writes_editable_text(explorer, tmp_path):
    text = explorer.save(tmp_path / "frame.svg", trial=3, time=400).read_text()
    assert "action values" in text
    assert re.search(r"<text[^>]*>[^<]*400 ms", text)
    pdf = explorer.save(tmp_path / "frame.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert explorer.save(tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    assert (explorer.trial, explorer.time) == (0, 0)  # what is shown stays


def test_the_page_holds_the_trials_asked_for_and_nothing_from_outside(explorer, trials, tmp_path):
    page = explorer.to_html(tmp_path / "trials.html", trials=[5, 2]).read_text()
    parts = json.loads(re.search(r'id="parts">(.*?)</script>', page, re.S).group(1))
    assert {key for key in parts if key.startswith("trial")} == {
        "trial recorded 5",
        "trial recorded 2",
    }
    assert parts["overview"]["header"]["numbers"] == [5, 2]
    layout = parts["trial recorded 2"]["arrays"]["Q"]
    buffer = base64.b64decode(parts["trial recorded 2"]["buffers"][layout["at"]])
    found = np.frombuffer(buffer, layout["dtype"]).reshape(layout["shape"])
    np.testing.assert_array_equal(found, trials["Q"].values[2, : len(found)])
    assert "http://" not in page
    assert "https://" not in page
    explorer.where = {"outcome": "correct"}
    page = explorer.to_html(tmp_path / "trials.html").read_text()
    parts = json.loads(re.search(r'id="parts">(.*?)</script>', page, re.S).group(1))
    assert parts["overview"]["header"]["numbers"] == [0, 3, 6, 9, 12, 15]


def test_a_page_of_values_that_never_differ_is_still_json(trials, tmp_path):
    flat = trials.assign(Q=trials["Q"] * 0)
    page = TrialExplorer(flat).to_html(tmp_path / "flat.html", trials=[0]).read_text()
    text = re.search(r'id="parts">(.*?)</script>', page, re.S).group(1)
    parts = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert parts["components recorded Q"]["header"]["shares"] == [None] * 3


def test_a_page_with_an_infinite_condition_is_still_json(trials, tmp_path):
    values = np.r_[np.arange(14.0), np.inf, np.nan]
    explorer = TrialExplorer(trials.assign_coords(strength=("trial", values)))
    text = explorer.to_html(tmp_path / "page.html").read_text()
    parts = json.loads(re.search(r'id="parts">(.*?)</script>', text, re.S).group(1))
    known = parts["overview"]["header"]["conditions"]["strength"]["values"]
    assert known == [*range(14), None, None]
    explorer.color_by = "strength"
    assert explorer.png().startswith(b"\x89PNG")


def test_a_page_has_large_trajectories_and_each_trial_once(trials, tmp_path):
    large = trials.assign(h=trials["h"] * 1e6)
    explorer = TrialExplorer(large)
    text = explorer.to_html(tmp_path / "page.html", trials=[5, 2, 5]).read_text()
    parts = json.loads(re.search(r'id="parts">(.*?)</script>', text, re.S).group(1))
    assert parts["overview"]["header"]["numbers"] == [5, 2]
    part = parts["components recorded h"]
    layout = part["arrays"]["trajectory"]
    buffer = base64.b64decode(part["buffers"][layout["at"]])
    found = np.frombuffer(buffer, layout["dtype"]).reshape(layout["shape"])
    expected = pca(large, "h", 6)["trajectory"].values[[5, 2]]
    assert np.nanmax(np.abs(expected)) > 65_504  # too large for 16 bits
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("core", ["lstm", "gru", "rnn"])
def test_networks_without_M_can_be_explored(core, tmp_path):
    network = mpn_lab.QNetwork(3, 3, hidden_size=5, core=core)
    explorer = TrialExplorer(mpn_lab.record(network, "DelayMatchSample-v0", trials=3))
    assert explorer.variable == "h"
    assert explorer._header["shows"] == {}
    explorer.time = 400
    svg = explorer.save(tmp_path / "frame.svg").read_text()
    assert f"There is no M: the core is {core.upper()}." in svg


def test_a_selection_is_of_what_is_there(explorer, trials):
    explorer.selection = chosen = {"unit": 8, "input": 3, "span": [100, 300.0]}
    for value, words in (
        ({"unit": True}, "unit is True; expected a whole number, 0 to 8"),
        ({"unit": 9}, "unit is 9; expected 0 to 8"),
        ({"input": 1.5}, "input is 1.5; expected a whole number"),
        ({"span": 5}, "span is 5; expected two times in ms, from and to"),
        ({"span": [1, 2, 3]}, "expected two times in ms, from and to"),
        ({"span": [100, None]}, "a time of span is None; expected a number"),
        ({"span": [0, float("nan")]}, "a time of span is nan; expected a finite number"),
        ({"span": [300, 100]}, "span is [300, 100]; expected the earlier time first"),
        ({"output": 1}, "selection is 'output'; expected one of unit, input, span"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            explorer.selection = value
        assert explorer.selection == chosen
    without = TrialExplorer(trials.drop_vars("M"))
    with pytest.raises(ValueError, match="input is 0, but there is none to select; leave it out"):
        without.selection = {"input": 0}


def test_bad_requests_get_one_sentence(explorer, trials, monkeypatch):
    for ask, words in (
        (lambda: TrialExplorer(xr.Dataset()), "this Dataset is not a record"),
        (lambda: TrialExplorer(trials.isel(trial=[])), "the record has no trials left"),
        (lambda: explorer.go_to(trial=77), "there is no trial 77"),
        (lambda: explorer.go_to(time=1e6), "lies outside trial 0, which lasts"),
        (lambda: explorer.save("x.svg", time=-1), "time -1 ms lies outside"),
        (lambda: explorer.save("x.xyz"), "expected a file ending in"),
        (lambda: explorer.to_html("x.html", trials=[-3]), "there is no trial -3"),
        (lambda: explorer.to_html("x.html", trials=[]), "trials is empty; expected numbers"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()
    monkeypatch.setattr("mpn_lab.widgets.payload.MOST", 1000)
    with pytest.raises(ValueError, match=r"the longest trial takes .* more than .*; select fewer"):
        TrialExplorer(trials)


def test_trials_are_chosen_by_the_records_own_values():
    network = mpn_lab.QNetwork(3, 3, hidden_size=4, generator=torch.Generator().manual_seed(0))
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=8)
    explorer = TrialExplorer(trials)
    angles = sorted(set(trials["sample_theta"].values.tolist()))
    for angle in (*angles, *np.float32(angles)):
        explorer.where = {"sample_theta": angle}
        kept = trials["trial"].values[np.isclose(trials["sample_theta"].values, float(angle))]
        assert explorer._left() == kept.tolist()
    with pytest.raises(ValueError, match=r"sample_theta is '3\.2'"):
        explorer.where = {"sample_theta": 3.2}
