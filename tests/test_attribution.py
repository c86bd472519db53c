"""Gradients of Q against finite differences, and contributions that add up."""

import numpy as np
import optree
import pytest
import torch
import xarray as xr
from torch import nn

import mpn_lab
from mpn_lab import counterfactual, edits
from mpn_lab.interventions import integrated_gradients, q_gradients
from mpn_lab.networks import registry
from mpn_lab.networks.autograd import plain_loop
from mpn_lab.networks.kernels import BLOCK
from mpn_lab.plotting import draw_attribution, new_figure, plot_attribution_matrix, style

TASK = "ContextDecisionMaking-v0"  # its trials differ in length
EPSILON = 1e-4


class Leaky(nn.Module):
    """A core with two states, neither of them its output."""

    state_dims = {"u": ("hidden",), "A": ("hidden", "input")}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None):
        super().__init__()
        self.W = nn.Parameter(torch.empty(hidden_size, input_size))
        nn.init.xavier_uniform_(self.W, generator=generator)

    def initial_state(self, batch_size):
        return self.W.new_zeros(batch_size, len(self.W)), self.W.new_zeros(
            batch_size, *self.W.shape
        )

    def forward(self, input, state=None, return_states=False):
        u, A = self.initial_state(len(input)) if state is None else state
        hs, us, As = [], [], []
        for x in input.unbind(1):
            u = 0.5 * u + torch.einsum("bnd,bd->bn", self.W + A, x)
            h = torch.tanh(u)
            A = 0.9 * A + 0.05 * h[:, :, None] * x[:, None]
            hs, us, As = [*hs, h], [*us, u], [*As, A]
        states = (torch.stack(us, 1), torch.stack(As, 1))
        output = torch.stack(hs, 1)
        return (output, (u, A), states) if return_states else (output, (u, A))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    registry.core_names()
    monkeypatch.setattr(registry, "_CORES", dict(registry._CORES))
    mpn_lab.register_core("leaky", Leaky)


def made(core="mpn", trials=6, task=TASK, record_options=None, **options):
    """A network of random weights in double precision, and what it does in some trials."""
    generator = torch.Generator().manual_seed(3)
    if core == "mpn":
        options = {"eta_init": 0.4, "lam_init": 0.8} | options
    channels = 5 if task == TASK else 3
    network = mpn_lab.QNetwork(
        channels, 3, hidden_size=5, embedding_size=4, core=core, generator=generator, **options
    )
    with torch.no_grad():  # biases too away from zero
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    recorded = mpn_lab.record(network, task, trials=trials, **(record_options or {}))
    return network.double(), recorded


def values(network, trials, i, t, action, s=0, name="obs", changes=None):
    """Q of an action at step t of trial i, for each change [k, ...] of a variable at step s."""
    one, k = trials.isel(trial=i), 1 if changes is None else len(changes)
    obs = torch.tensor(one.obs.values[: t + 1].astype(np.float64)).repeat(k, 1, 1)
    leaves, spec = optree.tree_flatten(network.initial_state(k))
    names = list(network.named_states(network.initial_state(1)))
    if f"{names[0]}_start" in one:
        starts = [torch.tensor(one[f"{each}_start"].values).double() for each in names]
        leaves = [start.expand(k, *start.shape) for start in starts]
    with torch.no_grad():
        state = optree.tree_unflatten(spec, leaves)
        if s:
            state = network(obs[:, :s], state)[1]
        if changes is not None and name == "obs":
            obs[:, s] += torch.as_tensor(changes)
        elif changes is not None:
            leaves = optree.tree_leaves(state)
            leaves[names.index(name)] = leaves[names.index(name)] + torch.as_tensor(changes)
            state = optree.tree_unflatten(spec, leaves)
        return network(obs[:, s:], state)[0][:, -1, action].numpy()


def differences(network, trials, i, t, action, s, name, shape):
    """Central finite differences of every entry, of fourth order."""
    changes = EPSILON * np.eye(int(np.prod(shape))).reshape(-1, *shape)
    of = {k: values(network, trials, i, t, action, s, name, k * changes) for k in (-2, -1, 1, 2)}
    return ((8 * (of[1] - of[-1]) - (of[2] - of[-2])) / (12 * EPSILON)).reshape(shape)


CASES = [
    *(
        ("mpn", {"update": update, "modulation": modulation})
        for update in ("associative", "presynaptic", "postsynaptic")
        for modulation in ("multiplicative", "additive")
    ),
    ("mpn", {"bound": 0.1, "train_M0": True}),
    ("mpn", {"num_layers": 2}),
    ("gru", {}),
    ("gru", {"num_layers": 2}),
    ("lstm", {}),
    ("lstm", {"num_layers": 2}),
    ("rnn", {}),
    ("leaky", {}),
    ("leaky", {"num_layers": 2, "embedding": "none"}),
]


