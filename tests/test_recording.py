"""A record holds what the network saw, computed and did, for every core; and survives a file."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

import mpn_lab
from mpn_lab.analysis import recording

TASK = "DelayMatchSample-v0"


def network(**options):
    generator = torch.Generator().manual_seed(1)
    return mpn_lab.QNetwork(
        3, 3, **{"hidden_size": 7, "embedding_size": 4, **options}, generator=generator
    )


@pytest.fixture(scope="module")
def trials():
    return mpn_lab.record(network(), TASK, trials=6, epsilon=0.2)


def test_a_record_satisfies_the_equations(trials):
    # Every valid step, recomputed in float64 from nothing but the record's own obs and weights.
    eta, lam = float(trials.eta), float(trials.lam)
    W, b = trials.W.values.astype(float), trials.b.values
    P, p = trials.projection.values.astype(float), trials.projection_bias.values
    for i in range(trials.sizes["trial"]):
        M = np.zeros_like(W)
        for t in range(int(trials["length"][i])):
            x = P @ trials.obs.values[i, t] + p
            h = np.tanh((W * (1 + M)) @ x + b)
            M = lam * M + eta * np.outer(h, x)
            q = trials.readout.values @ h + trials.readout_bias.values
            at = {"trial": i, "time": t}
            np.testing.assert_allclose(trials.embedded.isel(at), x, atol=1e-5)
            np.testing.assert_allclose(trials.h.isel(at), h, atol=1e-5)
            np.testing.assert_allclose(trials.M.isel(at), M, atol=1e-4)
            np.testing.assert_allclose(trials.Q.isel(at), q, atol=1e-5)


def test_actions_rewards_and_masks_agree(trials):
    valid = trials.valid.values
    assert (valid.sum(1) == trials["length"]).all()
    assert (
        trials.greedy_action.values == np.where(valid, trials.Q.fillna(0).argmax("action"), -1)
    ).all()
    assert (trials.taken_action.values[~valid] == -1).all()
    assert np.isnan(trials.M.values[~valid]).all()
    assert not np.isnan(trials.M.values[valid]).any()
    assert (trials.period.values[valid] != "").all()
    last = [trials.taken_action.values[i, n - 1] for i, n in enumerate(trials["length"].values)]
    assert (trials.response.values == last).all()
    answered = trials.response == trials.correct_response
    assert (trials.correct <= answered).all()


def test_greedy_trials_take_the_greedy_action():
    greedy = mpn_lab.record(network(), TASK, trials=20)
    assert (greedy.taken_action == greedy.greedy_action).all()


def test_every_network_meets_the_same_trials_whatever_their_number(trials):
    other = mpn_lab.record(network(core="gru"), TASK, trials=4)
    shared = min(other.sizes["time"], trials.sizes["time"])
    for i in range(4):
        n = min(int(other["length"][i]), int(trials["length"][i]), shared)
        assert (other.obs.values[i, :n] == trials.obs.values[i, :n]).all()
    assert (other.correct_response == trials.correct_response[:4]).all()
    again = mpn_lab.record(network(), TASK, trials=6, epsilon=0.2)
    xr.testing.assert_identical(again, trials)
    assert not mpn_lab.record(network(), TASK, trials=6, seed=1).obs.equals(trials.obs)


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        ({"core": "mpn", "eta_shape": "hidden", "lam_shape": "input"}, {"M", "h", "W"}, {"c"}),
        ({"core": "mpn", "num_layers": 2, "train_M0": True}, {"M", "M_2", "h", "M0"}, {"c"}),
        ({"core": "lstm"}, {"h", "c"}, {"M", "W", "h_1"}),
        ({"core": "gru", "num_layers": 2}, {"h", "h_1"}, {"M", "c"}),
        ({"core": "rnn", "embedding": "none"}, {"h"}, {"M", "projection"}),
    ],
)
def test_every_core_can_be_recorded_and_saved(options, present, absent, tmp_path):
    made = mpn_lab.record(network(**options), TASK, trials=3)
    assert present <= set(made.data_vars)
    assert not absent & set(made.data_vars)
    loaded = mpn_lab.load_record(mpn_lab.save_record(made, tmp_path / "trials.nc"))
    xr.testing.assert_identical(loaded, made)


def test_labels_slice_a_record():
    made = mpn_lab.record(
        mpn_lab.QNetwork(7, 3, hidden_size=5),
        "ContextDecisionMaking-v0",
        {"use_expl_context": True},
        trials=30,
    )
    assert {"context", "coh_1", "coh_2", "other_choice", "trial_ground_truth"} <= set(made.coords)
    by_context = made.groupby("context")
    assert sum(group.sizes["trial"] for _, group in by_context) == 30
    assert made.Q.sel(action="choice_1", time=300, trial=4).ndim == 0
    delay = made.h.where(made.period == "delay").mean(["time", "hidden"])
    assert delay.sizes == {"trial": 30}
    assert json.loads(made.attrs["task_kwargs"]) == {"use_expl_context": True}
    assert made.attrs["dt"] == 100
    assert "torch" in json.loads(made.attrs["versions"])


def test_a_run_is_recorded_on_its_own_task(tmp_path):
    config = mpn_lab.TrainConfig(
        trials=50,
        eval_freq=25,
        eval_trials=10,
        hidden_size=6,
        train_freq=25,
        learning_starts=50,
        batch_size=16,
    )
    run = mpn_lab.train(config, tmp_path / "run", progress=False)
    made = mpn_lab.record(run, trials=2)
    assert made.attrs["task"] == config.task
    assert made.attrs["trained_trials"] == 50
    assert made.attrs["run"] == str(tmp_path / "run")


def test_a_large_record_gives_a_warning(monkeypatch):
    monkeypatch.setattr(recording, "memory", lambda: 100_000)
    with pytest.warns(ResourceWarning, match="record fewer trials"):
        mpn_lab.record(network(), TASK, trials=10)


def test_bad_arguments_get_one_sentence():
    for arguments, words in (
        ({"task": "PulseDecisionMaking-v0", "trials": 0}, "trials is 0; expected 1 or more"),
        ({"task": TASK, "seed": -1}, "seed is -1"),
        ({"task": TASK, "epsilon": 2.0}, "epsilon is 2.0"),
        ({}, "task is missing"),
        ({"task": "ContextDecisionMaking-v0"}, "takes 3 channels and has 3 actions, but"),
    ):
        with pytest.raises(ValueError, match=words):
            mpn_lab.record(network(), **arguments)


def test_files_that_are_not_records_are_refused(trials, tmp_path):
    good = mpn_lab.save_record(trials, tmp_path / "good.nc")
    cut = tmp_path / "cut.nc"
    cut.write_bytes(good.read_bytes()[:5000])
    text = tmp_path / "text.nc"
    text.write_text("trial,time\n")
    other = tmp_path / "other.nc"
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(other, engine="h5netcdf")
    for path, words in (
        (tmp_path / "none.nc", "cannot be read: No such file"),
        (cut, "damaged or cut short"),
        (text, "not a netCDF file"),
        (other, "of another program"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(mpn_lab.RecordError, match=words) as caught:
            mpn_lab.load_record(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(mpn_lab.RecordError, match="could not be written"):
        mpn_lab.save_record(trials, tmp_path / "no folder" / "trials.nc")
    with pytest.raises(ValueError, match="is not a record"):
        mpn_lab.save_record(xr.Dataset(), tmp_path / "empty.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "cut.nc",
        "good.nc",
        "other.nc",
        "text.nc",
    ]


def test_a_record_cut_anywhere_is_refused_or_whole(trials, tmp_path):
    data = mpn_lab.save_record(trials, tmp_path / "good.nc").read_bytes()
    path = tmp_path / "cut.nc"
    for share in np.linspace(0, 0.999, 15):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(mpn_lab.RecordError):
            mpn_lab.load_record(path)
