"""What `make figures` runs: `python figures/make.py [FIGURE] [--fresh]`, then the table."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import table
from paper import NUMBERS

from mpn_lab import RunError

LONG = "fig7j"  # hours where its numbers are missing: only when asked for
FIGURES = sorted(
    (p.stem for p in Path(__file__).parent.glob("fig*.py")), key=lambda n: (n == LONG, n)
)


def main(arguments: list[str]) -> None:
    fresh = "--fresh" in arguments
    asked = [f"fig{name}" for name in arguments if name != "--fresh"]
    if unknown := [name for name in asked if name not in FIGURES]:
        known = ", ".join(name.removeprefix("fig") for name in FIGURES)
        sys.exit(f"There is no figure {unknown[0].removeprefix('fig')!r}; expected one of {known}.")
    try:
        for name in asked or FIGURES:
            if not asked and name == LONG and not (NUMBERS / f"{LONG}.csv").exists():
                print("figure 7j is not trained yet: make figures FIG=7j, some hours, resumable")
                continue
            print(f"figure {name.removeprefix('fig')}", flush=True)
            import_module(name).main(fresh=fresh)
            table.main()
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
