"""Stored states against replayed ones: exact where they must be, and equal to a slow loop."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.numpy import load_file

import mpn_lab
from mpn_lab import RunError, TrainConfig, load_run, staleness, train
from mpn_lab.analysis import by_position, recording
from mpn_lab.networks.recurrence import mpn_loop
from mpn_lab.training.experience import encode_trials
from mpn_lab.training.stored_trials import load_stored_trials, save_stored_trials

SMALL = TrainConfig(
    task="ContextDecisionMaking-v0",  # its trials differ in length
    trials=100,
    hidden_size=8,
    embedding_size=5,
    eval_freq=20,
    eval_trials=4,
    train_freq=20,
    learning_starts=20,
    batch_size=8,
    gradient_steps=3,
    store_trials=5,
)
WINDOW, BURN_IN = 5, 2
SHORTENED = 3  # steps of a trial that is cut short


def made(tmp_path, **changes):
    config = TrainConfig.model_validate({**SMALL.model_dump(), **changes})
    return train(config, tmp_path / "run", progress=False)


def compared(run, **options):
    return staleness(run, 20, window=WINDOW, burn_in=BURN_IN, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose stored trials differ in length, one of them shorter than a window."""
    run = made(tmp_path_factory.mktemp("stale"))
    trials, _ = load_stored_trials(run, 20, run.network_at(20))
    cut = {n: getattr(trials[2], n)[:SHORTENED] for n in ("obs", "action", "reward", "terminated")}
    trials[2] = dataclasses.replace(trials[2], **cut)
    save_stored_trials(run, 20, trials, run.network_at(20))
    return run


@pytest.fixture(scope="module")
def data(run):
    return compared(run)


