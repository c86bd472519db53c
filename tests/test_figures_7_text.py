"""What the paper says of figure 7 a to h and in its text, held against the saved numbers."""

from pathlib import Path

import numpy as np
import pandas as pd

NUMBERS = Path(__file__).parent.parent / "figures" / "numbers"


def numbers(figure):
    """Our values, ten seeds each: quantity, network -> [10]."""
    table = pd.read_csv(NUMBERS / f"{figure}.csv")
    found = {key: rows["value"].to_numpy() for key, rows in table.groupby(["quantity", "network"])}
    assert all(len(values) == 10 for values in found.values())
    return found


def test_an_mpn_integrates_for_a_context_and_integrates_numbers():
    found = numbers("fig7")
    assert found["accuracy, retrospective context", "MPN"].min() > 0.96
    assert found["accuracy, continuous", "MPN"].min() > 0.95  # the ideal observer: 0.99


def test_the_updates_and_the_bounds_come_in_the_papers_order():
    mean = {network: v.mean() for (q, network), v in numbers("figS").items() if q == "accuracy"}
    assert mean["MPN"] > mean["MPNpost"] > mean["MPNpre"] > 0.96
    assert mean["MPN"] >= mean["bound 1"] > mean["bound 0.1"] > 0.96


def test_every_variant_learns():
    for (quantity, network), values in numbers("figS").items():
        if quantity == "accuracy":
            assert values.min() > 0.9, network


def test_either_sign_of_eta_will_do():
    found = numbers("figS")
    eta, accuracy = found["eta after training", "MPN"], found["accuracy", "MPN"]
    assert np.abs(eta).min() > 1
    for sign in (eta > 0, eta < 0):
        assert sign.sum() >= 3
        assert accuracy[sign].mean() > 0.99
