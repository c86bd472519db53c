"""Fixed points, linearisation and flow agree with iterating, scanning and differentiating."""

import copy
import itertools

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.quiver import Quiver

import mpn_lab
from mpn_lab import plotting
from mpn_lab.analysis import attractor, fixed_points, flow_field, linearise, pca
from mpn_lab.analysis.dynamics import time_constant
from mpn_lab.analysis.linearisation import jacobian
from mpn_lab.networks.autograd import plain_loop
from tests.mpn_layers import layer, random

SHAPES = ("scalar", "input", "hidden", "synapse")
LAYERS = st.fixed_dictionaries(
    {
        "modulation": st.sampled_from(["multiplicative", "additive"]),
        "update": st.sampled_from(["associative", "presynaptic", "postsynaptic"]),
        "activation": st.sampled_from(["tanh", "relu"]),
        "eta_shape": st.sampled_from(SHAPES),
        "lam_shape": st.sampled_from(SHAPES),
        "bias": st.booleans(),
        "bound": st.sampled_from([None, 0.3, 1.5]),
        "seed": st.integers(0, 10_000),
    }
)


def held(core, seed, scale=2.0):
    return scale * random(core.input_size, seed=seed + 1)


def step(core, M, x):
    """M [k, n, d] after a step with x held, by the reference equations."""
    with torch.no_grad(), plain_loop():
        return core(x.expand(len(M), 1, -1), M)[1]


def row_residual(core, x, z):
    """z minus the preactivation that M has once it has settled while h = phi(z); [n, len(z)]."""
    h = torch.tanh(z) if core.activation == "tanh" else torch.relu(z)
    eta, lam = core.eta, core.lam.clamp(0, core.lam_max)
    n, d = core.W.shape
    gain = {"associative": x, "postsynaptic": d**-0.5, "presynaptic": x / n**0.5}[core.update]
    post = 1 if core.update == "presynaptic" else h[:, None, None]
    M = torch.zeros(len(z), n, d, dtype=z.dtype)
    for _ in range(200):  # lam is at most 0.9
        M = lam * M + eta * post * gain
        M = M if core.bound is None else M.clamp(-core.bound, core.bound)
    weights = core.W * (1 + M) if core.modulation == "multiplicative" else core.W + M
    return (z[:, None] - weights @ x - (0 if core.b is None else core.b)).T


def combinations(points):
    """Every fixed point at least once, as matrices M [k, n, d]; nan where a unit has no k-th."""
    return points.M.transpose("fixed_point", "hidden", "input").values


def settling(lam_max, options):
    """A layer, an input that is held, and the fixed points under it."""
    core = layer(d=3, n=6, lam_max=lam_max, **options)
    x = held(core, options["seed"])
    return core, x, fixed_points(core, x.numpy())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(LAYERS)
def test_fixed_points_are_all_there_are_and_none_is_spurious(options):
    core, x, points = settling(0.9, options)
    M = torch.from_numpy(combinations(points))
    exists = torch.isfinite(M)
    after = step(core, M.nan_to_num(0.0), x)
    torch.testing.assert_close(after[exists], M[exists], rtol=1e-11, atol=1e-11)

    # A dense scan crosses zero once at each of them.
    z = points.preactivation.values
    reach = 1.1 * float(np.nanmax(np.abs(z), initial=1.0))
    grid = torch.linspace(-reach, reach, 2_001, dtype=torch.float64)
    with torch.no_grad():
        positive = (row_residual(core, x, grid) >= 0).numpy()
    for unit in range(core.hidden_size):
        cell = np.flatnonzero(positive[unit, 1:] != positive[unit, :-1])
        found = z[unit][np.isfinite(z[unit])]
        assert points["count"].values[unit] == len(found)
        close = np.diff(found) < 2 * reach / 2_000  # two in a cell cancel
        if not close.any():
            assert len(cell) == len(found)
            assert (np.abs(grid.numpy()[cell] - found) <= 2 * reach / 2_000 * 1.01).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(LAYERS)
