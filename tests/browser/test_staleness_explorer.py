"""The explorer of stored and replayed states in a real JupyterLab, and its exported page."""

import runpy
from pathlib import Path

import pytest

import mpn_lab

pytestmark = pytest.mark.browser

DATA = Path(__file__).parent.parent / "staleness_data.py"
CELLS = {  # one page and one kernel for all tests, and an explorer for each
    "setup": f"""
import runpy, torch; torch.set_num_threads(1)
import mpn_lab
data = runpy.run_path({str(DATA)!r})["make_staleness"]()
""",
    "keys": "keys = mpn_lab.StalenessExplorer(data); keys",
    "pointer": "pointer = mpn_lab.StalenessExplorer(data); pointer",
    "error": "failing = mpn_lab.StalenessExplorer(data); failing",
}
Q, OF_Q, OF_M, AGES = "action values", "distance of Q", "distance of M", "distance of Q by age"
MAPS = ("stored M", "replayed M", "difference")


def picture(explorer, panel):
    """The picture of the panel with just this heading."""
    explorer.settle()
    return explorer.root.evaluate(
        """(root, name) => root.mpn.panels.find(p => p.heading.textContent === name)
            .canvas.toDataURL()""",
        panel,
    )


def place(explorer, panel, x, y):
    """A place of the page: shares of the plot of the panel with just this heading."""
    return explorer.root.evaluate(
        """(root, [name, x, y]) => {
            const panel = root.mpn.panels.find(p => p.heading.textContent === name);
            panel.canvas.scrollIntoView({block: "center"});
            const { left, top, width, height } = panel.g;
            const frame = panel.canvas.getBoundingClientRect();
            return [frame.left + left + x * width, frame.top + top + y * height];
        }""",
        [panel, x, y],
    )


def click(explorer, panel, x, y):
    explorer.page.mouse.click(*place(explorer, panel, x, y))
    explorer.settle()


def test_keys_move_time_trial_and_age_and_python_follows(notebook):
    explorer = notebook.drawn("keys")
    explorer.press("Home")
    first = {name: picture(explorer, name) for name in (Q, OF_Q, OF_M, AGES, *MAPS) if name != Q}
    explorer.press("ArrowRight", "ArrowRight")
    assert notebook.python("keys.time") == explorer.get("time") == 200
    for name, before in first.items():
        assert picture(explorer, name) != before
    explorer.press("Home", "PageDown")
    assert notebook.python("keys.age") == 64
    for name in (OF_Q, AGES, "replayed M", "difference"):
        assert picture(explorer, name) != first[name]
    assert picture(explorer, "stored M") == first["stored M"]  # as it was stored, at any age
    explorer.press("PageUp", "PageUp")
    assert {name: picture(explorer, name) for name in first} == first
    explorer.press("ArrowDown")
    assert notebook.python("[keys.trial, keys.time]") == [1, 0]
    notebook.python("keys.go_to(trial=3, time=700, age=4, strategy='zero').trial")
    explorer.settle()
    shown = [explorer.get(name) for name in ("trial", "time", "age", "strategy")]
    assert shown == [3, 700, 4, "zero"]
    assert "states stored 4 updates ago; replayed from zero" in explorer.root.inner_text()
    assert explorer.error() == ""