def slowly(run, data):
    """The distances again: trial by trial, step by step, in float64, from the files of the run."""
    trials, codes = load_stored_trials(run, 20, run.network_at(20))
    core = run.network.core
    options = {"update": core.update, "modulation": core.modulation, "bound": core.bound}
    result = {
        name: np.full(data[name].shape, np.nan) for name in ("dM", "dM_raw", "dQ", "dQ_raw")
    } | {"dQ_from_start": np.full(data["dQ"].shape, np.nan)}

    def steps_of(weights, obs, M):
        """M before every step, and Q at it."""
        before, values = [], []
        for o in obs:
            x = weights["embedding.weight"] @ o + weights["embedding.bias"]
            eta, lam = weights["core.eta"], weights["core.lam"]
            before.append(M)
            h, M, _ = mpn_loop(
                x[None, None], M[None], weights["core.W"], weights["core.b"], eta, lam, **options
            )
            M = M[0]
            values.append(weights["readout.weight"] @ h[0, 0] + weights["readout.bias"])
        return before, values

    def states_of(codes, M):
        """M before every step, from the h, x, eta and lam that were stored."""
        n, d = M.shape
        before = []
        for row in torch.from_numpy(codes).double():
            before.append(M)
            h, x, eta, lam = row.split([n, d, 1, 1])
            u = torch.ones(n).double() / n**0.5 if options["update"] == "presynaptic" else h
            M = lam * M + eta * torch.outer(u, x)
        return before

    def weights_at(trials):
        arrays = load_file(run.checkpoint_path(trials))
        return {
            name.removeprefix("network."): torch.from_numpy(array).double().reshape(array.shape)
            for name, array in arrays.items()
        }

    ages = [weights_at(int(trials)) for trials in data["trained_trials"]]
    for i, (trial, steps) in enumerate(zip(trials, codes, strict=True)):
        obs = torch.from_numpy(trial.obs).double()
        zero = torch.zeros_like(ages[0]["core.W"])
        first = zero if trial.initial_state is None else trial.initial_state[0].double()
        stored = states_of(steps, first)
        for a, theta in enumerate(ages):
            _, whole = steps_of(theta, obs, first)
            for k, strategy in enumerate(data["strategy"].values):
                burn_in = BURN_IN if "burn-in" in strategy else 0
                for s in range(0, len(obs), WINDOW):
                    begin = max(0, s - burn_in)
                    M = zero if strategy.startswith("zero") else stored[begin]
                    if strategy == "start":
                        begin, M = 0, first
                    end = min(s + WINDOW, len(obs))
                    hats, values = steps_of(theta, obs[begin:end], M)
                    hats, values = hats[s - begin :], values[s - begin :]
                    largest = max(float(q.abs().max()) for q in values)
                    for t, M_hat, q_hat in zip(range(s, end), hats, values, strict=True):
                        _, (q,) = steps_of(theta, obs[t : t + 1], stored[t])
                        dM, size = float((M_hat - stored[t]).norm()), float(M_hat.norm())
                        dQ = float((q_hat - q).norm())
                        at = k, a, i, t
                        result["dM_raw"][at], result["dQ_raw"][at] = dM, dQ
                        result["dM"][at] = dM / size if size else (np.nan if dM else 0)
                        result["dQ"][at] = dQ / largest
                        result["dQ_from_start"][at] = float((q_hat - whole[t]).norm()) / largest
    return result


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        (None, 1e-6),
        (
            {"core_options": {"update": "presynaptic", "modulation": "additive"}, "hidden_size": 7},
            1e-6,
        ),
        # every other trial is carried over
        ({"reset_state": "episode", "trials_per_episode": 2}, 1e-6),
        # |M| is in the fifties after ten trials, and float32 to 1e-7 of it
        ({"reset_state": "never", "task": "DelayMatchSample-v0"}, 3e-6),
    ],
)
def test_distances_equal_a_slow_loop(changes, tolerance, run, data, tmp_path):
    if changes is not None:
        run = made(tmp_path, **changes)
        data = compared(run)
        trials, _ = load_stored_trials(run, 20, run.network_at(20))
        assert any(t.initial_state is not None for t in trials) == ("reset_state" in changes)
    assert (data.dM_raw.sel(age=data.age[-1]) > 1e-3).any(["trial", "time"]).all()
    largest = float(((data.M_replayed**2).sum(["hidden", "input"]) ** 0.5).max())
    for name, values in slowly(run, data).items():
        # from the start h and x are float32, as they were stored: some 1e-7 of M
        scale = largest if name == "dM_raw" else 1.0
        found, expected = data[name].values / scale, values / scale
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=tolerance, err_msg=name)
        windows = data["strategy"].values != "start"
        if name != "dQ_from_start":
            np.testing.assert_allclose(found[windows], expected[windows], rtol=1e-6, atol=1e-6)


def test_zero_where_nothing_can_differ(data):
    valid = data.valid
    fresh = data.sel(strategy="start", age=0)
    for name in ("dM", "dM_raw", "dQ", "dQ_raw", "dQ_from_start"):
        assert (fresh[name].where(valid, 0) == 0).all(), name
    assert not fresh.flipped.any()
    first = data.sel(strategy="stored").isel(time=data.step_in_window.values == 0)
    for name in ("dM", "dQ", "dQ_raw"):
        assert (first[name].where(first.valid, 0) == 0).all(), name
    # At its start a trial that was reset is known exactly, whatever the parameters.
    start = data.isel(time=0)
    for name in ("dM", "dQ", "dQ_raw", "dQ_from_start"):
        assert (start[name] == 0).all(), name


