"""Explorers that were closed leave next to nothing behind in the browser."""

import pytest

pytestmark = pytest.mark.browser

CELLS = {
    "setup": """
import torch; torch.set_num_threads(1)
import mpn_lab
generator = torch.Generator().manual_seed(0)
network = mpn_lab.QNetwork(3, 3, hidden_size=100, embedding_size=50, generator=generator)
trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=30)
explorer = None
""",
    "explorer": """
if explorer: explorer.close()
explorer = mpn_lab.TrialExplorer(trials)
explorer
""",
}
MOST = 0.4  # MB an explorer, so that 50 take no more than 20


def heap(page):
    """The objects, nodes and arrays of the page after a collection, MB."""
    session = page.context.new_cdp_session(page)
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    found = session.send("Runtime.getHeapUsage")
    session.detach()
    return sum(found[k] for k in ("usedSize", "embedderHeapUsedSize", "backingStorageSize")) / 1e6


def test_what_closed_explorers_leave_behind(notebook):
    page = notebook.page
    page.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 1; }")

    def open_and_close(count):
        for _ in range(count):
            last = notebook.drawn("explorer").get("_picture")
            page.evaluate("async () => { await jupyterapp.commands.execute('notebook:run-cell'); }")
            page.wait_for_function(
                "last => (app => app && app.get('_picture') !== last && !app.asked.size"
                " && !app.waiting)(document.querySelector('.mpn-app')?.mpn)",
                arg=last,
            )

    open_and_close(2)  # what is kept once
    before = heap(page)
    open_and_close(8)
    assert heap(page) - before < 8 * MOST
