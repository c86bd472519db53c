"""What silence.md claims, on the stored values."""

import numpy as np
import pytest

from figures.cache import Results, load_values
from figures.causal.intervals import median, sign_flip_p
from figures.causal.networks import MATCHING, VARIANTS
from figures.causal.silence import PAPER, factor_effects, name_of

WITH_INPUT = [name_of(kind) for kind in VARIANTS if kind.delay_input]
WITHOUT = [name_of(kind) for kind in VARIANTS if not kind.delay_input]


@pytest.fixture
def silence(values):
    """silence(quantity, network): one value per seed, of ten."""
    return lambda quantity, network: values("causal", f"silence: {quantity}", network)


@pytest.fixture(scope="module")
def results():
    return Results(load_values("causal"))


@pytest.mark.parametrize("network", WITHOUT)
def test_with_nothing_shown_h_is_the_same_in_all_trials_but_m_holds_the_sample(silence, network):
    assert (silence("differs", network) < 1e-12).all()  # to rounding of the mean
    assert (np.abs(silence("decoded from h", network) - 0.5) < 0.05).all()
    learned = silence("accuracy", network) > 0.95
    assert (silence("decoded from M", network)[learned] > 0.95).all()


@pytest.mark.parametrize("network", [*WITH_INPUT, MATCHING])
def test_with_an_input_the_sample_can_be_read_off_h(silence, network):
    assert median(silence("decoded from h", network)).low > 0.9
    assert median(silence("decoded from h, permuted", network)).high < 0.6


def test_the_input_decides_and_neither_bias_nor_reward_does(results):
    effects = factor_effects(results, "decoded from h")
    assert median(effects["input"]).low > 0.4
    assert sign_flip_p(effects["input"]) < 0.01
    for factor in ("bias", "reward"):
        assert np.abs(effects[factor]).max() < 0.05


def test_without_an_input_no_network_has_the_sample_in_h(silence):
    assert (np.abs(silence("decoded, x = 0", MATCHING) - 0.5) < 0.05).all()
    assert (silence("decoded, x = 0", PAPER) < 0.4).all()  # chance is 1/3


def test_the_papers_networks_are_silent_until_something_is_shown(silence):
    assert (silence("decoded from h", PAPER) < 0.45).all()  # chance is 1/3
    assert (silence("decoded from M", PAPER) > 0.8).all()
    for shown in ("cue", "random x"):
        assert (silence(f"decoded, {shown}", PAPER) > 0.9).all()
    assert median(silence("accuracy, cue", PAPER)).low > 0.8


def test_in_trained_networks_any_input_is_enough_and_the_bias_of_the_units_changes_nothing(silence):
    for edit in ("embedding bias", "random x", "b = 0"):
        assert (silence(f"decoded, {edit}", MATCHING) > 0.95).all()
    assert (silence("flipped, b = 0", MATCHING) < 0.02).all()


def test_x_0_and_a_frozen_update_do_the_same_to_m_and_so_to_the_answers(silence):
    for what in ("accuracy", "memory"):
        zero, frozen = (silence(f"{what}, {edit}", MATCHING) for edit in ("x = 0", "M frozen"))
        np.testing.assert_allclose(zero, frozen, atol=1e-4)


def test_networks_trained_by_reward_use_the_activity_of_the_delay(silence):
    other = silence("flipped, h of another sample", MATCHING)
    assert median(other).low > 0.1
    assert (silence("flipped, h of the same sample", MATCHING) < 0.02).all()
    assert (silence("flipped, mean h of each sample", MATCHING) < 0.02).all()
    assert sign_flip_p(other - silence("flipped, random change of h", MATCHING)) < 0.05


def test_without_the_sample_in_h_the_memory_is_smaller_but_still_there(silence):
    memory = silence("memory, mean h", MATCHING)
    assert median(memory).high < 0.9
    np.testing.assert_allclose(memory, silence("memory, M frozen", MATCHING), atol=1e-4)
    # the better of the two answers stays the correct one in most networks: they tend to fixate
    assert np.median(silence("choice, mean h", MATCHING)) > 0.95


def test_the_papers_networks_do_not_use_it(silence):
    for edit in ("M frozen", "mean h", "h of another sample", "random change of h"):
        assert (silence(f"flipped, {edit}", PAPER) <= 0.01).all()
