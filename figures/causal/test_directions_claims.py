"""What directions.md claims, on the stored values; and that the changes are those of the edits."""

import numpy as np
import pytest
import torch

from figures.cache import Results, load_values
from figures.causal import directions
from figures.causal.intervals import median, sign_flip_p
from figures.causal.networks import CONTEXT, CORES, INTEGRATION, MATCHING
from figures.networks import Trained
from mpn_lab import QNetwork, TrainConfig, counterfactual, edits, record


@pytest.fixture(scope="module")
def results():
    return Results(load_values("causal"))


@pytest.mark.parametrize("core", ["mpn", "gru"])
def test_the_values_after_a_change_are_those_of_a_counterfactual(core):
    generator = torch.Generator().manual_seed(0)
    network = QNetwork(3, 3, hidden_size=8, core=core, generator=generator)
    one = Trained(network, TrainConfig(core=core), 0, float("nan"))
    parts = directions.components_of(one, "test")
    trials = record(network, *one.task, trials=20, seed=1)
    states = directions.state_before(trials, parts.name, "test")
    changed = dict(directions.changed_states(parts, states, seed=0))
    center, last = {"center": parts.center, "at": "test"}, trials["length"].values - 1
    for name, edit in {
        "mirror 2": edits.mirror(parts.name, parts.axes[1], **center),
        "without first 3": edits.project_out(parts.name, parts.axes[:3], **center),
        "only first 1": edits.set_to(parts.name, changed["only first 1"], at="test"),
    }.items():
        Q = counterfactual(network, trials, edit)["Q"].values[np.arange(20), last]
        by_hand = directions.values_after(one, trials, "test", changed[name])
        np.testing.assert_allclose(by_hand, Q, atol=1e-5)
        assert np.abs(Q - trials["Q"].values[np.arange(20), last]).max() > 1e-4


def test_random_changes_are_as_large_as_the_mirrored_component_and_stay_where_they_should():
    network = QNetwork(3, 3, hidden_size=8, generator=torch.Generator().manual_seed(0))
    one = Trained(network, TrainConfig(), 0, float("nan"))
    parts = directions.components_of(one, "test")
    trials = record(network, *one.task, trials=20, seed=1)
    states = directions.state_before(trials, parts.name, "test")
    changed = dict(directions.changed_states(parts, states, seed=0))
    moved = {name: (new - states).reshape(20, -1) for name, new in changed.items()}
    size = np.linalg.norm(moved["mirror 1"], axis=1)
    for name in ("random", "random within 2 to 10"):
        np.testing.assert_allclose(np.linalg.norm(moved[name], axis=1), size, rtol=1e-6)
    axes = parts.axes.reshape(len(parts.axes), -1)
    within = moved["random within 2 to 10"]
    np.testing.assert_allclose(within @ axes[0], 0, atol=1e-8)
    np.testing.assert_allclose(within @ axes[1:10].T @ axes[1:10], within, atol=1e-8)


TWO_CHOICES = [f"{core}, {task}" for task in (MATCHING, INTEGRATION) for core in CORES]


@pytest.fixture
def components(values):
    """components(quantity, network): one value per seed, of ten."""
    return lambda quantity, network: values("causal", f"components: {quantity}", network)


@pytest.mark.parametrize("network", TWO_CHOICES)
def test_mirroring_the_first_component_turns_the_answers_and_no_other_does(components, network):
    first = components("turned, mirror 1", network)
    assert median(first).low >= 0.94
    assert first.min() > 0.8
    for k in range(2, 11):
        assert median(components(f"turned, mirror {k}", network)).high <= 0.05


@pytest.mark.parametrize("network", TWO_CHOICES)
def test_random_changes_of_the_same_size_turn_far_fewer(components, network):
    first = components("turned, mirror 1", network)
    for control in ("random", "random within 2 to 10"):
        other = components(f"turned, {control}", network)
        assert median(other).high < 0.45
        assert (first - other > 0.4).all()


@pytest.mark.parametrize("network", TWO_CHOICES)
def test_one_component_carries_the_behaviour_and_without_it_nothing_else_does(results, network):
    assert (directions.components_needed(results, network) == 1).all()
    kept = directions.kept(results, network, "without first")
    assert median(kept[1]).high < 0.65  # without the first
    assert median(kept[10]).high < 0.65  # nor with the first ten removed


@pytest.mark.parametrize("network", TWO_CHOICES)
def test_the_first_component_is_the_difference_between_what_is_to_be_remembered(
    components, network
):
    assert (components("cosine of 1 and difference", network) > 0.98).all()


def test_one_random_direction_of_the_twenty_largest_does_not_carry_it(components):
    for network in TWO_CHOICES:
        assert median(components("flipped, only random 1", network)).low > 0.1


def test_an_integrating_mpn_has_a_second_component_that_its_answers_do_not_need(components):
    network = f"MPN, {INTEGRATION}"
    assert (components("share of variance, 2", network) > 0.1).all()
    assert median(components("turned, mirror 2", network)).high < 0.05
    assert (components("r2 with evidence, 1", network) > 0.95).all()
    assert (components("r2 with evidence, 2", network) < 0.05).all()


CHOOSING = f"MPN, {CONTEXT}"


def test_in_two_contexts_the_largest_component_of_m_is_the_context_and_does_not_hold_the_answer(
    components, results
):
    assert (directions.component_of(results, CHOOSING, "context") == 1).all()
    assert median(components("r2 with context, 1", CHOOSING)).low > 0.85
    kept = directions.kept(results, CHOOSING)
    assert median(kept[1]).high < 0.65  # with the largest component alone
    assert (directions.components_needed(results, CHOOSING) > 5).all()
    turned, random = (components(f"turned, {name}", CHOOSING) for name in ("mirror 1", "random"))
    assert np.median(turned) < np.median(random)


@pytest.mark.parametrize("modality", [1, 2])
def test_mirroring_the_evidence_of_a_modality_turns_answers_in_its_context(results, modality):
    k = directions.component_of(results, CHOOSING, f"evidence {modality}")
    assert (k > 1).all()
    own, other = (
        directions.at_component(results, CHOOSING, f"turned in context {context}, mirror", k)
        for context in (modality, 3 - modality)
    )
    assert median(own).median > 0.4
    assert median(other).median < 0.15
    assert sign_flip_p(own - other) < 0.01


def test_a_gru_has_chosen_by_the_end_of_the_stimulus(values):
    def found(quantity):
        return np.sort(values("causal", f"components: {quantity}", f"GRU, {CONTEXT}"))

    assert found("flipped, only first 1")[-2] < 0.2  # with the first component alone
    assert found("share of variance, 1")[-2] < 0.25
    for context in (1, 2):
        assert found(f"turned in context {context}, mirror 1")[1] > 0.3
    mirrored, random = (
        values("causal", f"components: turned, {name}", f"GRU, {CONTEXT}")
        for name in ("mirror 1", "random")
    )
    assert (mirrored > random).all()
    assert sign_flip_p(mirrored - random) < 0.01
    ratio = values("causal", "components: participation ratio", CHOOSING)
    assert found("participation ratio")[1] > 2 * ratio.max()
