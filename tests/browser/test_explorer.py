"""TrialExplorer in a real JupyterLab: pointer, keys, menus, play, Python, errors, themes."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {  # one page and one kernel for all tests, and an explorer for each
    "setup": """
import torch; torch.set_num_threads(1)
import mpn_lab
network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=20, epsilon=0.05)
""",
    "keys": "keys = mpn_lab.TrialExplorer(trials); keys",
    "pointer": "pointer = mpn_lab.TrialExplorer(trials); pointer",
    "menus": "menus = mpn_lab.TrialExplorer(trials); menus",
    "refused": "refused = mpn_lab.TrialExplorer(trials); refused",
    "error": "failing = mpn_lab.TrialExplorer(trials); failing",
}
Q = "action values"


def test_keys_move_time_and_trial_and_python_follows(notebook):
    explorer = notebook.drawn("keys")
    first = explorer.pixels(Q)
    explorer.press("ArrowRight", "ArrowRight")
    assert explorer.get("time") == 200
    assert explorer.pixels(Q) != first
    assert notebook.python("keys.time") == 200
    explorer.press("ArrowLeft", "ArrowLeft")
    assert explorer.pixels(Q) == first
    explorer.press("ArrowDown", "End")
    assert notebook.python("[keys.trial, keys.time]") == [1, 2300]
    explorer.press("ArrowUp", "Home")
    assert explorer.pixels(Q) == first
    assert explorer.error() == ""


def test_space_plays_and_pauses(notebook):
    explorer = notebook.drawn("keys")
    explorer.press("Home")
    explorer.choose("speed", "5 / s")
    explorer.press(" ")
    notebook.page.wait_for_function(
        "root => root.mpn.get('time') >= 500", arg=explorer.root.element_handle()
    )
    explorer.press(" ")
    stopped = explorer.get("time")
    notebook.page.wait_for_timeout(300)
    assert explorer.get("time") == stopped


def test_the_pointer_sets_time_selects_zooms_and_reads(notebook):
    explorer = notebook.drawn("pointer")
    explorer.click(Q, 0.5, 0.3)
    assert 1000 <= explorer.get("time") <= 1300
    explorer.click("modulations M", 0.32, 0.5)
    chosen = explorer.get("selection")
    assert chosen["input"] == 3
    assert notebook.python("pointer.selection") == chosen
    trace = explorer.pixels("M of unit")
    explorer.click("modulations M", 0.72, 0.5)
    assert explorer.pixels("M of unit") != trace
    notebook.page.mouse.move(*explorer.at("hidden activity", 0.5, 0.5))
    explorer.settle()
    assert "h = " in explorer.root.locator(".mpn-tip").inner_text()
    before = explorer.pixels("observations")
    for place, act in (((0.2, 0.4), "down"), ((0.5, 0.4), "up")):
        notebook.page.mouse.move(*explorer.at(Q, *place))
        getattr(notebook.page.mouse, act)()
    zoomed = explorer.pixels("observations")  # all panels over time follow
    assert zoomed != before
    notebook.page.mouse.dblclick(*explorer.at(Q, 0.5, 0.4))
    explorer.press("Escape")
    explorer.settle()
    assert explorer.root.evaluate("root => root.mpn.timeZoom") == {}
    assert explorer.error() == ""


def test_a_click_on_a_path_goes_to_its_trial(notebook):
    explorer = notebook.drawn("pointer")
    x, y = explorer.root.evaluate(
        """root => {
            const panel = root.mpn.panels.find(p => p.paths), path = panel.pixels[7];
            const frame = panel.canvas.getBoundingClientRect();
            return [frame.left + path.xs.at(-1), frame.top + path.ys.at(-1)];
        }"""
    )
    notebook.page.mouse.click(x, y)
    explorer.settle()
    ends = explorer.root.evaluate(
        "root => root.mpn.panels.find(p => p.paths).pixels.map(p => [p.xs.at(-1), p.ys.at(-1)])"
    )
    found = notebook.python("pointer.trial")
    apart = ((ends[found][0] - ends[7][0]) ** 2 + (ends[found][1] - ends[7][1]) ** 2) ** 0.5
    assert apart < 2  # the same, or one that ends at the same place


def test_menus_choose_trials_colours_and_views(notebook):
    explorer = notebook.drawn("menus")
    first = explorer.pixels("trajectories")
    explorer.choose("colour", "response")
    assert explorer.pixels("trajectories") != first
    explorer.choose("trials", "wrong")
    wrong = notebook.python("trials.trial.values[~trials.correct.values].tolist()")
    assert explorer.get("trial") in wrong
    assert explorer.menu("trial").locator("option").count() == len(wrong)
    explorer.choose("view", "mean over trials")
    assert f"mean of {len(wrong)} trials" in explorer.root.inner_text()
    explorer.choose("view", "one trial")
    explorer.choose("show", "change of M")
    assert notebook.python("[menus.show, menus.where]") == ["change of M", {"outcome": "wrong"}]
    assert notebook.python("menus.go_to(trial=5, time=700).where") == {}
    explorer.settle()
    assert explorer.get("trial") == 5
    assert "700 ms" in explorer.root.locator("output").inner_text()
    assert explorer.error() == ""


def test_filters_that_leave_nothing_are_taken_back(notebook):
    explorer = notebook.drawn("menus")
    explorer.choose("trials", "wrong")
    empty = notebook.python(
        "next(f'response = {a}' for k, a in enumerate(trials.action.values)"
        " if not (~trials.correct & (trials.response == k)).any() and (trials.response == k).any())"
    )
    explorer.choose("with", empty)
    assert "No trial of this record has outcome = wrong and response" in explorer.error()
    assert explorer.get("where") == {"outcome": "wrong"}
    explorer.choose("trials", "all")
    assert explorer.error() == ""


def test_what_goes_wrong_is_shown_in_the_explorers_place(notebook):
    explorer = notebook.drawn("error")
    notebook.python("setattr(failing, '_answer', lambda asked: {}[0])")
    explorer.choose("of", "h")
    assert "KeyError: 0" in explorer.error()
    explorer.root.evaluate(
        "root => { root.mpn.panels[0].over = () => { throw Error('broken'); }; }"
    )
    explorer.press("ArrowRight")
    assert "Error: broken" in explorer.error()


def test_what_python_refuses_is_said_and_taken_back(notebook):
    explorer = notebook.drawn("refused")
    explorer.choose("view", "mean over trials")
    explorer.press("End")
    last = explorer.get("time")
    assert last == notebook.python("100 * (int(trials.length.max()) - 1)")
    assert last > notebook.python("100 * (int(trials.length[0]) - 1)")
    assert notebook.python("refused.time") == last
    assert explorer.error() == ""
    explorer.root.evaluate("root => root.mpn.set({ time: 300, trial: 99 })")
    explorer.root.get_by_text("there is no trial 99 in this record").wait_for()
    assert [explorer.get("trial"), explorer.get("time")] == [0, last]
    assert notebook.python("[refused.trial, refused.time]") == [0, last]


def test_it_follows_the_theme_and_every_control_has_a_label(notebook):
    explorer = notebook.drawn("menus")
    light = explorer.pixels(Q)
    notebook.page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    dark = explorer.pixels(Q)
    notebook.page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    assert dark != light
    assert explorer.pixels(Q) == light
    unnamed = explorer.root.evaluate(
        """root => [...root.querySelectorAll("button, input, select, canvas")]
            .filter(c => !c.ariaLabel && !c.getAttribute("aria-label")).length"""
    )
    assert unnamed == 0
    wide = explorer.root.evaluate("root => [root.scrollWidth, root.clientWidth]")
    assert wide[0] <= wide[1]
