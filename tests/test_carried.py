"""A state that is carried from trial to trial: collected, stored, replayed, recorded, resumed."""

import numpy as np
import pytest
import torch

from mpn_lab import QNetwork, RunError, TrainConfig, load_run, record, resume, train
from mpn_lab.tasks.bandit import REVERSAL_BANDIT
from mpn_lab.tasks.rollout import collect_episodes, make_envs
from mpn_lab.training.experience import Experience
from mpn_lab.training.files import read_tensors, write_tensors

CARRYING = ("episode", "never")
SHORT = TrainConfig(
    task=REVERSAL_BANDIT,
    trials=200,
    hidden_size=8,
    eval_freq=50,
    eval_trials=20,
    learning_starts=25,
    batch_size=8,
    gradient_steps=3,
    reset_state="episode",
    trials_per_episode=5,
)


class Watched(QNetwork):
    """Remembers its values and states at every step."""

    def step(self, obs, state):
        q, state = super().step(obs, state)
        self.steps = [*getattr(self, "steps", []), (q, state)]
        return q, state


def watched(**options):
    generator = torch.Generator().manual_seed(0)
    return Watched(5, 3, **{"hidden_size": 7, **options}, generator=generator)


def content(path):
    names = [p for p in path.rglob("*") if p.is_file()]
    return {str(name.relative_to(path)): name.read_bytes() for name in names}


@pytest.mark.parametrize(("reset_state", "trials", "fresh"), [("episode", 12, 3), ("never", 12, 1)])
@pytest.mark.parametrize("core", ["mpn", "lstm"])
def test_a_record_holds_what_was_collected(core, reset_state, trials, fresh, monkeypatch):
    """With one environment at a time, the steps collected are those of the record, in its order."""
    monkeypatch.setattr("mpn_lab.analysis.recording.n_envs_for", lambda *_: 1)
    monkeypatch.setattr("mpn_lab.analysis.recording.CHUNK", 5)
    network = watched(core=core)
    options = {"reset_state": reset_state, "trials_per_episode": 4, "epsilon": 0.3}
    made = record(network, REVERSAL_BANDIT, trials=trials, **options)
    valid = made.valid.values
    assert valid.sum() == len(network.steps)
    q = np.concatenate([q for q, _ in network.steps])
    np.testing.assert_allclose(made.Q.values[valid], q, atol=1e-5)
    assert (made.attrs["reset_state"], made.attrs["trials_per_episode"]) == (reset_state, 4)
    if core == "lstm":
        c = np.concatenate([state[1] for _, state in network.steps])
        np.testing.assert_allclose(made.c.values[valid], c, atol=1e-5)
        return
    M = np.concatenate([state for _, state in network.steps])
    np.testing.assert_allclose(made.M.values[valid], M, atol=1e-5)
    starts = made.M_start.values
    assert (np.abs(starts).max((1, 2)) == 0).sum() == fresh
    last = M[made["length"].values.cumsum() - 1]  # a trial begins where the one before it ended
    goes_on = np.abs(starts[1:]).max((1, 2)) > 0
    np.testing.assert_allclose(starts[1:][goes_on], last[:-1][goes_on], atol=1e-5)


def test_the_first_change_of_M_is_relative_to_the_trials_start():
    from mpn_lab.analysis import modulation_change

    made = record(watched(), REVERSAL_BANDIT, trials=6, reset_state="never")
    change = modulation_change(made)
    first = made.M.isel(time=0) - made.M_start
    np.testing.assert_allclose(change.isel(time=0).values, first.values, atol=1e-6)
    assert "M_start" not in record(watched(), REVERSAL_BANDIT, trials=2)


@pytest.mark.parametrize("reset_state", CARRYING)
def test_a_run_is_recorded_as_it_was_trained(reset_state, tmp_path):
    config = SHORT.model_copy(update={"reset_state": reset_state, "trials": 50})
    run = train(config, tmp_path / "run", progress=False)
    made = record(run, trials=10)
    assert (made.attrs["reset_state"], made.attrs["trials_per_episode"]) == (reset_state, 5)
    fresh = np.abs(made.M_start.values).max((1, 2)) == 0
    assert np.flatnonzero(fresh).tolist() == ([0, 5] if reset_state == "episode" else [0])
    anew = record(run, trials=10, reset_state="trial")
    assert "M_start" not in anew
    assert record(run.network, config.task, trials=10).Q.equals(anew.Q)


