"""Edits and counterfactuals, against an independent slow loop and their own identities."""

import functools

import numpy as np
import pytest
import torch

import mpn_lab
from mpn_lab import counterfactual, edits, record
from mpn_lab.analysis.recording import CHUNK
from mpn_lab.interventions.changes import resolve
from mpn_lab.interventions.edits import from_json, to_json

MATCH = "DelayMatchSample-v0"
STATE = {"mpn": "M", "gru": "h", "rnn": "h", "lstm": "c"}
OWN = "oja_of_interventions"
TASKS = {MATCH: "test", "ContextDecisionMaking-v0": "decision"}  # with a period of each trial
TEN_TASKS = [  # trials of one step and of 100, of one length and of many, blocks, no responses
    *("Bandit-v0", "DualDelayMatchSample-v0", "EconomicDecisionMaking-v0", "GoNogo-v0"),
    *("HierarchicalReasoning-v0", "OneTwoThreeGo-v0", "ReadySetGo-v0", "Null-v0"),
    *("PerceptualDecisionMakingDelayResponse-v0", "yang19.dms-v0", "mpn_lab/Integration-v0"),
]


class Oja(torch.nn.Module):
    """A core of one's own: h_t = tanh((V + F) x_t), F decays and learns."""

    state_dims = {"F": ("hidden", "input")}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(0.2))
        self.V = torch.nn.Parameter(torch.randn(hidden_size, input_size, generator=generator))

    def forward(self, input, state=None, return_states=False):
        F = self.V.new_zeros(len(input), *self.V.shape) if state is None else state
        hs, Fs = [], []
        for x in input.unbind(1):
            h = torch.tanh(torch.einsum("bnd,bd->bn", self.V + F, x))
            F = 0.9 * F + self.rate * h[:, :, None] * x[:, None]
            hs, Fs = [*hs, h], [*Fs, F]
        result = torch.stack(hs, 1), F
        return (*result, torch.stack(Fs, 1)) if return_states else result


@pytest.fixture(scope="session")
def own_core():
    mpn_lab.register_core(OWN, Oja)
    return OWN


@functools.cache
def example(core="mpn", layers=1, task=MATCH, trials=12, **options):
    env = mpn_lab.TrialEnv(task, seed=0)
    network = mpn_lab.QNetwork(
        len(env.channels),
        len(env.actions),
        hidden_size=9,
        core=core,
        num_layers=layers,
        generator=torch.Generator().manual_seed(1),
        **options,
    )
    return network, record(network, task, trials=trials)


def assert_same(a, b):
    """Every variable and coordinate is equal to the bit, and of the same type."""
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        x, y = a[name].values, b[name].values
        assert x.dtype == y.dtype, name
        np.testing.assert_array_equal(x, y, err_msg=str(name))


def slow(network, trials, hooks):
    """Q [B, T, A] of an MPN in float64, one trial and one step at a time.

    `hooks`: obs, x, M (before a step), h -> function (value, trial position, step) -> value;
    eta, lam, W -> function (value, step) -> value.
    """
    core, p = network.core, {k: v.detach().double().numpy() for k, v in network.named_parameters()}
    obs = trials.obs.values.astype(np.float64)
    q = np.full(trials.Q.shape, np.nan)
    same = lambda value, *_: value  # noqa: E731
    hook = {n: hooks.get(n, same) for n in ("obs", "x", "M", "h", "eta", "lam", "W")}
    for i in range(len(obs)):
        M = np.zeros((core.hidden_size, core.input_size))
        for t in range(int(trials.valid.values[i].sum())):
            o = hook["obs"](obs[i, t].copy(), i, t)
            x = p["embedding.weight"] @ o + p["embedding.bias"]
            x, M = hook["x"](x.copy(), i, t), hook["M"](M.copy(), i, t)
            W, lam = hook["W"](p["core.W"].copy(), t), hook["lam"](p["core.lam"].copy(), t)
            eta = hook["eta"](p["core.eta"].copy(), t)
            h = np.tanh((W * (1 + M)) @ x + p["core.b"])
            h = hook["h"](h, i, t)
            M = lam * M + eta * np.outer(h, x)
            q[i, t] = p["readout.weight"] @ h + p["readout.bias"]
    return q


def put(index, value):
    def hook(v, *_):
        v[index] = value
        return v

    return hook


def only(steps, hook):
    return lambda v, *at: hook(v, *at) if at[-1] in steps else v


