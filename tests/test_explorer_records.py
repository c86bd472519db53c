"""Records beside each other in TrialExplorer: networks, checkpoints, what-ifs."""

import json
import re

import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import edits
from mpn_lab.analysis import hidden_order, pca
from mpn_lab.plotting.style import largest
from mpn_lab.widgets.payload import scales
from mpn_lab.widgets.records import Records
from tests.explorer_data import TASK, asked, make_network, make_record


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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = mpn_lab.TrainConfig(
        task=TASK, hidden_size=5, trials=48, learning_starts=16, train_freq=16, batch_size=8,
        eval_freq=16, eval_trials=4, learning_rate=0.01,
    )  # fmt: skip
    return mpn_lab.train(config, tmp_path_factory.mktemp("run") / "run", progress=False)


def test_records_of_networks_of_several_sizes_are_shown_together(trials):
    others = {"small": make_record(make_network(1, hidden_size=4)),
              "GRU": make_record(make_network(2, core="gru"))}  # fmt: skip
    explorer = mpn_lab.TrialExplorer({"large": trials, **others})
    assert explorer.shown == ["large", "small", "GRU"]
    assert repr(explorer) == f"TrialExplorer(10 trials of {TASK}: large, small, GRU)"
    for name, record in {"large": trials, **others}.items():
        header, _ = asked(explorer, "overview", name)
        assert (header["record"], header["words"]) == (name, "")
        assert header["hidden"] == record.sizes["hidden"]
        _, arrays = asked(explorer, "trial", name, trial=4)
        steps = int(record["length"][4])
        np.testing.assert_array_equal(arrays["Q"], record["Q"].values[4, :steps])
        header, arrays = asked(explorer, "components", name, variable="h")
        assert header["axes"] == name
        expected = pca(record, "h", min(6, record.sizes["hidden"])).trajectory
        np.testing.assert_allclose(arrays["trajectory"], expected, rtol=1e-4, atol=1e-5)
        _, arrays = asked(explorer, "order", name, order="cluster")
        np.testing.assert_array_equal(arrays["order"], hidden_order(record, "cluster"))
    explorer.selection, explorer.show = {"unit": 7, "input": 2, "span": [0, 300]}, "change of M"
    explorer.shown = ["small", "large"]
    assert explorer.selection == {"span": [0, 300]}
    explorer.shown = ["GRU", "large"]
    assert (explorer.variable, explorer.show, explorer.selection) == ("h", "M", {"span": [0, 300]})


def test_scales_are_shared_where_values_can_be_compared(trials):
    loud = make_record(make_network(1)).assign(h=lambda r: 3 * r["h"], Q=lambda r: 5 * r["Q"])
    gru = make_record(make_network(2, core="gru"))
    explorer = mpn_lab.TrialExplorer({"a": trials, "b": loud, "gru": gru})
    of = {name: asked(explorer, "overview", name)[0]["scales"] for name in ("a", "b", "gru")}
    assert of["a"] == of["b"]
    assert of["a"]["h"] == largest(loud["h"].values)
    assert of["a"]["M"] == max(scales(trials)["M"], scales(loud)["M"])
    assert of["gru"]["h"] == scales(gru)["h"]
    lows, highs = zip(*(scales(r)["Q"] for r in (trials, loud, gru)), strict=True)
    assert of["gru"]["Q"] == of["a"]["Q"] == [min(lows), max(highs)]


