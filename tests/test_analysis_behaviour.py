"""Psychometric curves and performance against counts made by hand."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import mpn_lab
from mpn_lab import analysis


@pytest.fixture(scope="module")
def trials():
    return mpn_lab.record(
        mpn_lab.QNetwork(7, 3, hidden_size=5),
        "ContextDecisionMaking-v0",
        {"use_expl_context": True},
        trials=120,
    )


def test_signed_coherence_is_that_of_the_context(trials):
    signed = analysis.signed_coherence(trials, toward=2)
    for i in range(20):
        one = trials.isel(trial=i)
        counts = float(one.coh_1 if int(one.context) == 0 else one.coh_2)
        assert float(signed[i]) == (counts if int(one.correct_response) == 2 else -counts)
        # The stimulus itself agrees: the answer's channel is the stronger one in the noise's mean.
    assert (np.abs(signed).values > 0).all()


def test_psychometric_counts_answers(trials):
    response = trials.correct_response.values.copy()
    response[:30] = 3 - response[:30]
    made = trials.assign_coords(response=("trial", response))
    signed = analysis.signed_coherence(made)
    found = analysis.psychometric(made, signed)
    assert found.trials.sum() == 120
    for value in found.evidence.values:
        chosen = response[signed.values == value] == 2
        here = found.sel(evidence=value)
        assert float(here.share) == pytest.approx(chosen.mean())
        test = stats.binomtest(int(chosen.sum()), len(chosen)).proportion_ci(method="wilson")
        assert (float(here.low), float(here.high)) == pytest.approx((test.low, test.high))
        ideal = made.ideal_response.values[signed.values == value] == 2
        assert float(here.ideal) == pytest.approx(ideal.mean())


def test_performance_by_a_condition(trials):
    found = analysis.performance_by(trials, "context")
    for context in (0, 1):
        here = trials.isel(trial=trials.context.values == context)
        assert float(found.sel(context=context).share) == pytest.approx(float(here.correct.mean()))
        ideal = float((here.ideal_response == here.correct_response).mean())
        assert float(found.sel(context=context).ideal) == pytest.approx(ideal)
    assert found.trials.sum() == 120


def test_tasks_without_an_ideal_observer_have_nan():
    network = mpn_lab.QNetwork(3, 2, hidden_size=4)
    trials = mpn_lab.record(network, "GoNogo-v0", trials=6)
    assert np.isnan(analysis.performance_by(trials, "correct_response").ideal).all()
    with pytest.raises(ValueError, match="no condition 'coh'"):
        analysis.signed_coherence(trials)


def test_bad_requests_get_one_sentence(trials):
    with pytest.raises(ValueError, match="choice is 5; expected 0 to 2"):
        analysis.psychometric(trials, analysis.signed_coherence(trials), choice=5)
    with pytest.raises(ValueError, match="expected one per trial"):
        analysis.psychometric(trials, trials.h)
    with pytest.raises(ValueError, match="no condition 'colour'"):
        analysis.performance_by(trials, "colour")


def test_unknown_performance_is_left_out(trials):
    unknown = np.arange(trials.sizes["trial"]) % 3 == 0
    some = trials.assign_coords(
        performance=trials["performance"].where(~unknown),
        correct_response=trials["correct_response"].where(~unknown, -1),
    )
    found = analysis.performance_by(some, "context")
    expected = analysis.performance_by(trials.isel(trial=~unknown), "context")
    xr.testing.assert_equal(found, expected)
    assert np.isnan(analysis.signed_coherence(some)[unknown]).all()
    curve = analysis.psychometric(some, analysis.signed_coherence(some))
    assert curve.trials.sum() == (~unknown).sum()
    none = trials.assign_coords(performance=trials["performance"] * np.nan)
    assert np.isnan(analysis.performance_by(none, "context").share).all()
