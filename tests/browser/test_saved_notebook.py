"""A saved notebook that is opened without its kernel shows the picture, and what brings it back."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {
    "setup": """
import torch; torch.set_num_threads(1)
import mpn_lab
network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
""",
    "explorer": "explorer = mpn_lab.TrialExplorer(trials); explorer",
}


def test_a_saved_notebook_shows_the_picture_until_its_cell_is_run_again(open_notebook):
    notebook = open_notebook("saved.ipynb", CELLS)
    notebook.run_all()
    cell = notebook.output("explorer")
    cell.locator(".mpn-app").wait_for()
    caption = cell.get_by_text("Run this cell again to bring the explorer back")
    caption.wait_for(state="hidden")

    notebook.save()
    notebook = open_notebook("saved.ipynb")  # the last one's kernel ends
    notebook.cells = list(CELLS)
    cell = notebook.output("explorer")
    caption = cell.get_by_text("Run this cell again to bring the explorer back")
    caption.wait_for()
    picture = cell.get_by_role("img", name="TrialExplorer(4 trials of DelayMatchSample-v0, MPN)")
    assert picture.bounding_box()["width"] > 900
    shown = cell.locator(".jp-Cell-outputArea").inner_text()
    assert "model not found" not in shown
    assert "Loading widget" not in shown

    notebook.run_all()
    cell.locator(".mpn-app").wait_for()
    caption.wait_for(state="hidden")

    notebook.python("explorer.close()")  # also while its kernel lives
    caption.wait_for()
    assert cell.locator(".mpn-app").count() == 0