@pytest.mark.parametrize(("core", "options"), CASES, ids=[f"{c} {o}" for c, o in CASES])
def test_gradients_are_those_of_finite_differences(core, options):
    network, trials = made(core, **options)
    states = list(network.named_states(network.initial_state(1)))
    found = q_gradients(network, trials, ["obs", *states])
    for i in (0, 4):
        t = int(trials.length[i]) - 1
        action = int(trials.taken_action[i, t])
        assert found.value[i].item() == pytest.approx(values(network, trials, i, t, action)[0])
        for name in ("obs", *states):
            for s in (0, t // 2, t - 1):
                gradient = found[f"dQ_d{name}"].values[i, s]
                expected = differences(network, trials, i, t, action, s, name, gradient.shape)
                scale = max(np.abs(expected).max(), 1e-3)
                np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("layers", [1, 2])
def test_kernels_and_plain_loop_give_the_same_gradients_of_states(layers):
    """Of several blocks of neurons, the last one not full."""
    network = mpn_lab.QNetwork(
        *(3, 3), hidden_size=BLOCK + 5, embedding_size=4, num_layers=layers, eta_init=0.4,
        generator=torch.Generator().manual_seed(3),
    ).double()  # fmt: skip
    trials = mpn_lab.record(network.float(), "DelayMatchSample-v0", trials=3)
    names = ["M"] if layers == 1 else ["M", "M_2"]
    by_kernels = q_gradients(network.double(), trials, names, at=["test", 300])
    with plain_loop():
        by_loop = q_gradients(network, trials, names, at=["test", 300])
    for name in names:
        one, other = by_kernels[f"dQ_d{name}"], by_loop[f"dQ_d{name}"]
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9 * float(abs(other).max()))


def test_from_a_carried_state():
    network, trials = made(trials=8, record_options={"reset_state": "never"})
    i = int(np.flatnonzero((trials.M_start != 0).any(("hidden", "input")))[-1])
    found = q_gradients(network, trials, ["obs", "M"])
    t = int(trials.length[i]) - 1
    action = int(trials.taken_action[i, t])
    for name in ("obs", "M"):
        gradient = found[f"dQ_d{name}"].values[i, 0]
        expected = differences(network, trials, i, t, action, 0, name, gradient.shape)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_the_gradient_of_observations_is_the_same_whether_states_are_asked_for_or_not():
    for core, options in (("mpn", {"num_layers": 2}), ("lstm", {})):
        network, trials = made(core, **options)
        state = next(iter(network.named_states(network.initial_state(1))))
        alone, both = (q_gradients(network, trials, to) for to in ("obs", ["obs", state, "x"]))
        np.testing.assert_allclose(alone.dQ_dobs, both.dQ_dobs, atol=1e-12)
        through = both.dQ_dx.values @ network.embedding.weight.detach().numpy()
        np.testing.assert_allclose(alone.dQ_dobs, through, atol=1e-12)


def test_nothing_after_the_step_of_q_and_nan_after_the_trial():
    network, trials = made()
    found = q_gradients(network, trials, ["obs", "M"], at="stimulus")
    step = np.arange(trials.sizes["time"])
    valid = trials.valid.values
    for name in ("dQ_dobs", "dQ_dM"):
        any_of = found[name].values.reshape(*valid.shape, -1)
        assert (np.isnan(any_of).all(2) == ~valid).all()
        later = valid & (trials.time.values > found.q_time.values[:, None])
        assert later.any()
        assert (any_of[later] == 0).all()
        here = np.argmax(step[None] == (found.q_time.values / trials.dt)[:, None], axis=1)
        assert (any_of[np.arange(len(valid)), here] != 0).any(1).all()
    assert "period" in found.coords
    np.testing.assert_array_equal(found.correct_response, trials.correct_response)


def test_several_moments_and_one_per_trial():
    network, trials = made()
    several = q_gradients(network, trials, "M", at=["stimulus", 300])
    assert several.dQ_dM.dims == ("trial", "at", "time", "hidden", "input")
    for at in ("stimulus", 300):
        one = q_gradients(network, trials, "M", at=at)
        xr.testing.assert_identical(several.dQ_dM.sel(at=str(at), drop=True), one.dQ_dM)
        xr.testing.assert_identical(several.value.sel(at=str(at), drop=True), one.value)
    times = [0, 300]
    np.testing.assert_array_equal(q_gradients(network, trials, at=times).at, times)
    own = xr.DataArray(trials.time.values[trials.length.values - 1], dims="trial")
    assert q_gradients(network, trials, at=own).dQ_dobs.equals(q_gradients(network, trials).dQ_dobs)


