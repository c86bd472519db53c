"""TrialExplorer in Notebook 7: keys, the pointer, Python, and the static picture."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {
    "explorer": """
import torch; torch.set_num_threads(1)
import mpn_lab
network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
explorer = mpn_lab.TrialExplorer(mpn_lab.record(network, "DelayMatchSample-v0", trials=4))
explorer
""",
}


def test_keys_and_pointer_set_the_time_and_python_sees_it(notebook7):
    explorer = notebook7.drawn("explorer")
    explorer.press("ArrowRight", "ArrowRight")
    assert explorer.get("time") == 200
    notebook7.wait_for("explorer.time == 200")
    explorer.click("action values", 0.5, 0.3)
    assert 1000 <= explorer.get("time") <= 1300
    notebook7.wait_for(f"explorer.time == {explorer.get('time')}")
    assert explorer.error() == ""


def test_the_static_picture_is_there_and_hidden_while_the_explorer_lives(notebook7):
    notebook7.drawn("explorer")
    notebook7.output("explorer").get_by_text("Run this cell again").wait_for(state="hidden")
    outputs = notebook7.page.evaluate(
        """() => jupyterapp.shell.currentWidget.context.model.toJSON().cells[0].outputs
            .map(({ data }) => Object.keys(data).sort())"""
    )
    assert ["image/png" in kinds for kinds in outputs] == [True, False]
    assert outputs[1] == ["text/html"]
