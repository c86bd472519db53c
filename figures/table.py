"""The paper's numbers beside ours: `figures/README.md`, from `figures/numbers/*.csv`.

`make figures` ends with it. Nothing in that page is typed: edit the list here.
"""

from __future__ import annotations

import ast
from pathlib import Path
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
        "two classes, no delay: turn of h, degrees",
        "GRU",
        23,
        3,
        "angle between the first components of h over all steps of 1,000 trials: before, of the first task, and after the second task, of that one; networks of figure 3",
        "Not explained; the networks differ widely (17 to 67). Of six: 35 ± 11 with both components from trials of the first task, 36 ± 8 from h at go alone. On the delay task of three classes (ten) 34 ± 4. Both tasks learned trial by trial, as in the paper: 21, 48 and 74; a fourth network never learned.",
    ),
    Printed(
        "fig6",
        "two classes, no delay: participation ratio of h, before",
        "GRU",
        1.52,
        0.10,
        "(sum of the variances)² / sum of their squares, of h over all steps of 1,000 trials of the first task; networks of figure 3",
        "Trained on batches of 64 with L1 of 1e-4, h is almost a line; trained trial by trial with 1e-6, on the delay task as in the paper, it is 2.3, 1.7, 3.1 in three networks.",
    ),
    Printed(
        "fig6",
        "two classes, no delay: participation ratio of h, after",
        "GRU",
        1.71,
        0.13,
        "the same of the second task, after it was learned",
        "Trained trial by trial as in the paper: 3.9, 1.6, 3.4.",
    ),
]

FIG3_R2 = {  # network -> r2 on evidence, on present input
    "RNN": (0.53, 0.19),
    "GRU": (0.88, 0.29),
    "MPN": (0.21, 0.87),
    "MPNpre": (0.16, 0.80),
}
FIG3_DEFINITION = "least squares, {}, in the 19 stimulus steps of 200 trials; mean over all neurons"
FIG3_ON = ("accumulated evidence", "present input")
FIG3_REGRESSORS = ("class 1 minus class 2 shown so far", "all entries of $x_t$")
FIG3_NOTES = {  # quantity, network -> why it differs
    ("accumulated evidence", "RNN"): (
        "Not explained. Means of seeds 0 and 1: no L1 0.67; L1 of 1e-3 0.71; 8,000 batches 0.71; "
        "500 batches 0.81. All ten: neurons with more than 1 % of the largest variance alone 0.86."
    ),
    ("accumulated evidence", "GRU"): (
        "Neurons with more than 1 % of the largest variance alone, 69 of 100: 0.94; the others "
        "hardly move."
    ),
    ("accumulated evidence", "MPN"): (
        "The present input foretells the evidence here; drawn one by one (below) it does not, and "
        "the paper's number lies between the two."
    ),
    ("present input", "RNN"): "Inputs drawn one by one (below) give the paper's number.",
    ("present input", "GRU"): "Inputs drawn one by one (below) give less than the paper's.",
    ("present input", "MPN"): "Inputs drawn one by one (below) give the paper's number.",
    ("readout alignment", "MPNpre"): "Of the two classes' inputs alone 0.96; null's is 0.26.",
}

TEXT_DEFINITION = "two classes, T = 20, 2,000 fresh trials"

TEXT_NOTES = {
    "MPNpre": "Its networks need up to 13,650 batches; four of the five with eta < 0 reach 0.98, the others 0.965 to 0.975.",
    "bound 0.1": "Not explained: the bound cuts after every update here, as the definition says.",
}