def test_whose_q():
    network, trials = made()
    first, second = (str(name) for name in trials.action.values[1:])
    each = [q_gradients(network, trials, "M", of=name) for name in (first, second)]
    both = q_gradients(network, trials, "M", of=(first, second))
    np.testing.assert_allclose(both.dQ_dM, each[0].dQ_dM - each[1].dQ_dM, atol=1e-14)
    assert both.attrs["of"] == f"{first} - {second}"
    last = trials.Q.isel(time=xr.DataArray(trials.length.values - 1, dims="trial"))
    np.testing.assert_allclose(both.value, last[:, 1] - last[:, 2], atol=1e-6)
    greedy = q_gradients(network, trials, of="greedy")
    np.testing.assert_allclose(greedy.value, last.max("action"), atol=1e-6)


def test_of_selected_trials():
    network, trials = made()
    whole = q_gradients(network, trials, ["obs", "M"])
    for some in (trials.isel(trial=[4, 1]), trials.where(trials.trial > 2, drop=True)):
        found = q_gradients(network, some, ["obs", "M"])
        expected = whole.sel(trial=some.trial).isel(time=slice(0, some.sizes["time"]))
        np.testing.assert_allclose(found.dQ_dM, expected.dQ_dM, atol=1e-13)
        np.testing.assert_allclose(found.dQ_dobs, expected.dQ_dobs, atol=1e-13)


def test_results_can_be_saved(tmp_path):
    network, trials = made()
    found = q_gradients(network, trials, ["obs", "M"], at=["stimulus", "decision"])
    path = mpn_lab.save_record(found, tmp_path / "gradients.nc")
    assert mpn_lab.load_record(path).equals(found)


@pytest.mark.parametrize("core", ["mpn", "gru", "leaky"])
def test_contributions_add_up_and_agree_with_many_small_steps(core):
    network, trials = made(core, trials=4, num_layers=2)
    state = list(network.named_states(network.initial_state(1)))[-1]
    donors = edits.donors(trials)
    for to, before in (("obs", None), (state, "stimulus")):
        for baseline in (0, "mean", donors):
            if to == "obs" and baseline is donors:
                continue  # of another length
            found = integrated_gradients(
                network, trials, to, before=before, baseline=baseline, tolerance=1e-6
            )
            features = [dim for dim in found.contribution.dims if dim != "trial"]
            total = found.contribution.sum(features)
            np.testing.assert_allclose(total, found.value - found.value_baseline, atol=1e-6)
            np.testing.assert_allclose(
                found.completeness_error, total - (found.value - found.value_baseline), atol=1e-12
            )
    i, number = 2, trials.trial.values[2]
    t = int(trials.length[i]) - 1
    action = int(trials.taken_action[i, t])
    obs = trials.obs.values[i, : t + 1].astype(np.float64)
    middles = torch.tensor((np.arange(400)[:, None, None] + 0.5) / 400 * obs, requires_grad=True)
    q = network(middles)[0][:, -1, action].sum()
    shares = torch.autograd.grad(q, middles)[0].numpy().mean(0) * obs
    found = integrated_gradients(network, trials, tolerance=1e-6).contribution.sel(trial=number)
    np.testing.assert_allclose(found[: t + 1], shares, atol=1e-4 * np.abs(shares).max())
    assert np.isnan(found[t + 1 :]).all()


def test_baselines_are_what_the_network_gets():
    network, trials = made("gru", trials=8)
    donor = edits.donors(trials)
    found = integrated_gradients(network, trials, "h", before=300, baseline=donor, at=600)
    changed = counterfactual(network.float(), trials, edits.swap("h", donor=donor, at=300))
    action = trials.taken_action.sel(time=600).values
    rows = np.arange(len(action))
    for data, expected in ((trials, "value"), (changed, "value_baseline")):
        q = data.Q.sel(time=600).values[rows, action]
        np.testing.assert_allclose(found[expected], q, atol=1e-6)
    assert found.before_time.values.tolist() == [300] * 8
    same = integrated_gradients(network, trials, "h", before=300, baseline=trials.trial.values)
    assert (same.contribution == 0).all()


def test_a_path_with_corners_warns():
    network, trials = made(bound=0.02, trials=2)
    with pytest.warns(UserWarning, match="the contributions miss the difference of Q by up to"):
        found = integrated_gradients(network, trials, tolerance=1e-14)
    assert np.abs(found.completeness_error).max() < 1e-4