@pytest.mark.parametrize("reset_state", CARRYING)
def test_resumed_after_an_interruption_ends_the_same(reset_state, tmp_path):
    config = SHORT.model_copy(update={"reset_state": reset_state})
    whole = train(config, tmp_path / "whole", progress=False)

    def interrupt(row):
        if row["trials"] == 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=False, on_row=interrupt)
    assert load_run(tmp_path / "cut").checkpoints == [50, 100]
    resume(tmp_path / "cut", progress=False)
    assert content(tmp_path / "cut") == content(whole.path)


@pytest.mark.parametrize("core", ["mpn", "lstm"])
@pytest.mark.parametrize("reset_state", CARRYING)
def test_rows_of_a_batch_begin_with_the_states_they_were_collected_from(reset_state, core):
    config = SHORT.model_copy(update={"reset_state": reset_state, "core": core})
    network = watched(core=core)
    experience = Experience(config, network, 3, seed=(0,))
    envs, rng = make_envs(config.task, {}, 3, (0,)), np.random.default_rng(0)
    collected = [t for _ in range(3) for t in experience.collect(envs, network, 0.5, rng)]
    begins = collected[::5]  # the first trial of every episode
    batch = experience.sample()
    if reset_state == "episode":
        assert batch.state is None
        assert all(trial.initial_state is None for trial in begins)
        return
    flat = experience.codec.flatten(batch.state)
    zero = torch.zeros(1, experience.codec.size)
    for obs, start in zip(batch.obs, flat, strict=True):
        first = [t for t in begins if np.array_equal(t.obs, obs[: len(t)].numpy())]
        states = [
            zero if t.initial_state is None else experience.codec.flatten(t.initial_state)
            for t in first
        ]
        assert any(torch.equal(state[0], start) for state in states)
    # An episode goes on from the state that the one before it in its environment ended with.
    for before, after in zip(collected[:30], collected[15:], strict=True):
        assert after.initial_state is not None or before.initial_state is None
    with torch.no_grad():
        obs = torch.from_numpy(np.concatenate([t.obs for t in collected[:5]]))[None]
        _, state = network(obs)
    reached = experience.codec.flatten(state)
    torch.testing.assert_close(experience.codec.flatten(collected[15].initial_state), reached)


@pytest.mark.parametrize("core", ["mpn", "gru", "lstm"])
def test_a_state_that_does_not_fit_gets_one_sentence(core):
    network, other = watched(core=core), watched(core=core, hidden_size=6)
    envs, rng = make_envs(REVERSAL_BANDIT, {}, 2, (0,)), np.random.default_rng(0)
    _, states = collect_episodes(envs, other, 0.0, rng, 1)
    with pytest.raises(
        ValueError, match=r"state (is|has) .*shape \(2, 6.*\); expected . of \(2, 7"
    ):
        collect_episodes(envs, network, 0.0, rng, 1, states)
    with pytest.raises(ValueError, match="2 states were given for 1 environments"):
        collect_episodes(envs[:1], other, 0.0, rng, 1, states)


def test_a_state_of_another_structure_gets_one_sentence():
    obs, h = torch.zeros(2, 1, 5), torch.zeros(2, 7)
    with pytest.raises(ValueError, match=r"state is a tensor of shape \(2, 7\); expected \(h, c\)"):
        watched(core="lstm")(obs, h)
    with pytest.raises(ValueError, match=r"state is a tuple of 2; expected h of \(2, 7\)"):
        watched(core="gru")(obs, (h, h))
    with pytest.raises(ValueError, match="a tuple of 3; expected one for each of 2 layers"):
        watched(core="rnn", num_layers=2)(obs, (h, h, h))


def test_a_carried_state_of_another_network_is_refused(tmp_path):
    config = SHORT.model_copy(update={"reset_state": "never", "trials": 50})
    run = train(config, tmp_path / "run", progress=False)
    path = run.path / "resume.safetensors"
    arrays, meta = read_tensors(path)
    arrays["buffer.carried"] = arrays["buffer.carried"][:, :-1].copy()
    write_tensors(path, arrays, meta, run.identity)
    with pytest.raises(RunError, match=r"carried has shape .* expected .*, 80\)"):
        resume(run.path, progress=False)
    experience = Experience(config, run.network, 3, seed=(0,))
    with pytest.raises(ValueError, match="initial state has shape"):
        experience.buffer.push_segment(
            *(np.zeros((1, 5), np.float32), np.zeros(1, np.int64), np.zeros(1, np.float32)),
            np.ones(1, bool),
            ends=[1],
            initial_state=np.zeros(3, np.float32),
        )


def test_an_episode_of_no_trials():
    with pytest.raises(ValueError, match="trials_per_episode is 0; expected 1 or more"):
        record(watched(), REVERSAL_BANDIT, reset_state="episode", trials_per_episode=0)
