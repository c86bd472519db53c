"""Population measures against independent computation and known ground truth."""

import numpy as np
import pytest
import torch
import xarray as xr

import mpn_lab
from mpn_lab import analysis


@pytest.fixture(scope="module")
def trials():
    network = mpn_lab.QNetwork(
        3, 3, hidden_size=6, embedding_size=4, generator=torch.Generator().manual_seed(0)
    )
    return mpn_lab.record(network, "PerceptualDecisionMaking-v0", trials=40, epsilon=0.1)


def with_h(trials, h):
    """The record with other activity [trial, time, hidden], nan after each trial's end."""
    names = ("trial", "time", "hidden")
    return trials.drop_vars(["h"]).assign(
        h=(names, np.where(trials.valid.values[..., None], h, np.nan))
    )


def test_pca_agrees_with_a_singular_value_decomposition(trials):
    result = analysis.pca(trials, "M", 3)
    rows = trials.M.values[trials.valid.values].reshape(-1, 24).astype(float)
    centred = rows - rows.mean(0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    share = s**2 / (s**2).sum()
    np.testing.assert_allclose(result.explained_variance_ratio, share[:3], rtol=1e-4)
    found = result.trajectory.values[trials.valid.values]
    for k in range(3):
        cosine = np.dot(result.axes.values[k].ravel(), vt[k])
        assert abs(cosine) == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(found[:, k], np.sign(cosine) * u[:, k] * s[k], atol=1e-3)
    assert np.isnan(result.trajectory.values[~trials.valid.values]).all()
    assert result.trajectory.sel(trial=3, component=1).sizes == {"time": trials.sizes["time"]}
    with pytest.raises(ValueError, match="components is 99; expected 1 to"):
        analysis.pca(trials, "M", 99)


def test_pca_of_many_features_is_as_exact_and_leaves_the_record_as_it_was():
    network = mpn_lab.QNetwork(
        3, 3, hidden_size=50, embedding_size=30, generator=torch.Generator().manual_seed(0)
    )
    trials = mpn_lab.record(network, "PerceptualDecisionMaking-v0", trials=20, epsilon=0.1)
    before = trials.copy(deep=True)
    found = analysis.pca(trials, "M", 2)
    xr.testing.assert_identical(trials, before)
    rows = before.M.values[before.valid.values].reshape(-1, 1500).astype(float)
    centred = rows - rows.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    expected = centred @ axes.T
    paths = found.trajectory.values[before.valid.values]
    np.testing.assert_allclose(paths, expected, atol=1e-5 * np.abs(expected).max())


def test_participation_ratio_of_a_line_and_of_a_ball(trials):
    rng = np.random.default_rng(0)
    shape = trials.h.shape
    line = rng.normal(size=(*shape[:2], 1)) * np.arange(1, 7)
    assert float(analysis.participation_ratio(with_h(trials, line))) == pytest.approx(1)
    ball = rng.normal(size=shape)
    assert float(analysis.participation_ratio(with_h(trials, ball))) == pytest.approx(6, rel=0.05)
    rows = trials.M.values[trials.valid.values].reshape(-1, 24).astype(float)
    lam = np.linalg.eigvalsh(np.cov(rows.T))
    found = float(analysis.participation_ratio(trials, "M"))
    assert found == pytest.approx(lam.sum() ** 2 / (lam**2).sum(), rel=1e-4)


def test_effective_weights_are_what_the_next_step_uses(trials):
    weights = analysis.effective_weights(trials)
    z = np.einsum("bthi,bti->bth", weights.values[:, :-1], trials.embedded.values[:, 1:])
    h = np.tanh(z + trials.b.values)
    np.testing.assert_allclose(h, trials.h.values[:, 1:], atol=1e-5)


def test_effective_weights_of_additive_modulation():
    network = mpn_lab.QNetwork(3, 3, hidden_size=4, modulation="additive")
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=2)
    expected = trials.W.values + trials.M.values
    np.testing.assert_array_equal(analysis.effective_weights(trials), expected)


def test_the_changes_add_up_to_M():
    network = mpn_lab.QNetwork(3, 3, hidden_size=4, train_M0=True)
    with torch.no_grad():
        network.core.M0.fill_(0.3)
    trials = mpn_lab.record(network, "DelayMatchSample-v0", trials=3)
    change = analysis.modulation_change(trials)
    assert change.dims == trials.M.dims
    np.testing.assert_allclose(0.3 + change.cumsum("time", skipna=False), trials.M, atol=1e-5)


def test_selectivity_finds_the_units_that_carry_the_condition(trials):
    rng = np.random.default_rng(1)
    answer = trials.correct_response.values[:, None]
    h = np.zeros(trials.h.shape)
    h[..., 0] = answer  # all of it
    h[..., 1] = -2.0 * answer
    h[..., 2] = rng.normal(size=(len(answer), 1))  # none of it
    h[..., 3] = 0.7  # constant
    found = analysis.selectivity(with_h(trials, h))
    np.testing.assert_allclose(found.selectivity[:2], 1)
    assert found.selectivity[2] < 0.2
    assert np.isnan(found.selectivity[3])
    assert found.preferred.values[:2].tolist() == [2, 1]
    y = np.nanmean(trials.h.values[..., 4].astype(float), axis=1)
    groups = [y[answer[:, 0] == k] for k in (1, 2)]
    eta2 = sum(len(g) * (g.mean() - y.mean()) ** 2 for g in groups) / ((y - y.mean()) ** 2).sum()
    assert float(analysis.selectivity(trials).selectivity[4]) == pytest.approx(eta2, rel=1e-3)
    assert analysis.selectivity(trials, variable="M", period="stimulus").selectivity.dims == (
        "hidden",
        "input",
    )


