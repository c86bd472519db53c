"""The exported page, opened from disk: its slider moves the picture, without kernel or network."""

import pytest
import torch

import mpn_lab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    network = mpn_lab.QNetwork(3, 3, hidden_size=8, generator=torch.Generator().manual_seed(0))
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=5)
    return mpn_lab.TrialExplorer(trials).to_html(tmp_path_factory.mktemp("page") / "trial.html")


@pytest.fixture
def page(open_page, path):
    return open_page(path)


def source(page):
    return page.locator("#picture").get_attribute("src")


def test_the_slider_moves_the_picture(page):
    first = source(page)
    size = page.locator("#picture").evaluate("i => [i.complete, i.naturalWidth, i.naturalHeight]")
    assert size == [True, 1100, 660]
    page.locator("#time").focus()
    page.keyboard.press("ArrowRight")
    assert source(page) != first
    assert page.locator("#label").inner_text() == "100 ms, fixation"
    page.keyboard.press("ArrowLeft")
    assert source(page) == first


def test_play_goes_to_the_end_and_stops(page):
    page.locator("#play").click()
    page.wait_for_function(
        "document.getElementById('time').value === document.getElementById('time').max"
    )
    page.wait_for_function("document.getElementById('play').textContent === '\\u25b6'")
    assert "ms" in page.locator("#label").inner_text()
