"""Figure 7j's networks, trained on sequences of 19 neurogym tasks, and their accuracy."""

from __future__ import annotations

from functools import partial

from figures.cache import Key, Measurements, Values
from figures.networks import NETWORKS, RUNS, train_or_resume
from mpn_lab import SupervisedConfig
from mpn_lab.tasks.batches import TaskBatch
from mpn_lab.tasks.streams import PAPER_TASKS, TrialStream
from mpn_lab.training.config import StopConfig, paper_config
from mpn_lab.training.data import step_accuracies

KINDS = ("MPN", "MPNpre", "RNN", "GRU")
SEEDS = range(5)
UPDATES, MOST_UPDATES, BATCH = 2_000, 6_000, 32
TESTED, TEST = 200, 7  # fresh sequences, and what separates their seeds from those of training
ALL, RESPONSES, FIXATE = "accuracy", "accuracy of responses", "always fixating"
ETA = "eta after training"
LONGER_ALL, LONGER_RESPONSES = "accuracy, longer", "accuracy of responses, longer"
LONGER_UPDATES = "updates, longer"


def config_of(task: str, kind: str, seed: int, longer: bool = False) -> SupervisedConfig:
    """The paper's settings for its neurogym tasks. Args: `longer`: with its rule to stop."""
    task_id, task_kwargs = PAPER_TASKS[task]
    own = NETWORKS[kind]
    is_mpn = own.get("core", "mpn") == "mpn"
    of_mpn = {"bias": True, "lam_max": 0.99} if is_mpn else {}
    stop = StopConfig(accuracy=0.99, min_updates=UPDATES, stop_on_rising_loss=True)
    return paper_config(
        task_id,
        task_kwargs=task_kwargs,
        core=own.get("core", "mpn"),
        core_options=of_mpn | own.get("core_options", {}),
        seed=seed,
        embedding="random",
        stream_steps=100,
        batch_size=BATCH,
        trials=(MOST_UPDATES if longer else UPDATES) * BATCH,
        eval_freq=(50 if longer else 200) * BATCH,
        eval_trials=50,
        stop=stop if longer else None,
    )


def measurements() -> Measurements:
    """What measures each value, seed by seed."""
    result: Measurements = {}
    for seed in SEEDS:
        for task in PAPER_TASKS:
            result[Key(FIXATE, f"any, {task}", seed)] = partial(fixating, task, seed)
            for kind in KINDS:
                result[Key(ALL, f"{kind}, {task}", seed)] = partial(measure, task, kind, seed)
    for task in PAPER_TASKS:
        for kind in KINDS:
            result[Key(LONGER_ALL, f"{kind}, {task}", 0)] = partial(measure_longer, task, kind, 0)
    return result


def measure(task: str, kind: str, seed: int) -> Values:
    """Train one network, or go on with it, and test it."""
    config = config_of(task, kind, seed)
    network = train_or_resume(RUNS / "fig7j" / f"{task}-{kind}-seed{seed}", config).network
    accuracy, responses = step_accuracies(network, sequences_for_test(task, seed), "responds")
    values = {ALL: accuracy, RESPONSES: responses}
    if layers := network.mpn_layers():
        values[ETA] = float(layers[0].eta.detach())
    return values


def measure_longer(task: str, kind: str, seed: int) -> Values:
    """The same with the paper's rule to stop."""
    path = RUNS / "fig7j" / f"{task}-{kind}-seed{seed}-longer"
    run = train_or_resume(path, config_of(task, kind, seed, longer=True))
    accuracy, responses = step_accuracies(run.network, sequences_for_test(task, seed), "responds")
    updates = float(run.metrics["updates"].iloc[-1])
    return {LONGER_ALL: accuracy, LONGER_RESPONSES: responses, LONGER_UPDATES: updates}


def fixating(task: str, seed: int) -> Values:
    """The accuracy of always fixating."""
    return {FIXATE: float((sequences_for_test(task, seed).ground_truth == 0).mean())}


def sequences_for_test(task: str, seed: int) -> TaskBatch:
    """The sequences that all networks of a seed are tested on."""
    task_id, task_kwargs = PAPER_TASKS[task]
    return TrialStream(task_id, TESTED, 100, (seed, TEST), **task_kwargs).sample_batch()
