"""The causal figures, one for each question: memory, silence, context, directions, stale states."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.cache import Results, compute_missing
from figures.causal import (
    context,
    context_panels,
    directions,
    memory,
    memory_panels,
    silence,
    stale,
    stale_panels,
)
from figures.causal.networks import CONTEXT, CORES, INTEGRATION, MATCHING
from mpn_lab.plotting.style import new_figure


def make(fresh: bool = False, processes: int = 2) -> dict[str, Figure]:
    """Measure what is missing (all, if `fresh`) in stored networks or ones trained now; draw."""
    measured = {}
    for part in (memory, silence, context, directions, stale):
        measured |= part.measurements()
    results = Results(compute_missing("causal", measured, fresh=fresh, processes=processes))
    return {
        "memory": draw_memory(results),
        "silence": draw_silence(results),
        "context": draw_context(results),
        "directions": draw_directions(results),
        "stale": draw_stale(results),
    }


def draw_memory(results: Results) -> Figure:
    """Does the memory live in M?"""
    figure = new_figure(7.2, 6.8)
    a = _row(figure, 3, 0.19, 0.985, 0.93, 0.7, 0.08)
    b = _row(figure, 2, 0.1, 0.5, 0.56, 0.345, 0.1)
    c = _row(figure, 2, 0.6, 0.985, 0.56, 0.345, 0.1)
    (d,) = _row(figure, 1, 0.1, 0.5, 0.225, 0.075)
    (e,) = _row(figure, 1, 0.75, 0.985, 0.225, 0.075)
    memory_panels.draw_donors(a, results)
    memory_panels.draw_periods(b, results)
    memory_panels.draw_sizes(c, results)
    memory_panels.draw_delays(d, results)
    memory_panels.draw_attractors(e, results)
    _letter(a[0], "a   the state of another trial, before the answer", up=1.13, left=-0.62)
    _letter(b[0], "b   without state, or without update", up=1.13)
    _letter(c[0], "c   part of the way to another trial", up=1.13)
    _letter(d, "d   longer delays")
    _letter(e, "e   from the delay's attractor", left=-0.62)
    return figure


def draw_silence(results: Results) -> Figure:
    """Is the delay silent?"""
    figure = new_figure(7.2, 5.4)
    (a,) = _row(figure, 1, 0.09, 0.55, 0.94, 0.62)
    (b,) = _row(figure, 1, 0.72, 0.985, 0.94, 0.62)
    (c,) = _row(figure, 1, 0.16, 0.5, 0.5, 0.09)
    (d,) = _row(figure, 1, 0.68, 0.985, 0.5, 0.09)
    silence.draw_factors(a, results)
    silence.draw_factor_effects(b, results)
    silence.draw_inputs(c, results)
    silence.draw_uses(d, results)
    a.legend(loc="center right", fontsize=7.5)
    _letter(a, "a   trained in eight ways")
    _letter(b, "b   what each factor adds", left=-0.5)
    _letter(c, "c   other inputs in the delay", left=-0.4)
    _letter(d, "d   edits in the delay", left=-0.45)
    return figure


def draw_context(results: Results) -> Figure:
    """When is the context applied?"""
    figure = new_figure(7.2, 5.0)
    a, b = _row(figure, 2, 0.09, 0.985, 0.94, 0.59, 0.22)
    (c,) = _row(figure, 1, 0.09, 0.985, 0.46, 0.1)
    context_panels.draw((a, b, c), results)
    _letter(a, "a   MPN: M of the other context")
    _letter(b, "b   GRU: h of the other context")
    _letter(c, "c   the cue of the other context")
    c.set_xlabel("when the cue is replaced")
    for ax in (a, b):
        ax.set_xlabel("when the state is replaced")
    return figure


def draw_directions(results: Results) -> Figure:
    """One direction or many?"""
    figure = new_figure(7.2, 4.6)
    (a,) = _row(figure, 1, 0.09, 0.5, 0.92, 0.63)
    b, c = _row(figure, 2, 0.59, 0.985, 0.92, 0.63, 0.12)
    kept = _row(figure, 3, 0.09, 0.985, 0.44, 0.1, 0.12)
    directions.draw_mirrored(a, results)
    a.legend(fontsize=7)
    for ax, core in zip((b, c), CORES, strict=True):
        directions.draw_contents(ax, results, core)
    for ax in (b, c):
        ax.set(ylim=(-0.03, 1.2), yticks=(0, 0.5, 1))
    c.set(ylabel="", yticklabels=[])
    c.legend(
        fontsize=6.5, loc="upper left", handletextpad=0, handlelength=1, columnspacing=0.6, ncols=2
    )
    for letter, ax, task in zip("cde", kept, (MATCHING, INTEGRATION, CONTEXT), strict=True):
        directions.draw_kept(ax, results, task)
        _letter(ax, f"{letter}   {task}")
    for ax in kept[1:]:
        ax.set(ylabel="", yticklabels=[])
    kept[1].legend(fontsize=7)
    _letter(a, "a   the first component mirrored")
    _letter(b, "b   context: one component mirrored", up=1.15, left=-0.2)
    return figure


def draw_stale(results: Results) -> Figure:
    """Does the staleness of a stored state predict which answers it flips?"""
    figure = new_figure(7.2, 2.4)
    a, b, c = figure.add_gridspec(
        1, 3, left=0.08, right=0.985, top=0.86, bottom=0.2, wspace=0.6, width_ratios=(1.2, 1.2, 0.9)
    ).subplots()
    stale_panels.draw_flips(a, results)
    stale_panels.draw_predictors(b, results)
    stale_panels.draw_scores(c, results)
    _letter(a, "a   M of an older network")
    _letter(b, "b   what predicts it")
    _letter(c, "c   which answers", left=-0.2)
    return figure


def _row(
    figure: Figure,
    n: int,
    left: float,
    right: float,
    top: float,
    bottom: float,
    wspace: float = 0.0,
) -> list[Axes]:
    """`n` axes side by side, in a box."""
    grid = figure.add_gridspec(1, n, left=left, right=right, top=top, bottom=bottom, wspace=wspace)
    return list(grid.subplots(squeeze=False)[0])


def _letter(ax: Axes, text: str, up: float = 1.06, left: float = 0.0) -> None:
    """A panel's letter and title, above its upper left corner."""
    ax.text(left, up, text, transform=ax.transAxes, weight="bold", size=9, va="bottom")
