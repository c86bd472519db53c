"""Figure 7, panels i and j: 19 neurogym tasks, learned from supervised sequences of 100 steps.

As the paper: sequences that run over several trials without a reset, batches of 32, 2,000 updates,
a hidden bias, the fixed random projection to 10 inputs, lam up to 0.99; the accuracy is over all
steps. Beside it stand what always fixating reaches, and the accuracy at the steps that ask for a
response. No weights are kept: `figures/numbers/fig7j.csv` is what was trained, and what it lacks
is trained, in `runs/paper`, where it goes on after an interruption.

Source: Aitken & Mihalas, eLife 2023;12:e83035, figure 7i and j; the tasks are
`mpn_lab.tasks.streams.PAPER_TASKS`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from paper import COLORS, NETWORKS, NUMBERS, RUNS, run_of, save_figure, save_numbers
from tqdm import tqdm

from mpn_lab import SupervisedConfig, plotting
from mpn_lab.tasks.streams import PAPER_TASKS, TrialStream
from mpn_lab.training.config import paper_config
from mpn_lab.training.sources import share_right

KINDS = ("MPN", "MPNpre", "RNN", "GRU")
SEEDS = range(5)
UPDATES, BATCH = 2_000, 32
TESTED, TEST = 200, 7  # fresh sequences, and what keeps their seeds from those of training
ALL, RESPONSES, FIXATE = "accuracy", "accuracy of responses", "always fixating"


def settings(task: str, kind: str, seed: int) -> SupervisedConfig:
    """The paper's settings for its neurogym tasks."""
    task_id, task_kwargs = PAPER_TASKS[task]
    own = NETWORKS[kind]
    return paper_config(
        task_id,
        task_kwargs=task_kwargs,
        core=own.get("core", "mpn"),
        mpn={"bias": True, "lam_max": 0.99, **own.get("mpn", {})},
        seed=seed,
        embedding="random",
        stream_steps=100,
        batch_size=BATCH,
        trials=UPDATES * BATCH,
        eval_every=200 * BATCH,
        eval_trials=50,
        stop=None,
    )


def rows_of(task: str, kind: str, seed: int) -> list[tuple[str, str, int, float]]:
    """Train one network, or go on with it; its rows of the table."""
    torch.set_num_threads(1)
    path = RUNS / "fig7j" / f"{task}-{kind}-seed{seed}"
    config = settings(task, kind, seed)
    network = run_of(path, config).network
    stream = TrialStream(config.task, TESTED, 100, (seed, TEST), **config.task_kwargs)
    drawn = stream.sample_batch()
    accuracy, responses = share_right(network, drawn, "responds")
    name = f"{kind}, {task}"
    rows = [(ALL, name, seed, accuracy), (RESPONSES, name, seed, responses)]
    if kind == KINDS[0]:  # all are tested on the same sequences
        rows.append((FIXATE, f"any, {task}", seed, float((drawn.truth == 0).mean())))
    return rows


def numbers(fresh: bool, processes: int) -> pd.DataFrame:
    """All rows of the table, those that are missing trained now; written as they come."""
    file = NUMBERS / "fig7j.csv"
    if fresh:
        file.unlink(missing_ok=True)
        shutil.rmtree(RUNS / "fig7j", ignore_errors=True)
    rows = list(pd.read_csv(file).itertuples(index=False, name=None)) if file.exists() else []
    there = {(network, seed) for _, network, seed, _ in rows}
    jobs = [(t, k, s) for s in SEEDS for t in PAPER_TASKS for k in KINDS]
    missing = [(t, k, s) for t, k, s in jobs if (f"{k}, {t}", s) not in there]
    done: Iterable = Parallel(n_jobs=processes, return_as="generator_unordered")(
        delayed(rows_of)(*job) for job in missing
    )
    for found in tqdm(done, total=len(missing), unit="network", disable=not missing):
        rows += found
        save_numbers("fig7j", sorted(rows))
    table = pd.DataFrame(rows, columns=["quantity", "network", "seed", "value"])
    table[["kind", "task"]] = table["network"].str.split(", ", n=1, expand=True)
    return table


def draw(table: pd.DataFrame):
    """Accuracy over all steps, and at the responses, of every network and task."""
    tasks = list(PAPER_TASKS)
    fixate = table[table["quantity"] == FIXATE].groupby("task")["value"].mean()
    with plotting.style():
        figure = plotting.new_figure(7.2, 5.8)
        axes = figure.subplots(1, 2, sharey=True)
        for ax, quantity, title in zip(
            axes,
            (ALL, RESPONSES),
            ("i, j  all steps", "steps that ask for a response"),
            strict=True,
        ):
            here = table[table["quantity"] == quantity]
            for k, kind in enumerate(KINDS):
                for y, task in enumerate(tasks):
                    values = here[(here["kind"] == kind) & (here["task"] == task)]["value"]
                    if values.empty:
                        continue
                    at = y + 0.18 * (k - 1.5)
                    label = kind if y == 0 else None
                    ax.errorbar(
                        values.mean(),
                        at,
                        xerr=values.sem() if len(values) > 1 else None,
                        fmt="o",
                        ms=3.5,
                        color=COLORS[kind],
                        label=label,
                    )
            if quantity == ALL:
                y = np.arange(len(tasks))
                ax.vlines(
                    fixate.reindex(tasks),
                    y - 0.4,
                    y + 0.4,
                    color="black",
                    lw=1,
                    label="always fixating",
                )
            ax.set(
                title=title, xlabel="accuracy", xlim=(0.0 if quantity == RESPONSES else 0.5, 1.01)
            )
            ax.grid(axis="y", color="#E6E6E6", lw=0.6)
        axes[0].set_yticks(range(len(tasks)), tasks)
        axes[0].invert_yaxis()
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="upper center", ncols=5, borderaxespad=0.4
        )
        figure.subplots_adjust(left=0.36, right=0.98, top=0.89, bottom=0.08, wspace=0.08)
    return figure


def main(fresh: bool = False, processes: int = 2) -> None:
    save_figure(draw(numbers(fresh, processes)), "fig7j")


if __name__ == "__main__":
    main()
