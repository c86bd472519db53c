"""The numbers of the paper's text and supplements: other updates, bounds, activations and tasks.

Every network is trained on two-class integration, or on what its name says, with the paper's
settings, and tested on 2,000 fresh trials. Source: Aitken & Mihalas, eLife 2023;12:e83035, text
and figure supplements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from fig7 import accuracy_of
from matplotlib.figure import Figure
from paper import SEEDS, Trained, config_of, save_figure, save_numbers, trained

from mpn_lab import plotting
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION, INTEGRATION

ACCURACY, ETA = "accuracy", "eta after training"
VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "MPN": ("MPN", INTEGRATION, {}),
    "MPNpost": ("MPNpost", INTEGRATION, {}),
    "MPNpre": ("MPNpre", INTEGRATION, {}),
    "bound 1": ("bound 1", INTEGRATION, {}),
    "bound 0.1": ("bound 0.1", INTEGRATION, {}),
    "additive": ("additive", INTEGRATION, {}),
    "ReLU": ("ReLU", INTEGRATION, {}),
    "three classes": ("MPN", INTEGRATION, {"n_classes": 3}),
    "prospective context": ("MPN", CONTEXT_INTEGRATION, {"context": "prospective"}),
    "true-anti": ("MPN", INTEGRATION, {"anti": True}),
}
"""Name -> network, task and the task's arguments."""
SHARED = {"MPN": "fig3/MPN", "MPNpre": "fig3/MPNpre"}  # the same training as figure 3's


def main(fresh: bool = False, processes: int = 2) -> None:
    torch.set_num_threads(1)
    jobs = {}
    for name, (kind, task, task_kwargs) in VARIANTS.items():
        where = SHARED.get(name, f"figS/{name.replace(' ', '-')}")
        for seed in SEEDS:
            config = config_of(kind, seed, task, task_kwargs=task_kwargs)
            jobs[f"{where}-seed{seed}"] = (name, seed, config)
    configs = {full: config for full, (_, _, config) in jobs.items()}
    own = {full: config for full, config in configs.items() if full.startswith("figS/")}
    shared = {full: config for full, config in configs.items() if full not in own}
    found = trained(shared, processes=processes)
    found |= trained(own, fresh=fresh, processes=processes)
    rows: list[tuple[str, str, int, float]] = []
    for full, (name, seed, _) in jobs.items():
        rows.append((ACCURACY, name, seed, accuracy_of(found[full])))
        rows.append((ETA, name, seed, eta_of(found[full])))
    save_numbers("figS", rows)
    save_figure(draw(rows), "figS")


def eta_of(one: Trained) -> float:
    """The scalar eta of its MPN layer."""
    return float(one.network.mpn_layers()[0].eta.detach())


def draw(rows: list[tuple[str, str, int, float]]) -> Figure:
    """Accuracy and eta of every variant, one dot a seed."""
    with plotting.style():
        figure = plotting.new_figure(7.2, 3.4)
        left, right = figure.subplots(1, 2, sharey=True)
        for y, name in enumerate(VARIANTS):
            for ax, quantity, scale in ((left, ACCURACY, 100), (right, ETA, 1)):
                values = scale * np.array([r[3] for r in rows if r[0] == quantity and r[1] == name])
                shift = np.linspace(-0.2, 0.2, len(values))
                ax.plot(values, y + shift, "o", ms=3, color="#0072B2", alpha=0.75)
                if quantity == ACCURACY:
                    ax.vlines(values.mean(), y - 0.35, y + 0.35, color="black", lw=1)
        left.set_yticks(range(len(VARIANTS)), VARIANTS)
        left.invert_yaxis()
        left.set(xlabel="accuracy (%), bar: mean", title="accuracy")
        right.axvline(0, color="#8C8C8C", lw=0.7)
        right.set(xlabel="$\\eta$", title="$\\eta$ after training")
        figure.subplots_adjust(left=0.2, right=0.98, top=0.92, bottom=0.14, wspace=0.08)
    return figure


if __name__ == "__main__":
    main()