def test_iteration_ends_at_the_stable_points_and_in_the_predicted_ones(options):
    core, x, points = settling(0.85, options)
    M = starts = 4 * random(30, 6, 3, seed=options["seed"] + 2)
    for _ in range(500):
        M = step(core, M, x)
    still = (step(core, M, x) - M).abs().amax(2) < 1e-9  # (k, n)
    stable = points.M.where(points.stable).values  # (n, p, d)
    distance = np.abs(M.numpy()[:, :, None] - stable[None]).max(3)
    nearest = np.nanmin(np.where(np.isnan(distance), np.inf, distance), axis=2)
    assert (nearest[still.numpy()] < 1e-6).all()
    M_starts = xr.DataArray(starts.numpy(), dims=("start", "hidden", "input"))
    predicted = attractor(points, M_starts)
    assert predicted.dims == M_starts.dims
    known = np.isfinite(predicted.values).all(2)
    np.testing.assert_allclose(predicted.values[known], M.numpy()[known], atol=1e-6)
    if core.lam.shape in ((), (6, 1)) and core.bound is None and core.activation == "tanh":
        several = points["count"].values > 1  # then the map is monotone, and the basins are known
        assert known[:, several].all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(LAYERS)
def test_eigenvalues_are_those_of_the_full_jacobian(options):
    core = layer(d=3, n=4, lam_max=0.9, **options)
    x = held(core, options["seed"])
    points = fixed_points(core, x.numpy())
    for M, ours, stable in zip(
        torch.from_numpy(combinations(points)),
        points.eigenvalue.transpose("fixed_point", "hidden", "mode").values,
        points.stable.values.T,
        strict=True,
    ):
        exists = torch.isfinite(M).all(1)

        def flat(m):
            return core(x[None, None], m.view(1, 4, 3))[1].flatten()

        with plain_loop():
            full = torch.autograd.functional.jacobian(flat, M.nan_to_num(0.0).flatten())
        full = full.view(4, 3, 4, 3)
        for unit in range(4):
            others = [k for k in range(4) if k != unit]
            assert not full[unit][:, others].any()  # the rows do not meet
            if exists[unit]:
                expected = np.linalg.eigvals(full[unit, :, unit].numpy())
                same_spectrum(ours[unit], expected, 1e-6)
                assert stable[unit] == (np.abs(expected) < 1).all()
            else:
                assert np.isnan(ours[unit]).all()
                assert not stable[unit]


def same_spectrum(a, b, tolerance):
    """Whether two lists of eigenvalues agree: the characteristic polynomials do."""
    np.testing.assert_allclose(np.poly(a), np.poly(b), rtol=tolerance, atol=tolerance)


def test_a_bistable_unit_has_the_points_of_the_hyperbolic_tangent():
    """z = k tanh z with k = 2: 0 and +-1.9150080481545 (unbiased, driven by M alone)."""
    core = layer(d=1, n=1, modulation="additive", bias=False)
    with torch.no_grad():
        core.W.fill_(0.0)
        core.eta.fill_(0.5)
        core.lam.fill_(0.75)
    points = fixed_points(core, [1.0], dt=20)
    np.testing.assert_allclose(
        points.preactivation, [[-1.9150080481545, 0, 1.9150080481545]], atol=1e-12
    )
    np.testing.assert_array_equal(points.stable, [[True, False, True]])
    np.testing.assert_array_equal(points.basin_low, [[-np.inf, np.nan, 0]])
    np.testing.assert_array_equal(points.basin_high, [[0, np.nan, np.inf]])
    slope = 0.75 + 0.5 * (1 - np.tanh(1.9150080481545) ** 2)
    np.testing.assert_allclose(points.slope, [[slope, 1.25, slope]])
    np.testing.assert_allclose(points.eigenvalue[0, :, 0], points.slope[0])
    np.testing.assert_allclose(points.time_constant[0, 0, 0], -1 / np.log(slope))
    np.testing.assert_allclose(points.time_constant_ms, 20 * points.time_constant)
    assert points.time_constant[0, 1, 0] < 0  # deviations grow


