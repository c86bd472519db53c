"""TrialExplorer beside each other: trials, averages, networks, checkpoints, and what if."""

import re

import pytest

pytestmark = pytest.mark.browser

CELLS = {
    "setup": """
import tempfile
import torch; torch.set_num_threads(1)
import mpn_lab
config = mpn_lab.TrainConfig(trials=300, eval_freq=100, hidden_size=12, learning_starts=100)
run = mpn_lab.train(config, tempfile.mkdtemp() + "/run", progress=False)
trials = mpn_lab.record(run, trials=12, epsilon=0.1)
gru = mpn_lab.record(mpn_lab.QNetwork(3, 3, core="gru", hidden_size=9,
    generator=torch.Generator().manual_seed(0)), "DelayMatchSample-v0", trials=12)
""",
    "beside": "beside = mpn_lab.TrialExplorer(trials); beside",
    "averages": "averages = mpn_lab.TrialExplorer(trials); averages",
    "networks": "networks = mpn_lab.TrialExplorer({'MPN': trials, 'GRU': gru}); networks",
    "checkpoints": "checkpoints = mpn_lab.TrialExplorer(trials, network=run); checkpoints",
    "what if": "what_if = mpn_lab.TrialExplorer(trials, network=run); what_if",
}
Q, MINUS = "action values", "\N{MINUS SIGN}"


def panels(explorer) -> list[str]:
    """The headings of the panels that are seen."""
    return explorer.root.evaluate(
        """root => [...root.querySelectorAll(".mpn-panel")].filter(p => p.offsetParent)
            .map(p => p.querySelector("h3").textContent)"""
    )


def test_two_trials_are_shown_under_one_cursor_with_their_difference(notebook):
    explorer = notebook.drawn("beside")
    alone = panels(explorer)
    assert f"difference of Q: B {MINUS} A" not in alone
    explorer.choose("beside", notebook.python("beside._header['labels'][4]"))
    assert notebook.python("beside.beside") == [4]
    seen = panels(explorer)
    for heading in (
        f"difference of Q: B {MINUS} A",
        "h, A",
        "h, B",
        f"h, B {MINUS} A",
        "M, B",
        f"M, B {MINUS} A",
    ):
        assert heading in seen
    assert "A trial 0" in explorer.root.inner_text()
    difference = explorer.pixels(f"M, B {MINUS} A")
    explorer.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    assert explorer.pixels(f"M, B {MINUS} A") != difference
    at = "(root, [k, t]) => root.mpn.items[k].value('Q', t, 1)"
    values = [explorer.root.evaluate(at, [k, 5]) for k in (0, 1)]
    assert values == pytest.approx(
        notebook.python("trials.Q.values[[0, 4], 5, 1].tolist()"), abs=1e-6
    )
    explorer.press("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown")  # to the trial beside
    assert explorer.root.evaluate("root => root.mpn.items.map(i => i.number)") == [4]
    explorer.press("ArrowUp")
    explorer.choose("beside", "nothing")
    explorer.press("ArrowUp", "ArrowUp", "ArrowUp")
    assert panels(explorer) == alone
    assert explorer.error() == ""


def test_averages_by_condition_and_from_a_period_on(notebook):
    explorer = notebook.drawn("averages")
    explorer.choose("view", "mean over trials")
    explorer.choose("for each", "sample theta")
    classes = notebook.python("averages._header['conditions']['sample_theta']['labels']")
    text = explorer.root.inner_text()
    assert all(f"sample theta = {label}" in text for label in classes)
    mean = "trials.Q.values[trials.sample_theta.values == trials.sample_theta.values.min(), 5, 0]"
    found = explorer.root.evaluate("root => root.mpn.items[0].value('Q', 5, 0)")
    assert found == pytest.approx(notebook.python(f"float({mean}.mean())"), abs=1e-5)
    explorer.choose("time from", "start of test")
    assert notebook.python("averages.align") == "test"
    low, high = explorer.root.evaluate("root => root.mpn.extent()")
    assert low < 0 < high
    explorer.choose("view", "trial and mean")
    assert f"difference of Q: B {MINUS} A" in panels(explorer)
    change = "root => root.mpn.items[1].map('change of M', root.mpn.items[1].first)[3]"
    first = "float(mpn_lab.analysis.modulation_change(trials).values[:, 0, 0, 3].mean())"
    assert explorer.root.evaluate(change) == pytest.approx(notebook.python(first), rel=1e-2)
    explorer.choose("view", "one trial")
    explorer.press("Home")
    start = notebook.python("int((trials.period.values[0] == 'test').argmax())")
    assert notebook.python("averages.time") == -100 * start
    explorer.choose("time from", "the trial's start")
    assert notebook.python("averages.time") == 0
    assert explorer.error() == ""


