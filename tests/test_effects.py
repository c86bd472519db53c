"""Effects of interventions: shares, intervals, maps against one counterfactual at a time."""

import numpy as np
import pytest
import torch
import xarray as xr

import mpn_lab
from mpn_lab import counterfactual, edits
from mpn_lab.interventions import effect, effect_map, lesion_curve
from mpn_lab.interventions.effect_maps import _p_values


@pytest.fixture(scope="module")
def network():
    return mpn_lab.QNetwork(3, 3, hidden_size=6, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def trials(network):
    return mpn_lab.record(network, "DelayMatchSample-v0", trials=24)


def test_effect_counts_what_the_edit_changed(network, trials):
    changed = counterfactual(network, trials, edits.scale("M", -3.0, at="test"))
    result = effect(trials, changed)
    flipped = (changed.response != trials.response).values
    assert result.flipped == flipped.mean() > 0
    low, high = result.flipped_ci.values
    assert low < result.flipped < high
    np.testing.assert_allclose(result.dQ, (changed.Q - trials.Q).mean("trial"), atol=1e-6)
    low, high = result.dQ_ci.values
    known = np.isfinite(low)
    assert (low[known] <= result.dQ.values[known]).all()
    assert (result.dQ.values[known] <= high[known]).all()
    assert np.isnan(result.return_changed)  # what another action earns is not known
    assert np.isnan(result.return_difference)
    assert np.isnan(result.return_difference_ci).all()
    parts = effect(trials, changed, by="sample_theta")
    assert (parts.flipped * parts.n).sum() == flipped.sum()
    none = effect(trials, counterfactual(network, trials, []))
    assert none.flipped == 0
    assert float(abs(none.dQ).max()) == 0
    assert none.accuracy == none.accuracy_changed


def test_effect_of_a_closed_loop_knows_the_return(network, trials):
    some = trials.isel(trial=slice(0, 8))
    changed = counterfactual(network, some, edits.scale("M", -3.0, at="test"), mode="closed")
    result = effect(some, changed)
    expected = changed.reward.sum("time").mean() - some.reward.sum("time").mean()
    assert result.return_difference == pytest.approx(float(expected), abs=1e-6)


def test_trials_to_withhold_a_response_are_not_judged_in_an_open_loop():
    network = mpn_lab.QNetwork(3, 2, hidden_size=9, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.readout.weight[1] = 0  # goes where h changes the value of fixation
        network.readout.weight[0] = -torch.ones(9)
        network.readout.bias[:] = torch.tensor([0.0, -5.0])
    trials = mpn_lab.record(network, "GoNogo-v0", trials=24)
    go = edits.set_to("h", np.ones(9), during="decision")
    opened, closed = (counterfactual(network, trials, go, mode=m) for m in ("open", "closed"))
    assert effect(trials, closed).accuracy_changed == closed.performance.mean() < 1
    assert effect(trials, opened).flipped == 1
    assert np.isnan(effect(trials, opened).accuracy_changed)
    with pytest.raises(ValueError, match="are correct without a response"):
        lesion_curve(network, trials)
    to_go = trials.isel(trial=trials.correct_response >= 0)
    assert (lesion_curve(network, to_go, shares=[0], by="units").accuracy == 0).all()


def test_effect_of_a_closed_loop_that_lasts_longer():
    network = mpn_lab.QNetwork(3, 2, hidden_size=9, generator=torch.Generator().manual_seed(1))
    trials = mpn_lab.record(network, "GoNogo-v0", trials=12)
    changed = counterfactual(network, trials, edits.scale("M", -3.0), mode="closed")
    assert changed.sizes["time"] > trials.sizes["time"]
    result = effect(trials, changed)
    assert result.sizes["time"] == changed.sizes["time"]
    both = trials.sizes["time"]
    expected = np.nanmean(changed.Q.values[:, :both] - trials.Q.values, 0)
    np.testing.assert_allclose(result.dQ[:both], expected, atol=1e-6)
    assert np.isnan(result.dQ[both:]).all()  # no unedited trial lasts as long


@pytest.mark.parametrize("by", ["units", "inputs", "synapses"])
def test_effect_map_equals_one_counterfactual_at_a_time(network, trials, by):
    found = effect_map(network, trials, "M", by, times=[0, 400, 1500])
    last = trials.length.values - 1
    before = trials.Q.values[np.arange(24), last]
    for time in (400, 1500):
        for part in (0, 3):
            where = {"synapses": [divmod(part, 10)]} if by == "synapses" else {by: [part]}
            changed = counterfactual(network, trials, edits.zero("M", at=time, **where))
            after = changed.Q.values[np.arange(24), last]
            cell = found.sel(time=time, part=part)
            assert float(cell.dQ) == pytest.approx(
                np.sqrt(((after - before) ** 2).mean()), abs=1e-6
            )
            flips = (after.argmax(1) != before.argmax(1)).mean()
            assert float(cell.flipped) == pytest.approx(flips)
    assert float(abs(found.dQ.sel(time=0)).max()) == 0  # M is zero at the start


def test_effect_map_takes_named_parts_of_any_state():
    network = mpn_lab.QNetwork(3, 3, hidden_size=6, core="lstm", num_layers=2)
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=6)
    mask = np.arange(6) < 2
    found = effect_map(network, trials, "c_2", {"first": mask, "rest": ~mask}, times=[700])
    changed = counterfactual(network, trials, edits.zero("c_2", units=[0, 1], at=700))
    last = trials.length.values - 1
    dQ = (changed.Q - trials.Q).values[np.arange(6), last]
    assert float(found.dQ.sel(part="first")[0]) == pytest.approx(np.sqrt((dQ**2).mean()), abs=1e-6)


def test_a_part_that_alone_carries_the_memory_stands_out_from_matched_controls():
    """All of M that matters is one row, whose unit alone reaches the readout; M acts along x."""
    network = mpn_lab.QNetwork(
        *(3, 3), hidden_size=12, modulation="additive", eta_init=0.05,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with torch.no_grad():
        network.readout.weight[:, 1:] = 0
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=10)
    found = effect_map(network, trials, times=[900, 1100, 1300], controls=30)
    assert (found.p.sel(part=0) < 0.05).all()
    assert (found.p.sel(part=slice(1, None)) > 0.2).all()


def test_p_values_of_controls_among_themselves_are_not_small():
    rng, smallest = np.random.default_rng(0), []
    for _ in range(200):
        values = rng.gamma(2, size=(11, 6, 8)) * np.arange(1, 9)  # parts differ in scale
        smallest.append(_p_values(values[0], values[1:]).min())
    assert np.mean(np.array(smallest) < 0.05) < 0.09  # the share of maps with a false finding


def test_lesion_curve_orders_and_ends(network, trials):
    found = lesion_curve(network, trials, "W", shares=[0, 0.3, 1], draws=3)
    assert list(found.order.values) == ["best first", "random", "worst first"]
    test = trials.isel(trial=slice(1, None, 2))
    whole = float((test.response == test.correct_response).mean())
    np.testing.assert_allclose(found.accuracy.sel(share=0), whole)
    assert np.ptp(found.accuracy.sel(share=1).values) == 0  # all is removed, in whatever order
    assert found.sizes["part"] == 60
    alone = counterfactual(
        network, trials.isel(trial=slice(0, None, 2)), edits.zero("W", synapses=[(2, 3)])
    )
    ranking = trials.isel(trial=slice(0, None, 2))
    last = (np.arange(12), ranking.length.values - 1)
    dQ = (alone.Q.values - ranking.Q.values)[last]
    assert float(found.importance[23]) == pytest.approx(np.sqrt((dQ**2).mean()), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda n, t: effect(t, t.isel(trial=[0])), "different trials"),
        (lambda n, t: effect(t.assign_attrs(epsilon=0.1), t), "made with epsilon=0.1"),
        (lambda n, t: effect(t, t, by="colour"), "no condition 'colour'"),
        (lambda n, t: effect_map(n, t, "c"), "this network has no 'c'"),
        (lambda n, t: effect_map(n, t, "W"), "W is not a state"),
        (lambda n, t: effect_map(n, t, times=[33]), "expected times of the record"),
        (lambda n, t: effect_map(n, t, controls=2), "controls is 2"),
        (lambda n, t: effect_map(n, t, by={"a": np.ones(3, bool)}), "the part 'a' has shape"),
        (lambda n, t: lesion_curve(n, t, shares=[2.0]), "expected numbers from 0 to 1"),
        (lambda n, t: lesion_curve(n, t.isel(trial=[0])), "expected at least 4"),
    ],
)
def test_bad_input_gets_one_sentence(network, trials, call, says):
    with pytest.raises(ValueError, match=says) as caught:
        call(network, trials)
    assert "\n" not in str(caught.value)
    assert isinstance(trials, xr.Dataset)
