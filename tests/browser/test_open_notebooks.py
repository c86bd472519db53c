"""Every notebook in a real JupyterLab: run all, move, move back, play, another trial."""

from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TRIAL = 2  # the slider of trials among those of StalenessExplorer
NOTEBOOKS = sorted(
    path.name
    for path in (Path(__file__).parent.parent.parent / "notebooks").glob("*.ipynb")
    if "Explorer(" in path.read_text()
)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook(open_notebook, name):
    notebook = open_notebook(name)
    notebook.run_all()
    explorer = notebook.explorer()
    explorer.press("Home")
    notebook.page.wait_for_timeout(500)
    first = explorer.pixels()
    explorer.press("ArrowRight")
    explorer.wait_for_new(first)
    explorer.press("ArrowLeft")
    explorer.wait_for(first)
    explorer.output.locator(".widget-play button, .jupyter-widgets-play button").first.click()
    played = explorer.wait_for_new(first)
    explorer.wait_for_new(played)
    explorer.output.locator(".widget-play button, .jupyter-widgets-play button").first.click()
    menus = [m for m in explorer.output.locator("select").all() if ":" in m.text_content()]
    before = explorer.pixels()
    if menus:  # of trials; the explorer of stale states has a slider in its place
        menus[0].select_option(index=1)
    else:
        explorer.press("ArrowRight", TRIAL)
    explorer.wait_for_new(before)
    assert notebook.page.get_by_role("alert").count() == 0