def test_two_networks_have_panels_of_their_own(notebook):
    explorer = notebook.drawn("networks")
    seen = panels(explorer)
    assert {"trajectories of M, MPN", "trajectories of h, GRU", "h, A", "h, B"} <= set(seen)
    assert f"h, B {MINUS} A" not in seen  # 12 units and 9
    explorer.root.get_by_label("show MPN", exact=True).click()
    explorer.settle()
    assert notebook.python("networks.shown") == ["GRU"]
    assert not any(heading.startswith("M,") for heading in panels(explorer))
    explorer.root.get_by_label("show GRU", exact=True).click()  # the last one stays
    explorer.settle()
    assert notebook.python("networks.shown") == ["GRU"]
    explorer.root.get_by_label("show MPN", exact=True).click()
    explorer.settle()
    assert sorted(notebook.python("networks.shown")) == ["GRU", "MPN"]
    assert explorer.error() == ""


def test_the_slider_shows_the_network_at_a_checkpoint(notebook):
    explorer = notebook.drawn("checkpoints")
    trained = explorer.pixels(Q)
    slider = explorer.root.get_by_label("checkpoint", exact=True)
    slider.focus()
    notebook.page.keyboard.press("Home")
    explorer.settle()
    first = notebook.python("run.checkpoints[0]")
    assert notebook.python("checkpoints.shown") == [f"checkpoint {first}"]
    assert explorer.pixels(Q) != trained
    notebook.page.keyboard.press("End")
    explorer.settle()
    assert explorer.pixels(Q) == trained
    assert explorer.error() == ""


def test_what_if_shows_the_effect_of_an_edit_over_the_fact(notebook):
    explorer = notebook.drawn("what if")
    explorer.press("Home", *["ArrowRight"] * 20)  # within the test
    explorer.root.get_by_role("button", name="what if …").click()
    explorer.settle()
    name = notebook.python("what_if.shown")[1]
    assert re.fullmatch(r"what if \d+", name)
    assert f"{name}: zero M during test" in explorer.root.inner_text()
    found = explorer.root.evaluate("root => root.mpn.items[1].value('Q', 22, 2)")
    expected = "mpn_lab.counterfactual(run, trials, mpn_lab.edits.zero('M', during='test'))"
    assert found == pytest.approx(notebook.python(f"float({expected}.Q[0, 22, 2])"), abs=1e-6)
    assert found != notebook.python("float(trials.Q[0, 22, 2])")
    difference = """root => {
        const panel = root.mpn.grown.M.find(p => p.what.minus), M = t => panel.what.map("M", t);
        return [17, 20].map(t => Math.max(...M(t).map(Math.abs)));
    }"""
    before, after = explorer.root.evaluate(difference)
    assert (before, after > 0) == (0, True)  # before the test, and in it
    explorer.choose("target", "h")
    name = notebook.python("what_if.shown")[1]
    assert f"{name}: zero h during test" in explorer.root.inner_text()
    notebook.page.keyboard.down("Shift")  # a span that is dragged is when
    for place, act in (((0.4, 0.4), "down"), ((0.6, 0.4), "up")):
        notebook.page.mouse.move(*explorer.at(Q, *place))
        getattr(notebook.page.mouse, act)()
    notebook.page.keyboard.up("Shift")
    explorer.settle()
    first, last = explorer.get("selection")["span"]
    assert notebook.python("what_if.edits[0].during") == [first, last + 100]
    explorer.root.get_by_role("button", name="what if …").click()
    explorer.settle()
    assert notebook.python("what_if.shown") == ["recorded"]
    assert explorer.error() == ""


def test_an_edit_that_python_sets_is_shown(notebook):
    explorer = notebook.drawn("what if")
    assert "span" in explorer.get(
        "selection"
    )  # which is of an edit before, and does not replace it
    notebook.python("setattr(what_if, 'edits', [mpn_lab.edits.scale('W', 0.5)])")
    explorer.settle()
    assert "scale W" in explorer.root.inner_text()
    assert len(explorer.root.evaluate("root => root.mpn.items.map(i => i.letter)")) == 2
    notebook.python("setattr(what_if, 'edits', [])")
    explorer.settle()
    assert len(explorer.root.evaluate("root => root.mpn.items.map(i => i.letter)")) == 1
