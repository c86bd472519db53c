"""What the caption of figure 6 claims, whatever the exact values."""

import numpy as np
import pytest


@pytest.mark.parametrize("size", ["d=25 n=50", "d=50 n=100"])
def test_with_only_the_readout_trained_the_mpn_is_best_and_even_the_smaller_one(values, size):
    for other in ("RNN", "GRU"):
        theirs = values("fig6", f"readout alone, {size}", other).mean()
        assert values("fig6", f"readout alone, {size}", "MPN").mean() > theirs
        assert values("fig6", "readout alone, d=25 n=50", "MPN").mean() > theirs


def test_the_mpn_forgets_less_than_the_gru(values):
    lost = {kind: values("fig6", "first task, lost", kind) for kind in ("MPN", "GRU")}
    assert lost["MPN"].mean() < lost["GRU"].mean()
    assert np.median(lost["MPN"]) < np.median(lost["GRU"])
    assert (lost["MPN"] < lost["GRU"]).sum() > 5
    assert lost["MPN"].max() < 0.15 < lost["GRU"].max()
    for kind in lost:
        assert (values("fig6", "second task", kind) > 0.93).all()
    assert 10 < values("fig6", "turn of h, degrees", "GRU").mean() < 45


def test_a_novel_class_can_be_decoded_from_the_state_of_an_mpn_but_not_of_a_gru(values):
    mpn, gru = (values("fig6", "novel class decoded", kind) for kind in ("MPN", "GRU"))
    assert mpn.min() > 0.98
    assert 2 / 3 < gru.mean() < 0.9
    assert mpn.min() > gru.max()
    assert (values("fig6", "novel class decoded, from h", "MPN") > gru).all()


def test_all_but_the_mpnpre_tolerate_noise_as_strong_as_the_signal(values):
    def mean(kind, ratio):
        return values("fig6", f"accuracy, signal/noise {ratio}", kind).mean()

    for kind in ("MPN", "GRU", "RNN"):
        assert mean(kind, "0.1") < 0.7 < 0.9 < mean(kind, "1") < mean(kind, "10")
    assert mean("MPNpre", "1") < mean("MPN", "1")
    for ratio in ("0.3", "0.5", "0.7"):  # the attractors of GRU and RNN tolerate a little more
        assert mean("MPN", ratio) < min(mean("GRU", ratio), mean("RNN", ratio))


@pytest.mark.parametrize("N", [3, 5, 8])
def test_three_hidden_units_hold_more_classes_in_gru_and_mpn_than_in_an_rnn(values, N):
    median = {
        kind: np.median(values("fig6", f"accuracy, N={N}", kind))
        for kind in ("RNN", "GRU", "MPN", "MPN, d=40")
    }
    assert min(median["GRU"], median["MPN"]) > median["RNN"]
    assert median["MPN, d=40"] > median["MPN"]


def test_three_hidden_units_learn_long_trials(values):
    for kind in ("RNN", "GRU", "MPN"):
        for T in (10, 20, 50, 100, 200):
            assert np.median(values("fig6", f"accuracy, T={T}", kind)) > 0.9
    longest = [np.median(values("fig6", "accuracy, T=200", kind)) for kind in ("GRU", "MPN", "RNN")]
    assert longest[0] > longest[1] > longest[2]