def delay(trials):
    return np.flatnonzero((trials.period == "delay").values[0]).tolist()


def test_start(trials):
    return int((trials.period == "test").values[0].argmax())


test_start.__test__ = False

CASES = {
    "M is zero before the test": lambda t: (
        edits.zero("M", at="test"),
        {"M": only([test_start(t)], lambda M, *_: 0 * M)},
    ),
    "two synapses of M are set before each step of the delay": lambda t: (
        edits.set_to("M", 0.3, during="delay", synapses=[(1, 2), (4, 0)]),
        {"M": only(delay(t), put(([1, 4], [2, 0]), 0.3))},
    ),
    "units are silent, for the Hebbian update too": lambda t: (
        edits.zero("h", units=[3, 7], from_time=500),
        {"h": lambda h, i, s: put([3, 7], 0)(h) if s * t.dt >= 500 else h},
    ),
    "no Hebbian update in the delay": lambda t: (
        edits.freeze("M", during="delay"),
        {"eta": only(delay(t), lambda eta, _: 0 * eta)},
    ),
    "no Hebbian update of two units": lambda t: (
        edits.freeze("M", units=[0, 5]),
        {"eta": lambda eta, _: np.where(np.isin(np.arange(9), [0, 5])[:, None], 0, eta)},
    ),
    "weights are lesioned": lambda t: (
        edits.zero("W", inputs=[0, 3]),
        {"W": lambda W, _: np.where(np.isin(np.arange(10), [0, 3]), 0, W)},
    ),
    "lam is smaller from a time on": lambda t: (
        edits.scale("lam", 0.5, from_time=400),
        {"lam": lambda lam, s: lam * (0.5 if s * t.dt >= 400 else 1)},
    ),
    "a channel is clamped": lambda t: (
        edits.clamp("obs", -0.1, 0.1, channels=["fixation"], during=(200.0, 700.0)),
        {
            "obs": lambda o, i, s: (
                put(0, np.clip(o[0], -0.1, 0.1))(o) if 200 <= s * t.dt < 700 else o
            )
        },
    ),
    "the input of one step is scaled, in some trials": lambda t: (
        edits.scale("x", -2.0, at=400, trials=[2, 3]),
        {"x": lambda x, i, s: -2 * x if s * t.dt == 400 and i in (2, 3) else x},
    ),
    "several edits compose in their order": lambda t: (
        [edits.scale("M", 0.0, at="test"), edits.set_to("M", 0.1, at="test", units=[0])],
        {"M": only([test_start(t)], lambda M, *_: put(0, 0.1)(0 * M))},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_edits_of_an_mpn_against_a_slow_loop(case):
    network, trials = example()
    trials = trials.assign_attrs()
    edit, hooks = CASES[case](trials)
    changed = counterfactual(network, trials, edit)
    np.testing.assert_allclose(changed.Q, slow(network, trials, hooks), rtol=0, atol=2e-5)
    assert np.nanmax(abs(changed.Q - trials.Q)) > 1e-3  # the edit does something


def test_slow_loop_reproduces_the_record():
    network, trials = example()
    np.testing.assert_allclose(trials.Q, slow(network, trials, {}), rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", ["open", "closed"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("core", "layers"), [(core, layers) for core in (*STATE, OWN) for layers in (1, 2)]
)
def test_without_an_edit_the_record_comes_back_to_the_bit(own_core, core, layers, task, mode):
    network, trials = example(core, layers, task, 5)
    states = network.named_states(network.initial_state(1))
    itself = [edits.swap(name, donor=trials.trial.values, at=TASKS[task]) for name in states]
    assert_same(counterfactual(network, trials, [], mode=mode), trials)
    assert_same(counterfactual(network, trials, itself, mode=mode), trials)


@pytest.mark.parametrize("task", TEN_TASKS)
def test_without_an_edit_an_mpns_record_of_any_task_comes_back_to_the_bit(task):
    network, trials = example(task=task, trials=4)
    itself = edits.swap("M", donor=trials.trial.values)
    for mode in ("open", "closed"):
        assert_same(counterfactual(network, trials, [], mode=mode), trials)
        assert_same(counterfactual(network, trials, itself, mode=mode), trials)


@pytest.mark.parametrize("mode", ["open", "closed"])
def test_without_an_edit_a_record_of_several_batches_comes_back_to_the_bit(mode):
    network, trials = example("gru", trials=CHUNK + 6)
    itself = edits.swap("h", donor=trials.trial.values, at="test")
    assert_same(counterfactual(network, trials, [], mode=mode), trials)
    assert_same(counterfactual(network, trials, itself, mode=mode), trials)
    some = trials.isel(trial=[40, 3, 8])  # another number of trials at once, other rounding
    itself = edits.swap("h", donor=some.trial.values)
    assert_same(counterfactual(network, some, [], mode=mode), some)
    assert_same(counterfactual(network, some, itself, mode=mode), some)


def test_swap_with_itself_undoes_an_earlier_edit():
    """What the trial itself has is what it had unedited."""
    network, trials = example()
    wiped = edits.zero("M", at="test")
    restored = edits.swap(
        "M", donor=trials.trial.values, at=float(trials.time[test_start(trials) + 1])
    )
    changed = counterfactual(network, trials, [wiped, restored])
    later = np.arange(trials.sizes["time"]) > test_start(trials)
    np.testing.assert_allclose(changed.Q[:, later], trials.Q[:, later], rtol=0, atol=1e-6)
    assert np.nanmax(abs(changed.Q - trials.Q)) > 1e-3


@pytest.mark.parametrize("core", STATE)
def test_swap_continues_as_the_donor_would(core):
    """All states swapped before the test: from there on the trial is the donor's own future."""
    network, trials = example(core)
    names = {"lstm": ["h", "c"]}.get(core, [STATE[core]])
    donor = edits.donors(trials, differ="sample_theta")
    start = test_start(trials)
    changed = counterfactual(
        network, trials, [edits.swap(n, donor=donor, at="test") for n in names]
    )
    obs = torch.from_numpy(trials.obs.values)
    mixed = torch.cat([obs[donor][:, :start], obs[:, start:]], 1)
    expected = network(torch.nan_to_num(mixed))[0].detach().numpy()
    valid = trials.valid.values.copy()
    valid[:, :start] = False
    np.testing.assert_allclose(changed.Q.values[valid], expected[valid], rtol=0, atol=1e-5)
    before = np.arange(valid.shape[1]) < start
    np.testing.assert_array_equal(changed.Q.values[:, before], trials.Q.values[:, before])


def test_swap_from_the_same_period_of_a_trial_with_another_delay():
    network, trials = example(task="GoNogo-v0", trials=20)
    lengths = trials.valid.sum("time")
    donor = edits.donors(trials, seed=3)
    changed = counterfactual(network, trials, edits.swap("M", donor=donor, at="delay"))
    starts = (trials.period == "delay").values.argmax(1)
    i = int(lengths.values.argmax())
    x = changed.embedded.values[i, starts[i]]
    M = trials.M.values[donor[i], starts[donor[i]] - 1]
    core = network.core
    h = np.tanh((core.W.detach().numpy() * (1 + M)) @ x + core.b.detach().numpy())
    np.testing.assert_allclose(changed.h.values[i, starts[i]], h, atol=1e-5)


def test_silent_units_of_a_gru_stay_silent():
    network, trials = example("gru")
    changed = counterfactual(network, trials, edits.zero("h", units=[1, 4], during="delay"))
    in_delay = (trials.period == "delay").values
    assert (changed.h.values[in_delay][:, [1, 4]] == 0).all()
    assert (changed.h.values[in_delay][:, [0, 2]] != 0).any()


def test_frozen_state_of_a_gru_is_held():
    network, trials = example("gru")
    changed = counterfactual(network, trials, edits.freeze("h", during="delay"))
    start = (trials.period == "delay").values.argmax(1)[0]
    held = changed.h.values[0, start - 1]
    for t in delay(trials):
        np.testing.assert_array_equal(changed.h.values[0, t], held)


def test_mirror_and_project_out_a_direction():
    network, trials = example()
    u = np.zeros((9, 10))
    u[2, 3] = 5.0  # any length
    for edit, factor in ((edits.mirror, -1), (edits.project_out, 0)):
        one = counterfactual(network, trials, edit("M", u, at="test"))
        other = counterfactual(
            network, trials, edits.scale("M", factor, at="test", synapses=[(2, 3)])
        )
        np.testing.assert_allclose(one.Q, other.Q, atol=1e-6)
    center = trials.M.sel(time=400).mean("trial").values
    twice = [edits.mirror("M", u, center=center, at=500)] * 2
    np.testing.assert_allclose(counterfactual(network, trials, twice).Q, trials.Q, atol=1e-5)


def test_shuffle_permutes_and_noise_depends_on_seed_and_trial_alone():
    network, trials = example()
    at = {"at": "test"}
    for over in ("units", "synapses", "trials"):
        once = counterfactual(network, trials, edits.shuffle("M", over, seed=1, **at))
        assert_same(once, counterfactual(network, trials, edits.shuffle("M", over, seed=1, **at)))
        other = counterfactual(network, trials, edits.shuffle("M", over, seed=2, **at))
        assert np.nanmax(abs(once.Q - other.Q)) > 0
    noise = edits.add_noise("obs", 0.3, seed=4)
    noisy = counterfactual(network, trials, noise)
    assert np.nanstd((noisy.obs - trials.obs).values) == pytest.approx(0.3, rel=0.05)


def test_answers_of_an_open_loop():
    network, trials = example(trials=40)
    changed = counterfactual(network, trials, edits.scale("M", -3.0, at="test"))
    flipped = (changed.response != trials.response).values
    assert flipped.sum() > 0
    last = changed.length.values - 1
    np.testing.assert_array_equal(
        changed.response, changed.greedy_action.values[np.arange(40), last]
    )
    truth = changed.correct_response.values
    expected = np.where(flipped, changed.response.values == truth, trials.performance.values == 1)
    np.testing.assert_array_equal(changed.performance.values == 1, expected)
    other = (changed.taken_action != trials.taken_action).values & trials.valid.values
    assert np.isnan(changed.reward.values[other]).all()  # what another action earns is not known
    assert_same(
        changed.isel(trial=~other.any(1))[["reward"]], trials.isel(trial=~other.any(1))[["reward"]]
    )


def test_closed_loop_is_the_record_up_to_the_edit_and_consistent_after_it():
    network, trials = example(trials=40)
    changed = counterfactual(network, trials, edits.scale("M", -3.0, at="test"), mode="closed")
    start = test_start(trials)
    T = min(changed.sizes["time"], trials.sizes["time"])
    for name in ("obs", "taken_action", "Q", "M"):
        np.testing.assert_array_equal(
            changed[name].values[:, :start], trials[name].values[:, :start]
        )
    valid = changed.valid.values
    greedy = changed.Q.values.argmax(2)[valid]
    np.testing.assert_array_equal(changed.taken_action.values[valid], greedy)
    assert np.isfinite(changed.reward.values[valid]).all()
    assert start < T


def test_closed_loop_keeps_the_time_axis_of_the_record():
    network, trials = example()
    short = np.flatnonzero(trials.length < trials.length.max())
    for data in (trials, trials.isel(trial=short)):
        changed = counterfactual(network, data, edits.scale("M", -3.0), mode="closed")
        assert changed.length.max() < trials.length.max()  # all edited trials end early
        np.testing.assert_array_equal(changed.time, trials.time)
        assert np.isnan((changed.Q - data.Q).values[~changed.valid.values]).all()
        for name, fill in (("taken_action", -1), ("ground_truth", -1), ("period", "")):
            assert (changed[name].values[~changed.valid.values] == fill).all()


def test_closed_loop_goes_on_where_a_trial_lasts_longer_than_the_record():
    network, trials = example(task="GoNogo-v0", trials=20)
    edit = edits.scale("M", -3.0)  # withholds responses, which end the trials of this task
    changed = counterfactual(network, trials, edit, mode="closed")
    later = slice(trials.sizes["time"], None)
    longer = changed.length.values > trials.sizes["time"]
    assert longer.any()
    assert not longer.all()
    np.testing.assert_array_equal(changed.time[: trials.sizes["time"]], trials.time)
    np.testing.assert_array_equal(np.diff(changed.time), trials.dt)
    assert np.isfinite(changed.Q.values[longer, later]).any()
    some = trials.isel(trial=np.flatnonzero(~longer)[:3])
    of_some = counterfactual(network, some, edit, mode="closed")
    np.testing.assert_array_equal(of_some.time, trials.time)
    expected = changed.Q.sel(trial=some.trial, time=trials.time)
    np.testing.assert_allclose(of_some.Q, expected, rtol=0, atol=1e-5)


def test_own_core_is_edited_by_its_own_names(own_core):
    network, trials = example(own_core)
    changed = counterfactual(network, trials, edits.zero("F", at="test"))
    start = test_start(trials)
    h = np.tanh(trials.embedded.values[:, start] @ network.core.V.detach().numpy().T)
    np.testing.assert_allclose(changed.h.values[:, start], h, atol=1e-5)
    no_rate = counterfactual(network, trials, edits.zero("rate"))
    assert np.nanmax(abs(no_rate.F)) == 0


def test_edits_read_like_sentences_and_survive_json():
    network, trials = example()
    given = [
        edits.swap("M", donor=trials.trial.values[::-1], at="test"),
        edits.zero("h", units=[3, 17 % 9], from_time=900),
        edits.mirror("M", np.ones((9, 10)), center=np.zeros((9, 10)), during="delay"),
        edits.add_noise(
            "obs", 0.1, channels=["fixation"], during=np.ones(trials.sizes["time"], bool)
        ),
    ]
    assert str(given[1]) == "zero h of units [3, 8] from 900.0 ms"
    assert from_json(to_json(given)) == given
    changed = counterfactual(network, trials, given)
    again = counterfactual(network, trials, from_json(changed.attrs["edits"]))
    assert_same(changed, again)


def test_donors_are_drawn_by_condition():
    _, trials = example(trials=40)
    theta = trials.sample_theta.values
    other = edits.donors(trials, differ="sample_theta", same="trial_ground_truth", seed=5)
    assert (theta[other] != theta).all()
    same = edits.donors(trials, same=["sample_theta"])
    assert (theta[same] == theta).all()
    assert (same != trials.trial.values).all()
    with pytest.raises(ValueError, match="no donor with the same trial_ground_truth"):
        edits.donors(
            trials.isel(trial=[0, 1]), same="trial_ground_truth", differ="trial_ground_truth"
        )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda t: edits.zero("c", at="test"), "this network has no 'c'; it has obs, x, M, h, W"),
        (lambda t: edits.zero("M", at=5000), "5000 ms lies outside trial 0"),
        (lambda t: edits.zero("M", at="tset"), "has no period 'tset'; the periods are"),
        (lambda t: edits.swap("M", donor=[0, 1], at="test"), "2 donors for 12 trials"),
        (lambda t: edits.swap("M", donor=[99] * 12, at="test"), "no trial 99"),
        (lambda t: edits.swap("W", donor=t.trial.values), "all trials share W"),
        (
            lambda t: edits.mirror("M", np.ones(3)),
            r"direction has shape \(3,\), but M has \(9, 10\)",
        ),
        (lambda t: edits.set_to("M", np.ones((9, 9))), r"value has shape \(9, 9\)"),
        (lambda t: edits.zero("M", units=[9]), "M has 9 units"),
        (lambda t: edits.zero("h", inputs=[0]), "h has no inputs"),
        (lambda t: edits.zero("obs", channels=["fix"]), "no channel 'fix'; it has"),
        (lambda t: edits.zero("M", during=np.ones(3, bool)), r"the mask has shape"),
        (lambda t: edits.zero("M", trials=[77]), "the record has no trial 77"),
        (lambda t: edits.freeze("obs"), "obs has no update"),
        (lambda t: edits.zero("M", at="test", during="delay"), "both at and during"),
        (lambda t: edits.zero("M", unit=[1]), "zero has no argument 'unit'"),
        (lambda t: edits.scale("M", np.nan), "factor is nan"),
        (lambda t: edits.clamp("M", 1, 0), "low is 1.0 and high 0.0"),
        (lambda t: edits.project_out("M", np.zeros((9, 10))), "direction is zero"),
    ],
)
def test_bad_edits_get_one_sentence(make, says):
    network, trials = example()
    with pytest.raises(ValueError, match=says) as caught:
        counterfactual(network, trials, [make(trials)])
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_donor_of_another_length_gets_one_sentence():
    network, trials = example()
    length = trials.length.values
    long, short = int(length.argmax()), int(length.argmin())
    assert length[short] < length[long]
    donor = trials.trial.values.copy()
    donor[long] = short
    at = float(trials.time[length[long] - 1])
    with pytest.raises(ValueError, match="choose donors that last as long"):
        counterfactual(network, trials, edits.swap("h", donor=donor, at=at, trials=[long]))


