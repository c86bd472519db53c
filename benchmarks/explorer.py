"""How fast the trial explorer is: frames, trials, bytes, the exported page, memory.

    python benchmarks/explorer.py

Hidden 100, input 50, 40 steps, 200 trials. In the kernel: the time to make an explorer, its static
picture and the answers to the browser, what-ifs among them; the bytes at opening; the memory that
50 explorers leave behind. In a headless Chromium, on the exported page of 50 trials: from a key to
its frame, the drawing in it, another trial, two trials beside each other, the frames shown of those
played at 20 a second, and what 50 explorers leave behind that were opened, used and closed: in the
heap, and in the memory of the tab's process.
"""

from __future__ import annotations

import gc
import json
import shutil
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch

import mpn_lab
from mpn_lab.widgets.payload import pack

torch.set_num_threads(1)

IN_THE_BROWSER = """async () => {
  const root = document.querySelector(".mpn-app"), app = root.mpn;
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const canvas = root.querySelector("canvas"), drawn = [], draw = app.draw.bind(app);
  app.draw = () => { const start = performance.now(); draw(); drawn.push(performance.now() - start); };
  const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const timed = async (keys) => {
    const found = { key_to_frame: [], drawing: [] };
    for (const key of keys) {
      await frame();
      await new Promise((done) => setTimeout(done, 16 * Math.random())); // at any time of a frame
      drawn.length = 0;
      const start = performance.now();
      press(key);
      while (!drawn.length) await frame();
      found.key_to_frame.push(performance.now() - start);
      found.drawing.push(drawn[0]);
    }
    return found;
  };
  press("Home");
  await timed(Array(10).fill("ArrowRight"));
  const times = await timed(Array.from({ length: 200 }, (_, k) => (k % 60 < 30 ? "ArrowRight" : "ArrowLeft")));
  const trials = await timed(Array(20).fill("ArrowDown"));
  app.set({ beside: [app.next(1)] });
  while (app.items.length < 2 || app.waiting) await frame();
  const beside = await timed(Array.from({ length: 60 }, (_, k) => (k % 60 < 30 ? "ArrowRight" : "ArrowLeft")));
  app.set({ beside: [] });
  press("Home");
  await frame();
  app.rate = 20;
  const seen = new Set([0]), start = performance.now(); // the first frame is there
  press(" ");
  while (app.playing) { await frame(); seen.add(app.step()); }
  return { times, trials, beside, played: [seen.size, app.extent()[1] + 1, performance.now() - start] };
}"""  # noqa: E501

OPEN_AND_CLOSE = """async (count) => {
  const own = document.querySelector(".mpn-app"); // the page's own one makes room for the others
  if (own) {
    globalThis.first = { constructor: own.mpn.constructor, model: own.mpn.model };
    own.mpn.end();
    own.remove();
  }
  const { constructor: Explorer, model } = globalThis.first;
  const settled = async (app) => { do await frame(); while (app.asked.size || app.waiting); };
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  for (let k = 0; k < count; k++) {
    const root = document.body.appendChild(document.createElement("div"));
    const app = new Explorer(root, model);
    await settled(app);
    for (const key of ["ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown"]) {
      app.keys[key]();
      await settled(app);
    }
    app.end();
    root.remove();
  }
}"""


def long_network():
    """A network of hidden 100, input 50, that fixates to the end."""
    network = mpn_lab.QNetwork(
        3, 3, hidden_size=100, embedding_size=50, generator=torch.Generator().manual_seed(0)
    )
    torch.nn.init.zeros_(network.readout.weight)
    return network


def long_trials(trials: int = 200):
    """A record of trials of 40 steps at hidden 100, input 50."""
    timing = {"fixation": 300, "sample": 500, "delay": 1800, "test": 500, "decision": 900}
    network = long_network()
    return mpn_lab.record(network, "DelayMatchSample-v0", {"timing": timing}, trials=trials)


def milliseconds(act, repeats: int) -> dict[str, float]:
    """Median wall and processor time of `act(k)`: on a busy machine they differ."""
    wall, cpu = [], []
    for k in range(repeats):
        start = perf_counter(), process_time()
        act(k)
        wall.append(perf_counter() - start[0])
        cpu.append(process_time() - start[1])
    return {
        "wall_ms": round(1000 * float(np.median(wall)), 1),
        "cpu_ms": round(1000 * float(np.median(cpu)), 1),
    }


