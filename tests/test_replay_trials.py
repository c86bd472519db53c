"""The buffer of whole trials."""

import numpy as np
import pytest
import torch

from mpn_lab import TrialReplayBuffer, checks


def trial(length, value=0.0, d=3):
    done = [False] * (length - 1) + [True]
    obs = np.full((length, d), value) + np.arange(length)[:, None] / 100
    return obs, [1] * length, [value] * length, done


def test_batch_is_padded_and_masked():
    buffer = TrialReplayBuffer(10, seed=1)
    for length in (2, 5, 3):
        buffer.push_trial(*trial(length, length))
    batch = buffer.sample(3)
    lengths = batch.mask.sum(1)
    assert batch.obs.shape == (3, int(lengths.max()), 3)
    for b, length in enumerate(lengths.tolist()):
        expected = trial(length, length)
        np.testing.assert_allclose(batch.obs[b, :length], expected[0], rtol=1e-6)
        assert (batch.reward[b, :length] == length).all()
        assert batch.terminated[b].nonzero().tolist() == [[length - 1]]
        assert not batch.obs[b, length:].any()
        assert not batch.reward[b, length:].any()
        assert not batch.mask[b, length:].any()


def test_a_new_trial_overwrites_the_oldest_completely():
    buffer = TrialReplayBuffer(2)
    buffer.push_trial(*trial(9, 1.0))
    buffer.push_trial(*trial(2, 2.0))
    buffer.push_trial(*trial(3, 3.0))
    assert len(buffer) == 2
    seen = {float(r) for _ in range(30) for r in buffer.sample(2).reward[:, 0]}
    assert seen == {2.0, 3.0}
    assert not buffer._reward[0, 3:].any()


def test_grows_to_a_longer_trial():
    buffer = TrialReplayBuffer(4, max_steps=3)
    buffer.push_trial(*trial(3, 1.0))
    before = buffer.nbytes
    buffer.push_trial(*trial(50, 2.0))
    assert buffer.nbytes > before
    batch = buffer.sample(2)
    assert set(batch.mask.sum(1).tolist()) <= {3, 50}


def test_sampling_is_uniform_and_uses_a_generator_of_its_own():
    buffer = TrialReplayBuffer(5, seed=3)
    for value in range(5):
        buffer.push_trial(*trial(2, float(value)))
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    draws = torch.cat([buffer.sample(5).reward[:, 0] for _ in range(2000)])
    counts = torch.bincount(draws.long(), minlength=5)
    assert (counts - 2000).abs().max() < 5 * np.sqrt(2000)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_restored_buffer_samples_the_same():
    one, two = TrialReplayBuffer(3, seed=1), TrialReplayBuffer(3, seed=2)
    for length in (2, 7, 4, 5):
        one.push_trial(*trial(length, length))
    one.sample(2)
    two.load_state(*one.state())
    for a, b in zip(one.sample(3)[:5], two.sample(3)[:5], strict=True):
        assert torch.equal(a, b)


def test_bytes_are_those_of_the_arrays():
    buffer = TrialReplayBuffer(100, max_steps=10)
    buffer.push_trial(*trial(10))
    assert buffer.nbytes == 100 * 10 * (3 * 4 + 8 + 4 + 1) + 100 * 8


def test_cut_trial_has_no_end():
    buffer = TrialReplayBuffer(2)
    obs, action, reward, _ = trial(4)
    buffer.push_trial(obs, action, reward, [False] * 4)
    assert not buffer.sample(1).terminated.any()


OBS, ACTION, REWARD, DONE = trial(3)
NAN = OBS.copy()
NAN[1, 2] = np.nan


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (([], [], [], []), "the trial is empty"),
        ((OBS, ACTION[:2], REWARD, DONE), "obs 3, action 2, reward 3, done 3; expected all the"),
        ((NAN, ACTION, REWARD, DONE), r"the observation at step 1 holds .*nan"),
        ((OBS, ACTION, [0, np.inf, 0], DONE), "the reward at step 1 holds inf"),
        ((OBS, [0, 3, 0], REWARD, DONE), "has the action 3; expected integers 0 to 2"),
        ((OBS, [0, -1, 0], REWARD, DONE), "has the action -1"),
        ((OBS, [0, 0.5, 0], REWARD, DONE), r"has the action 0\.\d"),
        ((OBS, ACTION, REWARD, [False, True, True]), "is done at step 1 of 3"),
        ((OBS[:, :2], ACTION, REWARD, DONE), "have 2 channels; the trials before it had 3"),
    ],
)
def test_bad_trials_are_refused_and_change_nothing(lists, message):
    buffer = TrialReplayBuffer(4, n_actions=3)
    buffer.push_trial(OBS, ACTION, REWARD, DONE)
    with pytest.raises(ValueError, match=message):
        buffer.push_trial(*lists)
    assert len(buffer) == 1


@pytest.mark.parametrize("batch_size", [0, 2])
def test_batch_larger_than_the_buffer(batch_size):
    buffer = TrialReplayBuffer(4)
    buffer.push_trial(*trial(3))
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}[,;]"):
        buffer.sample(batch_size)


def test_a_buffer_that_exceeds_the_memory_is_refused_and_stays_as_it_was(monkeypatch):
    """Before its first observations and before it grows, also where the process is limited."""
    buffer = TrialReplayBuffer(4)
    monkeypatch.setattr(checks, "memory", lambda: buffer.nbytes)
    with pytest.raises(ValueError, match=r"a buffer of 4 trials of 64 steps would take .*GB, more"):
        buffer.push_trial(*trial(3))
    monkeypatch.undo()
    buffer.push_trial(*trial(3))
    size = buffer.nbytes
    assert buffer._size(64, 3) == size
    monkeypatch.setattr(checks, "memory", lambda: size)
    with pytest.raises(ValueError, match="a buffer of 4 trials of 128 steps would take"):
        buffer.push_trial(*trial(65))
    monkeypatch.undo()

    def no_memory(*shape, **options):
        raise MemoryError("Unable to allocate")

    monkeypatch.setattr(np, "pad", no_memory)
    with pytest.raises(ValueError, match=r"128 steps would take .* GB, more than is free; choose"):
        buffer.push_trial(*trial(65))
    assert (len(buffer), buffer.nbytes, buffer.max_steps) == (1, size, 64)


def test_bad_buffer_size():
    with pytest.raises(ValueError, match="buffer_size is 0; expected 1 or more"):
        TrialReplayBuffer(0)