def test_a_relu_unit_settles_or_grows_without_end():
    core = layer(d=1, n=3, modulation="additive", activation="relu")
    with torch.no_grad():
        core.W.zero_()
        core.b.copy_(torch.tensor([-1.0, 1.0, -1.0]))
        core.lam.fill_(0.5)
        core.eta.fill_(1.0)  # k = 2: h = 0, or z = c / (1 - 2)
    points = fixed_points(core, [1.0])
    np.testing.assert_array_equal(points["count"], [2, 0, 2])
    np.testing.assert_allclose(points.preactivation[0], [-1, 1])
    M = xr.DataArray(np.full((3, 1), 1.9), dims=("hidden", "input"))  # z = 0.9
    np.testing.assert_allclose(attractor(points, M), [[0], [np.nan], [0]])
    assert np.isnan(attractor(points, M + 0.2)).all()  # beyond the unstable point


def test_a_unit_that_overshoots_has_no_known_basin():
    """z' = (1 - lam) c + lam z - 3 tanh z: slope below -1 at 0, above it where tanh saturates."""
    core = layer(d=1, n=2, modulation="additive")
    with torch.no_grad():
        core.W.zero_()
        core.b.copy_(torch.tensor([0.0, 1 + 6 * np.tanh(1)]))
        core.lam.fill_(0.5)
        core.eta.fill_(-3.0)
    points = fixed_points(core, [1.0])
    np.testing.assert_allclose(points.preactivation[:, 0], [0, 1], atol=1e-6)
    np.testing.assert_allclose(points.slope[:, 0], 0.5 - 3 / np.cosh([0, 1]) ** 2, atol=1e-6)
    np.testing.assert_array_equal(points.stable[:, 0], [False, True])
    assert points.basin_low.isnull().all()
    assert points.basin_high.isnull().all()


def test_time_constants_of_extreme_eigenvalues():
    np.testing.assert_array_equal(time_constant(np.array([0.0, 1.0, -1.0])), [0, np.inf, np.inf])
    assert np.isnan(time_constant(np.array([np.nan + 0j]))).all()


def network(core="mpn", **options):
    generator = torch.Generator().manual_seed(0)
    sizes = {"hidden_size": 5, "embedding_size": 4} | options
    return mpn_lab.QNetwork(3, 3, core=core, generator=generator, **sizes)


def record(net):
    return mpn_lab.record(net, "DelayMatchSample-v0", trials=6)


@pytest.fixture(scope="module")
def trials():
    return record(network())


def test_the_held_input_is_embedded_or_the_mean_of_a_period(trials):
    net = network()
    at = trials.isel(trial=2, time=5)
    by = [fixed_points(net, at.embedded.values), fixed_points(net, at.obs.values)]
    by += [fixed_points(net, at.embedded), fixed_points(net, at.obs)]
    for points in by:
        np.testing.assert_allclose(points.M, by[0].M, atol=1e-5)
        assert np.isnan(points.time_constant_ms).all()  # the length of a step is not known
    points = fixed_points(net, trials, period="delay")
    mean = trials.embedded.where(trials.period == "delay").mean(("trial", "time"))
    np.testing.assert_allclose(points.x, mean, atol=1e-6)
    np.testing.assert_allclose(points.time_constant_ms, 100 * points.time_constant)
    whole = fixed_points(net, trials)
    np.testing.assert_allclose(whole.x, trials.embedded.mean(("trial", "time")), atol=1e-6)


def brute_force(net, trials, period):
    """The Jacobian of the flat state by central differences."""
    double = copy.deepcopy(net).double()
    inside = trials.where(trials.period == period).mean(("trial", "time"))
    names = list(net.named_states(net.initial_state(1)))
    shapes = [inside[name].shape for name in names]
    flat = np.concatenate([inside[name].values.astype(float).ravel() for name in names])
    x = torch.from_numpy(inside.embedded.values.astype(float))[None, None]

    def after(flat):
        parts = np.split(flat, np.cumsum([np.prod(s) for s in shapes])[:-1])
        state = tuple(
            torch.from_numpy(p.reshape(1, *s)) for p, s in zip(parts, shapes, strict=True)
        )
        stacked = len(net.layers) > 1 or len(names) > 1
        with torch.no_grad(), plain_loop():
            new = double.core(x, state if stacked else state[0])[1]
        return np.concatenate([leaf.numpy().ravel() for leaf in (new if stacked else (new,))])

    eps = 1e-6
    return np.stack(
        [(after(flat + e) - after(flat - e)) / (2 * eps) for e in eps * np.eye(len(flat))]
    ).T


