"""Every notebook in a real JupyterLab: run all, compare, move, move back, play, another trial.

The one run serves two tests: the outputs that a notebook marks are compared here, and
tests/test_notebooks.py leaves these notebooks out where there is a Chromium.
"""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TRIAL = 2  # the slider of trials among those of StalenessExplorer
FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb") if "Explorer(" in path.read_text())


def marked_outputs(notebook):
    """What the cells marked `# NBVAL_CHECK_OUTPUT` printed and returned, as text."""
    texts = []
    for cell in notebook["cells"]:
        if "# NBVAL_CHECK_OUTPUT" in "".join(cell["source"]):
            printed = [o["text"] for o in cell["outputs"] if o.get("name") == "stdout"]
            data = [o["data"] for o in cell["outputs"] if "data" in o]
            returned = ["".join(d["text/plain"]) for d in data if "text/plain" in d]
            texts.append(("".join("".join(text) for text in printed), returned))
    return texts


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook(open_notebook, name):
    notebook = open_notebook(name)
    notebook.run_all()
    committed = marked_outputs(json.loads((FOLDER / name).read_text()))
    assert committed
    run = notebook.page.evaluate("() => jupyterapp.shell.currentWidget.context.model.toJSON()")
    assert marked_outputs(run) == committed
    explorer = notebook.explorer()
    explorer.press("Home")
    notebook.page.wait_for_timeout(500)
    first = explorer.pixels()
    explorer.press("ArrowRight")
    explorer.wait_for_new(first)
    explorer.press("ArrowLeft")
    explorer.wait_for(first)
    explorer.play()
    played = explorer.wait_for_new(first)
    explorer.wait_for_new(played)
    explorer.play()
    menus = [m for m in explorer.output.locator("select").all() if ":" in m.text_content()]
    before = explorer.pixels()
    if menus:  # of trials; the explorer of stale states has a slider in its place
        menus[0].select_option(index=1)
    else:
        explorer.press("ArrowRight", TRIAL)
    explorer.wait_for_new(before)
    assert notebook.page.locator(".mpn-error").all_text_contents() == []
