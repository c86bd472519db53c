"""A JupyterLab of its own on the loopback, and a Chromium that opens notebooks in it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent.parent
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@pytest.fixture(scope="session")
def chromium():
    """A headless browser; skipped where there is none, unless one is required."""
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if path is None:
        if os.environ.get("MPN_LAB_REQUIRE_BROWSER") == "1":
            pytest.fail("MPN_LAB_REQUIRE_BROWSER is 1, but no Chromium was found.")
        pytest.skip("needs a Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The address of a JupyterLab over copies of the notebooks, and their folder."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:  # so that what is seen has just been run
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / "notebooks" / path.name)
    settings = folder / "settings" / "@jupyterlab"
    (settings / "notebook-extension").mkdir(parents=True)
    (settings / "notebook-extension" / "tracker.jupyterlab-settings").write_text(
        '{"windowingMode": "none"}'
    )
    (settings / "apputils-extension").mkdir(parents=True)
    (settings / "apputils-extension" / "notification.jupyterlab-settings").write_text(
        '{"fetchNews": "false", "checkForUpdates": false}'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1",
    ]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder / 'notebooks'}"]
    command += [f"--LabApp.user_settings_dir={folder / 'settings'}"]
    command += [f"--LabApp.workspaces_dir={folder / 'workspaces'}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    command += ["--JupyterNotebookApp.expose_app_in_browser=True"]  # of Notebook 7, from /notebooks
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api?token={token}", server, folder / "log.txt")
            yield address, token, folder / "notebooks"
        finally:
            server.terminate()
            server.wait(timeout=30)


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


def write_notebook(path: Path, cells: dict[str, str]) -> None:
    """Write a notebook of these cells, name -> source."""
    made = [nbformat.v4.new_code_cell(cell) for cell in cells.values()]
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL}), path)


class Notebook:
    """A notebook open in JupyterLab, or in Notebook 7, whose page has one notebook."""

    def __init__(self, page, name: str, cells: list[str]) -> None:
        self.page, self.cells = page, cells
        if not page.url.endswith(name):
            page.evaluate(  # the widget that it returns cannot be passed on
                "async path => { await jupyterapp.commands.execute('docmanager:open', {path}); }",
                name,
            )
        page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell", timeout=90_000)
        # Before the kernel is there, cells would be "run" without being sent to anyone.
        page.wait_for_function(
            "() => { const context = jupyterapp.shell.currentWidget?.sessionContext;"
            " const kernel = context?.session?.kernel;"
            " return kernel?.connectionStatus === 'connected' && kernel.status === 'idle'; }"
        )

    def close(self) -> None:
        """End its kernel and close it, without asking whether to save."""
        self.page.evaluate(
            "async () => { const panel = jupyterapp.shell.currentWidget;"
            " await panel.sessionContext.shutdown(); panel.dispose(); }"
        )

    def save(self) -> None:
        """Save it, with the outputs of its cells."""
        self.page.evaluate("async () => { await jupyterapp.shell.currentWidget.context.save(); }")

    def run_all(self, seconds: float = 240) -> None:
        """Run every cell, and wait until the last has run. Fails where a cell raised."""
        prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
        # What the menu "Run All Cells" calls: a menu is at times closed again by what still loads.
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
        raised = self.page.locator(".jp-OutputArea-output", has_text="Traceback (most recent call")
        for _ in range(int(seconds * 4)):
            assert raised.count() == 0, raised.first.inner_text()
            if self.page.evaluate(f"{prompts}.every(p => /\\[\\d+\\]/.test(p.textContent))"):
                return
            self.page.wait_for_timeout(250)
        raise AssertionError(f"not all cells have run after {seconds} seconds")

    def output(self, cell: str):
        """All that lies below the cell of this name."""
        return self.page.locator(".jp-CodeCell").nth(self.cells.index(cell))

    def drawn(self, cell: str | None = None) -> DrawnExplorer:
        """The explorer that draws in the browser, below a cell, or the last one of all."""
        within = self.output(cell) if cell else self.page
        found = within.locator(".mpn-app")
        found.first.wait_for()
        return DrawnExplorer(self.page, found.last)

    def python(self, expression: str):
        """The value of an expression in the notebook's kernel, by way of JSON."""
        code = f"import json; print(json.dumps({expression}))"
        text = self.page.evaluate(
            """async code => {
                const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false});
                let text = '';
                future.onIOPub = m => { text += m.content.text ?? m.content.evalue ?? ''; };
                await future.done;
                return text;
            }""",
            code,
        )
        return json.loads(text)

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true in the kernel, which hears of the browser later."""
        for _ in range(50):
            if self.python(condition):
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"not so after 5 seconds: {condition}")


class DrawnExplorer:
    """An explorer that draws in the browser, as a person meets it: canvases, keys and menus."""

    def __init__(self, page, root) -> None:
        self.page, self.root = page, root
        root.wait_for()
        root.scroll_into_view_if_needed()
        self.settle()

    def settle(self) -> None:
        """Wait until all that was asked for is there and drawn."""
        self.root.locator("canvas").first.wait_for()
        self.root.evaluate(
            """async root => {
                const frame = () => new Promise(done => requestAnimationFrame(done));
                const busy = () => root.mpn.waiting || root.mpn.asked.size;
                for (let k = 0; k < 3 || (k < 900 && busy()); k++) await frame();
                if (root.mpn.asked.size) throw Error(`waits for ${[...root.mpn.asked]}`);
            }"""
        )

    def get(self, trait: str):
        """The value of a trait in the browser."""
        return self.root.evaluate("(root, name) => root.mpn.get(name)", trait)

    def canvas(self, panel: str):
        """The canvas of the panel whose heading begins so."""
        section = self.root.locator(".mpn-panel").filter(
            has=self.page.locator("h3", has_text=re.compile(f"^{re.escape(panel)}"))
        )
        return section.locator("canvas")

    def pixels(self, panel: str | None = None) -> str:
        """The picture of a panel, or of the first one, as a string to compare."""
        self.settle()
        canvas = self.canvas(panel) if panel else self.root.locator("canvas").first
        return canvas.evaluate("canvas => canvas.toDataURL()")

    def menu(self, label: str):
        """The menu with a label."""
        return self.root.get_by_label(label, exact=True)

    def choose(self, label: str, value: str) -> None:
        """Choose from a menu by what it says."""
        self.menu(label).select_option(label=value)
        self.settle()

    def press(self, *keys: str) -> None:
        """Press keys on the explorer."""
        self.root.locator("canvas").first.focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def at(self, panel: str, x: float, y: float) -> tuple[float, float]:
        """A place of the page: shares of a panel's plot, from the left and from the top."""
        self.canvas(panel).scroll_into_view_if_needed()
        frame = self.canvas(panel).bounding_box()
        left, right, bottom = 52, 12, 36
        return (
            frame["x"] + left + x * (frame["width"] - left - right),
            frame["y"] + 24 + y * (frame["height"] - 24 - bottom),
        )

    def click(self, panel: str, x: float, y: float) -> None:
        """Click on a panel."""
        self.page.mouse.click(*self.at(panel, x, y))
        self.settle()

    def error(self) -> str:
        """What went wrong, as the explorer says it."""
        return self.root.locator(".mpn-error").text_content()