@pytest.mark.parametrize(
    ("core", "options"),
    [
        ("mpn", {}),
        ("mpn", {"bound": 0.2, "lam_shape": "synapse", "update": "postsynaptic"}),
        ("mpn", {"num_layers": 2}),
        ("gru", {}),
        ("lstm", {}),
        ("rnn", {}),
        ("gru", {"num_layers": 2}),
    ],
)
def test_linearisation_is_that_of_finite_differences(core, options):
    net = network(core, **options)
    trials = record(net)
    modes = linearise(net, trials, vectors=2)
    assert list(modes.period.values) == ["fixation", "sample", "delay", "test", "decision"]
    names = list(net.named_states(net.initial_state(1)))
    for period in ("sample", "decision"):
        full = brute_force(net, trials, period)
        one = modes.sel(period=period)
        values = one.eigenvalue.values
        assert (np.diff(np.abs(values)) <= 1e-9).all()
        same_spectrum(values, np.linalg.eigvals(full), 1e-5)
        for k in range(2):
            v = np.concatenate([one[f"eigenvector_{name}"].values[k].ravel() for name in names])
            np.testing.assert_allclose(np.linalg.norm(v), 1)
            np.testing.assert_allclose(full @ v, values[k] * v, atol=1e-6)
    alone = linearise(net, trials, "sample", vectors=2)
    xr.testing.assert_allclose(alone, modes.sel(period=["sample"]))
    if core == "mpn" and len(names) == 1:
        moved = abs(modes.eigenvector_M).max("input").argmax("hidden")
        np.testing.assert_array_equal(moved, modes.unit[:, :2])


def test_a_selection_of_one_step_is_linearised_at_its_own_state(trials):
    net = network()
    alone = trials.isel(trial=[2], time=[12])
    modes = linearise(net, alone)
    (period,) = modes.period.values
    x, M = (alone[name].values[0, 0].astype(float) for name in ("embedded", "M"))
    np.testing.assert_allclose(
        modes.eigenvalue[0].values.prod(), np.linalg.det(jacobian(net, M.ravel(), x)), rtol=1e-6
    )
    kept = trials.where(trials.trial == 2)  # as xarray's where leaves it
    xr.testing.assert_allclose(
        linearise(net, kept, period), linearise(net, trials.isel(trial=[2]), period)
    )


class TiedCore(torch.nn.Module):
    """A user's core with two states of different shapes."""

    state_dims = {"u": ("hidden",), "s": ("hidden", "pool")}  # noqa: RUF012

    def __init__(self, input_size, hidden_size, *, generator=None):
        super().__init__()
        self.W = torch.nn.Parameter(torch.randn(hidden_size, input_size, generator=generator))

    def forward(self, input, state=None, return_states=False):
        if state is None:
            u = input.new_zeros(len(input), len(self.W))
            state = u, u[..., None].expand(-1, -1, 2)
        u, s = state
        us, ss = [], []
        for x in input.unbind(1):
            u = torch.tanh(x @ self.W.T + 0.5 * u - s.sum(2))
            s = 0.9 * s + 0.1 * u[..., None] * s.new_tensor([1.0, -0.5])
            us, ss = [*us, u], [*ss, s]
        result = torch.stack(us, 1), (u, s)
        return (*result, (torch.stack(us, 1), torch.stack(ss, 1))) if return_states else result


def test_jacobian_of_a_users_core_is_that_of_torch_func():
    mpn_lab.register_core("tied", TiedCore)
    net = network("tied")
    trials = record(net)
    modes = linearise(net, trials, "delay")
    assert modes.eigenvector_s.dims == ("period", "slow", "hidden", "pool")
    core = copy.deepcopy(net.core).double()
    x, state = random(4), random(15)

    def after(flat):
        u, s = core(x[None, None], (flat[None, :5], flat[None, 5:].reshape(1, 5, 2)))[1]
        return torch.cat([u.flatten(), s.flatten()])

    expected = torch.func.jacrev(after)(state)
    np.testing.assert_allclose(
        jacobian(net, state.numpy(), x.numpy()), expected.detach(), atol=1e-12
    )


