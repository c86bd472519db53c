"""Figure 7, panels i and j: 19 neurogym tasks, learned from supervised sequences of 100 steps.

As in the paper the sequences run over several trials without a reset; batches of 32, a hidden bias,
the fixed random projection to 10 inputs, lam up to 0.99. All networks stop after 2,000 updates; the
paper goes on from there until the accuracy is 99 % or no longer rises. How far that leads was tried
with seed 0: until the loss in validation no longer falls, at most 6,000 updates (in the table). (i)
One sequence. (j) The accuracy over all steps, beside what always fixating reaches; and that of the
steps at which the right action is not to fixate. Mean and standard error; the number of networks is
in the table.

No weights are kept: `figures/numbers/fig7j.csv` is what was trained. `make figures FIG=7j` trains
what it lacks, in `runs/paper`, and goes on after an interruption. The tasks, and what no network
can know in three of them, are in `mpn_lab.tasks.streams.PAPER_TASKS`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from kept import Measured, Number, measured
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from paper import COLORS, NETWORKS, RUNS, run_of, save_figure

from mpn_lab import SupervisedConfig, plotting
from mpn_lab.tasks.batches import TaskBatch
from mpn_lab.tasks.streams import PAPER_TASKS, TrialStream
from mpn_lab.training.config import StopConfig, paper_config
from mpn_lab.training.data import step_accuracies

KINDS = ("MPN", "MPNpre", "RNN", "GRU")
SEEDS = range(5)
UPDATES, MOST_UPDATES, BATCH = 2_000, 6_000, 32
TESTED, TEST = 200, 7  # fresh sequences, and what keeps their seeds from those of training
ALL, RESPONSES, FIXATE = "accuracy", "accuracy of responses", "always fixating"
ETA = "eta after training"
LONGER_ALL, LONGER_RESPONSES = "accuracy, longer", "accuracy of responses, longer"
LONGER_UPDATES = "updates, longer"


def settings(task: str, kind: str, seed: int, longer: bool = False) -> SupervisedConfig:
    """The paper's settings for its neurogym tasks. Args: `longer`: with its rule to stop."""
    task_id, task_kwargs = PAPER_TASKS[task]
    own = NETWORKS[kind]
    stop = StopConfig(accuracy=0.99, min_updates=UPDATES, falling=True) if longer else None
    return paper_config(
        task_id,
        task_kwargs=task_kwargs,
        core=own.get("core", "mpn"),
        mpn={"bias": True, "lam_max": 0.99, **own.get("mpn", {})},
        seed=seed,
        embedding="random",
        stream_steps=100,
        batch_size=BATCH,
        trials=(MOST_UPDATES if longer else UPDATES) * BATCH,
        eval_freq=(50 if longer else 200) * BATCH,
        eval_trials=50,
        stop=stop,
    )


def measure(task: str, kind: str, seed: int) -> Measured:
    """Train one network, or go on with it, and test it."""
    config = settings(task, kind, seed)
    network = run_of(RUNS / "fig7j" / f"{task}-{kind}-seed{seed}", config).network
    accuracy, responses = step_accuracies(network, test_of(task, seed), "responds")
    values = {ALL: accuracy, RESPONSES: responses}
    if layers := network.mpn_layers():
        values[ETA] = float(layers[0].eta.detach())
    return values


def measure_longer(task: str, kind: str, seed: int) -> Measured:
    """The same with the paper's rule to stop."""
    path = RUNS / "fig7j" / f"{task}-{kind}-seed{seed}-longer"
    run = run_of(path, settings(task, kind, seed, longer=True))
    accuracy, responses = step_accuracies(run.network, test_of(task, seed), "responds")
    updates = float(run.metrics["updates"].iloc[-1])
    return {LONGER_ALL: accuracy, LONGER_RESPONSES: responses, LONGER_UPDATES: updates}


def test_of(task: str, seed: int) -> TaskBatch:
    """The sequences that all networks of a seed are tested on."""
    task_id, task_kwargs = PAPER_TASKS[task]
    return TrialStream(task_id, TESTED, 100, (seed, TEST), **task_kwargs).sample_batch()


def fixating(task: str, seed: int) -> Measured:
    """The accuracy of always fixating."""
    return {FIXATE: float((test_of(task, seed).ground_truth == 0).mean())}


