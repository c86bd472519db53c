"""What the caption of figure 3's supplement claims, whatever the exact values."""

import pytest

from figures.fig3.measure import RATIO
from figures.fig3S.measure import LARGEST


@pytest.mark.parametrize("network", ["RNN", "GRU", "MPN"])
def test_three_classes_take_more_dimensions_than_two(values, network):
    two, three = values("fig3", RATIO, network), values("fig3S", RATIO, f"{network}, three classes")
    assert three.mean() > two.mean() + 0.8
    assert values("fig3S", "accuracy", f"{network}, three classes").min() > 0.9


def test_a_gru_holds_two_classes_on_a_line_and_three_in_a_plane(values):
    assert values("fig3", RATIO, "GRU").mean() == pytest.approx(1, abs=0.2)
    assert values("fig3S", RATIO, "GRU, three classes").mean() == pytest.approx(2, abs=0.3)


def test_relu_with_a_positive_eta_lets_M_run_away(values):
    eta, largest = values("fig3S", "eta", "ReLU"), values("fig3S", LARGEST, "ReLU")
    assert largest[eta < 0].max() < 5 < 100 < largest[eta > 0].min()