def test_the_dataset_is_consistent(run, data):
    assert data["strategy"].values.tolist() == [
        "zero",
        "stored",
        "zero, burn-in 2",
        "stored, burn-in 2",
        "start",
    ]
    assert data.trained_trials.values.tolist() == [20, 40, 60, 80, 100]
    assert data.age.values.tolist() == [0, 3, 6, 9, 12]
    valid = data.valid.values
    assert valid[2].sum() == SHORTENED
    assert len(set(data["length"].values)) > 1
    for name in ("dM_raw", "dQ", "dQ_raw", "dQ_from_start"):
        assert (np.isnan(data[name].values) == ~np.broadcast_to(valid, data[name].shape)).all()
    # M = 0 replayed where another was stored
    later = data.isel(time=(data.time.values > 0) & (data.step_in_window.values == 0))
    assert np.isnan(later.dM.sel(strategy="zero")).all()
    greedy = data.Q_replayed.fillna(0).argmax("action") != data.Q_stored.fillna(0).argmax("action")
    assert (data.flipped == (greedy & data.valid)).all()
    assert data.Q_collected.equals(data.Q_stored.sel(age=0).drop_vars(["age", "trained_trials"]))
    norm = ((data.M_replayed - data.M_stored) ** 2).sum(["hidden", "input"]) ** 0.5
    np.testing.assert_allclose(norm.where(data.valid), data.dM_raw, atol=1e-5)
    assert np.isnan(data.M_stored.values[~valid]).all()
    assert data.attrs["mpn_lab_staleness"] == 1
    assert (data.attrs["window"], data.attrs["burn_in"], data.attrs["collected_at"]) == (5, 2, 20)
    assert "M_stored" not in compared(run, states=False)
    record = mpn_lab.record(run, trials=2)
    shared = {"obs", "taken_action", "reward", "ground_truth", "valid"}
    for name in shared | (set(record.coords) - {"input", "hidden"}):
        assert data[name].dims == record[name].dims, name
        assert data[name].dtype.kind == record[name].dtype.kind, name
    assert set(record.attrs) - {"ceiling", "known_faults"} <= set(data.attrs)


def test_the_dataset_survives_a_file(data, tmp_path):
    loaded = mpn_lab.load_record(mpn_lab.save_record(data, tmp_path / "stale.nc"))
    xr.testing.assert_identical(loaded, data)


@pytest.mark.parametrize(
    "changes",
    [
        {"core": "gru"},
        {"core": "lstm", "num_layers": 2},
        {"core": "rnn", "embedding": "none", "embedding_size": 10, "reset_state": "never"},
        {"num_layers": 2},
        {"core_options": {"eta_shape": "synapse", "bound": 0.5}},
        {"core_options": {"train_M0": True}},
    ],
)
def test_every_core_goes_stale(changes, tmp_path):
    run = made(tmp_path, trials=60, **changes)
    data = compared(run)
    assert ("M_stored" in data) == ("core" not in changes)
    fresh = data.sel(strategy="start", age=0)
    assert float(fresh.dM.max()) == float(fresh.dQ.max()) == 0
    stored = data.sel(strategy="stored").isel(time=data.step_in_window.values == 0)
    assert float(stored.dQ.max()) == 0
    # Within a window only rounding is left: of float16 where the states are stored in it.
    half = "num_layers" in changes or "bound" in changes.get("core_options", {})
    assert float(data.dM.sel(strategy="stored", age=0).max()) < (2e-3 if half else 1e-5)
    old = data.isel(age=-1)
    assert (old.dM_raw.max(["trial", "time"]) > 1e-4).all()
    assert old.dQ.sel(strategy="zero").mean() > old.dQ.sel(strategy="stored").mean()


def test_stored_states_of_episodes_begin_with_the_carried_one(tmp_path):
    run = made(tmp_path, reset_state="episode", trials_per_episode=2)
    network = run.network_at(20)
    trials, codes = load_stored_trials(run, 20, network)
    assert [trial.initial_state is None for trial in trials] == [True, False, True, False, True]
    for trial, steps in zip(trials, codes, strict=True):
        (alone,) = encode_trials(mpn_lab.networks.state_codec.StateCodec(network), network, [trial])
        np.testing.assert_allclose(steps, alone, atol=1e-5)


def test_chosen_ages_are_sorted_and_include_collection(run):
    assert compared(run, ages=[80, 40, 40]).trained_trials.values.tolist() == [20, 40, 80]
    assert staleness(run, 60).trained_trials.values.tolist() == [60, 80, 100]
    assert "zero, burn-in 0" not in staleness(run, burn_in=0)["strategy"]