def work() -> dict[Number, Callable[[], Measured]]:
    """What measures each number, seed by seed."""
    result: dict[Number, Callable[[], Measured]] = {}
    for seed in SEEDS:
        for task in PAPER_TASKS:
            result[Number(FIXATE, f"any, {task}", seed)] = partial(fixating, task, seed)
            for kind in KINDS:
                number = Number(ALL, f"{kind}, {task}", seed)
                result[number] = partial(measure, task, kind, seed)
    for task in PAPER_TASKS:
        for kind in KINDS:
            result[Number(LONGER_ALL, f"{kind}, {task}", 0)] = partial(
                measure_longer, task, kind, 0
            )
    return result


def draw(table: pd.DataFrame) -> Figure:
    """A sequence; accuracy over all steps, and at the responses, of every network and task."""
    with plotting.style():
        figure = plotting.new_figure(7.2, 7.6)
        draw_sequence(figure.add_axes((0.36, 0.86, 0.62, 0.1)))
        left, right = (figure.add_axes((x, 0.06, 0.285, 0.65)) for x in (0.36, 0.7))
        draw_accuracies(left, table, ALL)
        draw_accuracies(right, table, RESPONSES)
        left.set(title="j  all steps", xlim=(0.5, 1.01))
        right.set(title="responses alone", xlim=(-0.02, 1.02))
        left.set_yticks(range(len(PAPER_TASKS)), PAPER_TASKS)
        right.set_yticks(range(len(PAPER_TASKS)), [])
        handles = left.get_legend_handles_labels()
        figure.legend(*handles, loc="upper center", bbox_to_anchor=(0.67, 0.785), ncols=5)
    return figure


def draw_sequence(ax: Axes) -> None:
    """(i): a sequence of GoNogo: what is shown, and what is asked for."""
    stream = TrialStream("GoNogo-v0", 1, 100, (0, TEST))
    drawn, steps = stream.sample_batch(), np.arange(1, 101)
    lines = [
        *zip(stream.channels, drawn.obs[0].T, strict=True),
        ("right action", drawn.ground_truth[0]),
    ]
    for row, (name, values) in enumerate(lines):
        color = "#D55E00" if name == "right action" else "#262626"
        ax.step(steps, 0.8 * values - row, where="mid", color=color, lw=1.1)
    for start in steps[drawn.latent["trial_step"][0] == 0]:
        ax.axvline(start - 0.5, color="#8C8C8C", lw=0.8, ls=":")
    ax.set_yticks(-np.arange(len(lines)) + 0.2, [name for name, _ in lines])
    ax.set(title="i  GoNogo, dotted: a trial begins", xlabel="step", xlim=(0.5, 100.5))


def draw_accuracies(ax: Axes, table: pd.DataFrame, quantity: str) -> None:
    """(j): mean and standard error over the seeds; of all steps also that of always fixating."""
    here = table[table["quantity"] == quantity]
    tasks = list(PAPER_TASKS)
    for k, kind in enumerate(KINDS):
        values = here[here["kind"] == kind].groupby("task")["value"].agg(["mean", "sem"])
        values = values.reindex(tasks)
        y = np.arange(len(tasks)) + 0.18 * (k - 1.5)
        ax.errorbar(
            values["mean"], y, xerr=values["sem"].fillna(0), fmt="o", ms=3.5, color=COLORS[kind],
            label=kind,
        )  # fmt: skip
    if quantity == ALL:
        fixate = table[table["quantity"] == FIXATE].groupby("task")["value"].mean().reindex(tasks)
        y = np.arange(len(tasks))
        ax.vlines(fixate, y - 0.4, y + 0.4, color="black", lw=1, label="always fixating")
    ax.set(xlabel="accuracy", ylim=(len(tasks) - 0.4, -0.6))
    ax.grid(axis="y", color="#E6E6E6", lw=0.6)


def main(fresh: bool = False, processes: int = 2, train: bool = True) -> None:
    """Train what is missing (unless told not to) and draw what there is."""
    if fresh and train:
        shutil.rmtree(RUNS / "fig7j", ignore_errors=True)
    jobs = work()
    table = measured("fig7j", jobs if train else {}, fresh=fresh, processes=processes)
    if table.empty:
        print("figure 7j is not trained: make figures FIG=7j, some hours, resumable")
        return
    there = set(table[["quantity", "network", "seed"]].itertuples(index=False, name=None))
    if missing := len(jobs.keys() - there):
        print(f"figure 7j: {missing} numbers are missing: make figures FIG=7j, resumable")
    table[["kind", "task"]] = table["network"].str.split(", ", n=1, expand=True)
    save_figure(draw(table), "fig7j")


if __name__ == "__main__":
    main()
