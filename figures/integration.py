"""What the figures of integration share: the evidence, what M would answer, how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from paper import Trained
from table import said

from mpn_lab import TrialEnv, record
from mpn_lab.training.data import step_accuracies

SHOWN = ("class 1", "class 2", "null", "go")  # as `shown` of a record counts them
SHOWN_COLORS = ("#00783C", "#7B3294", "#A6A6A6", "#262626")
# Neither blue nor orange, which are networks, nor white at zero, which is the page.
EVIDENCE_COLORS = LinearSegmentedColormap.from_list(
    "evidence", ["#4D0073", "#9A5BB0", "#CCCCCC", "#3FA66B", "#004D26"]
)
MOST = 12  # the evidence at which the colours end
PAPER_MARK = {"marker": "D", "ms": 5, "mfc": "white", "mec": "black", "mew": 1.1, "ls": "none"}
TESTED = 2_000  # fresh trials behind every accuracy
EVIDENCE_LABEL = "evidence, class 1 $-$ class 2"


def evidence_of(record: xr.Dataset) -> xr.DataArray:
    """How much oftener class 1 was shown than class 2, up to and with each step [trial, time]."""
    counts = record["evidence"]
    return counts.isel(action=0, drop=True) - counts.isel(action=1, drop=True)


def record_of(one: Trained) -> xr.Dataset:
    """200 fresh trials, the same for every network of a seed."""
    return record(one.network, *one.task, trials=200, seed=1)


def accuracy_of(one: Trained) -> float:
    """On `TESTED` fresh trials."""
    task, task_kwargs = one.task
    drawn = TrialEnv(task, seed=0, **task_kwargs).task.sample_batch(
        np.random.default_rng((one.config.seed, 7)), TESTED
    )
    return step_accuracies(one.network, drawn)[0]


@torch.no_grad()
def project_to_go(network: Trained, M: np.ndarray) -> np.ndarray:
    """h_GO(M) = phi([W * (1 + M)] x_go + b), as the layer itself computes it.

    [k, n, d] -> [k, n]
    """
    task, kwargs = network.task
    x_go = torch.tensor(TrialEnv(task, **kwargs).task.vectors["go"], dtype=torch.float32)
    state = torch.from_numpy(M)
    h, _ = network.network.core(x_go.expand(len(M), 1, -1), state)  # M acts at the step after it
    return h[:, 0].numpy()


@torch.no_grad()
def if_go_came(network: Trained, trials: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """What h, and the answer, would be if go came after a step.

    Returns:
        h_GO(M_t) [trial, time, hidden], and its readout of class 1 minus that of class 2 [trial,
        time].
    """
    shape = trials.sizes["trial"], trials.sizes["time"]
    M = trials["M"].values
    h = project_to_go(network, M.reshape(-1, *M.shape[2:]))
    y = network.network.readout(torch.from_numpy(h)).numpy()
    return h.reshape(*shape, -1), (y[:, 0] - y[:, 1]).reshape(shape)


def following(where: np.ndarray, values: np.ndarray) -> tuple[int, int, float]:
    """Of components [k, c]: which follows the values [k] best, the first other one, and |r|."""
    follows = [abs(np.corrcoef(component, values)[0, 1]) for component in where.T]
    best = int(np.argmax(follows))
    return best, 0 if best else 1, follows[best]


def name_axes(ax: Axes, found: xr.Dataset) -> None:
    """The plane of two principal components, with their shares of variance."""
    shares = 100 * found["explained_variance_ratio"].values
    ax.set(xticks=[], yticks=[])
    ax.set(xlabel=f"PC 1 ({shares[0]:.0f} %)", ylabel=f"PC 2 ({shares[1]:.0f} %)")


def points(ax: Axes, where: np.ndarray, values: np.ndarray, evidence: np.ndarray) -> None:
    """Points coloured by evidence, kept as pixels within the SVG."""
    order = np.random.default_rng(0).permutation(len(where))  # no colour lies above the others
    ax.scatter(
        where[order],
        values[order],
        c=evidence[order],
        s=5,
        lw=0,
        cmap=EVIDENCE_COLORS,
        norm=Normalize(-MOST, MOST),
        rasterized=True,
    )


def evidence_bar(figure: Figure, where: Sequence[float]) -> None:
    """The scale of the evidence's colours, in a box (left, bottom, width, height)."""
    ax = figure.add_axes(tuple(where))
    scale = ScalarMappable(Normalize(-MOST, MOST), EVIDENCE_COLORS)
    bar = figure.colorbar(scale, cax=ax, orientation="horizontal")
    bar.set_ticks([-MOST, 0, MOST], labels=[f"≤ $-${MOST}", "0", f"≥ {MOST}"])
    bar.outline.set_linewidth(0.5)
    ax.set_xlabel(EVIDENCE_LABEL, labelpad=1)


def readouts(ax: Axes, directions: np.ndarray, length: float) -> None:
    """The readout vectors of the classes as arrows from the origin; their length says nothing.

    Args:
        directions: [class, 2], projected onto the plane that is drawn.
    """
    for k, direction in enumerate(directions):
        end = length * direction / np.linalg.norm(direction)
        arrow = {"arrowstyle": "-|>", "color": "black", "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", end, (0, 0), arrowprops=arrow, annotation_clip=False, zorder=5)
        away = 9 * direction / np.linalg.norm(direction) + (0, 3 if abs(end[1]) < 1 else 0)
        ax.annotate(
            f"$\\mathbf{{r}}_{k + 1}$", end, away, textcoords="offset points", fontsize=9,
            ha="center", va="center", annotation_clip=False, zorder=6,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )  # fmt: skip


def by_seed(
    ax: Axes,
    x: float,
    values: np.ndarray,
    color: str,
    width: float = 0.6,
    label: str | None = None,
) -> None:
    """One point per seed, and their mean as a line."""
    spread = np.linspace(-0.3, 0.3, len(values)) * width
    ax.plot(x + spread, values, "o", ms=2.6, color=color, alpha=0.75, mew=0, label=label)
    ax.hlines(values.mean(), x - width / 2, x + width / 2, color=color, lw=2)


def mark_paper(ax: Axes, x: float, figure: str, quantity: str, network: str) -> None:
    """The paper's own number beside ours, where it prints one."""
    if (value := said(figure, quantity, network)) is not None:
        ax.plot(x, value, **PAPER_MARK)


def paper_key() -> Line2D:
    """The legend's entry of the paper's own numbers."""
    return Line2D([], [], label="printed in the paper", **PAPER_MARK)
