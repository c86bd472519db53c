"""Speed and memory of the MPN layer beside its plain loop and torch's recurrent layers.

Times: all contenders in one process, taking turns; in a turn each is called once to warm up and
then up to three times on the clock, and the median over all turns is kept. Gradients go to the
parameters alone, as in training behind a fixed projection; "forward" is without gradients, as in
evaluation.

Memory: the most that one forward and backward pass adds to the process at B, T, d, n = 32, 800, 10,
100, each contender in a process of its own.

The machine's rate: an MPN of this size is forward and backward 8 multiply-adds, 4 multiplications
and 1 addition per synapse and time step (as counted in `networks/kernels.py`: tanh, the loads and
the stores are not counted, nor what fills the last vector of neurons). `mix` runs just these, in
the same order, in a plain numba loop over numbers in the nearest cache. Its time per synapse and
step, over the kernels' own, is the fraction of the machine's rate that the whole call reaches,
autograd included. Both are taken in turns, in one process on one thread; of these two the least
time counts, not the median: a neighbour on the machine slows down what needs the caches more than
what needs only registers.

Prints the tables and saves results/kernel.md, and every number in results/kernel.csv. Takes some
five minutes; `kernel.py rate acting`, say, does these parts alone and keeps the other numbers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import no_type_check

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from mpn_lab import MPN
from mpn_lab.networks.autograd import plain_loop

SIZES = (
    (64, 32, 10, 64),  # an update of the default training
    (32, 20, 50, 100),
    (32, 40, 10, 100),
    (32, 100, 10, 100),
    (32, 100, 50, 100),
    (32, 400, 10, 100),
    (32, 800, 10, 100),
    (128, 100, 64, 256),
)
ACTING = (1, 8, 32, 128)  # trials side by side, at d, n = 10, 100
MEMORY = (32, 800, 10, 100)
OUT = Path(__file__).parent / "results"
Call = Callable[[], object]


# The contenders ------------------------------------------------------------------------------


class PlainLoop(MPN):
    """The MPN's equations in plain PyTorch."""

    def forward(self, *args, **kwargs):
        with plain_loop():
            return super().forward(*args, **kwargs)


def contenders(d: int, n: int) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "MPN": MPN(d, n),
        "plain loop": PlainLoop(d, n),
        "nn.LSTM": nn.LSTM(d, n, batch_first=True),
        "nn.GRU": nn.GRU(d, n, batch_first=True),
        "nn.RNN": nn.RNN(d, n, batch_first=True),
    }


def training_call(core: nn.Module, x: Tensor, to_output: Tensor) -> Call:
    """One forward and backward pass."""

    def call() -> None:
        core.zero_grad(set_to_none=True)
        core(x)[0].backward(to_output)

    return call


def forward_call(core: nn.Module, x: Tensor, state: object = None) -> Call:
    @torch.no_grad()
    def call() -> None:
        core(x, state)

    return call


# The clock -----------------------------------------------------------------------------------


