"""How the cost of one forward and backward pass grows with B, T, d and n, beside nn.LSTM.

One size is varied at a time, the others stay at B, T, d, n = 32, 100, 10, 100. One thread, float32,
in one process, in turns, medians; see kernel.py. Memory is what the MPN stores between its forward
and its backward pass: h, and M at the chunk boundaries.

Draws ai_docs/images/scaling.png and saves results/scaling.csv. Takes a minute or two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from kernel import contenders, milliseconds, training_call

from mpn_lab.plotting.style import action_color, new_figure, style

HERE = Path(__file__).parent
BASE = {"B": 32, "T": 100, "d": 10, "n": 100}
VARIED = {
    "B": (1, 4, 16, 64, 256),
    "T": (10, 50, 200, 800, 3200),
    "d": (2, 5, 10, 25, 50, 100),
    "n": (16, 32, 64, 128, 256, 512),
}
NAMES = {"B": "sequences B", "T": "time steps T", "d": "inputs d", "n": "neurons n"}


def measure() -> pd.DataFrame:
    rows = []
    for size, values in VARIED.items():
        for value in values:
            B, T, d, n = (BASE | {size: value}).values()
            x, to_output = torch.randn(B, T, d), torch.randn(B, T, n)
            cores = {k: core for k, core in contenders(d, n).items() if k in ("MPN", "nn.LSTM")}
            calls = {name: training_call(core, x, to_output) for name, core in cores.items()}
            context = cores["MPN"](x)[0].grad_fn
            stored = 4 * B * T * n + context.checkpoints.nbytes
            for name, ms in milliseconds(calls, 1.0).items():
                rows.append({"varied": size, "value": value, "contender": name, "ms": ms})
                rows[-1]["stored_MB"] = stored / 2**20 if name == "MPN" else np.nan
                print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> None:
    with style():
        figure = new_figure(8, 4.6)
        axes = figure.subplots(2, 4, sharey="row")
        for column, (size, name) in enumerate(NAMES.items()):
            part = table[table["varied"] == size]
            time, memory = axes[:, column]
            for k, (contender, rows) in enumerate(part.groupby("contender", sort=False), 1):
                marker = "o" if contender == "MPN" else "s"
                time.loglog(
                    *(rows["value"], rows["ms"]),
                    *(f"{marker}-",),
                    color=action_color(k),
                    markersize=3,
                    label=contender,
                )
            mpn = part[part["contender"] == "MPN"]
            memory.loglog(mpn["value"], mpn["stored_MB"], "o-", color=action_color(1), markersize=3)
            slope = mpn["value"] / mpn["value"].iloc[-1]
            time.loglog(mpn["value"], slope * mpn["ms"].iloc[-1], ":", color="0.5", label="linear")
            memory.loglog(mpn["value"], slope * mpn["stored_MB"].iloc[-1], ":", color="0.5")
            memory.set_xlabel(name)
            for axis in (time, memory):
                axis.set_xticks(VARIED[size], VARIED[size])
                axis.minorticks_off()
        axes[0, 0].set_ylabel("forward and\nbackward (ms)")
        axes[1, 0].set_ylabel("stored for the\nbackward pass (MB)")
        axes[0, 0].legend(frameon=False)
        figure.tight_layout()
        path = HERE.parent / "ai_docs" / "images" / "scaling.png"
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, dpi=150)


def main() -> None:
    torch.set_num_threads(1)
    table = measure()
    table.to_csv(HERE / "results" / "scaling.csv", index=False, float_format="%.4g")
    draw(table)


if __name__ == "__main__":
    main()
