"""The explorer in a real JupyterLab: keys, play, menus, errors, themes."""

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import torch; torch.set_num_threads(1)
import mpn_lab
network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=20, epsilon=0.05)
explorer = mpn_lab.TrialExplorer(trials)
explorer
"""


def test_keys_move_time_forward_and_back(notebook):
    explorer = notebook.explorer()
    first = explorer.pixels()
    explorer.press("ArrowRight")
    second = explorer.wait_for_new(first)
    explorer.press("ArrowRight")
    explorer.wait_for_new(second)
    explorer.press("ArrowLeft")
    explorer.press("ArrowLeft")
    explorer.wait_for(first)


def test_play_advances(notebook):
    explorer = notebook.explorer()
    seen = {explorer.pixels()}
    explorer.output.locator(".widget-play button, .jupyter-widgets-play button").first.click()
    for _ in range(40):
        notebook.page.wait_for_timeout(100)
        seen.add(explorer.pixels())
        if len(seen) >= 5:
            return
    raise AssertionError(f"only {len(seen)} pictures in 4 seconds of playing")


def test_the_trial_can_be_switched_and_filtered(notebook):
    explorer = notebook.explorer()
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


@pytest.mark.parametrize(
    "notebook",
    [["explorer._picture.panel = None  # whatever may go wrong in a frame"]],
    indirect=True,
)
def test_an_error_in_a_callback_is_shown(notebook):
    explorer = notebook.explorer()
    explorer.press("ArrowRight")
    alert = explorer.output.get_by_role("alert")
    alert.wait_for()
    assert "AttributeError" in alert.inner_text()


def test_a_filter_that_leaves_no_trial_says_so(open_notebook):
    cell = SETUP.replace("explorer = ", "trials['correct'] = trials.correct | True\nexplorer = ")
    notebook = open_notebook("filter.ipynb", [cell])
    notebook.run_all()
    explorer = notebook.explorer()
    menus = explorer.output.locator("select")
    next(
        m for m in menus.all() if "wrong" in m.text_content() and "0:" not in m.text_content()
    ).select_option(label="wrong")
    alert = explorer.output.get_by_role("alert")
    alert.wait_for()
    assert "No trial of this record is wrong" in alert.inner_text()


def test_the_dark_theme_inverts_the_picture(notebook):
    explorer = notebook.explorer()
    style = "image => getComputedStyle(image).filter"
    assert explorer.picture.evaluate(style) == "none"
    notebook.page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    assert "invert" in explorer.picture.evaluate(style)


def test_the_monitor_fills_while_training_runs(open_notebook):
    cell = """
import tempfile, mpn_lab
from IPython.display import display
config = mpn_lab.TrainConfig(trials=600, eval_freq=100, eval_trials=50, hidden_size=16)
monitor = mpn_lab.TrainingMonitor(config)
display(monitor)
run = mpn_lab.train(config, tempfile.mkdtemp(), progress=False, on_row=monitor)
print(f"{len(monitor.rows['trials'])} rows")
"""
    notebook = open_notebook("monitor.ipynb", [cell])
    notebook.run_all()
    assert notebook.page.locator("img.mpn-picture").count() == 1
    assert "6 rows" in notebook.page.locator(".jp-OutputArea").first.inner_text()
    assert notebook.page.locator(".mpn-error").all_text_contents() == []
