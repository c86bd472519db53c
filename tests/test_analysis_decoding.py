"""Decoding over time against activity whose content is known."""

import numpy as np
import pytest
import xarray as xr

import mpn_lab
from mpn_lab import analysis, edits


@pytest.fixture(scope="module")
def trials():
    """100 trials whose h holds the correct response in steps 4 to 9, otherwise from step 7 on."""
    made = mpn_lab.record(
        mpn_lab.QNetwork(3, 3, hidden_size=6), "PerceptualDecisionMaking-v0", trials=100
    )
    T = 12
    made = made.isel(time=slice(0, T)).assign(valid=(("trial", "time"), np.ones((100, T), bool)))
    h = np.random.default_rng(0).normal(size=(100, T, 6))
    sign = np.where(made.correct_response.values == 2, 1.0, -1.0)[:, None]
    h[:, 4:7, 0] = 5 * sign
    h[:, 7:10, 1] = 5 * sign
    return made.drop_vars("h").assign(h=(("trial", "time", "hidden"), h))


def test_decoding_finds_the_response_where_it_is_held(trials):
    angle = trials.assign_coords(angle=("trial", trials.correct_response.values * np.pi))
    found = analysis.decode(angle, "angle")
    np.testing.assert_allclose(found.accuracy[4:10], 1)
    outside = np.r_[found.accuracy[:4], found.accuracy[10:]]
    assert (np.abs(outside - 0.5) < 0.2).all()  # 100 trials: 0.5 +- 4 standard errors
    assert (found.sem[4:10] == 0).all()
    largest = max((trials.correct_response == 1).sum(), (trials.correct_response == 2).sum()) / 100
    np.testing.assert_allclose(found.chance, largest)


def test_a_changing_code_is_not_decoded_across_times(trials):
    found = analysis.decode_across_times(trials)
    first, second = slice(4, 7), slice(7, 10)
    assert (found[first, first] == 1).all()
    assert (found[second, second] == 1).all()
    assert (np.abs(found[first, second] - 0.5) < 0.25).all()
    sparse = analysis.decode_across_times(trials, every=4)
    np.testing.assert_array_equal(sparse, found[::4, ::4])


def test_steps_that_few_trials_reach_are_nan(trials):
    valid = trials.valid.values.copy()
    valid[6:, 11] = False
    short = trials.assign(valid=(("trial", "time"), valid))
    assert np.isnan(analysis.decode(short).accuracy[11])
    assert np.isnan(analysis.decode_across_times(short)[11]).all()


def test_too_few_trials_get_one_sentence(trials):
    with pytest.raises(ValueError, match="correct_response cannot be decoded: at no time"):
        analysis.decode(trials.isel(trial=slice(0, 4)))
    with pytest.raises(ValueError, match="every is 0"):
        analysis.decode_across_times(trials, every=0)
    with pytest.raises(ValueError, match="no condition 'colour'"):
        analysis.decode(trials, "colour")


def test_trials_of_unknown_condition_are_left_out(trials):
    some = np.where(np.arange(100) < 30, np.nan, trials.correct_response.values)
    unknown = trials.assign_coords(some=("trial", some))
    of_known = trials.isel(trial=slice(30, None))
    for measure in (analysis.decode, analysis.decode_across_times, analysis.selectivity):
        expected = measure(of_known, "correct_response", "h")
        found = measure(unknown, "some", "h")
        xr.testing.assert_allclose(found.drop_attrs(), expected.drop_attrs())
    averages = analysis.condition_averages(unknown, "h", "some")
    expected = analysis.condition_averages(of_known, "h")
    np.testing.assert_allclose(averages, expected)
    donor = edits.donors(unknown.isel(trial=slice(30, None)), differ="some")
    assert (unknown.some.sel(trial=donor).values != some[30:]).all()
    with pytest.raises(ValueError, match="trial 0 has no donor with another some"):
        edits.donors(unknown, differ="some")
    with pytest.raises(ValueError, match="some is unknown"):
        analysis.decode(unknown.isel(trial=slice(0, 20)), "some")
