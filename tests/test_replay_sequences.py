"""Windows, stored states and burn-in: the rows of every strategy against the collected steps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpn_lab import QNetwork, checks
from mpn_lab.networks.state_codec import StateCodec
from mpn_lab.replay.sequences import SequenceReplayBuffer
from mpn_lab.training.loss import start_state

LENGTHS = (9, 5, 12)  # of the trials in each segment


def make(seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return QNetwork(3, 4, hidden_size=6, embedding_size=5, generator=generator, **options)


def fill(network, buffer, *, reset_trials=True, segments=(LENGTHS,) * 4, carried=None, seed=0):
    """Push segments of trials whose observations tell the segment and the step.

    Returns obs and the state before every step, computed one step at a time.
    """
    rng = np.random.default_rng(seed)
    all_obs, all_states = [], []
    for k, lengths in enumerate(segments):
        ends = np.cumsum(lengths)
        obs = rng.normal(size=(ends[-1], 3)).astype(np.float32)
        obs[:, 0], obs[:, 1] = k, np.arange(ends[-1])
        done = np.isin(np.arange(ends[-1]), ends - 1)
        state = None if carried is None else carried[k : k + 1]
        states, codes = [], []
        starts = [0, *ends[:-1]]
        for t in range(ends[-1]):
            if t in starts and reset_trials and t:
                state = None
            states.append(state)
            with torch.no_grad():
                _, state = network.step(torch.from_numpy(obs[t : t + 1]), state)
        bounds = list(zip(starts, ends, strict=True)) if reset_trials else [(0, ends[-1])]
        for a, b in bounds:
            codes.append(
                buffer.codec.encode(network, torch.from_numpy(obs[None, a:b]), states[a])[0]
            )
        action = rng.integers(4, size=len(obs))
        initial = None if carried is None else buffer.codec.flatten(carried[k : k + 1])[0].numpy()
        buffer.push_segment(
            obs, action, obs[:, 1] * 10, done, ends.tolist(), torch.cat(codes).numpy(), initial
        )
        all_obs.append(obs)
        all_states.append(states)
    return all_obs, all_states


def buffer_of(network, buffer_size=4, **options):
    return SequenceReplayBuffer(
        buffer_size, StateCodec(network), trials_per_segment=3, n_actions=4, **options
    )


def test_codes_that_exceed_the_memory_are_refused(monkeypatch):
    buffer = buffer_of(make(), window=1, carried=True)
    assert buffer._size(64, 0) == buffer.nbytes
    monkeypatch.setattr(checks, "memory", lambda: buffer.nbytes)
    with pytest.raises(ValueError, match="a buffer of 5 trials of 64 steps would take"):
        buffer_of(make(), 5, window=1, carried=True)


@pytest.mark.parametrize(
    "options", [{"window": None}, {"window": 5, "across_trials": True}], ids=str
)
def test_a_batch_marks_where_a_trial_was_cut_inside_a_row(options):
    network = make()
    buffer = buffer_of(network, 1, reset_trials=False, **options)
    done = np.array([False, False, False, True, False, False])  # cut, ended, cut
    obs = np.zeros((6, 3), np.float32)
    obs[:, 0] = np.arange(6)
    codes = buffer.codec.encode(network, torch.from_numpy(obs[None]), None)[0].numpy()
    buffer.push_segment(obs, np.zeros(6, int), np.zeros(6), done, [2, 4, 6], codes)
    seen = set()
    for _ in range(20):
        batch = buffer.sample(4)
        cut = torch.zeros_like(batch.mask) if batch.cut is None else batch.cut
        step = batch.obs[:, :, 0].int()
        assert torch.equal(cut, batch.mask & ((step == 1) | (step == 5)))
        seen |= set(step[cut].tolist())
    assert seen == {1, 5}
    ended = buffer_of(network, **options, reset_trials=False)
    fill(network, ended, reset_trials=False)
    assert all(ended.sample(4).cut is None for _ in range(5))


def trial_of(step):
    return int(np.searchsorted(np.cumsum(LENGTHS), step, side="right"))


STRATEGIES = [
    {"window": 1},
    {"window": 4},
    {"window": 4, "start": "zero"},
    {"window": 4, "burn_in": 3},
    {"window": 4, "burn_in": 3, "start": "zero"},
    {"window": 4, "start": "replayed"},
    {"window": 8, "across_trials": True},
    {"window": 8, "across_trials": True, "burn_in": 2},
    {"window": 8, "across_trials": True, "reset_trials": False},
    {"window": 8, "across_trials": True, "reset_trials": False, "burn_in": 3},
    {"window": 4, "reset_trials": False, "start": "replayed"},
    {"window": None, "reset_trials": False},
]


@pytest.mark.parametrize("options", STRATEGIES, ids=str)
@pytest.mark.parametrize("core", ["mpn", "lstm"])
def test_rows_are_the_collected_steps_and_start_from_their_states(core, options):
    network = make(core=core)
    buffer = buffer_of(network, **options)
    reset = options.get("reset_trials", True)
    obs, states = fill(network, buffer, reset_trials=reset)
    batch = buffer.sample(200)
    with torch.no_grad():
        begin = start_state(network, batch)
    longest = (options["window"] or sum(LENGTHS)) + 1
    assert batch.mask.shape[1] <= longest
    assert (batch.mask.sum(1) >= 1).all()
    assert not batch.obs[~batch.mask].any()
    assert not batch.terminated[~batch.mask].any()
    for r in range(len(batch.obs)):
        T = int(batch.mask[r].sum())
        k, s = int(batch.obs[r, 0, 0]), int(batch.obs[r, 0, 1])
        np.testing.assert_array_equal(batch.obs[r, :T].numpy(), obs[k][s : s + T])
        np.testing.assert_array_equal(batch.reward[r, :T], obs[k][s : s + T, 1] * 10)
        if reset:  # nothing leaks across a reset
            assert trial_of(s) == trial_of(s + T - 1)
        ends = [t for t in range(s, s + T) if t in np.cumsum(LENGTHS) - 1]
        terminated = batch.terminated[r].nonzero().ravel().tolist()
        # A last step that only gives its value is not marked, whether it ends a trial or not.
        assert terminated in ([t - s for t in ends], [t - s for t in ends if t - s < T - 1])
        if options.get("start", "stored") == "zero":
            continue
        # With the parameters at collection, every way of starting gives the state at collection.
        collected = states[k][s]
        got = None if begin is None else [leaf[r] for leaf in leaves(begin)]
        for i, leaf in enumerate(got or []):
            want = torch.zeros_like(leaf) if collected is None else leaves(collected)[i][0]
            torch.testing.assert_close(leaf, want, rtol=1e-5, atol=1e-5)
        if got is None:
            assert collected is None


def leaves(state):
    return list(state) if isinstance(state, tuple) else [state]


def test_zero_start_and_burn_in():
    network = make()
    buffer = buffer_of(network, window=4, start="zero")
    fill(network, buffer)
    assert buffer.sample(20).state is None
    buffer = buffer_of(network, window=4, start="zero", burn_in=3)
    obs, _ = fill(network, buffer)
    batch = buffer.sample(100)
    begin = start_state(network, batch)
    for r in range(100):
        k, s = int(batch.obs[r, 0, 0]), int(batch.obs[r, 0, 1])
        low = int(np.concatenate([[0], np.cumsum(LENGTHS)])[trial_of(s)])
        steps = obs[k][max(low, s - 3) : s]
        assert int(batch.burn_in_length[r]) == len(steps)
        M = network(torch.from_numpy(steps[None]))[1] if len(steps) else torch.zeros(1, 6, 5)
        torch.testing.assert_close(begin[r : r + 1], M, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("window", "across"), [(1, False), (4, False), (8, True)])
def test_every_step_is_trained_equally_often(window, across):
    network = make()
    buffer = buffer_of(network, window=window, across_trials=across)
    fill(network, buffer, segments=(LENGTHS,))
    batch = buffer.sample(40_000)
    trained = batch.mask & (
        batch.terminated | torch.cat([batch.mask[:, 1:], ~batch.mask[:, :1]], 1)
    )
    trained[:, -1] &= batch.terminated[:, -1] | (batch.mask.shape[1] <= window)
    step = batch.obs[..., 1][trained].long()
    count = torch.bincount(step, minlength=sum(LENGTHS)).double()
    assert count.min() / count.max() > 0.9


def test_carried_segments_start_from_their_stored_state():
    network = make()
    carried = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    for options in ({"window": None}, {"window": 5}, {"window": 5, "start": "replayed"}):
        buffer = buffer_of(network, **options, reset_trials=False, carried=True)
        _, states = fill(network, buffer, reset_trials=False, carried=carried)
        batch = buffer.sample(50)
        begin = start_state(network, batch)
        for r in range(50):
            k, s = int(batch.obs[r, 0, 0]), int(batch.obs[r, 0, 1])
            torch.testing.assert_close(begin[r], states[k][s][0], rtol=1e-5, atol=1e-5)


CODECS = [
    ("factors", {}, 1e-6),
    ("factors", {"update": "presynaptic"}, 1e-6),
    ("factors", {"update": "postsynaptic", "modulation": "additive"}, 1e-6),
    ("half", {"bound": 0.1}, 1e-3),
    ("half", {"eta_shape": "synapse"}, 1e-3),
    ("half", {"num_layers": 2}, 1e-3),
    ("full", {"core": "gru"}, 1e-6),
    ("full", {"core": "lstm", "num_layers": 2}, 1e-6),
]


@pytest.mark.parametrize(("kind", "options", "error"), CODECS)
def test_decoding_gives_back_the_states(kind, options, error):
    generator = torch.Generator().manual_seed(0)
    network = QNetwork(3, 4, hidden_size=64, embedding_size=10, generator=generator, **options)
    codec = StateCodec(network)
    assert codec.kind == kind
    obs = torch.randn(7, 12, 3, generator=generator)
    codes = codec.encode(network, obs)
    assert codes.element_size() * codes.shape[2] == codec.bytes_per_step
    for t in (0, 1, 5, 12):
        _, state = network(obs[:, :t]) if t else (None, None)
        length = torch.full((7,), t)
        steps = codes if codec.needs_history else codes[:, max(t - 1, 0)][:, None]
        got = codec.flatten(codec.decode(steps, length))
        want = torch.zeros_like(got) if state is None else codec.flatten(state)
        assert (got - want).norm() <= error * want.norm() + 1e-12


def test_restored_buffer_samples_the_same():
    network = make()
    one, two = (buffer_of(network, window=4, burn_in=2, max_steps=8, seed=s) for s in (0, 1))
    fill(network, one)
    two.load_state(*one.state())
    a, b = one.sample(30)._asdict(), two.sample(30)._asdict()
    assert a.pop("cut") is b.pop("cut") is None
    for name in a:  # the states and the burn-in, too
        assert torch.equal(a[name], b[name])
    assert one.nbytes == two.nbytes


def test_window_longer_than_any_trial():
    network = make()
    buffer = buffer_of(network, window=13)
    fill(network, buffer)
    with pytest.raises(ValueError, match="window is 13 steps, but the longest trial has 12"):
        buffer.sample(4)


def test_empty_buffer_and_empty_batch():
    buffer = buffer_of(make(), window=2)
    with pytest.raises(ValueError, match="the buffer holds no segments; push some first"):
        buffer.sample(4)


NETWORKS = {core: make(core=core) for core in ("mpn", "gru")}


@st.composite
def buffers(draw):
    """Lengths of the trials of some segments, and the options of a buffer for them."""
    lengths = st.lists(st.integers(1, 7), min_size=1, max_size=3)
    segments = draw(st.lists(lengths, min_size=1, max_size=4))
    options = {
        "window": draw(st.one_of(st.none(), st.integers(1, 6))),
        "start": draw(st.sampled_from(["zero", "stored", "replayed"])),
        "across_trials": draw(st.booleans()),
        "reset_trials": draw(st.booleans()),
    }
    if options["window"] and options["start"] != "replayed":
        options["burn_in"] = draw(st.integers(0, options["window"] - 1))
    if options["window"] is None:  # whole segments: several resets inside are for windows alone
        options["reset_trials"] = False
    longest = max(sum(s) if options["across_trials"] else max(s) for s in segments)
    if options["window"]:
        options["window"] = min(options["window"], longest)
        options["burn_in"] = min(options.get("burn_in", 0), options["window"] - 1)
    return segments, options


def reset_before(ends, step, reset_trials):
    """The step of the last reset at or before a step."""
    return max([0, *(end for end in ends if end <= step)]) if reset_trials else 0


def trained_steps(batch):
    """The steps that the loss trains: those with a successor in the row, and ends of trials."""
    following = torch.cat([batch.mask[:, 1:], torch.zeros_like(batch.mask[:, :1])], 1)
    return batch.mask & (batch.terminated | following)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(case=buffers(), core=st.sampled_from(["mpn", "gru"]))
def test_every_row_of_any_buffer(case, core):
    """Rows are collected steps in their order, across no reset, from the correct state."""
    segments, options = case
    network = NETWORKS[core]
    buffer = buffer_of(network, len(segments), max_steps=4, **options)  # has to grow
    reset = options["reset_trials"]
    obs, states = fill(network, buffer, reset_trials=reset, segments=segments)
    batch = buffer.sample(25)
    start = start_state(network, batch)
    start = network.initial_state(len(batch.obs)) if start is None else start
    burn_in = options.get("burn_in", 0)
    for r, mask in enumerate(batch.mask):
        T = int(mask.sum())
        assert mask[:T].all()
        k, s = int(batch.obs[r, 0, 0]), int(batch.obs[r, 0, 1])
        ends = np.cumsum(segments[k])
        np.testing.assert_array_equal(batch.obs[r, :T], obs[k][s : s + T])
        np.testing.assert_array_equal(batch.reward[r, :T], obs[k][s : s + T, 1] * 10)
        origin = reset_before(ends, s, reset)
        assert origin == reset_before(ends, s + T - 1, reset)
        if options["window"] and not options["across_trials"]:
            assert s + T <= ends[ends > s][0]  # within its trial
        if options["window"]:
            assert int(trained_steps(batch)[r].sum()) <= options["window"]
        length = 0 if batch.burn_in_length is None else int(batch.burn_in_length[r])
        wanted = s - origin if options["start"] == "replayed" and options["window"] else 0
        assert length == (min(burn_in, s - origin) if burn_in else wanted)
        if length:
            steps = obs[k][s - length : s]
            np.testing.assert_array_equal(batch.burn_in[r, :length], steps)
        if options["start"] == "zero":
            with torch.no_grad():
                steps = torch.from_numpy(obs[k][s - length : s][None])
                state = network(steps)[1] if length else None
        else:
            state = states[k][s]
        expected = network.initial_state(1) if state is None else state
        torch.testing.assert_close(start[r], expected[0], rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(case=buffers())
def test_every_step_of_any_buffer_is_trained_equally_often(case):
    """Exactly: over all windows that the buffer can sample, each of them once."""
    segments, options = case
    if options["window"] is None:
        options["window"] = 1
    network = NETWORKS["gru"]
    buffer = buffer_of(network, len(segments), **(options | {"start": "zero", "burn_in": 0}))
    fill(network, buffer, reset_trials=options["reset_trials"], segments=segments)
    parts = [[sum(s)] if options["across_trials"] else s for s in segments]
    windows = sum(T + options["window"] - 1 for part in parts for T in part)

    class EachOnce:
        def integers(self, high, size):
            assert high == size == windows
            return np.arange(size)

    buffer.rng = EachOnce()
    batch = buffer.sample(windows)
    chosen = batch.obs[trained_steps(batch)]
    steps, count = np.unique(chosen[:, :2].numpy(), axis=0, return_counts=True)
    assert len(steps) == sum(map(sum, segments))
    assert (count == options["window"]).all()


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    update=st.sampled_from(["associative", "presynaptic", "postsynaptic"]),
    core=st.sampled_from(["mpn", "gru"]),
    carried=st.booleans(),
)
def test_decode_of_encode_is_the_state(lengths, update, core, carried):
    """For any number of steps to go, from zero or from a state of its own."""
    network = make(core=core, **({"update": update} if core == "mpn" else {}))
    codec, generator = StateCodec(network), torch.Generator().manual_seed(0)
    R, T = len(lengths), max(lengths)
    obs = torch.randn(R, T, 3, generator=generator)
    start = torch.randn(R, codec.size, generator=generator) if carried else None
    state = None if start is None else codec.unflatten(start)
    codes = codec.encode(network, obs, state)
    for back in range(2):  # to the end of each row, and to the step before
        length = torch.tensor(lengths) - back
        steps = codes
        if not codec.needs_history:
            steps = codes[torch.arange(R), (length - 1).clamp(min=0)][:, None]
        found = codec.flatten(codec.decode(steps, length, start))
        for r, n in enumerate(length.tolist()):
            row = None if state is None else state[r : r + 1]
            with torch.no_grad():
                after = network(obs[r : r + 1, :n], row)[1] if n else row
            want = torch.zeros(codec.size) if after is None else codec.flatten(after)[0]
            torch.testing.assert_close(found[r], want, rtol=1e-5, atol=1e-5)
