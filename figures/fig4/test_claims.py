"""What the caption of figure 4 claims, whatever the exact values."""

import numpy as np
import pytest

from figures.fig4.measure import LAM_MAX, LENGTHS, LONG, MOVE


@pytest.mark.parametrize("network", ["MPN", "MPNpre"])
def test_M_moves_with_the_class_that_is_shown_and_the_response_to_go_has_its_sign(values, network):
    by_class = [values("fig4", MOVE.format(f"class {k}"), network) for k in (1, 2)]
    assert (by_class[0] > 0.5).all()
    assert (by_class[1] < -0.5).all()
    assert (np.abs(values("fig4", MOVE.format("null"), network)) < by_class[0]).all()
    r2 = "r2 of the go answer on accumulated evidence"
    assert (values("fig4", r2, network) > 0.8).all()


@pytest.fixture
def norms(values):
    """network -> norm of the state by length relative to T = 20, [seed, length]."""

    def of(network):
        norm = np.stack([values("fig4", f"norm of state, T = {n}", network) for n in LENGTHS], 1)
        return norm / norm[:, [LENGTHS.index(20)]]

    return of


def test_the_state_saturates_unless_lam_may_be_1(norms):
    last, half = LENGTHS.index(200), LENGTHS.index(100)
    decaying, lasting = norms("MPN"), norms("MPN, lam_max 1")
    assert (decaying[:, last] < 1.1 * decaying[:, half]).all()
    assert lasting[:, last].mean() > 1.8 * lasting[:, half].mean()
    for network in ("RNN", "GRU"):  # flat
        assert norms(network)[:, last].mean() < 1.3


@pytest.mark.parametrize("network", LONG)
def test_trials_longer_than_those_of_training_are_still_answered(values, network):
    assert values("fig4", "accuracy, T = 100", network).mean() > 0.93
    assert values("fig4", "accuracy, T = 200", network).mean() > 0.87


def test_in_a_delay_M_decays_by_lam_and_the_state_of_a_gru_does_not(values):
    left = {
        network: values("fig4", "norm of state, delay 100", network)
        / values("fig4", "norm of state, delay 0", network)
        for network in (*LAM_MAX, "GRU")
    }
    for network, lam in LAM_MAX.items():
        assert left[network] == pytest.approx(lam**100, abs=0.05)
    assert left["GRU"].min() > 1


def test_gru_and_mpn_tolerate_a_delay_and_without_decay_it_costs_nothing(values):
    for network in ("MPN", "MPN, lam_max 1", "GRU"):
        assert values("fig4", "accuracy, delay 20", network).mean() > 0.95
    assert values("fig4", "accuracy, delay 100", "MPN, lam_max 1").mean() > 0.97
    assert values("fig4", "accuracy, delay 100", "MPN").mean() < 0.8