def test_loop_that_cannot_be_closed_gets_one_sentence():
    network, trials = example()
    for attrs, says in (
        ({"reset_state": "never"}, "has reset_state='never'"),
        ({"epsilon": 0.1}, "has epsilon=0.1"),
        ({"task": "nowhere-v0"}, "cannot be made"),
        ({"seed": 5}, "is another one when it is collected again"),
    ):
        with pytest.raises(ValueError, match=says):
            counterfactual(network, trials.assign_attrs(attrs), [], mode="closed")


@pytest.mark.parametrize("when", [{}, {"from_time": 0}, {"during": (0, 10_000)}])
def test_edit_by_the_clock_acts_as_long_as_a_trial_lasts(when):
    network = mpn_lab.QNetwork(
        4, 2, hidden_size=6, generator=torch.Generator().manual_seed(5)
    )  # stays up longer without M
    trials = record(network, "CartPole-v1", trials=5)
    changed = counterfactual(network, trials, edits.zero("M", **when), mode="closed")
    assert (changed.length > trials.length).all()
    for i in range(5):
        obs = torch.from_numpy(changed.obs.values[i, : int(changed.length[i])])
        Q = network(obs[:, None])[0][:, 0]  # each step from M = 0
        np.testing.assert_allclose(changed.Q.values[i, : len(obs)], Q.detach(), atol=1e-5)


