"""Trials that a training stores with their states."""

import pytest
import torch

from mpn_lab import RunError, train
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.training.stored_trials import load_stored_trials


def test_stored_trials_have_the_states_at_collection(short_config, tmp_path):
    run = train(short_config(store_trials=4), tmp_path / "run", progress=False)
    for trials in (50, 100):  # none after the last checkpoint: nothing was collected with it
        network = run.network_at(trials)
        stored, codes = load_stored_trials(run, trials, network)
        assert len(stored) == 4
        codec = StateCodec(network)
        for trial, steps in zip(stored, codes, strict=True):
            _, M = network(torch.from_numpy(trial.obs)[None])
            again = codec.decode(torch.from_numpy(steps)[None], torch.tensor([len(steps)]))
            torch.testing.assert_close(again, M, rtol=1e-5, atol=1e-6)
    with pytest.raises(RunError, match="stored no trials at 150 trials"):
        load_stored_trials(run, 150, network)


def test_trials_cannot_be_stored_without_a_folder(short_config):
    with pytest.raises(ValueError, match="store_trials is 4, but out=False leaves no folder"):
        train(short_config(store_trials=4), out=False, progress=False)
