"""The explorer of stored and replayed states sends what the Dataset holds, and refuses the rest."""

import base64
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets
import xarray as xr
from matplotlib import pyplot

import mpn_lab
from mpn_lab.widgets.staleness import TRAITS, StalenessExplorer

make_staleness = runpy.run_path(str(Path(__file__).with_name("staleness_data.py")))[
    "make_staleness"
]


@pytest.fixture(scope="module")
def data():
    return make_staleness()


@pytest.fixture
def explorer(data):
    return StalenessExplorer(data)


def test_the_explorer_opens_where_dQ_is_largest_and_M_is_known(explorer, data):
    assert (explorer.age, explorer.strategy, explorer.trial) == (256, "stored", 0)
    distance = data["dQ"].sel(age=256, strategy="stored", trial=0).values
    last = int(data["length"][0]) - 1
    assert explorer.time == np.nanargmax(distance[:last]) * 100


def test_the_stored_M_is_that_of_a_record_at_the_same_time():
    """M_t, after the step, as TrialExplorer shows it."""
    generator = torch.Generator().manual_seed(0)
    collector = mpn_lab.QNetwork(3, 3, hidden_size=6, generator=generator)
    record = mpn_lab.record(collector, "DelayMatchSample-v0", trials=2, epsilon=0.05)
    explorer = StalenessExplorer(make_staleness(trials=2, ages=(0, 16), hidden=6))
    _, sent = explorer._answer({"ask": "trial", "trial": 1})
    last = int(record["length"][1]) - 1
    np.testing.assert_allclose(sent["M_stored"][:last], record["M"].values[1, :last], rtol=2e-3)
    assert np.isnan(sent["M_stored"][last]).all()  # no step follows


def test_a_trial_is_sent_as_the_Dataset_has_it(explorer, data):
    header, sent = explorer._answer({"ask": "trial", "trial": 2})
    T, one = int(data["length"][2]), data.sel(trial=2)
    assert header["periods"][0][0] == "fixation"
    for name in ("Q_stored", "Q_replayed", "dQ", "dQ_raw", "dQ_from_start", "flipped"):
        own = one[name].isel(time=slice(0, T)).values
        np.testing.assert_array_equal(sent[name], own.astype(sent[name].dtype))
    np.testing.assert_array_equal(sent["greedy_stored"], sent["Q_stored"].argmax(-1))
    for name in ("dM", "dM_raw"):  # of the M after each step, which acts at the next
        own = one[name].values[:, :, 1:T].astype(np.float32)
        np.testing.assert_array_equal(sent[name][:, :, :-1], own)
        assert np.isnan(sent[name][:, :, -1]).all()
    _, sent = explorer._answer({"ask": "M", "trial": 2, "strategy": "zero, burn-in 4"})
    own = one["M_replayed"].sel(strategy="zero, burn-in 4").values[:, 1:T]
    np.testing.assert_allclose(sent["M"][:, :-1].astype(float), own, rtol=2e-3, atol=1e-6)


def test_strategies_are_said_in_words(explorer):
    said = {one["name"]: one["label"] for one in explorer._header["strategies"]}
    assert said == {
        "zero": "from zero",
        "stored": "from the stored state",
        "zero, burn-in 4": "from zero, 4 steps earlier",
        "stored, burn-in 4": "from the stored state, 4 steps earlier",
        "start": "from the trial's start",
    }


def test_scales_are_those_of_all_trials(explorer, data):
    scales = explorer._header["scales"]
    assert scales["dQ"] == pytest.approx(float(np.nanmax(data["dQ"].values)))
    largest = max(np.nanmax(np.abs(data[name].values)) for name in ("M_stored", "M_replayed"))
    assert scales["M"] == pytest.approx(float(largest))


def test_every_trait_changes_the_static_picture(explorer):
    seen = {explorer.png()}
    for name, value in (
        ("time", 300.0), ("age", 16), ("trial", 4), ("strategy", "zero, burn-in 4"),
        ("measure", "absolute"), ("order", "index"),
    ):  # fmt: skip
        setattr(explorer, name, value)
        picture = explorer.png()
        assert picture.startswith(b"\x89PNG")
        assert picture not in seen
        seen.add(picture)


def test_time_stays_within_the_trial(explorer, data):
    lengths = data["length"].values
    longest, shortest = int(lengths.argmax()), int(lengths.argmin())
    assert lengths[longest] > lengths[shortest]
    explorer.go_to(trial=longest, time=float(lengths[longest] - 1) * 100)
    explorer.trial = shortest
    assert explorer.time == (lengths[shortest] - 1) * 100
    explorer.time = 350
    assert explorer.time == 300  # the step that it falls in