def test_swap_of_a_whole_trial_with_itself_is_the_record_in_a_closed_loop():
    network, trials = example()
    itself = edits.swap("obs", donor=trials.trial.values)
    changed = counterfactual(network, trials, itself, mode="closed")
    np.testing.assert_array_equal(changed.Q, trials.Q)


def test_directions_that_depend_on_each_other_span_no_more_than_they_do():
    network, trials = example()
    u, v = np.eye(9)[:2]
    for f in (edits.project_out, edits.mirror):
        plane = counterfactual(network, trials, f("h", [u, v])).Q
        for more in ([u, v, u], [u, v, -u - v]):  # as the axes of a decoder of three classes
            np.testing.assert_allclose(
                counterfactual(network, trials, f("h", more)).Q, plane, atol=1e-5
            )


def test_number_of_two_trials_names_no_donor():
    network, trials = example()
    both = trials.isel(trial=np.tile(np.arange(12), 2))
    with pytest.raises(ValueError, match="2 trials have the number 0; renumber them"):
        counterfactual(network, both, edits.swap("M", donor=both.trial.values, at="test"))
    with pytest.raises(ValueError, match="2 trials have the number 0; renumber them"):
        counterfactual(network, both, edits.zero("M", trials=[3]))


def test_parameters_have_no_value_per_trial():
    network, trials = example()
    with pytest.raises(ValueError, match=r"value has shape \(12,\), but eta has \(\)"):
        counterfactual(network, trials, edits.set_to("eta", np.linspace(-2, 2, 12)))


