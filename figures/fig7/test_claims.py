"""What the caption of figure 7, panels a to h, claims, whatever the exact values."""

import numpy as np

from figures.fig7.measure import COUNTS, OTHER


def test_an_mpn_integrates_for_a_context_and_integrates_numbers(values):
    assert values("fig7", "accuracy, retrospective context", "MPN").min() > 0.96
    assert values("fig7", "accuracy, continuous", "MPN").min() > 0.95  # the ideal observer: 0.99


def test_the_context_raises_one_subtask_and_drops_the_other(values):
    counts, other = (
        [values("fig7", quantity.format(step), "MPN") for step in (29, 39)]
        for quantity in (COUNTS, OTHER)
    )
    assert (counts[0] > 0).all()  # both are held until the context comes
    assert (other[0] > 0).all()
    assert (counts[1] > counts[0]).all()
    assert (other[1] < other[0]).all()
    assert (np.abs(other[1]) < 0.4 * counts[1]).all()