def what_if(explorer: mpn_lab.TrialExplorer, **edit: object) -> None:
    """Answer the browser's question what an edit does, and the two that follow."""
    header, _ = explorer._answer({"ask": "what if", "edits": [edit]})
    explorer._answer({"ask": "overview", "record": header["record"]})
    explorer._answer({"ask": "trial", "record": header["record"], "trial": 0})


def resident(process: int | str = "self") -> float:
    """Memory of a process, MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def opened_bytes(explorer: mpn_lab.TrialExplorer) -> int:
    """Bytes that the browser gets before it has drawn all panels: code, overview and answers."""
    sent = explorer._overview
    size = len(json.dumps({"header": sent["header"], "arrays": sent["arrays"]}))
    size += sum(map(len, sent["buffers"])) + len(explorer._code) + len(explorer._css)
    asked = [{"ask": "trial", "trial": n} for n in explorer._header["numbers"][:4]]
    asked += [{"ask": "components", "variable": explorer.variable}]
    for question in [*asked, {"ask": "order", "order": explorer.order}]:
        message = pack(*explorer._answer(question | {"record": "recorded"}))
        size += sum(map(len, message["buffers"]))
    return size


def memory_of_the_tab(tab) -> tuple[float, float]:
    """Return the heap after a collection, and the resident memory of the tab's process, MB."""
    session = tab.context.new_cdp_session(tab)
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    kinds = ("usedSize", "embedderHeapUsedSize", "backingStorageSize")  # objects, nodes, arrays
    session.detach()
    processes = tab.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    tabs = [one["id"] for one in processes["processInfo"] if one["type"] == "renderer"]
    return sum(heap[kind] for kind in kinds) / 1e6, sum(map(resident, tabs))


def in_the_browser(page: Path) -> dict:
    """Measure the exported page in a headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.as_uri())
        tab.wait_for_function("document.querySelector('.mpn-app')?.dataset.frames > 0")
        tab.wait_for_function("!document.querySelector('.mpn-app').mpn.asked.size")
        found = tab.evaluate(IN_THE_BROWSER)
        tab.evaluate(OPEN_AND_CLOSE, 2)  # what is compiled and kept once
        before = memory_of_the_tab(tab)
        tab.evaluate(OPEN_AND_CLOSE, 50)
        heap, process = np.round(np.subtract(memory_of_the_tab(tab), before), 1).tolist()
        browser.close()
    result = {"frames_shown_of_played": found["played"][:2]}
    result["growth_over_50_explorers_in_the_browser_MB"] = {"heap": heap, "process": process}
    for name in ("times", "trials", "beside"):
        for what, values in found[name].items():
            result[f"{name}_{what}_ms"] = {
                "median": round(float(np.median(values)), 1),
                "p95": round(float(np.percentile(values, 95)), 1),
            }
    return result


def main() -> None:
    """Measure, and print one JSON object."""
    trials = long_trials()
    explorer = mpn_lab.TrialExplorer(trials, network=long_network())
    everyone = {"ask": "mean", "record": "recorded", "trials": explorer._header["numbers"]}
    result = {
        "make": milliseconds(lambda _: mpn_lab.TrialExplorer(trials).close(), 3),
        "first_static_picture": milliseconds(lambda _: explorer.png(), 1),
        "another_static_picture": milliseconds(lambda _: explorer.png(), 3),
        "answer_of_a_trial": milliseconds(
            lambda k: explorer._answer({"ask": "trial", "record": "recorded", "trial": k}), 20
        ),
        "what_if_M_at_test": milliseconds(
            lambda _: what_if(explorer, kind="zero", target="M", at="test"), 5
        ),
        "what_if_h_of_a_unit": milliseconds(
            lambda _: what_if(explorer, kind="zero", target="h", units=[3]), 5
        ),
        "mean_of_all_trials": milliseconds(
            lambda _: explorer._answer(everyone | {"align": "test"}), 5
        ),
        "bytes_at_opening_MB": round(opened_bytes(explorer) / 1e6, 2),
    }
    explorer.edits = []
    with tempfile.TemporaryDirectory() as folder:
        page = explorer.to_html(Path(folder) / "trials.html", trials=range(50))
        result["page_of_50_trials_MB"] = round(page.stat().st_size / 1e6, 2)
        result |= in_the_browser(page)
    before = resident()
    for _ in range(50):
        mpn_lab.TrialExplorer(trials).close()
        gc.collect()
    result["growth_over_50_explorers_MB"] = round(resident() - before, 1)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
