"""What the caption of figure 5 claims, whatever the exact values."""

import numpy as np
import pytest

PERIODS = ("stimulus", "delay")


def test_both_networks_learn_the_task(values):
    for network in ("MPN", "GRU"):
        assert (values("fig5", "accuracy", network) > 0.95).all()


def test_h_of_an_mpn_shows_nothing_in_the_delay_and_everything_at_go(values):
    chance = 1 / 3
    assert (values("fig5", "decoding, end of stimulus", "MPN") > 0.8).all()
    assert (values("fig5", "decoding, delay", "MPN") < chance + 0.1).all()
    assert abs(values("fig5", "decoding, end of delay", "MPN").mean() - chance) < 0.05
    assert (values("fig5", "decoding, go", "MPN") > 0.95).all()


@pytest.mark.parametrize("when", ["end of stimulus", "delay", "end of delay", "go"])
def test_h_of_a_gru_shows_the_label_throughout(values, when):
    assert (values("fig5", f"decoding, {when}", "GRU") > 0.95).all()


def test_in_the_delay_the_mpn_is_silent_and_varies_while_the_gru_stays_active(values):
    def change(network):
        stimulus, delay = (values("fig5", f"mean activity, {p}", network) for p in PERIODS)
        return delay / stimulus

    assert change("MPN").max() < 0.4 < 1 < change("GRU").min()
    for period in PERIODS:
        varies = f"variation over 5 steps, {period}"
        assert values("fig5", varies, "MPN").min() > values("fig5", varies, "GRU").max()


@pytest.mark.parametrize("name", ["h", "M"])
def test_the_theory_improves_with_the_size_of_the_layer(values, name):
    def errors(sizes):
        return [values("fig5", f"error of {name}, d={d} n={n}", "new MPN").mean() for d, n in sizes]

    assert (np.diff(errors([(d, 100) for d in (10, 20, 50, 100, 200)])) < 0).all()
    assert (np.diff(errors([(50, n) for n in (20, 50, 100, 200)])) < 0).all()


@pytest.mark.parametrize("name", ["h", "M"])
@pytest.mark.parametrize(
    ("small", "large"), [("d=20 n=100", "d=200 n=100"), ("d=50 n=20", "d=50 n=200")]
)
def test_it_does_so_in_trained_networks_too(values, name, small, large):
    errors = [
        values("fig5", f"trained, {size}: error of {name}", "MPN", seeds=3)
        for size in (small, large)
    ]
    assert errors[0].mean() > errors[1].mean()
