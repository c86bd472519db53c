"""What the caption of figure 7's supplement claims, whatever the exact values."""

import numpy as np
import pytest

from figures.fig7.measure import COUNTS, OTHER
from figures.fig7S.measure import ALIGNED, ALIGNED_OTHER, evidence_line
from figures.integration import project_to_go
from figures.networks import Trained, config_of
from mpn_lab.tasks.integration import CONTEXT_INTEGRATION
from mpn_lab.training.learner import make_network


@pytest.mark.parametrize("step", [25, 39])
def test_a_context_that_comes_first_lets_only_one_subtask_grow(values, step):
    counts, other = (values("fig7S", k.format(step), "prospective") for k in (COUNTS, OTHER))
    assert (counts > 0).all()
    assert (np.abs(other) < 0.4 * counts).all()


def test_after_the_context_the_evidence_that_does_not_count_turns_from_the_readout(values):
    counts, other = (
        [values("fig7S", quantity.format(step), "retrospective") for step in (29, 39)]
        for quantity in (ALIGNED, ALIGNED_OTHER)
    )
    assert abs(counts[0].mean() - other[0].mean()) < 0.1  # not yet known
    assert (other[1] < 0.5 * counts[1]).all()
    assert counts[1].mean() > counts[0].mean()


@pytest.mark.parametrize("step", [30, 39])
def test_if_the_context_comes_first_only_the_evidence_that_counts_lies_along_the_readout(
    values, step
):
    counts, other = (
        values("fig7S", quantity.format(step), "prospective")
        for quantity in (ALIGNED, ALIGNED_OTHER)
    )
    assert (other < 0.3 * counts).all()


def test_mpn_and_gru_learn_true_anti(values):
    assert values("figS", "accuracy", "true-anti").min() > 0.95
    assert values("fig7S", "accuracy, true-anti", "GRU").min() > 0.95


def test_two_levels_of_evidence_lie_on_the_line_between_their_responses():
    config = config_of("MPN", 0, CONTEXT_INTEGRATION, hidden_size=8)
    one = Trained(make_network(config, 50, 2), config, 0, np.nan)
    rng = np.random.default_rng(0)
    low, high = rng.normal(size=(2, 8, 50)).astype(np.float32)
    other = rng.normal(size=(8, 50)).astype(np.float32)  # of the other subtask: averages out
    M = np.stack([low + other, high + other, low - other, high - other])
    counts = np.array([[1, 3], [3, 1], [0, 2], [2, 0]])
    line = evidence_line(one, M, counts)
    expected = np.subtract(*project_to_go(one, np.stack([low, high])))
    assert abs(line @ expected) == pytest.approx(np.linalg.norm(expected), rel=1e-4)