def test_records_that_cannot_be_shown_together_get_one_sentence(trials, network):
    other = trials.assign_attrs(task="PerceptualDecisionMaking-v0")
    for given, words in (
        ({}, "there are 0 records; expected 1 to 8, by name"),
        ({str(k): trials for k in range(9)}, "there are 9 records; expected 1 to 8"),
        ({" ": trials}, "a record has the name ' '; expected text"),
        ({"what if 1": trials}, "the name 'what if 1', which the explorer gives to records that"),
        ({"checkpoint 500": trials}, "the name 'checkpoint 500', which the explorer gives"),
        ({"a": trials, "b": trials.isel(trial=[0, 1])}, "record 'b' has other trials than 'a'"),
        ({"a": trials, "b": trials.isel(time=slice(2, None))}, "'b' has other times than 'a'"),
        ({"a": trials, "b": other}, "record 'b' has other tasks than 'a'; expected records of the"),
        ({"a": trials, "b": trials.mean("trial")}, "record 'b': this record has no dimension tri"),
        ({"a": trials, "b": trials.isel(trial=[])}, "record 'b': the record has no trials left"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            Records(given)
    wide = make_network(hidden_size=9)
    for other, words in (
        (wide, "the first record has h of the shape (8,), but the network's has (9,); pass the"),
        (make_network(core="lstm"), "the first record has no c, but the network's has (8,); pass"),
        (mpn_lab.QNetwork(4, 3), "the record has 3 channels and 3 actions, but the network takes"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            mpn_lab.TrialExplorer(trials, network=other)


def test_a_what_if_is_the_counterfactual_with_the_edits(explorer, trials, network):
    change = edits.zero("M", at="test")
    explorer.edits = [change]
    assert explorer.shown == ["recorded", "what if 1"]
    expected = mpn_lab.counterfactual(network, trials, change)
    assert explorer.counterfactual.drop_vars("M0", errors="ignore").equals(
        expected.drop_vars("M0", errors="ignore")
    )
    header, _ = asked(explorer, "overview", "what if 1")
    assert (header["record"], header["words"]) == ("what if 1", "zero M at test")
    assert header["scales"] == explorer._header["scales"]
    _, arrays = asked(explorer, "trial", "what if 1", trial=3)
    np.testing.assert_array_equal(arrays["Q"], expected["Q"].values[3, : len(arrays["Q"])])
    explorer.edits = []
    assert explorer.shown == ["recorded"]
    assert explorer.edits == []
    assert explorer.counterfactual is None


def test_what_ifs_follow_each_other_and_few_are_kept(explorer, trials, network):
    for k, unit in enumerate((1, 4, 6), 1):
        header, arrays = explorer._answer(
            {"ask": "what if", "edits": [{"kind": "zero", "target": "h", "units": [unit]}]}
        )
        assert (header, arrays) == (
            {"record": f"what if {k}", "words": f"zero h of units [{unit}]"},
            {},
        )
        assert explorer.shown == ["recorded", f"what if {k}"]
        assert explorer.edits == [edits.zero("h", units=[unit])]
    assert len(explorer._records._computed) == 2
    explorer.shown = ["what if 1", "recorded"]  # as the browser sets it
    assert explorer.edits == [edits.zero("h", units=[1])]
    explorer.shown = ["what if 1", "recorded", "what if 3"]
    assert explorer.edits == [edits.zero("h", units=[6])]
    expected = mpn_lab.counterfactual(network, trials, edits.zero("h", units=[1]))
    _, arrays = asked(explorer, "trial", "what if 1", trial=3)  # computed again
    np.testing.assert_array_equal(arrays["Q"], expected["Q"].values[3, : len(arrays["Q"])])
    assert list(explorer._records._computed) == ["what if 3", "what if 1"]
    header, _ = explorer._answer({"ask": "what if", "edits": []})
    assert header == {"record": "recorded", "words": ""}
    assert explorer.shown == ["recorded"]


def test_nothing_that_is_shown_is_computed_again(explorer, monkeypatch):
    records = explorer._records
    for unit in range(5):
        explorer.edits = [edits.zero("h", units=[unit])]
    computed, compute = [], records._compute
    monkeypatch.setattr(records, "_compute", lambda name: computed.append(name) or compute(name))
    explorer.shown = names = [f"what if {k}" for k in (1, 2, 3, 4)]
    for trial in (3, 4):
        for name in names:
            asked(explorer, "trial", name, trial=trial)
    assert computed == names[:3]  # "what if 4" was kept
    explorer.shown = ["recorded", *names[:3]]
    asked(explorer, "trial", names[2], trial=3)
    explorer.shown = [*names[:3], "what if 5"]
    for name in explorer.shown:
        asked(explorer, "trial", name, trial=5)
    assert computed == [*names[:3], "what if 5"]
    explorer.edits = [edits.zero("M")]
    explorer.edits = [edits.freeze("M")]
    assert len(records._computed) == 2


def test_an_interrupted_what_if_is_answered_and_leaves_nothing(explorer, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    sent, change = [], {"kind": "zero", "target": "h"}
    monkeypatch.setattr(explorer, "send", sent.append)
    monkeypatch.setattr("mpn_lab.widgets.records.counterfactual", interrupted)
    with pytest.raises(KeyboardInterrupt):
        explorer._on_message(explorer, {"key": "k", "ask": "what if", "edits": [change]}, [])
    assert [message["key"] for message in sent] == ["k"]
    assert sent[0]["error"].startswith("the computation was interrupted; choose it again")
    assert explorer._records.known() == ["recorded"]


def test_the_page_of_a_network_that_diverged_says_so(explorer, trials, tmp_path):
    explorer.edits = [edits.scale("M", 30)]
    assert not np.isfinite(explorer.counterfactual["M"].values[trials["valid"].values]).all()
    page = explorer.to_html(tmp_path / "page.html", trials=[0, 3]).read_text()
    text = re.search(r'id="parts">(.*?)</script>', page, re.S).group(1)
    parts = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    told = parts["components what if 1 M"]
    assert told["error"].startswith("M is nan or infinite at ")
    assert told["buffers"] == []
    assert "dM" in parts["trial what if 1 3"]["arrays"]
    assert "trajectory" in parts["components recorded M"]["arrays"]


def test_counterfactuals_lie_in_the_components_of_the_first_record(explorer, trials):
    explorer.edits = [edits.freeze("M")]
    changed, found = explorer.counterfactual, pca(trials, "M", 6)
    header, arrays = asked(explorer, "components", "what if 1", variable="M")
    assert header["axes"] == "recorded"
    centred = changed["M"] - found["mean"]
    expected = (centred * found["axes"]).sum(("hidden", "input"), skipna=False)
    np.testing.assert_allclose(
        arrays["trajectory"], expected.transpose(..., "component"), atol=1e-4
    )
    for by in ("selectivity", "cluster"):
        _, arrays = asked(explorer, "order", "what if 1", order=by)
        np.testing.assert_array_equal(arrays["order"], hidden_order(trials, by))


def test_a_swap_from_the_browser_names_one_donor_for_all_trials(explorer, trials, network):
    swap = {"kind": "swap", "target": "M", "at": "test", "options": {"donor": 2}}
    header, _ = explorer._answer({"ask": "what if", "edits": [swap]})
    assert header["words"] == "swap M donor 2 at test"
    expected = mpn_lab.counterfactual(network, trials, edits.swap("M", [2] * 10, at="test"))
    np.testing.assert_array_equal(explorer.counterfactual["Q"], expected["Q"])


def test_edits_that_cannot_be_made_get_one_sentence_and_change_nothing(explorer, trials):
    def ask(*given):
        return lambda: explorer._answer({"ask": "what if", "edits": list(given)})

    before = explorer.shown
    for act, words in (
        (ask({"kind": "zero", "target": "c"}), "zero c: this network has no 'c'; it has obs, x, M"),
        (ask({"kind": "freeze", "target": "x"}), "freeze x: x has no update; expected the name"),
        (ask({"kind": "zero", "target": "M", "at": "lunch"}), "trial 0 has no period 'lunch'"),
        (ask({"kind": "zero", "target": "M", "at": 1e6}), "1e+06 ms lies outside trial"),
        (ask({"kind": "burn", "target": "M"}), "holds no edits; expected what counterfactual has"),
        (ask({"kind": "scale", "target": "M"}), "scale M is no edit: "),
        (
            ask({"kind": "swap", "target": "M", "options": {"donor": 77}}),
            "the record has no trial ",
        ),
        (ask({"kind": "zero", "target": "M", "at": "test", "during": "delay"}), "both at and duri"),
        (ask("zero M"), "holds no edits; expected"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            act()
    assert explorer.shown == before
    assert explorer._records.known() == ["recorded"]
    alone = mpn_lab.TrialExplorer(trials)
    assert alone._overview["header"]["edits"] is None
    with pytest.raises(ValueError, match=re.escape("pass the one that made the record: TrialExpl")):
        alone.edits = [edits.zero("M")]
    part = mpn_lab.TrialExplorer(trials.isel(time=slice(3, 9)), network=explorer._records.network)
    with pytest.raises(ValueError, match="the record lacks steps from the trials' starts"):
        part.edits = [edits.zero("M")]
    assert part.shown == ["recorded"]


def test_checkpoints_run_on_the_recorded_observations(run):
    trials = mpn_lab.record(run, trials=6)
    explorer = mpn_lab.TrialExplorer(trials, network=run)
    header = explorer._overview["header"]
    assert header["records"] == ["recorded"]
    assert header["checkpoints"] == run.checkpoints == [16, 32, 48]
    explorer.shown = ["recorded", "checkpoint 16"]
    header, of_all = asked(explorer, "overview", "checkpoint 16")
    assert header["words"] == "the network after 16 trials, on the recorded observations"
    early = run.network_at(16)
    np.testing.assert_array_equal(of_all["W"], early.core.W.detach())
    assert (early.core.W != run.network.core.W).any()
    obs = torch.from_numpy(np.nan_to_num(trials["obs"].values))
    q = early(obs)[0].detach().numpy()
    for number in (0, 5):
        _, arrays = asked(explorer, "trial", "checkpoint 16", trial=number)
        steps = len(arrays["Q"])
        np.testing.assert_allclose(arrays["Q"], q[number, :steps], atol=1e-5)
        assert "x" in arrays  # M follows from the factors of this network
    last = asked(explorer, "trial", "checkpoint 48", trial=1)[1]
    recorded = asked(explorer, "trial", "recorded", trial=1)[1]
    for name, array in recorded.items():
        np.testing.assert_array_equal(last[name], array)
    assert asked(explorer, "components", "checkpoint 32", variable="h")[0]["axes"] == "recorded"
    assert len(explorer._records._computed) == 2
    with pytest.raises(ValueError, match="shown is 'checkpoint 17'; expected one of recorded, "):
        explorer.shown = ["checkpoint 17"]
    run.checkpoint_path(32).rename(run.checkpoint_path(33))
    try:
        with pytest.raises(ValueError, match="has no checkpoint at 32 trials; expected one of 16"):
            explorer._records._compute("checkpoint 32")
    finally:
        run.checkpoint_path(33).rename(run.checkpoint_path(32))


def test_a_run_without_checkpoints_is_refused(run, monkeypatch):
    trials = mpn_lab.record(run, trials=2)
    monkeypatch.setattr(run, "_network", None)
    monkeypatch.setattr(type(run), "checkpoints", [])
    with pytest.raises(ValueError, match="has no checkpoint yet; resume it to make one"):
        mpn_lab.TrialExplorer(trials, network=run)


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        ({"core": "gru"}, ["h", "x", "obs"]),
        ({"core": "lstm"}, ["h", "c", "x", "obs"]),
        ({"core": "rnn"}, ["h", "x", "obs"]),
        ({"num_layers": 2}, ["M", "M_2", "h_1", "h", "x", "obs"]),
    ],
)
def test_every_core_can_be_edited_where_it_has_something(options, targets):
    network = make_network(**options)
    trials = make_record(network, 4)
    explorer = mpn_lab.TrialExplorer(trials, network=network)
    offered = explorer._overview["header"]["edits"]
    assert offered["kinds"] == ["zero", "freeze", "scale", "shuffle", "swap"]
    assert offered["targets"] == targets
    for target in targets:
        explorer._answer(
            {"ask": "what if", "edits": [{"kind": "zero", "target": target, "at": 500}]}
        )
        name = explorer.shown[-1]
        _, arrays = asked(explorer, "trial", name, trial=2)
        expected = mpn_lab.counterfactual(network, trials, edits.zero(target, at=500))["Q"]
        np.testing.assert_array_equal(arrays["Q"], expected.values[2, : len(arrays["Q"])])
        for variable in explorer._header["variables"]:
            header, arrays = asked(explorer, "components", name, variable=variable)
            assert header["axes"] == "recorded"
            assert arrays["trajectory"].shape[:2] == trials["valid"].shape
        assert asked(explorer, "mean", name, trials=[0, 3], align="delay")[0]["averaged"] == 2


def test_logits_are_told_from_values(tmp_path):
    config = mpn_lab.SupervisedConfig(
        task=TASK, hidden_size=5, trials=16, batch_size=8, eval_freq=16, eval_trials=4
    )
    run = mpn_lab.train_supervised(config, tmp_path / "run", progress=False)
    trials = mpn_lab.record(run, trials=4)
    values = make_record(make_network(hidden_size=5), 4)
    explorer = mpn_lab.TrialExplorer({"logits": trials, "values": values}, network=run)
    explorer.edits = [edits.zero("M", at="test")]
    of = {n: asked(explorer, "overview", n)[0] for n in ("logits", "values", "what if 1")}
    assert {name: header["logits"] for name, header in of.items()} == {
        "logits": True, "values": False, "what if 1": True,
    }  # fmt: skip
    assert of["values"]["scales"]["Q"] == list(scales(values)["Q"])
    assert of["what if 1"]["scales"] == of["logits"]["scales"]


def test_a_small_effect_on_M_is_sent_as_it_is(explorer, trials):
    explorer.edits = [edits.scale("M", 0.999, at="test")]
    _, arrays = asked(explorer, "trial", "what if 1", trial=2)
    change = (explorer.counterfactual["M"] - trials["M"]).values[2, : len(arrays["h"])]
    assert 0 < abs(change).max() < 0.004 * largest(trials["M"].values)
    np.testing.assert_allclose(arrays["dM"], change, atol=1e-3 * abs(change).max())
    assert not {"M", "x"} & arrays.keys()
