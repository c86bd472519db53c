"""The exported page, opened from disk: it explores its trials without kernel or network."""

import pytest
import torch

import mpn_lab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    network = mpn_lab.QNetwork(3, 3, hidden_size=8, generator=torch.Generator().manual_seed(0))
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=9)
    explorer = mpn_lab.TrialExplorer(trials).go_to(trial=2, time=500)
    page = tmp_path_factory.mktemp("page") / "trial.html"
    return explorer.to_html(page, trials=[1, 2, 5])


@pytest.fixture
def explorer(open_page, open_explorer, path):
    return open_explorer(open_page(path))


def test_keys_and_menus_explore_the_trials_that_it_holds(explorer):
    assert (explorer.get("trial"), explorer.get("time")) == (2, 500)
    first = explorer.pixels("action values")
    explorer.press("ArrowRight")
    assert explorer.pixels("action values") != first
    assert "600 ms" in explorer.root.locator("output").inner_text()
    explorer.press("ArrowDown")
    assert explorer.get("trial") == 5
    explorer.press("ArrowUp", "ArrowLeft")
    assert explorer.pixels("action values") == first
    for variable in ("h", "Q", "M"):
        explorer.choose("of", variable)
    for order in ("unsorted", "clustered"):
        explorer.choose("units", order)
    assert explorer.error() == ""


def test_play_goes_to_the_end_and_stops(explorer):
    explorer.choose("speed", "20 / s")
    explorer.press(" ")
    explorer.page.wait_for_function("document.querySelector('.mpn-app').mpn.playing")
    explorer.page.wait_for_function("!document.querySelector('.mpn-app').mpn.playing")
    explorer.settle()
    assert explorer.get("time") == explorer.root.evaluate(
        "root => root.mpn.timeOf(root.mpn.extent()[1])"
    )


@pytest.mark.parametrize("width", [600, 1280, 2400])
def test_it_fits_every_width_with_text_that_can_be_read(explorer, width):
    explorer.page.set_viewport_size({"width": width, "height": 900})
    explorer.settle()
    sizes = explorer.page.evaluate(
        """() => [...document.querySelectorAll(".mpn-app *")].filter(e => e.innerText)
            .map(e => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert min(sizes) >= 11
    assert explorer.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert explorer.root.evaluate(
        """root => [...root.querySelectorAll("canvas")].filter(c => c.offsetParent).every(
            c => c.clientWidth > 150 && c.width === Math.round(c.clientWidth * devicePixelRatio))"""
    )


def test_another_moment_to_count_from_keeps_the_step(explorer):
    explorer.choose("view", "one trial")
    explorer.press("Home", "ArrowRight", "ArrowRight")
    step = "root => root.mpn.step() - root.mpn.items[0].first"
    assert explorer.root.evaluate(step) == 2
    before = explorer.pixels("action values")
    explorer.choose("time from", "start of test")
    assert explorer.root.evaluate(step) == 2
    assert explorer.get("time") < 0
    explorer.choose("time from", "the trial's start")
    assert explorer.pixels("action values") == before


def test_a_drag_along_one_axis_zooms_that_axis(explorer):
    limits = "root => root.mpn.panels.find(p => p.paths).limits()"
    before = explorer.root.evaluate(limits)
    for place, act in (((0.3, 0.5), "down"), ((0.6, 0.5), "up")):
        explorer.page.mouse.move(*explorer.at("trajectories", *place))
        getattr(explorer.page.mouse, act)()
    explorer.settle()
    after = explorer.root.evaluate(limits)
    assert after["y"] == before["y"]
    assert after["x"][1] - after["x"][0] < 0.5 * (before["x"][1] - before["x"][0])
    explorer.press("Escape")
