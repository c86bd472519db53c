"""What the page says of stale states, on the stored values; medians over ten seeds."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from figures.cache import Results, load_values
from figures.causal.intervals import median
from figures.causal.networks import OLD
from figures.causal.stale import auc, compare, compare_predictors, lead_of


@pytest.fixture(scope="module")
def results():
    return Results(load_values("causal"))


@pytest.fixture
def of(values):
    """of(age, quantity): one value per seed."""
    return lambda age, quantity: values("causal", f"stale {age}, {quantity}", "MPN")


def test_the_oldest_m_flips_answers_in_seven_networks_and_a_newer_one_hardly_any(of):
    assert (of(250, "M: flipped") > 0).sum() == 7
    assert 0.1 < median(of(250, "M: flipped")).median < 0.3
    assert (of(500, "M: flipped") > 0).sum() == 1
    for age in (1_000, 1_500):
        assert (of(age, "M: flipped") == 0).all()
    assert median(of(250, "old accuracy")).median < 0.8
    assert np.median([of(age, "dM") for age in OLD], axis=1).tolist() == sorted(
        np.median([of(age, "dM") for age in OLD], axis=1), reverse=True
    )


def test_a_random_change_as_large_moves_the_lead_further_at_every_age(of, results):
    found = compare(results)
    assert len(found) == 2 * len(OLD)
    for age in OLD:
        difference, p = found[age, "random"]
        assert difference.low > 0
        assert p < 0.05
        assert np.median(of(age, "random: flipped")) >= np.median(of(age, "M: flipped"))


def test_the_same_change_in_other_units_moves_it_further_only_at_the_later_ages(results):
    found = compare(results)
    for age in OLD:
        assert (found[age, "other units"][1] < 0.05) == (age >= 1_000)


@pytest.mark.parametrize("name", ["dM", "samples"])
def test_neither_the_size_of_dm_nor_its_part_along_the_samples_predicts_the_lead(of, name):
    for age in OLD:
        found = median(of(age, f"rank correlation within conditions, {name}"))
        assert found.low < 0 < found.high


def test_the_gradient_predicts_the_lead_at_every_age(of):
    for age in OLD:
        for kind in ("rank correlation", "rank correlation within conditions"):
            assert median(of(age, f"{kind}, gradient")).low > 0.3
        gradient = of(age, "rank correlation within conditions, gradient")
        size = of(age, "rank correlation within conditions, dM")
        assert median(gradient - size).low > 0
    for age in OLD[1:]:
        assert median(of(age, "rank correlation within conditions, gradient")).median > 0.95


def test_which_answers_flip_the_gradient_says_best_but_not_significantly(of, results):
    known = {k: of(250, f"AUC of {k}") for k in ("dM", "samples", "lead", "gradient")}
    known = {k: v[np.isfinite(v)] for k, v in known.items()}
    assert [len(v) for v in known.values()] == [7] * 4
    assert median(known["gradient"]).median > 0.95
    assert median(known["gradient"]).low > 0.5
    for name in ("dM", "samples"):
        assert median(known[name]).low < 0.5 < median(known[name]).high
    assert all(p > 0.05 for _, p in compare_predictors(results).values())


def test_most_of_dm_is_common_to_all_trials_and_this_part_flips_nothing(of):
    assert median(of(250, "dM, common share")).low > 0.65
    assert median(of(250, "common: flipped")).high <= 0.02
    assert of(250, "common: flipped").max() < 0.1
    assert median(of(250, "rest: flipped")).median > 0.15


def test_from_network_to_network_dm_goes_with_flips_but_ten_are_too_few_to_say(of):
    found = spearmanr(of(250, "dM"), of(250, "M: flipped"))
    assert 0.5 < found.statistic < 0.7
    assert found.pvalue > 0.05
    moved = np.array([of(age, "M: lead moved") for age in OLD])
    assert (np.diff(moved, axis=0) < 0).all()  # in every network it falls with age


def test_a_lead_is_over_the_best_other_action_and_an_area_needs_five_of_each():
    Q = np.array([[1.0, 3.0, 2.5], [0.0, 1.0, 4.0]])
    np.testing.assert_allclose(lead_of(Q, np.array([1, 1])), [0.5, -3.0])
    score, flipped = np.arange(10.0), np.arange(10) >= 5
    assert auc(score, flipped) == 1
    assert auc(-score, flipped) == 0
    assert np.isnan(auc(score, np.arange(10) >= 6))
