"""What figure 6 and its supplement measure: the numbers of one network with one seed.

Most networks here are trained for a number only, by `paper.learned`, and not saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from decoders import TRIALS, Answers, answers, decoded, draw
from kept import Measured
from paper import Trained, config_of, learned
from sklearn.decomposition import PCA

from mpn_lab import QNetwork
from mpn_lab.analysis.population import dimensions_filled
from mpn_lab.tasks.integration import Integration
from mpn_lab.training.config import StopConfig
from mpn_lab.training.learner import make_network

RATIOS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)
READOUT_TRIALS = 32_000
MOST = 100_000  # trials that either task of (e) may take


def capacity(kind: str, seed: int, quantities: Iterable[str], **task_kwargs: Any) -> Measured:
    """(a, b) Accuracy of a very small network, n = 3, once its loss in validation no longer falls.

    As in the paper: a validation each 10 batches; the end is where the mean loss of the last 10 is
    above that of the 10 before them.
    """
    stop = StopConfig(accuracy=1.0, min_updates=0, falling=True)
    how = {"stop": stop, "eval_freq": 64 * 10, "trials": 64 * 10_000}
    config = config_of(kind, seed, hidden_size=3, task_kwargs=task_kwargs, **how)
    network, _ = learned(config)
    accuracy = answers(network, config.task_kwargs).accuracy
    return dict.fromkeys(quantities, accuracy)


def noise_resistance(network: Trained) -> Measured:
    """(c) Accuracy at other ratios of |input| to |noise|, expected norms, than the 10 learned."""
    return {
        f"accuracy, signal/noise {ratio:g}": answers(
            network.network, {**network.task[1], "noise": 1 / ratio}
        ).accuracy
        for ratio in RATIOS
    }


def readout_alone(kind: str, seed: int, d: int, n: int, quantity: str) -> Measured:
    """(d) Accuracy where all but the readout stays as it was drawn; eta = 1, lam = 0.95.

    The readout's cost, cross-entropy and L1, is convex: it is minimised on the h at go of 32,000
    trials. (After 4,000 batches of Adam at 1e-3 instead, it was still falling.)
    """
    mpn = {} if kind in ("RNN", "GRU") else {"eta_init": 1.0}
    config = config_of(kind, seed, hidden_size=n, task_kwargs={"input_size": d}, mpn=mpn)
    task = Integration(**config.task_kwargs)
    network, rng = make_network(config, d, 2), np.random.default_rng((seed, READOUT_TRIALS))
    activity, labels = [], []
    with torch.no_grad():
        for _ in range(READOUT_TRIALS // 500):
            drawn = task.sample_batch(rng, 500)
            activity.append(network.core(torch.from_numpy(drawn.obs))[0][:, -1])
            labels.append(torch.from_numpy(drawn.ground_truth[:, -1]))
    _fit(network.readout, torch.cat(activity), torch.cat(labels), config.l1)
    return {quantity: answers(network, config.task_kwargs).accuracy}


def _fit(readout: torch.nn.Linear, h: torch.Tensor, label: torch.Tensor, l1: float) -> None:
    """Minimise cross-entropy + L1 by L-BFGS."""
    optimizer = torch.optim.LBFGS(
        readout.parameters(), max_iter=300, history_size=20, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(readout(h), label)
        value = value + l1 * readout.weight.abs().sum()
        value.backward()
        return value

    optimizer.step(loss)


def forgetting(kind: str, seed: int) -> Measured:
    """(e) Accuracy on a task before and after the network learned another.

    All is as in the paper: two classes and a delay; null and go keep their vectors, the classes get
    new ones, labels and readout stay. Both tasks are learned one trial an update, with an L1 of
    1e-6, to a rolling accuracy of 97 % over 10 validations (here one each 100 trials). Of a network
    that does not come there nothing but the updates is told, as in the paper.

    The turn is the angle between the first principal components of h over all steps: before of the
    first task, after of the second; for a GRU, that of its line attractor. The dimensions are the
    participation ratio of the state, h or M, over all steps.
    """
    how = {"batch_size": 1, "l1": 1e-6, "eval_freq": 100, "trials": MOST}
    stop = StopConfig(accuracy=0.97, min_updates=0)
    config = config_of(kind, seed, task_kwargs={"delay": 20}, stop=stop, **how)
    kwargs = config.task_kwargs
    first, updates = learned(config)
    if updates == MOST:
        return {"first task, updates": updates}
    task = second_task(kwargs)
    second, more_updates = learned(config, first, task)
    if more_updates == MOST:
        return {"first task, updates": updates, "second task, updates": more_updates}
    before, after, new = answers(first, kwargs), answers(second, kwargs), answers(second, task)
    turn = np.degrees(np.arccos(min(1.0, abs(float(_line(before.h) @ _line(new.h))))))
    filled = dimensions(first, kwargs), dimensions(second, task)
    return {
        "first task, before": before.accuracy,
        "first task, after": after.accuracy,
        "first task, lost": before.accuracy - after.accuracy,
        "first task, updates": updates,
        "second task": new.accuracy,
        "second task, updates": more_updates,
        "turn of h, degrees": float(turn),
        "dimensions of the state, before": filled[0],
        "dimensions of the state, after": filled[1],
        "dimensions of the state, gained": filled[1] - filled[0],
    }


def _line(h: np.ndarray) -> np.ndarray:
    """The first principal component of h [B, T, n] over all steps."""
    return PCA(1, random_state=0).fit(h.reshape(-1, h.shape[2])).components_[0]


@torch.no_grad()
def dimensions(network: QNetwork, task: Integration | dict[str, Any], trials: int = 100) -> float:
    """The participation ratio of a network's state over all steps of fresh trials."""
    drawn = torch.from_numpy(draw(task, trials).obs)
    states = network(drawn, return_states=True)[2].states.flatten(0, 1).flatten(1)
    return dimensions_filled(states.double().numpy())