def milliseconds(
    calls: dict[str, Call], budget: float, pick: Callable = statistics.median
) -> dict[str, float]:
    """Median (or another `pick`) of each, in turns for `budget` seconds, three turns at least."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    end, turns = time.perf_counter() + budget, 0
    for call in calls.values():
        call()
    while time.perf_counter() < end or turns < 3:
        turns += 1
        for name, call in calls.items():
            if not times[name] or times[name][-1] < 0.05:
                call()  # a longer one needs no company to be warm
            for _ in range(3):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
                if times[name][-1] > 0.05:
                    break
    return {name: 1e3 * pick(all_) for name, all_ in times.items()}


def speeds(threads: int) -> list[dict]:
    torch.set_num_threads(threads)
    rows = []
    for size in SIZES:
        B, T, d, n = size
        x, to_output = torch.randn(B, T, d), torch.randn(B, T, n)
        cores = contenders(d, n)
        both = {name: training_call(core, x, to_output) for name, core in cores.items()}
        only = {name: forward_call(core, x) for name, core in cores.items()}
        for what, calls in (("forward and backward", both), ("forward", only)):
            for name, ms in milliseconds(calls, 1.5).items():
                rows.append(_row(what, size, threads, name, "ms", ms))
    torch.set_num_threads(1)
    return rows


def acting() -> list[dict]:
    rows = []
    for B in ACTING:
        x = torch.randn(B, 1, 10)
        cores = contenders(10, 100)
        calls = {}
        for name, core in cores.items():
            with torch.no_grad():
                state = core(x)[1]
            calls[name] = forward_call(core, x, state)
        for name, ms in milliseconds(calls, 2.0).items():
            rows.append(_row("one step", (B, 1, 10, 100), 1, name, "ms", ms))
    return rows


# The machine's rate --------------------------------------------------------------------------


def make_mix() -> Callable:
    """`mix(numbers, p, q, steps)`: the arithmetic of so many steps on each of the numbers."""
    from numba import njit

    @njit(error_model="numpy", fastmath={"contract"})
    @no_type_check
    def mix(numbers, p, q, steps):
        for _ in range(steps):
            for j in range(len(numbers)):
                a = numbers[j]
                a = a * p * q + p
                a = a * q + p
                a = a * p + q
                a = a * p * q + q + p
                a = a * p * q + p
                a = a * p + q
                a = a * q * p + q
                numbers[j] = a * q + q

    return mix


def rate() -> list[dict]:
    """The fraction of the machine's rate for this mix; see the top."""
    mix, p, q = make_mix(), np.float32(0.5), np.float32(0.25)
    numbers, steps = np.full(1024, 0.5, np.float32), 1000
    rows = []
    for size in SIZES:
        B, T, d, n = size
        x, to_output = torch.randn(B, T, d), torch.randn(B, T, n)
        calls = {
            "MPN": training_call(contenders(d, n)["MPN"], x, to_output),
            "registers": lambda: mix(numbers, p, q, steps),
        }
        ms = milliseconds(calls, 2.0, min)
        per_synapse = ms["registers"] / (steps * len(numbers))
        rows.append(
            _row(
                "machine's rate",
                size,
                1,
                "MPN",
                "fraction",
                per_synapse * B * T * d * n / ms["MPN"],
            )
        )
        rows.append(_row("machine's rate", size, 1, "registers", "ns", 1e6 * per_synapse))
    return rows


# Memory, the first compile and the gradients -------------------------------------------------

MEMORY_PROGRAM = """
import ctypes, gc, sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {folder!r})
from kernel import contenders, training_call
core = contenders({d}, {n})[{name!r}]
training_call(core, torch.ones(1, 2, {d}), torch.ones(1, 2, {n}))()
x, to_output = torch.randn({B}, {T}, {d}), torch.randn({B}, {T}, {n})

def kilobytes(of):
    return int(open("/proc/self/status").read().split(of + ":")[1].split()[0])

gc.collect()
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")  # the peak is counted from here
before = kilobytes("VmRSS")
training_call(core, x, to_output)()
print((kilobytes("VmHWM") - before) / 1024)
"""

COMPILE_PROGRAM = """
import time, torch
from mpn_lab import MPN
core, x = MPN(10, 64), torch.ones(2, 3, 10)
start = time.perf_counter()
with torch.no_grad():
    core(x)
core(x)[0].sum().backward()
assert core.backend == "compiled"
print(time.perf_counter() - start)
"""


def program(code: str, **environment: str) -> float:
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=os.environ | environment, check=True, text=True, stdout=subprocess.PIPE
    )
    return float(done.stdout)


def memory() -> list[dict]:
    B, T, d, n = MEMORY
    rows = []
    for name in contenders(1, 1):
        code = MEMORY_PROGRAM.format(
            folder=str(Path(__file__).parent), name=name, B=B, T=T, d=d, n=n
        )
        rows.append(_row("peak memory", MEMORY, 1, name, "MB", program(code)))
    return rows


def first_compile() -> list[dict]:
    """Acting and learning with the default MPN, nothing cached, and again with the cache."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            _row(
                what,
                (2, 3, 10, 64),
                1,
                "MPN",
                "s",
                program(COMPILE_PROGRAM, NUMBA_CACHE_DIR=folder),
            )
            for what in ("first call, nothing compiled", "first call, compiled before")
        ]


def gradients() -> list[dict]:
    """The largest difference of any gradient from the plain loop's, relative to its largest."""
    B, T, d, n = size = (32, 100, 10, 100)
    torch.manual_seed(0)
    core, x = MPN(d, n, train_M0=True, dtype=torch.float64), torch.randn(B, T, d).double()
    x.requires_grad_()
    found: list[tuple[Tensor, ...]] = []
    loop = PlainLoop(d, n, train_M0=True, dtype=torch.float64)
    loop.load_state_dict(core.state_dict())
    for layer in (core, loop):
        found.append(torch.autograd.grad(layer(x)[0].square().sum(), [*layer.parameters(), x]))
    worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))
    return [_row("gradients in float64", size, 1, "MPN", "relative error", worst)]


