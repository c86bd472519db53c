"""Start-up: `import mpn_lab` and all that a training needs, beside `import torch, neurogym`.

Each in fresh processes, taking turns; the median ratio is printed. Run twice for warm disk caches.
"""

import statistics
import subprocess
import sys
import time

BASE = "import torch, neurogym"
OURS = {
    "import mpn_lab": "import mpn_lab",
    "import torch, neurogym, mpn_lab": "import torch, neurogym, mpn_lab",
    "all that a training needs": "from mpn_lab import TrainConfig, train",
    "every public name": "from mpn_lab import *",
}


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main(rounds: int = 7) -> None:
    times: dict[str, list[float]] = {code: [] for code in (BASE, *OURS.values())}
    for _ in range(rounds):
        for code in times:
            times[code].append(seconds(code))
    base = statistics.median(times[BASE])
    print(f"{BASE}: {base:.2f} s (median of {rounds})")
    for name, code in OURS.items():
        ratio = statistics.median(
            own / reference for own, reference in zip(times[code], times[BASE], strict=True)
        )
        print(f"{name}: {statistics.median(times[code]):.2f} s, {ratio:.2f} times that")


if __name__ == "__main__":
    main()