def second_task(task_kwargs: dict[str, Any]) -> Integration:
    """The same task with new vectors for all classes."""
    task = Integration(**task_kwargs)
    N = task.n_classes
    task.table[:N] = Integration(**{**task_kwargs, "n_classes": 2 * N}).table[N : 2 * N]
    return task


def novel_class(network: Trained) -> Measured:
    """(h) How well the label of a three-class task is read off the last state, untrained for it.

    The network knows two classes; the third has a vector that it never saw. Of a GRU the last
    state is h at go, of an MPN M before go (M_T is never read), in its first 100 principal
    components, as many as h has units. Classifier as in figure 5b; every network has trials of its
    own, so that the error of their number is in that of the mean. `from h`: off h at go.
    """
    states, seen = last_states(network)
    return {
        "novel class decoded": decoded(states, seen.label),
        "novel class decoded, from h": decoded(seen.h[:, -1], seen.label),
        "accuracy": answers(network.network, network.task[1]).accuracy,
    }


def last_states(network: Trained, components: int = 100) -> tuple[np.ndarray, Answers]:
    """The last states of three-class trials [B, components], and the trials."""
    kwargs = {**network.task[1], "n_classes": 3}
    seen = answers(network.network, kwargs, seed=network.config.seed)
    if not network.network.mpn_layers():
        return seen.h[:, -1], seen
    M = states_before_go(network.network, kwargs, network.config.seed)
    return PCA(components, random_state=0).fit_transform(M), seen


@torch.no_grad()
def states_before_go(network: QNetwork, task_kwargs: dict[str, Any], seed: int) -> np.ndarray:
    """M_{T-1} of the very trials of `answers`, [B, n d]."""
    drawn = draw(task_kwargs, seed=seed)
    _, M = network.core(torch.from_numpy(drawn.obs[:, :-1]))
    return M.reshape(TRIALS, -1).numpy()
