"""What the paper's text and our caption claim of its variants, whatever the exact values."""

import numpy as np
import pytest

from figures.fig3.measure import R2_EVIDENCE, R2_INPUT, RATIO
from figures.figS.measure import ACCURACY, ETA, PLAIN, VARIANTS


def test_the_updates_and_the_bounds_come_in_the_papers_order(values):
    mean = {network: values("figS", ACCURACY, network).mean() for network in VARIANTS}
    assert mean["MPN"] > mean["MPNpost"] > mean["MPNpre"] > 0.96
    assert mean["MPN"] == pytest.approx(mean["bound 1"], abs=0.005)
    assert mean["bound 1"] > mean["bound 0.1"] > 0.96


@pytest.mark.parametrize("network", VARIANTS)
def test_every_variant_learns(values, network):
    assert values("figS", ACCURACY, network).min() > 0.9


def test_both_signs_of_eta_work(values):
    eta, accuracy = values("figS", ETA, "MPN"), values("figS", ACCURACY, "MPN")
    assert np.abs(eta).min() > 1
    for sign in (eta > 0, eta < 0):
        assert sign.sum() >= 3
        assert accuracy[sign].mean() > 0.99


@pytest.mark.parametrize("network", PLAIN)
def test_h_of_every_variant_follows_the_present_input_more_than_the_evidence(values, network):
    evidence, shown = (values("figS", quantity, network) for quantity in (R2_EVIDENCE, R2_INPUT))
    assert shown.mean() > evidence.mean()
    assert values("figS", RATIO, network).max() < 3.5  # of 100


def test_tighter_bounds_make_M_h_and_eta_smaller(values):
    networks = "MPN", "bound 1", "bound 0.1"
    for quantity in ("size of M, step 19", "size of h, step 19", ETA):
        free, loose, tight = (np.abs(values("figS", quantity, k)).mean() for k in networks)
        assert free > loose > tight, quantity
    assert values("figS", "size of M, step 19", "bound 0.1").max() <= 0.1