def test_the_pointer_sets_time_and_age_selects_zooms_and_reads(notebook):
    explorer = notebook.drawn("pointer")
    click(explorer, AGES, 0.5, 0.1)
    assert explorer.get("age") == 256
    click(explorer, AGES, 0.5, 0.9)
    assert notebook.python("pointer.age") == 0
    time = explorer.get("time")
    click(explorer, OF_Q, 0.2, 0.5)
    assert explorer.get("time") < time
    click(explorer, "replayed M", 0.35, 0.5)
    chosen = explorer.get("selection")
    assert chosen["input"] == 3
    assert notebook.python("pointer.selection") == chosen
    assert explorer.root.get_by_text(f"M of unit {chosen['unit']}, input 3, over time").count()
    explorer.page.mouse.move(*place(explorer, "stored M", 0.35, 0.5))
    explorer.settle()
    words = explorer.root.locator(".mpn-tip").inner_text().splitlines()
    assert [line.split(":")[0] for line in words[1:]] == list(MAPS)
    step, unit = explorer.root.evaluate("root => root.mpn.step()"), chosen["unit"]
    said = float(words[1].split(": ")[1].replace("\N{MINUS SIGN}", "-"))
    M = notebook.python(f"float(data.M_stored.values[pointer.trial, {step + 1}, {unit}, 3])")
    assert said == pytest.approx(M, rel=0.01, abs=1e-3)
    before = picture(explorer, OF_M)
    explorer.page.mouse.move(*place(explorer, OF_Q, 0.2, 0.4))
    explorer.page.mouse.down()
    explorer.page.mouse.move(*place(explorer, OF_Q, 0.6, 0.4))
    explorer.page.mouse.up()
    assert picture(explorer, OF_M) != before  # all panels over time follow
    explorer.page.mouse.dblclick(*place(explorer, OF_Q, 0.5, 0.4))
    assert explorer.root.evaluate("root => root.mpn.timeZoom") == {}
    assert explorer.error() == ""


def test_menus_choose_strategy_measure_and_order(notebook):
    explorer = notebook.drawn("pointer")
    notebook.python("pointer.go_to(trial=0, time=1500, age=256).time")
    first = {name: picture(explorer, name) for name in (OF_Q, "stored M", "replayed M")}
    explorer.choose("replayed", "from zero")
    assert picture(explorer, "replayed M") != first["replayed M"]
    assert picture(explorer, "stored M") == first["stored M"]
    explorer.choose("replayed", "from the stored state")
    explorer.choose("distance", "absolute")
    assert picture(explorer, OF_Q) != first[OF_Q]
    explorer.choose("distance", "relative")
    explorer.choose("units", "unsorted")
    assert picture(explorer, "stored M") != first["stored M"]
    explorer.choose("units", "clustered")
    assert {name: picture(explorer, name) for name in first} == first
    unnamed = explorer.root.evaluate(
        """root => [...root.querySelectorAll("button, input, select, canvas")]
            .filter(c => !c.ariaLabel && !c.getAttribute("aria-label")).length"""
    )
    assert unnamed == 0


def test_what_goes_wrong_is_shown_in_the_explorers_place(notebook):
    explorer = notebook.drawn("error")
    notebook.python("setattr(failing, '_answer', lambda asked: {}[0])")
    explorer.choose("replayed", "from zero")
    assert "KeyError: 0" in explorer.error()
    explorer.root.evaluate(
        "root => { root.mpn.panels[0].over = () => { throw Error('broken'); }; }"
    )
    explorer.choose("replayed", "from the stored state")
    assert "Error: broken" in explorer.error()


@pytest.fixture
def page(open_page, open_explorer, tmp_path):
    data = runpy.run_path(str(DATA))["make_staleness"](trials=3)
    path = mpn_lab.StalenessExplorer(data).to_html(tmp_path / "stale.html", trials=[0, 2])
    return open_explorer(open_page(path))


def test_the_exported_page_moves_plays_and_fits_every_width(page):
    page.press("Home")
    first = page.pixels(Q)
    page.press("ArrowRight")
    assert page.pixels(Q) != first
    page.press("ArrowLeft")
    assert page.pixels(Q) == first
    page.press("ArrowDown")
    assert page.get("trial") == 2
    for name in ("from zero", "from zero, 4 steps earlier", "from the trial's start"):
        page.choose("replayed", name)
    page.press(" ")
    page.page.wait_for_function("!document.querySelector('.mpn-app').mpn.playing")
    page.settle()
    assert page.get("time") == page.root.evaluate("root => root.mpn.timeOf(root.mpn.extent()[1])")
    assert page.error() == ""
    for width in (600, 1280, 2400):
        page.page.set_viewport_size({"width": width, "height": 900})
        page.settle()
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.root.evaluate(
            "root => [...root.querySelectorAll('canvas')].every(c => c.clientWidth > 150)"
        )
