"""What the caption of figure 6's supplement claims, whatever the exact values."""

import pytest


@pytest.mark.parametrize(
    "quantity",
    [
        *(f"accuracy, N={N}" for N in (3, 5, 8)),
        *(f"accuracy, T={T}" for T in (10, 20, 50, 100, 200)),
        *(f"accuracy, signal/noise {ratio}" for ratio in ("0.5", "1", "10")),
        *(f"readout alone, d={d} n={2 * d}" for d in (25, 50)),
    ],
)
def test_the_additive_mpn_is_worse_than_the_multiplicative_one(values, quantity):
    """The paper: "generally"."""
    assert values("fig6S", quantity, "additive").mean() < values("fig6", quantity, "MPN").mean()


def test_the_presynaptic_mpn_has_trouble_with_a_delay(values):
    """It takes far longer than the associative one, or does not reach 97 % at all."""
    theirs = values("fig6S", "first task, updates", "MPNpre")
    assert theirs.min() > values("fig6", "first task, updates", "MPN").max()
    assert (theirs == 100_000).any()


def test_the_presynaptic_mpns_that_learn_a_second_task_lose_much_of_the_first(values):
    lost = values("fig6S", "first task, lost", "MPNpre", seeds=None)
    assert 2 < len(lost) < 10
    assert lost.mean() > values("fig6", "first task, lost", "MPN").mean() + 0.2