def test_save_writes_editable_text(explorer, tmp_path):
    shown = [getattr(explorer, name) for name in TRAITS]
    path = explorer.save(tmp_path / "a.svg", trial=3, time=400, age=16, strategy="zero")
    text = path.read_text()
    assert re.search(r"<text[^>]*>[^<]*400 ms", text)
    assert re.search(r"<text[^>]*>age: 16 updates since collection +replayed from: zero", text)
    pdf = explorer.save(tmp_path / "frame.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert [getattr(explorer, name) for name in TRAITS] == shown
    assert pyplot.get_fignums() == []


def test_the_page_holds_every_age_and_strategy_of_the_chosen_trials(explorer, data, tmp_path):
    page = explorer.to_html(tmp_path / "a.html", trials=[2, 5]).read_text()
    assert "http://" not in page
    assert "https://" not in page
    parts, values = (
        json.loads(re.search(rf'id="{name}">(.*?)</script>', page).group(1))
        for name in ("parts", "values")
    )
    names = data.strategy.values.tolist()
    assert set(parts) == {
        "overview", *(f"trial {n}" for n in (2, 5)), *(f"M {n} {s}" for n in (2, 5) for s in names)
    }  # fmt: skip
    assert (values["trial"], values["time"], values["age"]) == (2, 0, 256)
    layout = parts["M 5 zero"]["arrays"]["M"]
    raw = base64.b64decode(parts["M 5 zero"]["buffers"][layout["at"]])
    found = np.frombuffer(raw, layout["dtype"]).reshape(layout["shape"])
    np.testing.assert_array_equal(
        found, explorer._answer({"ask": "M", "trial": 5, "strategy": "zero"})[1]["M"]
    )
    assert parts["overview"]["header"]["scales"] == explorer._header["scales"]


def test_without_a_front_end_the_picture_is_shown(explorer):
    bundle, _ = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == explorer.png()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == repr(explorer) == (
        "StalenessExplorer(6 trials of DelayMatchSample-v0, MPN, 0 to 256 updates old)"
    )  # fmt: skip


def test_networks_without_M_can_be_explored(tmp_path):
    explorer = StalenessExplorer(make_staleness(trials=2, ages=(0, 4), core="gru"))
    assert explorer._header["without"] == "There is no M: the core is GRU."
    assert "inputs" not in explorer._header
    assert "M_stored" not in explorer._answer({"ask": "trial", "trial": 1})[1]
    svg = explorer.save(tmp_path / "frame.svg").read_text()
    assert "There is no M: the core is GRU." in svg
    assert explorer.to_html(tmp_path / "a.html").stat().st_size > 10_000


def test_one_age_trial_and_strategy_are_enough(data):
    explorer = StalenessExplorer(data.isel(age=[1], trial=[2], strategy=[4]))
    assert (explorer.age, explorer.trial, explorer.strategy) == (4, 2, "start")
    assert explorer.png()


def test_bad_requests_get_one_sentence(explorer, data):
    shown = [getattr(explorer, name) for name in TRAITS]
    for ask, words in (
        (lambda: StalenessExplorer(xr.Dataset()), "holds no stored and replayed states"),
        (lambda: StalenessExplorer(data.isel(trial=[])), "has no trials left"),
        (lambda: StalenessExplorer(data.isel(age=[])), "has no ages left"),
        (lambda: StalenessExplorer(data.drop_vars("dQ")), "there is no dQ among"),
        (lambda: explorer.go_to(trial=77), "there is no trial 77"),
        (lambda: explorer.go_to(age=5), "there is no age of 5 updates"),
        (lambda: explorer.go_to(strategy="all"), "there is no strategy 'all'"),
        (lambda: explorer.go_to(time=1e6), "lies outside trial 0, which lasts"),
        (lambda: explorer.save("x.svg", age=5), "there is no age of 5 updates"),
        (lambda: explorer.save("x.xyz"), "expected a file ending in"),
        (lambda: explorer.to_html("x.html", trials=[-3]), "there is no trial -3"),
        (lambda: explorer.to_html("x.html", trials=[]), "trials is empty"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()
    for name, value, words in (
        ("trial", 77, "there is no trial 77"),
        ("age", 5, "there is no age of 5 updates"),
        ("strategy", "all", "there is no strategy 'all'"),
        ("time", -1.0, "time -1 ms lies outside"),
        ("measure", "cosine", "measure is 'cosine'; expected one of relative"),
        ("order", "size", "order is 'size'; expected one of cluster, index"),
        ("selection", {"unit": 12, "input": 0}, "unit is 12; expected 0 to 11"),
        ("selection", {"row": 1}, "selection is 'row'; expected one of unit, input, span"),
    ):
        with pytest.raises(traitlets.TraitError, match=words):
            setattr(explorer, name, value)
    assert [getattr(explorer, name) for name in TRAITS] == shown


def test_what_goes_wrong_in_an_answer_is_sent_as_a_sentence(explorer, monkeypatch):
    sent = []
    monkeypatch.setattr(explorer, "send", lambda content, buffers=None: sent.append(content))
    explorer._on_message(None, {"ask": "trial", "trial": 77, "key": "trial 77"}, [])
    assert sent[0]["key"] == "trial 77"
    assert "there is no trial 77" in sent[0]["error"]