@pytest.mark.parametrize("core", ["mpn", "gru"])
def test_flow_is_the_projected_step(core):
    net = network(core)
    trials = record(net)
    components = pca(trials, components=2)
    flow = flow_field(net, components, trials, period="delay", points=5)
    assert flow.along_1.shape == (5, 5)
    axes, mean = components["axes"].values.reshape(2, -1), components["mean"].values.ravel()
    x = trials.embedded.where(trials.period == "delay").mean(("trial", "time")).values
    for i, k in itertools.product((0, 3), (1, 4)):
        before = mean + flow.pc_1.values[i] * axes[0] + flow.pc_2.values[k] * axes[1]
        state = torch.from_numpy(before).float().view(1, *components["mean"].shape)
        with torch.no_grad():
            after = net.core(torch.from_numpy(x)[None, None], state)[1].numpy().ravel()
        moved = axes @ (after - before)
        np.testing.assert_allclose(flow.along_1[k, i], moved[0], atol=1e-5)
        np.testing.assert_allclose(flow.along_2[k, i], moved[1], atol=1e-5)
        np.testing.assert_allclose(flow.speed[k, i], np.linalg.norm(after - before), atol=1e-5)


BAD_INPUT = {
    "the core is GRU": lambda t: fixed_points(network("gru"), [0, 0, 1]),
    "x has the shape .7,.; expected 3": lambda t: fixed_points(network(), [0.0] * 7),
    "x has the shape .'channel': 4": lambda t: fixed_points(
        network(), t.embedded[0, 0].rename(input="channel")
    ),
    "x has 3 numbers": lambda t: fixed_points(network(embedding_size=3), [0, 0, 1]),
    "x holds nan": lambda t: fixed_points(network(), [np.nan, 0, 1]),
    "x is no record": lambda t: fixed_points(network(), [0, 0, 1], period="delay"),
    "there is no period 'dealy'": lambda t: fixed_points(network(), t, period="dealy"),
    "lam is 1;": lambda t: fixed_points(network(lam_init=1.0, lam_max=1.0), [0, 0, 1]),
    "M has the dimensions": lambda t: attractor(fixed_points(network(), t), t.h[0, 0]),
    "the record's M has the sizes": lambda t: linearise(network(hidden_size=7), t),
    "this MPN network has no h_1": lambda t: linearise(network("gru", num_layers=2), t),
    "vectors is 21; expected 0 to 20": lambda t: linearise(network(), t, vectors=21),
    "components are of h; expected .* M.": lambda t: flow_field(network(), pca(t, "h"), t),
    "h and c: no plane": lambda t: flow_field(network("lstm"), pca(t, "h"), t),
    "there are 1 components": lambda t: flow_field(network(), pca(t, components=1), t),
}


@pytest.mark.parametrize("message", BAD_INPUT)
def test_bad_input_gets_one_sentence(message, trials):
    with pytest.raises(ValueError, match=message) as caught:
        BAD_INPUT[message](trials)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")


def test_panels_show_every_fixed_point_and_every_arrow():
    net = network(hidden_size=12, eta_init=3.0, lam_init=0.9)
    trials = record(net)
    points = fixed_points(net, trials, period="sample")
    top, bottom = plotting.draw_fixed_points(points).axes
    stable, unstable = top.lines
    assert len(stable.get_xdata()) == int(points.stable.sum())
    assert len(unstable.get_xdata()) == int(points["count"].sum() - points.stable.sum()) > 0
    assert set(stable.get_ydata()) == set(points.h.values[points.stable.values])
    assert sum(len(line.get_xdata()) for line in bottom.lines) == int(points["count"].sum())
    assert bottom.get_ylabel() == "time constant (ms)"
    components = pca(trials, "M")
    flows = [flow_field(net, components, trials, period=p, points=4) for p in ("sample", "delay")]
    figure = plotting.draw_flow(flows, components)
    for ax, flow in zip(figure.axes, flows, strict=False):
        (arrows,) = (c for c in ax.collections if isinstance(c, Quiver))
        np.testing.assert_array_equal(arrows.get_array(), flow.speed.values.ravel())
        expected = flow.along_2.values.ravel() / flow.along_1.values.ravel()
        np.testing.assert_allclose(arrows.V / arrows.U, expected)
    figure.canvas.draw()
