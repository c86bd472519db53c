"""Figure 6's supplement: panels a to e with the presynaptic and the additive MPN.

As in figure 6, with its networks (without the MPN of 40 inputs, and without the RNN in e). In c the
additive MPNs are those of figure S: half of them did not come to 98 % there. In e those networks
are left out that did not learn both tasks in 100,000 trials each, as in the paper; in brackets, how
many of ten did. The others of the MPNpre lose more of the first task than the GRUs do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import fig6
import figS
import measures6 as measure
import pandas as pd
from fig6 import (
    capacities,
    draw_capacities,
    draw_forgetting,
    draw_noise,
    draw_readout_alone,
    noise_and_readout,
)
from kept import Found, Measured, Number, measured
from matplotlib.figure import Figure
from paper import COLORS, SEEDS, Trained, save_figure, trained

from mpn_lab import plotting
from mpn_lab.plotting.style import new_figure

ADDED = ("MPNpre", "additive")
LINES = {"MPN": COLORS["MPN"], "MPNpre": COLORS["MPNpre"], "additive": "#009E73"} | COLORS


def work(networks: dict[str, Trained]) -> dict[Number, Callable[[], Measured]]:
    """What measures each number that figure 6 does not have."""
    result = noise_and_readout({"additive": list(networks.values())})
    result |= capacities({kind: (kind, 10) for kind in ADDED})
    for seed in SEEDS:
        for kind in ADDED:
            function = partial(measure.forgetting, kind, seed)
            result[Number("first task, updates", kind, seed)] = function
    return result


def draw(found: Found) -> Figure:
    figure = new_figure(7.2, 4.9)
    a, b, c = figure.add_gridspec(
        1, 3, left=0.08, right=0.985, top=0.945, bottom=0.61, wspace=0.3
    ).subplots()
    d, e = figure.add_gridspec(
        1, 2, left=0.08, right=0.985, top=0.47, bottom=0.11, wspace=0.24, width_ratios=(1, 1.25)
    ).subplots()
    draw_capacities(a, b, found, LINES)
    draw_noise(c, found, LINES)
    b.legend(loc="lower left", bbox_to_anchor=(0.02, 0.14))
    draw_readout_alone(d, found, LINES)
    draw_forgetting(e, found, {kind: color for kind, color in LINES.items() if kind != "RNN"})
    e.tick_params(axis="x", labelsize=6.5)
    for ax, title in zip((a, b, c, d, e), fig6.TITLES[:5], strict=True):
        ax.set_title(title)
    return figure


def main(fresh: bool = False, processes: int = 2) -> None:
    """Measure what is not kept (`fresh`: all), in networks that are saved or trained now; draw."""
    additive = trained(figS.jobs("additive"), processes=processes)
    own = measured("fig6S", work(additive), fresh=fresh, processes=processes)
    of_6 = fig6.all_numbers(trained(fig6.jobs(), processes=processes), False, processes)
    with plotting.style():
        figure = draw(Found(pd.concat([of_6, own])))
    save_figure(figure, "fig6S")


if __name__ == "__main__":
    main()