def test_checkpoints_without_an_update_between_them_count_once(tmp_path):
    data = staleness(made(tmp_path, learning_starts=60))
    assert data.trained_trials.values.tolist() == [20, 60, 80, 100]
    assert data.age.values.tolist() == [0, 3, 6, 9]


def test_by_position(data):
    means = by_position(data)
    dQ = data.dQ.values
    rows = [[], []]
    for i, n in enumerate(data["length"].values.tolist()):
        if n > WINDOW:
            rows[0].append(dQ[..., i, WINDOW:n:WINDOW].mean(-1))
            ends = [min(s + WINDOW, n) - 1 for s in range(WINDOW, n, WINDOW)]
            rows[1].append(dQ[..., i, ends].mean(-1))
    for position, expected in zip(("first", "last"), rows, strict=True):
        expected = np.array(expected)  # (trials, strategy, age)
        at = means.sel(position=position)
        np.testing.assert_allclose(at.dQ, expected.mean(0), atol=1e-12)
        half = 3.1824463 * expected.std(0, ddof=1) / 2  # t of 3 degrees of freedom; 4 trials
        assert len(expected) == 4
        np.testing.assert_allclose(at.dQ_high - at.dQ, half, rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(at.dQ - at.dQ_low, half, rtol=1e-5, atol=1e-12)
    assert np.isnan(means.dM.sel(strategy="zero", position="first")).all()
    with pytest.raises(ValueError, match="holds no stored and replayed states"):
        by_position(xr.Dataset())
    with pytest.raises(ValueError, match="within its first window of 5 steps"):
        by_position(data.isel(trial=[2]))


def test_a_large_result_gives_a_warning(run, monkeypatch):
    monkeypatch.setattr(recording, "memory", lambda: 100_000)
    with pytest.warns(ResourceWarning, match=r"comparison of 5 trials.*fewer ages"):
        compared(run)


def test_bad_arguments_get_one_sentence(run):
    for arguments, words in (
        ({"window": 0}, "window is 0; expected 1"),
        ({"window": 4, "burn_in": 4}, "burn_in is 4 and window 4; expected"),
        ({"burn_in": -1}, "burn_in is -1"),
        ({"window": 1000}, "window is 1000 steps, but the longest trial has"),
        ({"collected_at": 30}, "collected_at is 30, but .* at 20, 40, 60, 80 trials"),
        ({"ages": [50]}, "ages holds 50, but .* at 20, 40, 60, 80, 100 trials"),
        ({"collected_at": 40, "ages": [20]}, "ages holds 20, but .* from 40 trials on"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            staleness(run, **arguments)
        assert "\n" not in str(caught.value)


def test_runs_that_cannot_be_compared_are_refused(run, forge, tmp_path):
    def copy(name):
        shutil.copytree(run.path, tmp_path / name)
        return load_run(tmp_path / name)

    bare_of_trials, early, bare, foreign = (
        copy(n) for n in ("bare_of_trials", "early", "bare", "foreign")
    )
    shutil.rmtree(bare_of_trials.path / "stored_trials")
    for trials in (40, 60, 80, 100):
        early.checkpoint_path(trials).unlink()
    shutil.rmtree(bare.path / "checkpoints")
    other = made(tmp_path / "other", hidden_size=7, trials=40)
    forge(other.path, lambda about: about.update(foreign.content))
    shutil.copy(other.checkpoint_path(40), foreign.checkpoint_path(40))
    for broken, words in (
        (bare_of_trials, "stored no trials; train with store_trials"),
        (early, "no checkpoint after 20 trials"),
        (bare, "no checkpoint yet"),
        (foreign, "weights that do not match the network"),
    ):
        with pytest.raises(RunError, match=words) as caught:
            staleness(broken)
        assert "\n" not in str(caught.value)
