"""How long a reader waits for the trial explorer: for its first drawing, and for what-ifs.

    python -m pytest -q -s -n 0 -p tests.browser.conftest benchmarks/in_jupyterlab.py

Hidden 100, input 50, 40 steps, 200 trials, in a JupyterLab of its own (the browser tests' one) and
a headless Chromium; a new kernel each time, so nothing has been computed or drawn before. A what-if
takes from the choice of an edit to the frame that shows its effect over the fact. Then a trial is
played at 20 steps a second while the kernel computes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

RECORD = f"""
import sys, torch; torch.set_num_threads(1)
sys.path.insert(0, {str(Path(__file__).parent)!r})
import mpn_lab
from explorer import long_network, long_trials
trials = long_trials()
"""
CELL = "explorer = mpn_lab.TrialExplorer(trials, network=long_network()); explorer"

RUN = """async () => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const frame = () => new Promise((done) => requestAnimationFrame(done));
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
    await frame();
  }
  const { mpn: app } = document.querySelector(".mpn-app"), { whatIf } = app;
  for (const target of ["", "h", "M", "h", "M", "h", "obs", "M"]) {
    const start = performance.now(), before = app.items[1]?.record;
    if (target) whatIf.choose({ target }); else whatIf.turn();
    while (app.waiting || app.items[1]?.record === before) await frame();
    (found[target ? "what_if" : "first_what_if"] ??= []).push(performance.now() - start);
  }
  const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
  const busy = kernel.requestExecute({ code: "sum(range(10**8))", store_history: false });
  app.keys.Home();
  app.rate = 20;
  const seen = new Set([0]);
  app.toggle();
  while (app.playing) { await frame(); seen.add(app.step()); }
  found.frames_missed_while_busy = 1000 * (app.extent()[1] + 1 - seen.size);
  await busy.done;
  return found;
}"""


def test_waiting(open_notebook):
    """Print the seconds to the first frame, to the last that is waited for, and of what-ifs."""
    times = []
    for k in range(5):
        notebook = open_notebook(f"waiting{k}.ipynb", {"record": RECORD, "explorer": CELL})
        times.append(notebook.page.evaluate(RUN))
    for name in times[0]:
        seconds = [round(float(s) / 1000, 2) for one in times for s in np.ravel(one[name])]
        if name == "frames_missed_while_busy":
            print(json.dumps({name: [round(s) for s in seconds]}))
            continue
        print(json.dumps({name: {"median_s": float(np.median(seconds)), "all_s": seconds}}))