def test_explored_actions_are_kept_where_an_edit_changes_nothing():
    network, _ = example()
    trials = record(network, MATCH, trials=30, epsilon=0.5)
    assert_same(
        counterfactual(network, trials, edits.scale("eta", 1.0)).drop_attrs(),
        trials.drop_vars("eta").drop_attrs(),
    )


def test_a_parameter_that_was_edited_is_left_out():
    network, trials = example()
    changed = counterfactual(network, trials, edits.scale("W", 0.5, during="test"))
    assert "W" not in changed
    assert set(changed.variables) == set(trials.variables) - {"W"}
    with pytest.raises(ValueError, match="has no W"):
        mpn_lab.analysis.effective_weights(changed)


def test_another_network_gives_its_own_answers_throughout():
    trials = example()[1]
    other = mpn_lab.QNetwork(3, 3, hidden_size=9, generator=torch.Generator().manual_seed(2))
    changed = counterfactual(other, trials, edits.scale("M", 1.0))
    last = changed.Q.values[np.arange(12), trials.length.values - 1].argmax(1)
    np.testing.assert_array_equal(changed.response, last)
    assert (changed.response != trials.response).any()


def test_noise_of_two_variables_is_independent():
    network, trials = example(layers=2, embedding_size=9)
    edited = [edits.add_noise("M", 1.0, at=0), edits.add_noise("M_2", 1.0, at=0)]
    noise = [
        change.apply(torch.zeros(12, 9, 9), np.arange(12), np.zeros(12, int))
        for change in resolve(network, trials, edited)
    ]
    assert abs(np.corrcoef(noise[0].flatten(), noise[1].flatten())[0, 1]) < 0.1