# The tables ----------------------------------------------------------------------------------


def _row(what: str, size: tuple, threads: int, name: str, unit: str, value: float) -> dict:
    B, T, d, n = size
    print(f"{what}: {_size(size)}, threads {threads}, {name}: {value:.4g} {unit}", file=sys.stderr)
    return {
        **{"what": what, "B": B, "T": T, "d": d, "n": n, "threads": threads, "contender": name},
        **{"value": value, "unit": unit},
    }


def markdown(table: pd.DataFrame) -> str:
    names = list(contenders(1, 1))
    lines = [
        f"{_processor()}, {os.cpu_count()} cores, torch {torch.__version__}, float32. "
        "The other columns: their time over the MPN's.",
    ]
    timed = table[table["unit"] == "ms"]
    for (what, threads), part in timed.groupby(["what", "threads"], sort=False):
        lines += ["", f"### {what}, {threads} thread{'s' * (threads > 1)}", ""]
        if threads > 1:
            lines += [
                "On a quiet machine only: where others use its cores, threads that wait for each "
            ]
            lines[-1] += "other make these scatter by orders of magnitude."
            lines += [""]
        lines += [
            f"| B, T, d, n | MPN, ms | {' | '.join(names[1:])} |",
            "|---" * (len(names) + 1) + "|",
        ]
        for size, rows in part.groupby(["B", "T", "d", "n"], sort=False):
            ms = rows.set_index("contender")["value"]
            ratios = [f"{ms[name] / ms['MPN']:.1f}x" for name in names[1:]]
            lines.append(f"| {_size(size)} | {ms['MPN']:.3g} | {' | '.join(ratios)} |")
    lines += ["", "### fraction of the machine's own rate for this mix, 1 thread", ""]
    fractions = table[table["unit"] == "fraction"]
    lines += ["| B, T, d, n | fraction |", "|---|---|"]
    for row in fractions.itertuples():
        lines.append(f"| {_size((row.B, row.T, row.d, row.n))} | {row.value:.2f} |")
    lines += ["", f"### peak memory, forward and backward at {_size(MEMORY)}", ""]
    lines += ["| | MB | times the MPN's |", "|---|---|---|"]
    used = table[table["unit"] == "MB"].set_index("contender")["value"]
    lines += [f"| {name} | {mb:.0f} | {mb / used['MPN']:.1f} |" for name, mb in used.items()]
    lines += ["", "### once", ""]
    for row in table[table["unit"].isin(["s", "relative error"])].itertuples():
        lines.append(
            f"- {row.what}: {row.value:.2g} {row.unit if row.unit == 's' else ''}".rstrip()
        )
    return "\n".join(lines) + "\n"


def _size(size: tuple) -> str:
    return ", ".join(str(k) for k in size)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return "unknown processor"


PARTS: dict[str, Callable[[], list[dict]]] = {
    "memory": memory,
    "once": lambda: first_compile() + gradients(),
    "rate": rate,
    "acting": acting,
    "one-thread": lambda: speeds(1),
    "two-threads": lambda: speeds(2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar=" | ".join(PARTS), help="none: all")
    parts = parser.parse_args().parts or list(PARTS)
    if not set(parts) <= set(PARTS):
        parser.error(f"there is no part {set(parts) - set(PARTS)}; expected {', '.join(PARTS)}")
    torch.set_num_threads(1)
    path = OUT / "kernel.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame()
    for part in parts:
        new = pd.DataFrame(PARTS[part]()).assign(part=part)
        kept = table[table["part"] != part] if len(table) else table
        table = pd.concat([kept, new]).sort_values(
            "part", key=lambda names: names.map(list(PARTS).index), kind="stable"
        )
        OUT.mkdir(exist_ok=True)
        table.to_csv(path, index=False, float_format="%.4g")
    (OUT / "kernel.md").write_text(markdown(table))
    print(markdown(table))


if __name__ == "__main__":
    main()