def test_variance_explained_separates_input_from_evidence(trials):
    evidence = analysis.accumulated_evidence(trials, "stimulus_1", "stimulus_2")
    at = {"trial": 2, "time": 5}
    stimulus = trials.obs.sel(channel=["stimulus_1", "stimulus_2"]).isel(trial=2)
    inside = (trials.period.isel(trial=2) == "stimulus").values & (
        np.arange(trials.sizes["time"]) <= 5
    )
    difference = stimulus.values[inside, 0].astype(float) - stimulus.values[inside, 1]
    assert float(evidence.isel(at)) == pytest.approx(difference.sum(), abs=1e-5)
    h = np.zeros(trials.h.shape)
    h[..., 0] = 3 * evidence.values + 1
    h[..., 1] = trials.embedded.values @ np.array([1.0, -2.0, 0.5, 0.0])
    found = analysis.variance_explained(with_h(trials, h), evidence)
    assert float(found.evidence[0]) == pytest.approx(1)
    assert float(found.input[0]) < 0.7
    assert float(found.input[1]) == pytest.approx(1)
    assert float(found.evidence[1]) < 0.7
    assert np.isnan(found.input[2])
    which = xr.DataArray(np.arange(evidence.size).reshape(evidence.shape) % 3, dims=evidence.dims)
    h[..., 2] = np.array([5.0, -1.0, 2.0])[which.values]  # no line through 0, 1, 2
    found = analysis.variance_explained(with_h(trials, h), evidence, shown=which)
    assert float(found.input[2]) == pytest.approx(1)
    assert float(found.input[0]) < 0.7


def test_orders_place_similar_units_next_to_each_other(trials):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, *trials.h.shape[:2]))
    h = np.stack([a, b, a, b, a, b], axis=2) + 0.1 * rng.normal(size=trials.h.shape)
    groups = [k % 2 for k in analysis.hidden_order(with_h(trials, h), "cluster")]
    assert groups in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    for by in ("index", "selectivity", "cluster"):
        assert sorted(analysis.hidden_order(trials, by)) == list(range(6))
    with pytest.raises(
        ValueError, match="by is 'size'; expected one of index, selectivity, cluster"
    ):
        analysis.hidden_order(trials, "size")


def test_any_named_state_can_be_analysed():
    lstm = mpn_lab.QNetwork(3, 3, core="lstm", hidden_size=6)
    trials = mpn_lab.record(lstm, "PerceptualDecisionMaking-v0", trials=20)
    assert analysis.pca(trials).attrs["variable"] == "h"  # where there is no M
    xr.testing.assert_equal(analysis.pca(trials), analysis.pca(trials, "h"))
    assert analysis.pca(trials, "c", 2).axes.shape == (2, 6)
    assert 1 <= float(analysis.participation_ratio(trials, "c")) <= 6
    evidence = analysis.accumulated_evidence(trials, "stimulus_1", "stimulus_2")
    assert analysis.variance_explained(trials, evidence, "c").input.sizes == {"hidden": 6}
    assert analysis.selectivity(trials, variable="c").selectivity.sizes == {"hidden": 6}
    assert analysis.decode(trials, variable="c").accuracy.max() > 0.5
    assert sorted(analysis.hidden_order(trials)) == list(range(6))


def test_an_M_of_another_core_is_not_taken_for_an_MPNs(trials):
    attrs = {k: v for k, v in trials.attrs.items() if k not in ("modulation", "update")}
    other = trials.assign_attrs(attrs)
    other.attrs = attrs | {"core": "OjaCore"}
    for ask in (analysis.effective_weights, analysis.first_order):
        with pytest.raises(ValueError, match="of a OjaCore network, which does not say how M acts"):
            ask(other)
    by_sender = other.rename(input="sender")
    assert sorted(analysis.hidden_order(by_sender)) == list(range(6))  # by h: M has no input


def test_bad_requests_get_one_sentence(trials):
    lstm = mpn_lab.record(mpn_lab.QNetwork(3, 3, core="lstm"), "DelayMatchSample-v0", trials=2)
    for ask, words in (
        (lambda: analysis.pca(lstm, "M"), "record of this LSTM network has no M; it has"),
        (lambda: analysis.effective_weights(lstm), "has no M"),
        (lambda: analysis.modulation_change(lstm), "has no M"),
        (lambda: analysis.pca(xr.Dataset(), "h"), "this Dataset is not a record"),
        (lambda: analysis.selectivity(trials, "colour"), "no condition 'colour'; it has"),
        (lambda: analysis.selectivity(trials, period="test"), "no period 'test'; the trials have"),
        (lambda: analysis.selectivity(trials.sel(trial=[0])), "the same in all these trials"),
        (lambda: analysis.accumulated_evidence(trials, "red", "blue"), "no channel 'red'"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()
