"""The explorer in a real JupyterLab: keys, play, menus, errors, themes."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {  # one page and one kernel for all tests, and an explorer for each
    "setup": """
import tempfile
import torch; torch.set_num_threads(1)
import mpn_lab
from IPython.display import display
network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=20, epsilon=0.05)
""",
    "keys": "mpn_lab.TrialExplorer(trials)",
    "play": "mpn_lab.TrialExplorer(trials)",
    "menus": "mpn_lab.TrialExplorer(trials)",
    "error": """
explorer = mpn_lab.TrialExplorer(trials)
display(explorer)
explorer._picture.panel = None  # whatever may go wrong in a frame
explorer._show_picture = lambda *_: None.panel  # the same once others have freed its figure
""",
    "all correct": "mpn_lab.TrialExplorer(trials.assign_coords(correct=trials.correct | True))",
    "theme": "mpn_lab.TrialExplorer(trials)",
    "monitor": """
config = mpn_lab.TrainConfig(trials=600, eval_freq=100, eval_trials=50, hidden_size=16)
monitor = mpn_lab.TrainingMonitor(config)
display(monitor)
run = mpn_lab.train(config, tempfile.mkdtemp(), progress=False, on_row=monitor)
print(f"{len(monitor.rows['trials'])} rows")
""",
}


def test_keys_move_time_forward_and_back(notebook):
    explorer = notebook.explorer("keys")
    first = explorer.pixels()
    explorer.press("ArrowRight")
    second = explorer.wait_for_new(first)
    explorer.press("ArrowRight")
    explorer.wait_for_new(second)
    explorer.press("ArrowLeft")
    explorer.press("ArrowLeft")
    explorer.wait_for(first)


def test_play_advances(notebook):
    explorer = notebook.explorer("play")
    seen = {explorer.pixels()}
    explorer.play()
    for _ in range(40):
        notebook.page.wait_for_timeout(100)
        seen.add(explorer.pixels())
        if len(seen) >= 5:
            break
    explorer.play()  # it would go on while the next tests run
    assert len(seen) >= 5, f"only {len(seen)} pictures in 4 seconds of playing"


def test_the_trial_can_be_switched_and_filtered(notebook):
    explorer = notebook.explorer("menus")
    first = explorer.pixels()
    menus = explorer.output.locator("select")
    trial = next(m for m in menus.all() if "0:" in m.text_content())
    trial.select_option(index=3)
    fourth = explorer.wait_for_new(first)
    trial.select_option(index=0)
    explorer.wait_for(first)
    show = next(m for m in menus.all() if "effective" in m.text_content())
    show.select_option(index=2)
    assert explorer.wait_for_new(first) != fourth


def test_an_error_in_a_callback_is_shown(notebook):
    explorer = notebook.explorer("error")
    explorer.press("ArrowRight")
    alert = explorer.output.get_by_role("alert")
    alert.wait_for()
    assert "AttributeError" in alert.inner_text()


def test_a_filter_that_leaves_no_trial_says_so(notebook):
    explorer = notebook.explorer("all correct")
    menus = explorer.output.locator("select")
    next(
        m for m in menus.all() if "wrong" in m.text_content() and "0:" not in m.text_content()
    ).select_option(label="wrong")
    alert = explorer.output.get_by_role("alert")
    alert.wait_for()
    assert "No trial of this record is wrong" in alert.inner_text()


def test_the_dark_theme_inverts_the_picture(notebook):
    explorer = notebook.explorer("theme")
    style, light = "image => getComputedStyle(image).filter", "document.body.dataset.jpThemeLight"
    assert explorer.picture.evaluate(style) == "none"
    notebook.page.evaluate(f"{light} = 'false'")
    dark = explorer.picture.evaluate(style)
    notebook.page.evaluate(f"{light} = 'true'")  # as the other tests of this page expect it
    assert "invert" in dark


def test_the_monitor_fills_while_training_runs(notebook):
    output = notebook.output("monitor")
    assert output.locator("img.mpn-picture").count() == 1
    assert "6 rows" in output.locator(".jp-OutputArea").first.inner_text()
    assert output.locator(".mpn-error").all_text_contents() == []
