"""The explorers as pictures, light and dark, beside those of `pictures/`, which were looked at.

Where the looks are meant to change, write the pictures anew, look at them, and commit them:

    MPN_LAB_WRITE_PICTURES=1 python -m pytest -n 0 tests/browser/test_pictures.py

All text is set in the DejaVu Sans that comes with matplotlib, so that the fonts of a machine do not
matter; what else may differ a little (the edges of letters and lines) stays below the bounds.
"""

import base64
import io
import os
import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

import mpn_lab
from mpn_lab.training.config import TrainConfig
from mpn_lab.widgets.page import write_explorer_page

pytestmark = pytest.mark.browser

PICTURES = Path(__file__).parent / "pictures"
DATA = Path(__file__).parent.parent / "staleness_data.py"
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
BLOCK = 8  # pixels on a side; the means of blocks are compared
FAR = 5  # of 255: farther apart than that, a block is another one
FEW = 20  # blocks that may be other ones: letters whose edges fall otherwise


def trial_page(path):
    network = mpn_lab.QNetwork(3, 3, hidden_size=20, generator=torch.Generator().manual_seed(0))
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=12, epsilon=0.05)
    explorer = mpn_lab.TrialExplorer(trials).go_to(trial=2, time=1200)
    explorer.selection = {"unit": 3, "input": 4}
    return explorer.to_html(path, trials=range(6))


def staleness_page(path):
    data = runpy.run_path(str(DATA))["make_staleness"]()
    return mpn_lab.StalenessExplorer(data).to_html(path)


def monitor_page(path):
    monitor = mpn_lab.TrainingMonitor(TrainConfig(trials=2000))
    for n in range(100, 2001, 100):
        monitor(
            {
                "trials": n, "env_steps": 0, "updates": n, "epsilon": 0.3, "learning_rate": 1e-3,
                "loss": 20 / n, "train_return": 0.2, "accuracy": 1 - 50 / n, "ideal_accuracy": 1.0,
                "mean_return": 0.4 - 30 / n, "eta": 1 + n / 4000, "lam": 0.95,
            }
        )  # fmt: skip
    parts = {"overview": monitor._content()}
    return write_explorer_page(path, monitor.description, monitor.module, {}, parts)


PAGES = {"trial": trial_page, "staleness": staleness_page, "monitor": monitor_page}


@pytest.fixture(scope="module", params=PAGES)
def page(request, tmp_path_factory):
    """The name of an explorer and its exported page, in the font of the pictures."""
    path = tmp_path_factory.mktemp("pictures") / f"{request.param}.html"
    PAGES[request.param](path)
    text = path.read_text()
    assert text.count("system-ui") > 1  # in the styles and in what draws
    font = base64.b64encode(FONT.read_bytes()).decode()
    face = f"@font-face {{ font-family: Drawn; src: url(data:font/ttf;base64,{font}); }}"
    text = text.replace("system-ui", "Drawn").replace("<style>", f"<style>{face}", 1)
    path.write_text(text)
    return request.param, path


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_looks_as_it_did(page, theme, chromium, open_explorer, tmp_path):
    name, path = page
    found = photograph(chromium, open_explorer, path, theme)
    stored = PICTURES / f"{name}-{theme}.png"
    if os.environ.get("MPN_LAB_WRITE_PICTURES") == "1":
        found.save(stored, optimize=True)
    expected = Image.open(stored).convert("RGB")
    found.save(tmp_path / stored.name)
    where = f"the stored picture is {stored}, that of now {tmp_path / stored.name}"
    assert found.size == expected.size, where
    other = np.abs(blocks(found) - blocks(expected)).max(2) > FAR
    if other.sum() > FEW:
        y, x = (BLOCK * np.array([k.min(), k.max()]) for k in np.nonzero(other))
        pytest.fail(f"{other.sum()} blocks differ, x {x}, y {y}; {where}.")


def photograph(chromium, open_explorer, path, theme):
    """Return the picture of an explorer on a page of 1280 pixels."""
    size = {"width": 1280, "height": 900}
    context = chromium.new_context(viewport=size, color_scheme=theme, offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("() => document.fonts.load('12px Drawn')")
    for width in (1270, 1280):  # what was drawn before the font was there is drawn anew
        page.set_viewport_size({**size, "width": width})
        page.wait_for_timeout(100)
        open_explorer(page).settle()
    page.mouse.move(0, 0)
    picture = Image.open(io.BytesIO(page.locator(".mpn-app").screenshot())).convert("RGB")
    context.close()
    return picture


def blocks(picture):
    """Return the mean colours of the blocks of a picture, [row, column, channel]."""
    pixels = np.asarray(picture, float)
    rows, columns = (n // BLOCK for n in pixels.shape[:2])
    cut = pixels[: rows * BLOCK, : columns * BLOCK]
    return cut.reshape(rows, BLOCK, columns, BLOCK, 3).mean((1, 3))
