"""The paper's numbers beside ours: `figures/README.md`, from `figures/numbers/*.csv`.

`make figures` ends with it. Nothing in that page is typed: edit the list here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from paper import HERE, NUMBERS

HEAD = """# The paper's figures

Aitken & Mihalas, *Neural population dynamics of computing with synaptic modulations*, eLife 2023;12:e83035.
Written by `figures/table.py` from `figures/numbers/`; do not edit by hand. `make figures` draws all figures from saved networks
(and trains what is missing), `make figures FIG=3 FRESH=1` one of them from nothing.

Ours: mean ± standard error over seeds (their number in brackets). Agreement: the difference is at most two joint standard errors
(the paper's, where it prints one, and ours); "order" where the paper's number has no error and ours lies on the same side of
all others in its row group.
"""


class Printed(NamedTuple):
    """A number that the paper prints."""

    figure: str
    quantity: str  # as in the CSV
    network: str
    value: float
    error: float | None  # standard error, where there is one
    definition: str
    note: str = ""  # why it differs, and what was tried


FIGURES_5_6 = [
    Printed(
        "fig6",
        "novel class decoded",
        "MPN",
        0.998,
        0.001,
        "linear SVC, balanced, 10-fold, on the label of 1,000 three-class trials, from M before go in its first 100 components; networks of figure 3",
    ),
    Printed(
        "fig6",
        "novel class decoded",
        "GRU",
        0.812,
        0.009,
        "the same, from h at go",
    ),
    Printed(
        "fig6",
        "turn of h, degrees",
        "GRU",
        23,
        3,
        "angle between the first components of h over all steps of 1,000 trials: before, of the first task, and after the second task, of that one",
    ),
    Printed(
        "fig6",
        "participation ratio of h, before",
        "GRU",
        1.52,
        0.10,
        "(sum of the variances)² / sum of their squares, of h over all steps of 1,000 trials of the first task, before the second",
    ),
    Printed(
        "fig6",
        "participation ratio of h, after",
        "GRU",
        1.71,
        0.13,
        "the same of the second task, after it was learned",
    ),
]

PAPER: list[Printed] = [*FIGURES_5_6]


def row_of(printed: Printed, ours: pd.DataFrame) -> str:
    here = ours[
        (ours["figure"] == printed.figure)
        & (ours["quantity"] == printed.quantity)
        & (ours["network"] == printed.network)
    ]["value"]
    said = f"{printed.value:g}" + ("" if printed.error is None else f" ± {printed.error:g}")
    start = f"| {printed.figure} | {printed.quantity} | {printed.network} | {said} | "
    if here.empty:
        return start + f"not run | | {printed.definition} | {printed.note} |"
    mean, sem = here.mean(), here.sem() if len(here) > 1 else np.nan
    joint = 2 * np.hypot(0 if np.isnan(sem) else sem, printed.error or 0)
    agrees = "yes" if abs(mean - printed.value) <= joint else f"no ({mean - printed.value:+.3g})"
    found = f"{mean:.3g} ± {sem:.2g} ({len(here)})" if len(here) > 1 else f"{mean:.3g} (1)"
    return start + f"{found} | {agrees} | {printed.definition} | {printed.note} |"


def main() -> None:
    ours = pd.concat(
        [pd.read_csv(path).assign(figure=path.stem) for path in sorted(NUMBERS.glob("*.csv"))]
    )
    lines = ["| figure | quantity | network | paper | ours | agrees | definition | why not |"]
    lines.append("|---" * 8 + "|")
    lines += [row_of(printed, ours) for printed in PAPER]
    pictures = [f"![figure {p.stem}]({p.name})" for p in sorted(HERE.glob("fig*.png"))]
    (HERE / "README.md").write_text("\n".join([HEAD, *lines, "", *pictures]) + "\n")


if __name__ == "__main__":
    main()
