"""Peak memory of the TD loss's backward pass with and without gradient checkpointing, at T = 800.

Each measurement in a process of its own: the most that one forward and backward pass adds to it,
once with glibc's allocator as it is, which holds on to freed memory, and once with freed memory
given back at once (MALLOC_MMAP_THRESHOLD_=65536), which counts what is really in use.
Writes results/checkpointing.csv. "plain loop" is what runs where the kernels do not: on a GPU, with
another activation, without numba.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from kernel import program

SIZES = {"B": 32, "T": 800, "hidden": 100, "chunk": 32}
ALLOCATORS = {"as it is": {}, "gives back": {"MALLOC_MMAP_THRESHOLD_": "65536"}}
PROGRAM = """
import contextlib, torch
from mpn_lab import QNetwork
from mpn_lab.networks.autograd import plain_loop
from mpn_lab.training.loss import unroll
torch.set_num_threads(1)
network = QNetwork(3, 3, hidden_size={hidden}, core="{core}")
loop = plain_loop if {loop} else contextlib.nullcontext

def once(obs):
    with loop():
        unroll(network, obs, None, "{backprop}", {chunk}).square().sum().backward()
    network.zero_grad()

def kilobytes(name):
    line = next(l for l in open("/proc/self/status") if l.startswith(name))
    return int(line.split()[1])

once(torch.randn(2, 2 * {chunk}, 3))  # compiled, and torch's own buffers allocated
obs = torch.randn({B}, {T}, 3)
open("/proc/self/clear_refs", "w").write("5")  # the peak is counted from here
before = kilobytes("VmRSS")
once(obs)
print((kilobytes("VmHWM") - before) / 1024)
"""


def main() -> None:
    rows = []
    for name, core, loop in (
        ("MPN, plain loop", "mpn", True),
        ("MPN, kernels", "mpn", False),
        ("GRU", "gru", False),
        ("LSTM", "lstm", False),
    ):
        for allocator, environment in ALLOCATORS.items():
            used = {
                backprop: program(
                    PROGRAM.format(**SIZES, core=core, loop=loop, backprop=backprop), **environment
                )
                for backprop in ("full", "checkpointed")
            }
            ratio = used["checkpointed"] / used["full"]
            row = {"core": name, "allocator": allocator, **used, "ratio": ratio}
            rows.append(row)
            print({key: round(x, 3) if isinstance(x, float) else x for key, x in row.items()})
    out = Path(__file__).parent / "results" / "checkpointing.csv"
    pd.DataFrame(rows).round(3).to_csv(out, index=False)


if __name__ == "__main__":
    main()
