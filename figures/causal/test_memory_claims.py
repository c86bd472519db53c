"""What the page says of the memory in M, on the stored values; medians over ten seeds."""

import numpy as np
import pytest

from figures.cache import Results, load_values
from figures.causal.intervals import holm, median, sign_flip_p
from figures.causal.memory import (
    LAST,
    LONGER,
    SIZES,
    TASKS,
    last_values,
    of_norm,
    other_units,
    values_from,
)
from figures.causal.memory_contrasts import CONTROLS, compare, contrast
from figures.causal.networks import CONTEXT, CORES, INTEGRATION, MATCHING
from mpn_lab import QNetwork, counterfactual, edits, record

MOMENTS = TASKS[MATCHING].moments


@pytest.fixture
def of(values):
    """of(quantity, core): one value per seed."""
    return lambda quantity, core="MPN": values("causal", quantity, core)


@pytest.fixture(scope="module")
def contrasts():
    return contrast(Results(load_values("causal")))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_matching_follows_the_donors_sample_in_every_trial_of_every_network(of, core, moment):
    assert (of(f"matching, {moment}, other: turned", core) == 1).all()
    assert of(f"matching, {moment}, same: flipped", core).max() <= 0.02


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("task", [CONTEXT, INTEGRATION])
def test_so_do_the_other_tasks(of, core, task):
    assert median(of(f"{task}, {LAST[task]}, other: turned", core)).low > 0.95
    assert median(of(f"{task}, {LAST[task]}, same: flipped", core)).high <= 0.02


def test_the_donor_turns_more_answers_than_any_change_as_large():
    found = compare(Results(load_values("causal")))
    assert len(found) == len(TASKS) * len(CORES) * len(CONTROLS)
    for difference, p in found.values():
        assert difference.low > 0.4
        assert p < 0.05


def test_a_random_change_as_large_as_the_swap_disturbs_an_mpn_more_than_a_gru(of):
    flipped = {c: of("matching, after delay, as other, random: flipped", c) for c in CORES}
    assert median(flipped["MPN"]).low > 0.25
    assert median(flipped["MPN"] - flipped["GRU"]).low > 0.2
    for core in CORES:
        assert median(of("context, after delay, as other, random: flipped", core)).low > 0.2
        assert (
            median(of("integration, after stimulus, as other, random: flipped", core)).high < 0.02
        )


def test_at_every_size_the_direction_to_the_other_sample_flips_most(of):
    for core in CORES:
        for size in SIZES[1:]:
            other = of(f"size {size:g}, other: flipped", core)
            for name in ("within", "as other, random", "as other, other units"):
                assert median(other - of(f"size {size:g}, {name}: flipped", core)).low > 0


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("edit", ["zero", "mean"])
def test_without_the_state_the_choice_is_at_chance(of, core, moment, edit):
    found = median(of(f"matching, {moment}, {edit}: preferred", core))
    assert 0.4 < found.low <= found.high < 0.6


def test_but_wiping_m_does_no_more_than_a_random_change_as_large_unlike_wiping_h(of, contrasts):
    def more(core, task, moment):
        name = f"{task}, {moment}, {{}}: preferred"
        return median(of(name.format("as zero, random"), core) - of(name.format("zero"), core))

    assert contrasts["a wipe and a random change"][1] > 0.05
    assert more("MPN", MATCHING, "after delay").low < 0
    assert more("GRU", MATCHING, "after delay").low > 0.4
    for core in CORES:
        assert more(core, INTEGRATION, "after stimulus").low > 0.4


def test_freezing_m_in_the_delay_costs_answers_but_hardly_the_choice(of, contrasts):
    name = "matching, after delay, frozen: {}"
    assert median(of(name.format("preferred"))).median == 1
    assert median(of(name.format("accuracy"))).high < 0.85
    difference, p = contrasts["freezing and a random change"]
    assert difference.low > 0
    assert p < 0.05
    assert contrasts["freezing, with the mean and without"][1] > 0.05
    for core in CORES:
        during = median(of("matching, after sample, frozen: preferred", core))
        assert 0.4 < during.low <= during.high < 0.6


def test_the_choice_is_lost_in_longer_delays_and_earlier_in_the_mpn(of, contrasts):
    later = {c: [median(of(f"delay + {k}: preferred", c)) for k in LONGER] for c in CORES}
    twice, ten_times = LONGER.index(10), LONGER.index(100)
    for core in CORES:
        assert later[core][twice].median == 1
        assert 0.45 <= later[core][-1].median < 0.6
    assert later["GRU"][ten_times].low == 1
    assert later["MPN"][ten_times].high < 0.8
    assert contrasts["100 further steps, GRU and MPN"][1] < 0.05


def test_the_attractors_tell_the_samples_apart_but_give_no_answer(of):
    assert sorted(of("attractor: sample decoded") == 1) == [False] + 9 * [True]
    assert (of("attractor: unknown rows") == 0).all()
    assert sorted(of("attractor: units that tell the sample") > 0) == [False] + 9 * [True]
    found = median(of("attractor: preferred"))
    assert 0.45 < found.low <= found.median < 0.6


def test_nor_do_they_give_less_than_a_random_change_as_large(of, contrasts):
    assert median(of("attractor: change / norm")).low > 4
    assert contrasts["attractor and a random change"][1] > 0.05
    difference, p = contrasts["attractor and its change in other units"]
    assert difference.median < 0
    assert p < 0.05


def test_what_trials_have_in_common_explains_a_part_of_the_failure(of, contrasts):
    kept = median(of("attractor, mean and size kept: preferred"))
    assert kept.low < 0.7 < kept.median < kept.high == 1
    difference, p = contrasts["attractor, with the mean and size and without"]
    assert difference.low > 0
    assert p < 0.05


@pytest.mark.parametrize("core", ["mpn", "gru"])
def test_values_from_a_state_are_those_of_the_counterfactual(core):
    network = QNetwork(3, 3, core=core, hidden_size=6)
    trials = record(network, "DelayMatchSample-v0", trials=6)
    state = "M" if core == "mpn" else "h"
    value = np.random.default_rng(0).normal(size=trials[state].isel(time=0).shape)
    changed = counterfactual(network, trials, edits.set_to(state, value, at="test"))
    found = values_from(network, trials, "test", value)
    np.testing.assert_allclose(found, last_values(changed), atol=1e-6)


def test_controls_have_the_norm_of_the_change():
    rng = np.random.default_rng(0)
    change, direction = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 5, 3))
    for control in (of_norm(direction, change), other_units(change, rng)):
        for own, theirs in zip(control, change, strict=True):
            np.testing.assert_allclose(np.linalg.norm(own), np.linalg.norm(theirs))
    np.testing.assert_allclose(other_units(change, rng).sum(1), change.sum(1))


def test_the_interval_of_a_median_misses_it_as_often_as_it_says():
    rng = np.random.default_rng(0)
    missed = [
        not low <= 0 <= high for _, low, high in (median(rng.normal(size=10)) for _ in range(4000))
    ]
    assert abs(np.mean(missed) - 22 / 2**10) < 0.01
    with pytest.raises(ValueError, match="at least six"):
        median([1, 2, 3])
    with pytest.raises(ValueError, match="at least six"):
        median([*range(9), np.nan])


def test_sign_flips_and_holm_give_known_p_values():
    assert sign_flip_p(np.ones(10)) == 2 / 2**10
    assert sign_flip_p([1, -1]) == 1
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
