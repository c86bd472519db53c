"""Figures 3 and 4 of the paper: what their saved numbers must say, whatever their exact values."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FIGURES = Path(__file__).parent.parent / "figures"
SEEDS = 10
EVIDENCE, INPUT = "r2 of h on accumulated evidence", "r2 of h on present input"
LENGTHS = (10, 15, 20, 30, 50, 70, 100, 150, 200)


@pytest.fixture
def figures(monkeypatch):
    """The scripts' folder as they see it: they import one another by name."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FIGURES))
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FIGURES)):
            del sys.modules[name]


def of(figure, quantity, network):
    """A quantity's values by seed."""
    numbers = pd.read_csv(FIGURES / "numbers" / f"{figure}.csv")
    here = (numbers["quantity"] == quantity) & (numbers["network"] == network)
    values = numbers[here].sort_values("seed")["value"].to_numpy()
    assert len(values) == SEEDS, f"{quantity} of {network} has {len(values)} seeds"
    return values


@pytest.mark.parametrize("network", ["RNN", "GRU"])
def test_a_recurrent_networks_h_follows_the_evidence_more_than_the_input(network):
    assert (of("fig3", EVIDENCE, network) > of("fig3", INPUT, network)).all()


@pytest.mark.parametrize("network", ["MPN", "MPNpre"])
def test_an_mpns_h_follows_the_input_more_than_the_evidence(network):
    assert (of("fig3", INPUT, network) > of("fig3", EVIDENCE, network)).all()


def test_presynaptic_mpns_with_eta_above_0_follow_the_evidence_more():
    eta, evidence = of("fig3", "eta", "MPNpre"), of("fig3", EVIDENCE, "MPNpre")
    assert evidence[eta > 0].min() > evidence[eta < 0].max()


def test_only_its_go_cluster_lies_along_the_readout_in_an_mpn_all_do_in_an_mpnpre():
    name = "readout alignment of non-go clusters"
    assert of("fig3", name, "MPN").max() < of("fig3", name, "MPNpre").min()
    assert of("fig3", name, "MPN").mean() < 0.5 * of("fig3", name, "MPNpre").mean()
    at_go = of("fig3", "readout alignment of the go cluster", "MPN")
    assert at_go.min() > of("fig3", name, "MPN").max()


def test_an_mpns_h_stands_across_the_readout_before_go_an_mpnpres_along_it():
    name = "cosine of h and readout except at go"
    assert of("fig3", name, "MPN").max() < 0.5 * of("fig3", name, "MPNpre").min()


def test_h_fills_more_dimensions_in_the_mpn():
    name = "participation ratio of h"
    means = [of("fig3", name, network).mean() for network in ("MPN", "RNN", "GRU")]
    assert means[0] > means[1] + 0.3
    assert means[1] > means[2] + 0.2


@pytest.mark.parametrize("network", ["MPN", "MPNpre"])
def test_M_moves_with_the_class_that_is_shown_and_go_tells_its_sign(network):
    assert (of("fig4", "move of M by class 1", network) > 0.5).all()
    assert (of("fig4", "move of M by class 2", network) < -0.5).all()
    null = np.abs(of("fig4", "move of M by null", network))
    assert (null < of("fig4", "move of M by class 1", network)).all()
    assert (of("fig4", "r2 of the go answer on accumulated evidence", network) > 0.8).all()


def norms(network):
    """Norm of the state by length relative to T = 20, [seed, length]."""
    norm = np.stack([of("fig4", f"norm of state, T = {n}", network) for n in LENGTHS], 1)
    return norm / norm[:, [LENGTHS.index(20)]]


def test_the_state_saturates_unless_lam_may_be_1():
    last, half = LENGTHS.index(200), LENGTHS.index(100)
    decaying, lasting = norms("MPN"), norms("MPN, lam_max 1")
    assert (decaying[:, last] < 1.1 * decaying[:, half]).all()
    assert lasting[:, last].mean() > 1.8 * lasting[:, half].mean()
    for network in ("RNN", "GRU"):  # flat
        assert norms(network)[:, last].mean() < 1.3


def test_longer_trials_than_those_of_training_are_still_answered():
    for network in ("MPN", "MPN, lam_max 0.99", "MPN, lam_max 1", "RNN", "GRU"):
        assert of("fig4", "accuracy, T = 100", network).mean() > 0.93
        assert of("fig4", "accuracy, T = 200", network).mean() > 0.87


def test_in_a_delay_M_decays_by_lam_and_a_grus_state_does_not():
    left = {
        k: of("fig4", "norm of state, delay 100", k) / of("fig4", "norm of state, delay 0", k)
        for k in ("MPN", "MPN, lam_max 0.99", "MPN, lam_max 1", "GRU")
    }
    for network, lam in (("MPN", 0.95), ("MPN, lam_max 0.99", 0.99), ("MPN, lam_max 1", 1.0)):
        assert left[network] == pytest.approx(lam**100, abs=0.05)
    assert left["GRU"].min() > 1


def test_a_delay_is_borne_by_gru_and_mpn_and_without_decay_costs_nothing():
    for network in ("MPN", "MPN, lam_max 1", "GRU"):
        assert of("fig4", "accuracy, delay 20", network).mean() > 0.95
    after = {k: of("fig4", "accuracy, delay 100", k) for k in ("MPN", "MPN, lam_max 1")}
    assert after["MPN, lam_max 1"].mean() > 0.97
    assert after["MPN"].mean() < 0.8


@pytest.mark.parametrize("network", ["RNN", "GRU", "MPN"])
def test_three_classes_take_more_dimensions_than_two(network):
    name = "participation ratio of h"
    two, three = of("fig3", name, network), of("fig3S", name, f"{network}, three classes")
    assert three.mean() > two.mean() + 0.8
    assert of("fig3S", "accuracy", f"{network}, three classes").min() > 0.9


def test_a_gru_holds_two_classes_on_a_line_and_three_in_a_plane():
    name = "participation ratio of h"
    assert of("fig3", name, "GRU").mean() == pytest.approx(1, abs=0.2)
    assert of("fig3S", name, "GRU, three classes").mean() == pytest.approx(2, abs=0.3)


def test_relu_and_a_positive_eta_let_M_run_away():
    eta, largest = of("fig3S", "eta", "ReLU"), of("fig3S", "largest |M|", "ReLU")
    assert largest[eta < 0].max() < 5 < 100 < largest[eta > 0].min()


def test_saved_networks_give_the_saved_numbers(figures):
    import fig3
    import paper

    name = "fig3/RNN-seed0"
    found = fig3.measure(paper.trained({name: paper.config_of("RNN", 0)})[name])
    for quantity, value in found.items():
        assert value == pytest.approx(of("fig3", quantity, "RNN")[0], rel=1e-3), quantity
