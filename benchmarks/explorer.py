"""How fast the explorer is: frames, memory, the exported page, records.

    python benchmarks/explorer.py

One process, hidden 100, input 10, 40 steps: the time from a slider event to the new picture beside
redrawing the figure whole, the growth of memory over 2,000 frames, the size of the exported page,
and the time that recording 500 trials of DelayMatchSample-v0 takes at hidden 64.
"""

from __future__ import annotations

import gc
import json
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from matplotlib import pyplot

import mpn_lab
from mpn_lab.plotting.style import style
from mpn_lab.widgets.explorer import png

torch.set_num_threads(1)


def long_trials(trials: int = 100):
    """A record of trials of 40 steps at hidden 100, input 10."""
    timing = {"fixation": 300, "sample": 500, "delay": 1800, "test": 500, "decision": 900}
    network = mpn_lab.QNetwork(
        3, 3, hidden_size=100, embedding_size=10, generator=torch.Generator().manual_seed(0)
    )
    torch.nn.init.zeros_(network.readout.weight)  # fixate to the end
    return mpn_lab.record(network, "DelayMatchSample-v0", {"timing": timing}, trials=trials)


def milliseconds(act, repeats: int) -> float:
    """Median time of `act(k)`."""
    times = []
    for k in range(repeats):
        start = perf_counter()
        act(k)
        times.append(perf_counter() - start)
    return round(1000 * float(np.median(times)), 1)


def resident() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    """Measure, and print one JSON object."""
    trials = long_trials()
    explorer = mpn_lab.TrialExplorer(trials)
    picture, unit, steps = explorer._picture, explorer._unit, int(trials["length"][0])

    def slide(k: int) -> None:
        explorer.time.value = (k + 1) % steps * unit

    def redraw(k: int) -> None:
        with style():
            picture.panel.update(k % steps)
            picture.canvas.draw()
        explorer.set_frame(png(picture.image()))

    slide(0)
    frame = milliseconds(slide, 200)
    for artist in picture.panel.artists:
        artist.set_animated(False)
    whole = milliseconds(redraw, 30)
    explorer = mpn_lab.TrialExplorer(trials)
    switch = milliseconds(lambda k: setattr(explorer.trial, "value", k + 1), 15)
    for k in range(100):
        slide(k)
    gc.collect()
    before = resident()
    for k in range(2000):
        slide(k)
    gc.collect()
    growth = resident() - before
    with tempfile.TemporaryDirectory() as folder:
        page = explorer.to_html(Path(folder) / "trial.html").stat().st_size
    network = mpn_lab.QNetwork(3, 3, hidden_size=64)
    start = perf_counter()
    record = mpn_lab.record(network, "DelayMatchSample-v0", trials=500)
    seconds = perf_counter() - start
    print(
        json.dumps(
            {
                "steps": steps,
                "frame_ms": frame,
                "whole_redraw_ms": whole,
                "times_faster": round(whole / frame, 1),
                "other_trial_ms": switch,
                "growth_over_2000_frames_MB": round(growth, 1),
                "pyplot_figures": len(pyplot.get_fignums()),
                "page_MB": round(page / 1e6, 2),
                "record_500_trials_s": round(seconds, 2),
                "record_M_MB": round(record["M"].nbytes / 1e6, 1),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
