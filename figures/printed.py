"""The numbers that the paper prints: `figures/paper.csv`."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from figures.cache import FIGURES


class Printed(NamedTuple):
    """A number that the paper prints."""

    figure: str
    quantity: str  # as in values.csv
    network: str
    value: float
    error: float  # standard error; nan where the paper prints none
    definition: str
    note: str  # why ours differs, and what was tried


PRINTED = [
    Printed(*row)
    for row in pd.read_csv(FIGURES / "paper.csv")
    .fillna({"definition": "", "note": ""})
    .itertuples(index=False)
]


def printed_value(figure: str, quantity: str, network: str) -> float | None:
    """The number that the paper prints; None where it prints none."""
    for printed in PRINTED:
        if (printed.figure, printed.quantity, printed.network) == (figure, quantity, network):
            return printed.value
    return None
