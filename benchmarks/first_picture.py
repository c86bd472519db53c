"""How long a notebook's reader waits for the trial explorer: from running its cell to its drawing.

    python -m pytest -q -s -n 0 -p tests.browser.conftest benchmarks/first_picture.py

Hidden 100, input 50, 40 steps, 200 trials, in a JupyterLab of its own (the browser tests' one) and
a headless Chromium; a new kernel each time, so nothing has been computed or drawn before.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

RECORD = f"""
import sys, torch; torch.set_num_threads(1)
sys.path.insert(0, {str(Path(__file__).parent)!r})
import mpn_lab
from explorer import long_trials
trials = long_trials()
"""
CELL = "explorer = mpn_lab.TrialExplorer(trials); explorer"

RUN = """async () => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const run = () => jupyterapp.commands.execute("notebook:run-cell");
  notebook.activeCellIndex = 0;
  await run();
  notebook.activeCellIndex = 1;
  const start = performance.now(), found = {};
  run();
  while (!found.all_drawn) {
    const app = document.querySelector(".mpn-app");
    if (app?.dataset.frames > 0) {
      found.drawn ??= performance.now() - start;
      if (!app.mpn.waiting && !app.mpn.asked.size) found.all_drawn = performance.now() - start;
    }
    await new Promise((done) => requestAnimationFrame(done));
  }
  return found;
}"""


def test_first_picture(open_notebook):
    """Print the seconds to the first frame, and to the one that waits for nothing more."""
    times = []
    for k in range(5):
        notebook = open_notebook(f"first{k}.ipynb", {"record": RECORD, "explorer": CELL})
        times.append(notebook.page.evaluate(RUN))
    for name in times[0]:
        seconds = [round(one[name] / 1000, 2) for one in times]
        print(json.dumps({name: {"median_s": float(np.median(seconds)), "all_s": seconds}}))
