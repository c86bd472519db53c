"""What the caption of figure 5's supplement claims, whatever the exact values."""

import numpy as np

from figures.fig5S.measure import ACROSS, INPUTS


def test_the_larger_the_input_in_the_delay_the_less_silent_the_delay(values):
    for quantity in ("decoding, delay", "mean activity, delay"):
        none = values("fig5", quantity, "MPN").mean()
        small, large = (values("fig5S", quantity, network).mean() for network in INPUTS)
        assert none < small < large, quantity
    gru = values("fig5", "variation over 5 steps, delay", "GRU")
    for network in INPUTS:
        assert values("fig5S", "accuracy", network).min() > 0.95
        assert values("fig5S", "variation over 5 steps, delay", network).min() > gru.max()


def test_a_decoder_works_at_other_steps_in_a_gru_but_not_in_an_mpn(values):
    for network, margin in (("MPN", 0.2), ("MPN, delay input 0.05", 0.1)):
        assert (
            values("fig5S", ACROSS, "GRU").min() > values("fig5S", ACROSS, network).max() + margin
        )


def test_the_error_of_the_theory_grows_through_the_stimulus_and_that_of_h_falls_in_the_delay(
    values,
):
    def change(name, steps):
        return np.diff([values("fig5S", f"error of {name}, step {t}", "MPN").mean() for t in steps])

    for name in ("h", "M"):
        assert (change(name, range(3, 20)) > 0).all()
    assert (change("h", range(20, 40)) < 0).all()
