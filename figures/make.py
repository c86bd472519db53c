"""What `make figures` runs: `python figures/make.py [FIGURE] [--fresh]`, then the table."""

from __future__ import annotations

import fcntl
import sys
from importlib import import_module
from pathlib import Path

import table
from paper import RUNS

from mpn_lab import RunError

LONG = "fig7j"  # hours of training: only when asked for
SUPPLEMENTS = ("fig3S", "fig5S", "fig6S", "fig7S")  # after figS, some of whose networks they show
FIGURES = sorted(
    (p.stem for p in Path(__file__).parent.glob("fig*.py")),
    key=lambda name: (name == LONG, name in SUPPLEMENTS, name),
)


def main(arguments: list[str]) -> None:
    fresh = "--fresh" in arguments
    asked = [f"fig{name}" for name in arguments if name != "--fresh"]
    if unknown := [name for name in asked if name not in FIGURES]:
        known = ", ".join(name.removeprefix("fig") for name in FIGURES)
        sys.exit(f"There is no figure {unknown[0].removeprefix('fig')!r}; expected one of {known}.")
    RUNS.mkdir(parents=True, exist_ok=True)
    lock = open(RUNS / ".lock", "w")  # noqa: SIM115  # held until this process ends, however it does
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Figures are already being made in {RUNS.resolve()}; wait until that has ended.")
    try:
        for name in asked or FIGURES:
            print(f"figure {name.removeprefix('fig')}", flush=True)
            drawn_only = {"train": False} if name == LONG and not asked else {}
            import_module(name).main(fresh=fresh, **drawn_only)
            table.main()
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
