"""Similarity of trajectories against known relations and other implementations."""

import numpy as np
import pytest
import xarray as xr
from scipy.spatial import procrustes

import mpn_lab
from mpn_lab.analysis import condition_averages, similarity

TASK = "ContextDecisionMaking-v0"  # its trials differ in length
CONDITIONS, UNITS, T = 6, 7, 10


def trajectories(seed, units=UNITS):
    return np.random.default_rng(seed).normal(size=(CONDITIONS, T, units)).cumsum(1)


def recorded(trajectory, noise=0.0, seed=0):
    """A record in which h follows the trajectory [condition, time, unit] of the trial's class."""
    rng = np.random.default_rng(seed)
    label = np.arange(60) % CONDITIONS
    h = trajectory[label] + noise * rng.normal(size=(60, T, trajectory.shape[2]))
    steps = ("trial", "time")
    return xr.Dataset(
        {"h": ((*steps, "hidden"), h), "valid": (steps, np.ones((60, T), bool))},
        coords={
            "trial": np.arange(60),
            "time": 100.0 * np.arange(T),
            "period": (steps, np.full((60, T), "delay")),
            "kind": ("trial", label),
            "half": ("trial", label % 2),
            "third": ("trial", label // 2),
        },
        attrs={"mpn_lab_record": 1, "dt": 100.0, "core": "none", "task": "none"},
    )


def rotated(trajectory, seed=5, units=UNITS):
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(units, units)))[0]
    return trajectory @ axes[: trajectory.shape[2]]


@pytest.mark.parametrize("metric", ["procrustes", "cka"])
def test_a_rotated_scaled_and_shifted_copy_in_more_units_is_the_same(metric):
    one = trajectories(0)
    copies = {"one": one, "copy": 3 * rotated(one, units=40) + 2, "many": rotated(one, units=100)}
    found = similarity({k: recorded(v) for k, v in copies.items()}, "h", "kind", metric=metric)
    np.testing.assert_allclose(found.similarity, 1, atol=1e-9)
    assert (found.shuffled < 0.9).all()
    assert (found.p == 1 / 200).all()


@pytest.mark.parametrize("metric", ["procrustes", "cka"])
def test_unrelated_networks_are_as_alike_as_with_conditions_exchanged(metric):
    p, above = [], []
    for seed in range(12):
        pair = {"a": recorded(trajectories(seed)), "b": recorded(trajectories(100 + seed))}
        found = similarity(pair, "h", "kind", metric=metric, permutations=49)
        p.append(found.p[0, 1].item())
        above.append((found.similarity - found.shuffled)[0, 1].item())
    assert 0.2 < np.mean(p) < 0.8  # uniform: 0.5 +- 0.083
    assert abs(np.mean(above)) < 0.03
    noisy = recorded(rotated(trajectories(0)), noise=1.0)
    related = similarity({"a": recorded(trajectories(0)), "b": noisy}, "h", "kind", metric=metric)
    assert related.p[0, 1] == 1 / 200
    assert (related.similarity - related.shuffled)[0, 1] > 2 * max(above)


def test_as_other_implementations():
    a, b = trajectories(1), trajectories(2)
    pair = {"a": recorded(a), "b": recorded(b)}
    X, Y = a.reshape(-1, UNITS), b.reshape(-1, UNITS)
    found = similarity(pair, "h", "kind").similarity[0, 1].item()
    assert 1 - found**2 == pytest.approx(procrustes(X, Y)[2])  # scipy's disparity
    H = np.eye(len(X)) - 1 / len(X)
    K, L = H @ X @ X.T @ H, H @ Y @ Y.T @ H
    hsic = np.trace(K @ L) / np.sqrt(np.trace(K @ K) * np.trace(L @ L))
    assert similarity(pair, "h", "kind", metric="cka").similarity[0, 1].item() == pytest.approx(
        hsic
    )


def test_combined_conditions_are_the_same_conditions():
    pair = {"a": recorded(trajectories(1)), "b": recorded(trajectories(2))}
    found = similarity(pair, "h", ["third", "half"])
    assert found.attrs["condition"] == "third, half"
    np.testing.assert_allclose(found.similarity, similarity(pair, "h", "kind").similarity)
    assert similarity(pair, "h", "half").p.values.tolist()[0][1] in (0.5, 1.0)
    assert similarity(pair, "h", "third").attrs["permutations"] == 5


def test_constant_trajectories_are_unknown():
    pair = {"a": recorded(trajectories(1)), "b": recorded(0 * trajectories(2))}
    for metric in ("procrustes", "cka"):
        found = similarity(pair, "h", "kind", metric=metric)
        assert np.isnan(found.similarity[:, 1]).all()
        assert np.isnan(found.p[1]).all()


@pytest.fixture(scope="module")
def trials():
    return {
        core: mpn_lab.record(mpn_lab.QNetwork(5, 3, core=core, hidden_size=n), TASK, trials=40)
        for core, n in (("mpn", 6), ("gru", 9))
    }


def test_averages_over_trials_of_different_length(trials):
    one = trials["mpn"]
    average = condition_averages(one, "M")
    assert average.dims == ("condition", "time", "hidden", "input")
    expected = one.M.groupby("correct_response").mean("trial")
    np.testing.assert_allclose(
        average, expected.transpose("correct_response", *average.dims[1:]), rtol=1e-4, atol=1e-7
    )
    aligned = condition_averages(one, period="decision")
    first = (one.period == "decision").argmax("time")
    chosen = one.h.isel(time=first).groupby("correct_response").mean("trial")
    np.testing.assert_allclose(aligned[:, 0], chosen, rtol=1e-4, atol=1e-7)


def test_networks_of_different_cores(trials):
    for period in (None, "stimulus"):
        found = similarity(trials, period=period)
        assert found.network.values.tolist() == ["mpn", "gru"]
        np.testing.assert_allclose(np.diag(found.similarity), 1)
        assert 0 < found.similarity[0, 1] < 1
        np.testing.assert_array_equal(found.similarity, found.similarity.T)


def test_bad_input_gets_one_sentence(trials):
    other = trials["mpn"].assign_coords(time=trials["mpn"].time * 2)
    one_kind = {k: v.isel(trial=v.correct_response.values == 1) for k, v in trials.items()}
    for call, message in (
        (lambda: similarity({"a": trials["mpn"]}), "records holds 1 network; expected at least"),
        (lambda: similarity(trials, "M"), "the record of this GRU network has no M"),
        (lambda: similarity(trials, condition="colour"), "the record has no condition 'colour'"),
        (
            lambda: similarity(trials, period="test"),
            "there is no period 'test'; the trials have decision",
        ),
        (lambda: similarity(trials | {"b": other}), "the time steps of 'b' are not those of 'mpn'"),
        (
            lambda: similarity({"a": trials["mpn"], "b": one_kind["gru"]}),
            "the conditions of 'b' are not those of 'a'",
        ),
        (lambda: similarity(one_kind), "correct_response is the same in all these trials"),
        (lambda: similarity(trials, permutations=0), "permutations is 0; expected 1 or more"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)
        assert str(raised.value).endswith(".")
