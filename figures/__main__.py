"""Makes figures: `python -m figures [FIGURE ...] [--fresh]`, then the page with their values."""

from __future__ import annotations

import fcntl
import sys
from importlib import import_module

from matplotlib.figure import Figure

from figures import table
from figures.cache import FIGURES
from figures.drawing import save_figure
from figures.networks import RUNS
from mpn_lab import RunError, plotting

LONG = "fig7j"  # hours of training: only when asked for
SUPPLEMENTS = ("fig3S", "fig5S", "fig6S", "fig7S")  # after figS, some of whose networks they show
CAUSAL = "causal"  # five pictures that are not the paper's
PAPER = (folder.parent.name for folder in FIGURES.glob("fig*/plot.py"))
NAMES = [*sorted(PAPER, key=lambda name: (name == LONG, name in SUPPLEMENTS, name)), CAUSAL]


def main(arguments: list[str]) -> None:
    fresh = "--fresh" in arguments
    given = [name for name in arguments if name != "--fresh"]
    asked = [name if name == CAUSAL else f"fig{name}" for name in given]
    if unknown := [name for name in asked if name not in NAMES]:
        known = ", ".join(name.removeprefix("fig") for name in NAMES)
        sys.exit(f"There is no figure {unknown[0].removeprefix('fig')!r}; expected one of {known}.")
    RUNS.mkdir(parents=True, exist_ok=True)
    lock = open(RUNS / ".lock", "w")  # noqa: SIM115  # held until this process ends, however it does
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Figures are already being made in {RUNS.resolve()}; wait until that has ended.")
    try:
        for name in asked or NAMES:
            print(f"figure {name.removeprefix('fig')}", flush=True)
            make_figure(name, fresh, train=name != LONG or name in asked)
            table.main()
    except RunError as error:
        sys.exit(str(error))


def make_figure(name: str, fresh: bool, train: bool = True) -> None:
    """Make one figure: `figures/NAME/figure.svg` and `.png`, and the values it is drawn from.

    Where it consists of several pictures, each has a name of its own.

    Args:
        name: of its folder.
        fresh: train and measure all anew.
        train: train what is missing; False: draw what there is (of figure 7j).
    """
    module = import_module(f"figures.{name}.plot")
    options = {} if train else {"train": False}
    with plotting.style():
        made: Figure | dict[str, Figure] | None = module.make(fresh, **options)
        pictures = made if isinstance(made, dict) else {"figure": made}
        for picture, figure in pictures.items():
            if figure is not None:
                save_figure(figure, FIGURES / name, picture)


if __name__ == "__main__":
    main(sys.argv[1:])
