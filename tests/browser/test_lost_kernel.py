"""An explorer whose kernel was restarted says so, and still shows what the browser holds."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {
    "explorer": """
import torch; torch.set_num_threads(1)
import mpn_lab
network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
mpn_lab.TrialExplorer(mpn_lab.record(network, "DelayMatchSample-v0", trials=4))
""",
}


def test_a_lost_kernel_is_said_and_what_is_there_still_answers(notebook):
    explorer = notebook.drawn("explorer")
    assert explorer.error() == ""
    kernel = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    notebook.page.evaluate(f"async () => {{ await {kernel}.restart(); }}")
    notebook.page.wait_for_function(
        "root => root.querySelector('.mpn-error').textContent.includes('run its cell again')",
        arg=explorer.root.element_handle(),
    )
    first = explorer.pixels("observations")
    explorer.press("ArrowRight")
    assert explorer.pixels("observations") != first
    assert explorer.error() == "The kernel that made this explorer is gone; run its cell again."