def test_bad_input_gets_one_sentence():
    network, trials = made()
    gru, of_gru = made("gru")
    a = integrated_gradients
    for call, message in (
        (lambda: q_gradients(network, trials, "c"), r"to is 'c', but a MPN network has obs, x, M;"),
        (lambda: q_gradients(gru, of_gru, ["obs", "M"]), "to is 'M', but a GRU network has obs, x"),
        (lambda: q_gradients(network, trials, at=90000), "time 90000 ms lies outside trial 0"),
        (lambda: q_gradients(network, trials, at="test"), "trial 0 has no period 'test'"),
        (lambda: q_gradients(network, trials, at=[]), "at is empty; expected a period"),
        (lambda: q_gradients(network, trials, of="left"), "of is 'left'; expected taken, greedy"),
        (
            lambda: q_gradients(network, trials.isel(time=slice(2, None))),
            "trial 0 lacks the step before 200 ms; pass whole trials",
        ),
        (lambda: q_gradients(network, trials.drop_attrs()), "this Dataset is not a record"),
        (lambda: q_gradients(network, made(task="DelayMatchSample-v0")[1]), "3 channels and 3 act"),
        (
            lambda: q_gradients(
                network,
                counterfactual(network.float(), trials, edits.zero("M", at=300)),
            ),
            r"made with an edit \(zero M at 300\.0 ms\)",
        ),
        (lambda: a(network, trials, "M"), "before is none; expected the step where M changes"),
        (lambda: a(network, trials, before="stimulus"), "before is stimulus; leave it out for obs"),
        (lambda: a(network, trials, "x"), "to is 'x'; expected obs"),
        (lambda: a(network, trials, baseline="zero"), "baseline is 'zero'; expected a number"),
        (lambda: a(network, trials, baseline=np.nan), "baseline is nan; expected a finite"),
        (lambda: a(network, trials, baseline=[1, 2]), r"baseline has the shape \(2,\) for 6"),
        (lambda: a(network, trials, baseline=[99] * 6), "the record has no trial 99"),
        (lambda: a(network, trials, tolerance=0), "tolerance is 0; expected a positive number"),
        (
            lambda: a(network, trials, "M", before=600, at=300),
            "trial 0 has Q at 300 ms, but M is replaced later, at 600 ms",
        ),
        (
            lambda: a(network, trials, baseline=[int(trials.length.values.argmin())] * 6),
            "too few for Q at step",
        ),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)
        assert str(raised.value).endswith(".")


def test_figures_show_the_values_on_scales_centred_on_zero():
    network, trials = made(trials=3)
    found = q_gradients(network, trials, ["obs", "M"])
    with style():
        figure = draw_attribution(trials, found, trial=1, time=300)
    images = {ax.get_title("left"): ax.images[0] for ax in figure.axes if ax.images}
    assert [title.count("reward per unit of") for title in images] == [1, 1]
    obs, M = images.values()
    T = int(trials.length[1])
    np.testing.assert_allclose(obs.get_array(), found.dQ_dobs[1, :T].T)
    np.testing.assert_allclose(M.get_array(), found.dQ_dM[1].sel(time=300))
    for image, values in ((obs, found.dQ_dobs[1]), (M, found.dQ_dM[1])):
        assert image.norm.vmax == -image.norm.vmin == np.nanmax(np.abs(values))
    size = next(ax for ax in figure.axes if ax.get_title("left").startswith("size of"))
    norm = np.linalg.norm(found.dQ_dM[1, :T].values.reshape(T, -1), axis=1)
    np.testing.assert_allclose(size.lines[0].get_ydata(), norm)
    shares = integrated_gradients(network, trials, "M", before=300, baseline=[1, 0, 1])
    figure = draw_attribution(trials, shares, trial=1)
    image = next(ax.images[0] for ax in figure.axes if ax.images)
    np.testing.assert_allclose(image.get_array(), shares.contribution[1])
    assert any("baseline, trial 0:" in text.get_text() for text in figure.texts)


def test_figures_refuse_with_one_sentence():
    network, trials = made(trials=3)
    several = q_gradients(network, trials, at=[100, 300])
    one = q_gradients(network, trials)
    ax = new_figure(3, 3).add_subplot()
    for call, message in (
        (lambda: draw_attribution(trials, trials, 0), "this Dataset is not an attribution"),
        (
            lambda: draw_attribution(trials, several, 0),
            r"Q at several times \(100, 300\); select one",
        ),
        (lambda: draw_attribution(trials, one, 7), "there is no trial 7 in this record"),
        (lambda: plot_attribution_matrix(ax, one, "dQ_dM", 0), "no dQ_dM in this attribution; it"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
