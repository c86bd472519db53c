"""TrialExplorer in marimo: drawn, keys and pointer act, and Python sees the time.

marimo is not among the tools of the tests; where it is installed, this runs.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import urllib.request
from time import sleep

import pytest

from tests.browser.conftest import ROOT, DrawnExplorer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(importlib.util.find_spec("marimo") is None, reason="needs marimo"),
]

NOTEBOOK = """
import marimo
app = marimo.App()

@app.cell
def _():
    import marimo as mo
    import torch
    import mpn_lab
    torch.set_num_threads(1)
    network = mpn_lab.QNetwork(3, 3, generator=torch.Generator().manual_seed(0))
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=4)
    explorer = mo.ui.anywidget(mpn_lab.TrialExplorer(trials))
    return mo, explorer

@app.cell
def _(explorer):
    explorer
    return

@app.cell
def _(mo, explorer):
    mo.md(f"Python sees {explorer.value['time']:.0f} ms, {explorer.widget.time:.0f} ms")
    return
"""


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    folder = tmp_path_factory.mktemp("marimo")
    (folder / "explorer.py").write_text(NOTEBOOK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "run", str(folder / "explorer.py"), "--headless"]
    command += ["--no-token", "--host=127.0.0.1", f"--port={port}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log.txt").read_text()
                sleep(0.2)
        context = chromium.new_context(viewport={"width": 1500, "height": 1100})
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{port}")
        yield page
        context.close()
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_keys_and_pointer_set_the_time_and_python_sees_it(page):
    page.get_by_text("Python sees 0 ms, 0 ms").wait_for()
    explorer = DrawnExplorer(page, page.locator(".mpn-app"))
    first = explorer.pixels("action values")
    explorer.press("ArrowRight", "ArrowRight")
    assert explorer.get("time") == 200
    assert explorer.pixels("action values") != first
    page.get_by_text("Python sees 200 ms, 200 ms").wait_for()
    explorer.click("action values", 0.5, 0.3)
    assert 1000 <= explorer.get("time") <= 1300
    page.get_by_text(f"Python sees {explorer.get('time'):.0f} ms").wait_for()
    explorer.press("ArrowDown")
    assert explorer.get("trial") == 1
    assert explorer.error() == ""