PAPER: list[Printed] = [
    *(
        Printed(
            "fig3",
            f"r2 of h on {FIG3_ON[i]}{inputs}",
            network,
            said[i],
            None,
            FIG3_DEFINITION.format(FIG3_REGRESSORS[i])
            + ("; each input with probability 1/3" if inputs else ""),
            FIG3_NOTES.get((FIG3_ON[i], network), "") if not inputs else "",
        )
        for inputs in ("", ", inputs drawn one by one")
        for i in (0, 1)
        for network, said in FIG3_R2.items()
    ),
    Printed(
        "fig3",
        "participation ratio of h",
        "MPN",
        2.07,
        0.12,
        "of the covariance of h over all 20 steps of 200 trials",
    ),
    *(
        Printed(
            "fig3",
            "readout alignment of non-go clusters",
            network,
            value,
            None,
            "mean over the three non-go inputs and both classes of abs cos(mean h, readout vector)",
            FIG3_NOTES.get(("readout alignment", network), ""),
        )
        for network, value in (("MPN", 0.16), ("MPNpre", 0.79))
    ),
    *FIGURES_5_6,
    Printed(
        "fig7",
        "accuracy, retrospective context",
        "MPN",
        0.984,
        None,
        "2,000 fresh trials; networks stopped by a rolling 98 %",
        "The rule that stops the training sets it: at 98 % of the same answers.",
    ),
    *(
        Printed(
            "figS", "accuracy", network, value, None, TEXT_DEFINITION, TEXT_NOTES.get(network, "")
        )
        for network, value in (
            ("MPN", 0.997),
            ("MPNpost", 0.988),
            ("MPNpre", 0.980),
            ("bound 1", 0.997),
            ("bound 0.1", 0.967),
        )
    ),
]


def seeds_of(printed: Printed, ours: pd.DataFrame) -> pd.Series:
    """Our values of it, by seed."""
    here = (ours["figure"] == printed.figure) & (ours["quantity"] == printed.quantity)
    return ours[here & (ours["network"] == printed.network)]["value"]


def in_order(printed: Printed, ours: pd.DataFrame) -> bool:
    """Whether ours is above and below the same networks as the paper's, of several."""
    key = printed.figure, printed.quantity
    others = [p for p in PAPER if (p.figure, p.quantity) == key and p is not printed]
    mean = seeds_of(printed, ours).mean()
    return bool(others) and all(
        (mean - seeds_of(other, ours).mean()) * (printed.value - other.value) > 0
        for other in others
    )


def row_of(printed: Printed, ours: pd.DataFrame) -> str:
    here = seeds_of(printed, ours)
    said = f"{printed.value:g}" + ("" if printed.error is None else f" ± {printed.error:g}")
    start = f"| {printed.figure} | {printed.quantity} | {printed.network} | {said} | "
    if here.empty:
        return start + f"not run | | {printed.definition} | {printed.note} |"
    mean, sem = here.mean(), here.sem() if len(here) > 1 else np.nan
    joint = 2 * np.hypot(0 if np.isnan(sem) else sem, printed.error or 0)
    if abs(mean - printed.value) <= joint:
        agrees = "yes"
    else:
        ordered = printed.error is None and in_order(printed, ours)
        agrees = f"{'order' if ordered else 'no'} ({mean - printed.value:+.3g})"
    found = f"{mean:.3g} ± {sem:.2g} ({len(here)})" if len(here) > 1 else f"{mean:.3g} (1)"
    return start + f"{found} | {agrees} | {printed.definition} | {printed.note} |"


def main() -> None:
    ours = pd.concat(
        [pd.read_csv(path).assign(figure=path.stem) for path in sorted(NUMBERS.glob("*.csv"))]
    )
    lines = ["| figure | quantity | network | paper | ours | agrees | definition | why not |"]
    lines.append("|---" * 8 + "|")
    lines += [row_of(printed, ours) for printed in PAPER]
    pictures = [picture(path) for path in sorted(HERE.glob("fig*.png"))]
    (HERE / "README.md").write_text("\n".join([HEAD, *lines, "", *pictures]) + "\n")


def picture(path: Path) -> str:
    """The picture with what its script says of it."""
    text = ast.get_docstring(ast.parse(path.with_suffix(".py").read_text())) or ""
    title, _, caption = text.partition("\n")
    return f"## {title.rstrip('.')}\n\n![{path.stem}]({path.name})\n{caption}\n"


if __name__ == "__main__":
    main()