@pytest.fixture(scope="module")
def open_notebook(chromium, lab):
    """A function that opens a notebook by its name, or one made of these cells (name -> source).

    The notebooks of a module are opened in one page of JupyterLab, and each in place of the last.
    """
    address, token, folder = lab
    context = chromium.new_context(viewport={"width": 1500, "height": 1100})
    page, opened = context.new_page(), []
    page.set_default_timeout(90_000)
    page.goto(f"{address}/lab?token={token}&reset")
    page.wait_for_function("() => globalThis.jupyterapp?.restored.then(() => true)")

    def open_(name: str, cells: dict[str, str] | None = None) -> Notebook:
        while opened:
            opened.pop().close()
        if cells is not None:
            write_notebook(folder / name, cells)
        opened.append(Notebook(page, name, list(cells or {})))
        return opened[-1]

    yield open_
    context.close()


@pytest.fixture(scope="module")
def notebook(open_notebook, request):
    """A notebook of the module's CELLS, run. Each test looks at a cell of its own."""
    made = open_notebook(f"{request.module.__name__}.ipynb", request.module.CELLS)
    made.run_all()
    return made


@pytest.fixture(scope="module")
def notebook7(chromium, lab, request):
    """A notebook of the module's CELLS, run in Notebook 7."""
    address, token, folder = lab
    name = f"{request.module.__name__}.ipynb"
    write_notebook(folder / name, request.module.CELLS)
    context = chromium.new_context(viewport={"width": 1500, "height": 1100})
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(f"{address}/tree?token={token}")  # for the cookie
    page.goto(f"{address}/notebooks/{name}")
    page.wait_for_function("() => globalThis.jupyterapp?.restored.then(() => true)")
    made = Notebook(page, name, list(request.module.CELLS))
    made.run_all()
    yield made
    made.close()
    context.close()


@pytest.fixture
def open_page(chromium):
    """Opens an exported page from disk; fails if it raises an error or asks for the network."""
    context = chromium.new_context(offline=True)
    problems = []

    def open_(path):
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: problems.append(r.url) if r.url.startswith("http") else None)
        page.goto(path.as_uri())
        return page

    yield open_
    context.close()
    assert problems == []


@pytest.fixture
def open_explorer():
    """Finds the explorer of a page."""
    return lambda page: DrawnExplorer(page, page.locator(".mpn-app"))
