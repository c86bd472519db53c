"""Writes `figures/README.md`: the paper's numbers beside ours, and every figure with its caption.

`python -m figures` ends with it. The paper's numbers come from `paper.csv`, ours from the figures'
`values.csv`, the captions from their `caption.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from figures.cache import FIGURES, load_values
from figures.printed import PRINTED, Printed

HEAD = """# The paper's figures

Aitken & Mihalas, *Neural population dynamics of computing with synaptic modulations*, eLife
2023;12:e83035. This page is written by `figures/table.py`; do not edit it by hand.

`make figures` draws all figures from stored networks and trains what is missing. `make figures
FIG=3 FRESH=1` trains one figure's networks anew. Networks that figures share are made by figures 3,
5, 7 and S; what other figures measured in them is then measured again.

Ours: mean ± standard error over seeds, with their number in brackets. Agreement: the difference is
at most two joint standard errors (of the paper's value, where it prints one, and of ours). That the
order of the networks is the paper's is tested in each figure's `test_claims.py`. What the notes
describe was tried once, and there is no script for it."""

NEUROGYM = """## Figure 7j in numbers

Accuracy over all steps, and at the steps that ask for a response; mean ± standard error of {seeds}
networks each (the paper prints no numbers). No network learns to respond in the two
ContextDecisionMaking: the random delay does not tell when to respond, so that argmax gains nothing
by responding."""

LONGER = """\
Seed 0 trained anew, for at least 2,000 and at most 6,000 updates, until the accuracy is 99 % or the
validation loss no longer falls (the paper: or the accuracy no longer rises). Accuracy over all
steps; in brackets that of the same seed that stopped at 2,000, and the updates:"""

KINDS = ("MPN", "MPNpre", "RNN", "GRU")


def main() -> None:
    names = [path.parent.name for path in sorted(FIGURES.glob("fig*/values.csv"))]
    ours = pd.concat([load_values(name).assign(figure=name) for name in names])
    sections = [
        HEAD,
        markdown_table(
            ("figure", "quantity", "network", "paper", "ours", "agrees", "definition", "why not"),
            [row_of(printed, ours) for printed in PRINTED],
        ),
        *neurogym_tasks(ours[ours["figure"] == "fig7j"]),
        *(picture(path.parent) for path in sorted(FIGURES.glob("fig*/figure.png"))),
    ]
    (FIGURES / "README.md").write_text("\n\n".join(sections) + "\n")


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * (lines[0].count(" | ") + 1) + "|", *lines[1:]])


def mean_and_error(values: pd.Series, digits: int = 3) -> str:
    """Mean ± standard error; without the error for a single value."""
    mean = f"{values.mean():.{digits}f}"
    return mean + (f" ± {values.sem():.{digits}f}" if len(values) > 1 else "")


def row_of(printed: Printed, ours: pd.DataFrame) -> tuple[str, ...]:
    """A number of the paper beside ours."""
    here = ours["figure"] == printed.figure
    here &= (ours["quantity"] == printed.quantity) & (ours["network"] == printed.network)
    values = ours[here]["value"]  # by seed
    theirs = f"{printed.value:g}" + ("" if np.isnan(printed.error) else f" ± {printed.error:g}")
    start = printed.figure, printed.quantity, printed.network, theirs
    if values.empty:
        return *start, "not run", "", printed.definition, printed.note
    difference = values.mean() - printed.value
    joint = np.hypot(*np.nan_to_num([values.sem(), printed.error]))
    agrees = "yes" if abs(difference) <= 2 * joint else f"no ({difference:+.3g})"
    found = mean_and_error(values, 1 if printed.value > 10 else 3) + f" ({len(values)})"
    return *start, found, agrees, printed.definition, printed.note


def neurogym_tasks(rows: pd.DataFrame) -> list[str]:
    """Figure 7j in numbers: accuracy by task and network, over all steps and at the responses."""
    if rows.empty:
        return []
    rows = rows.assign(**rows["network"].str.extract(r"(?P<kind>\w+), (?P<task>\w+)"))
    of = {quantity: group for quantity, group in rows.groupby("quantity")}
    columns = [
        ("always fixating", of["always fixating"], "any"),
        *((kind, of["accuracy"], kind) for kind in KINDS),
        *((f"{kind}, responses", of["accuracy of responses"], kind) for kind in KINDS),
    ]
    by_task = [table[table["kind"] == kind].groupby("task")["value"] for _, table, kind in columns]
    cells = [group.apply(mean_and_error) for group in by_task]
    lines = [
        (task, *(cell.get(task, "") for cell in cells)) for task in sorted(rows["task"].unique())
    ]
    lines += [("mean of the tasks", *(f"{group.mean().mean():.3f}" for group in by_task))]
    fewest, most = of["accuracy"].groupby(["task", "kind"]).size().agg(["min", "max"])
    return [
        NEUROGYM.format(seeds=f"{most}" if fewest == most else f"{fewest} to {most}"),
        markdown_table(("task", *(name for name, _, _ in columns)), lines),
        by_sign_of_eta(of["accuracy"], of["eta after training"]),
        *longer(rows),
    ]


def by_sign_of_eta(accuracy: pd.DataFrame, eta: pd.DataFrame) -> str:
    """Whether the learned sign of eta makes a difference."""
    of_eta = eta.set_index(["network", "seed"])["value"].rename("eta")
    table = accuracy.set_index(["network", "seed"]).join(of_eta, how="inner")
    gain = table["value"] - table.groupby("network")["value"].transform("mean")
    groups = gain.groupby([table["kind"], np.sign(table["eta"])]).agg(["mean", "sem", "size"])
    signed = [
        f"{kind}, eta {'>' if sign > 0 else '<'} 0: {mean:+.4f} ± {sem:.4f} ({size:.0f})"
        for (kind, sign), (mean, sem, size) in groups.iterrows()
    ]
    return "Accuracy less the task's mean, by the sign of eta: " + "; ".join(signed) + "."


def longer(rows: pd.DataFrame) -> list[str]:
    """The networks of figure 7j that were trained until the paper's kind of rule stopped them."""
    names = {"longer": "accuracy, longer", "at_2000": "accuracy", "updates": "updates, longer"}
    by_quantity = rows.pivot(index=["task", "kind", "seed"], columns="quantity", values="value")
    table = by_quantity.rename(columns={v: k for k, v in names.items()})[list(names)].dropna()
    if table.empty:
        return []
    kinds = [kind for kind in KINDS if kind in table.index.unique("kind")]
    cells = {
        (task, kind): f"{row.longer:.3f} ({row.at_2000:.3f}; {row.updates:,.0f})"
        for (task, kind, _), row in table.iterrows()
    }
    tasks = table.index.unique("task")
    lines = [(task, *(cells.get((task, kind), "") for kind in kinds)) for task in tasks]
    means = table.groupby("kind").mean()
    lines += [("mean", *(f"{means.longer[k]:.3f} ({means.at_2000[k]:.3f})" for k in kinds))]
    return [LONGER, markdown_table(("task", *kinds), lines)]


def picture(folder: Path) -> str:
    """A figure with its caption, whose first line is the title."""
    title, _, caption = (folder / "caption.md").read_text().partition("\n")
    return f"#{title}\n\n![{folder.name}]({folder.name}/figure.png)\n\n{caption.strip()}"
