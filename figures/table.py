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


PAPER: list[Printed] = []


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
