"""The explorer of stored and replayed states in a real JupyterLab, and its exported page."""

import runpy
from pathlib import Path

import pytest

import mpn_lab

pytestmark = pytest.mark.browser

DATA = Path(__file__).parent.parent / "staleness_data.py"
SETUP = f"""
import runpy, torch; torch.set_num_threads(1)
import mpn_lab
data = runpy.run_path({str(DATA)!r})["make_staleness"]()
explorer = mpn_lab.StalenessExplorer(data)
explorer
"""
AGE, TRIAL = 1, 2  # the sliders' order; time is the first


def menu(explorer, word):
    return next(m for m in explorer.output.locator("select").all() if word in m.text_content())


def test_keys_move_time_forward_and_back(notebook):
    explorer = notebook.explorer()
    opened = explorer.pixels()
    explorer.press("Home")
    first = explorer.wait_for_new(opened)
    explorer.press("ArrowRight")
    second = explorer.wait_for_new(first)
    explorer.press("ArrowRight")
    explorer.wait_for_new(second)
    explorer.press("ArrowLeft")
    explorer.press("ArrowLeft")
    explorer.wait_for(first)


def test_age_trial_and_strategy_change_the_picture(notebook):
    explorer = notebook.explorer()
    first = explorer.pixels()
    explorer.press("ArrowLeft", AGE)
    younger = explorer.wait_for_new(first)
    explorer.press("ArrowLeft", AGE)
    explorer.wait_for_new(younger)
    explorer.press("ArrowRight", AGE)
    explorer.press("ArrowRight", AGE)
    explorer.wait_for(first)
    strategy = menu(explorer, "burn-in")
    strategy.select_option(label="zero")
    explorer.wait_for_new(first)
    strategy.select_option(label="stored")
    explorer.wait_for(first)
    explorer.press("ArrowRight", TRIAL)
    explorer.wait_for_new(first)
    assert "1: " in explorer.output.inner_text()
    assert notebook.page.locator(".mpn-error").all_text_contents() == []


def test_play_advances(notebook):
    explorer = notebook.explorer()
    explorer.press("Home")
    notebook.page.wait_for_timeout(500)
    seen = {explorer.pixels()}
    explorer.output.locator(".widget-play button, .jupyter-widgets-play button").first.click()
    for _ in range(40):
        notebook.page.wait_for_timeout(100)
        seen.add(explorer.pixels())
        if len(seen) >= 5:
            return
    raise AssertionError(f"only {len(seen)} pictures in 4 seconds of playing")


@pytest.mark.parametrize(
    "notebook",
    [["explorer._picture.panel = None  # whatever may go wrong in a frame"]],
    indirect=True,
)
def test_an_error_in_a_callback_is_shown(notebook):
    explorer = notebook.explorer()
    explorer.press("ArrowLeft", AGE)
    alert = explorer.output.get_by_role("alert")
    alert.wait_for()
    assert "AttributeError" in alert.inner_text()


def test_the_dark_theme_inverts_the_picture(notebook):
    explorer = notebook.explorer()
    style = "image => getComputedStyle(image).filter"
    assert explorer.picture.evaluate(style) == "none"
    notebook.page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    assert "invert" in explorer.picture.evaluate(style)


@pytest.fixture
def page(open_page, tmp_path):
    data = runpy.run_path(str(DATA))["make_staleness"](trials=2)
    path = mpn_lab.StalenessExplorer(data).to_html(tmp_path / "stale.html", age=64)
    return open_page(path)


def test_the_exported_page_moves(page):
    def source():
        return page.locator("#picture").get_attribute("src")

    first = source()
    size = page.locator("#picture").evaluate("i => [i.complete, i.naturalWidth, i.naturalHeight]")
    assert size == [True, 1100, 660]
    page.locator("#time").focus()
    page.keyboard.press("ArrowRight")
    assert source() != first
    assert page.locator("#label").inner_text() == "100 ms, fixation"
    page.keyboard.press("ArrowLeft")
    assert source() == first
