"""Every notebook in a real JupyterLab: run all, compare, move, move back, play, another trial.

The one run serves two tests: the outputs that a notebook marks are compared here, and
tests/test_notebooks.py leaves these notebooks out where there is a Chromium.
"""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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
    text = (FOLDER / name).read_text()
    walk(notebook.drawn(), several_views="StalenessExplorer(" not in text)
    assert [t for t in notebook.page.locator(".mpn-error").all_text_contents() if t] == []


def walk(explorer, several_views):
    """Move, move back, play, another trial and its view over all trials."""
    explorer.press("Home")
    first = explorer.pixels()
    explorer.press("ArrowRight")
    assert explorer.pixels() != first
    explorer.press("ArrowLeft")
    assert explorer.pixels() == first
    explorer.press(" ")
    explorer.page.wait_for_function(
        "root => root.mpn.step() >= 3", arg=explorer.root.element_handle()
    )
    explorer.press(" ")
    before = explorer.pixels()
    explorer.press("ArrowDown")
    assert explorer.pixels() != before
    if several_views:
        explorer.choose("view", "mean over trials")
        assert "mean of" in explorer.root.inner_text()
