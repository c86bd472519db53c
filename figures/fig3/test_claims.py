"""What the caption of figure 3 claims, whatever the exact values."""

import pytest

import figures.fig3.measure as fig3
from figures.fig3.measure import ALIGNMENT, ALIGNMENT_GO, COSINE, R2_EVIDENCE, R2_INPUT, RATIO
from figures.networks import load_or_train


@pytest.mark.parametrize("network", ["RNN", "GRU"])
def test_h_of_a_recurrent_network_follows_the_evidence_more_than_the_input(values, network):
    assert (values("fig3", R2_EVIDENCE, network) > values("fig3", R2_INPUT, network)).all()


@pytest.mark.parametrize("network", ["MPN", "MPNpre"])
def test_h_of_an_mpn_follows_the_input_more_than_the_evidence(values, network):
    assert (values("fig3", R2_INPUT, network) > values("fig3", R2_EVIDENCE, network)).all()


def test_presynaptic_mpns_with_eta_above_0_follow_the_evidence_more(values):
    eta, evidence = values("fig3", "eta", "MPNpre"), values("fig3", R2_EVIDENCE, "MPNpre")
    assert evidence[eta > 0].min() > evidence[eta < 0].max()


def test_only_the_go_cluster_lies_along_the_readout_in_an_mpn_but_all_do_in_an_mpnpre(values):
    mpn, mpnpre = (values("fig3", ALIGNMENT, network) for network in ("MPN", "MPNpre"))
    assert mpn.max() < mpnpre.min()
    assert mpn.mean() < 0.5 * mpnpre.mean()
    assert values("fig3", ALIGNMENT_GO, "MPN").min() > mpn.max()


def test_before_go_h_is_nearly_orthogonal_to_the_readout_in_an_mpn_but_not_in_an_mpnpre(values):
    mpn, mpnpre = (values("fig3", COSINE, network) for network in ("MPN", "MPNpre"))
    assert mpn.max() < 0.5 * mpnpre.min()


def test_h_has_more_dimensions_in_the_mpn(values):
    mpn, rnn, gru = (values("fig3", RATIO, network).mean() for network in ("MPN", "RNN", "GRU"))
    assert mpn > rnn + 0.3
    assert rnn > gru + 0.2


def test_stored_networks_give_the_stored_values(values):
    name = "fig3/RNN-seed0"
    one = load_or_train({name: fig3.configs(["RNN"])[name]})[name]
    for quantity, value in fig3.measure(one).items():
        assert value == pytest.approx(values("fig3", quantity, "RNN")[0], rel=1e-3), quantity
