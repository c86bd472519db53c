"""The compiled kernels against the plain loop: every variant, gradient, size and odd value."""

import itertools
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from mpn_lab import MPN
from mpn_lab.networks import autograd
from mpn_lab.networks.autograd import plain_loop

# Every choice with every other for tanh; ReLU is another line of its own, so each update once.
UPDATES = ("associative", "presynaptic", "postsynaptic")
EQUATIONS = [
    *itertools.product(UPDATES, ("multiplicative", "additive"), ("tanh",), (None, 0.3)),
    ("associative", "multiplicative", "relu", None),
    ("presynaptic", "additive", "relu", 0.3),
    ("postsynaptic", "multiplicative", "relu", 0.3),
]
SHAPES = list(itertools.product(("scalar", "input", "hidden", "synapse"), repeat=2))


def layer(d=3, n=5, dtype=torch.float64, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    core = MPN(d, n, dtype=dtype, eta_init=0.4, lam_init=0.7, generator=generator, **options)
    with torch.no_grad():  # away from equal values and from zero
        for parameter in core.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return core


def random(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def run(core, x, state=None, to_input=True):
    """h, M_T, the states and every gradient of a random combination of all three."""
    x = x.detach().requires_grad_(to_input)
    state = None if state is None else state.detach().requires_grad_()
    outputs = core(x, state, return_states=True)
    loss = sum((o * random(*o.shape, dtype=o.dtype, seed=k)).sum() for k, o in enumerate(outputs))
    leaves = [p for p in (*core.parameters(), x, state) if p is not None and p.requires_grad]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [
        *outputs,
        *(torch.zeros_like(p) if g is None else g for p, g in zip(leaves, gradients, strict=True)),
    ]


def compare(core, x, state=None, rtol=1e-8, **options):
    with plain_loop():
        expected = run(core, x, state, **options)
        assert core.backend == "loop"
    found = run(core, x, state, **options)
    assert core.backend == "compiled"
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        finite = b[torch.isfinite(b)].abs()
        scale = finite.max().item() if len(finite) else 0.0
        torch.testing.assert_close(a, b, rtol=0, atol=rtol * scale, equal_nan=True)


@pytest.mark.parametrize(("update", "modulation", "activation", "bound"), EQUATIONS)
def test_every_equation(update, modulation, activation, bound):
    options = {"update": update, "modulation": modulation, "activation": activation}
    core = layer(bound=bound, **options)
    compare(core, random(4, 7, 3), random(4, 5, 3, seed=2))


@pytest.mark.parametrize(("eta_shape", "lam_shape"), SHAPES)
def test_every_shape_of_eta_and_lam(eta_shape, lam_shape):
    core = layer(eta_shape=eta_shape, lam_shape=lam_shape, bound=0.5, train_M0=True)
    compare(core, random(4, 7, 3))


def test_without_bias_and_without_the_gradient_of_the_input():
    compare(layer(bias=False), random(4, 7, 3), to_input=False)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 64, 70])
@pytest.mark.parametrize(("B", "T", "d"), [(1, 1, 1), (2, 3, 2), (9, 4, 5)])
def test_sizes_that_fill_no_vector(B, T, d, n):
    compare(layer(d, n), random(B, T, d))


@pytest.mark.parametrize(("B", "T"), [(0, 4), (3, 0), (0, 0)])
def test_nothing_to_do(B, T):
    compare(layer(), random(B, T, 3), random(B, 5, 3, seed=2))


@pytest.mark.parametrize("T", [2, 3, 5, 16, 17])
def test_chunks_of_every_length(T, monkeypatch):
    monkeypatch.setattr(autograd, "_CHUNK_BYTES", 0)  # then chunks of sqrt(T) steps
    compare(layer(bound=1.0), random(3, T, 3), random(3, 5, 3, seed=2))


def test_long_trials():
    compare(layer(), random(2, 800, 3))


def test_float32():
    compare(layer(6, 40, torch.float32), random(8, 30, 6, dtype=torch.float32), rtol=1e-5)


def test_tanh_of_float32():
    """With W = 1, b = 0 and M = 0 the output is tanh of the input."""
    core = MPN(1, 1, bias=False)
    torch.nn.init.ones_(core.W)
    x = torch.cat([torch.linspace(-12, 12, 100_001), torch.logspace(-30, 0, 10_001)])
    with torch.no_grad():
        h = core(x.reshape(-1, 1, 1))[0].flatten()
    expected = x.double().tanh()
    assert ((h - expected).abs() <= 4e-7 * expected.abs()).all()
    assert h.abs().max() == 1


def test_layouts_of_any_kind():
    x = random(3, 7, 8).transpose(0, 1)[:, :, ::2]  # (7, 3, 4)
    state = random(4, 5, 7, seed=2).permute(2, 1, 0)  # (7, 5, 4)
    compare(layer(4), x, state)
    compare(layer(4), random(4).expand(2, 6, 4))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    ("modulation", "activation"),
    [("multiplicative", "tanh"), ("additive", "tanh"), ("multiplicative", "relu")],
)
def test_nan_and_infinity_go_where_they_go_in_the_loop(value, modulation, activation):
    for bound, n in ((None, 5), (0.5, 33)):
        core = layer(3, n, modulation=modulation, activation=activation, bound=bound)
        x = random(4, 6, 3)
        x[1, 2, 1] = value
        compare(core, x)


def test_gradcheck():
    core = layer(2, 3, train_M0=True)
    x, state = random(2, 3, 2), random(2, 3, 2, seed=2)
    parameters = dict(core.named_parameters())

    def function(x, state, *values):
        given = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(core, given, (x, state, True))

    inputs = [a.detach().requires_grad_() for a in (x, state, *parameters.values())]
    assert torch.autograd.gradcheck(function, inputs)
    assert core.backend == "compiled"
    assert torch.autograd.gradgradcheck(function, inputs)


def test_parts_of_the_result_may_go_unused():
    core, x = layer(), random(4, 7, 3)
    for part in (0, 1, 2):
        gradients = []
        for context in (plain_loop, torch.enable_grad):
            with context():
                loss = core(x, return_states=True)[part].sum()
            gradients.append(torch.autograd.grad(loss, list(core.parameters()), allow_unused=True))
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b)


def test_one_step_after_the_other_is_the_whole_sequence():
    core, x = layer(4, 40), random(6, 9, 4)
    with torch.no_grad():
        whole, last = core(x)
        state, hs = None, []
        for t in range(9):
            h, state = core(x[:, t : t + 1], state)
            hs.append(h)
    torch.testing.assert_close(torch.cat(hs, 1), whole, rtol=1e-12, atol=0)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=0)


def test_the_same_bits_with_one_thread_and_with_two(monkeypatch):
    monkeypatch.setattr(autograd, "_THREAD_WORTH", 1)
    core, x = layer(6, 70, torch.float32), random(11, 20, 6, dtype=torch.float32)
    results = []
    try:
        for threads in (1, 1, 2, 2, 5):
            torch.set_num_threads(threads)
            results.append(run(core, x))
    finally:
        torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        lambda core: setattr(core, "activation", "sigmoid"),
        lambda core: core.to(torch.bfloat16),
        lambda core: core.to("meta"),
    ],
)
def test_the_loop_runs_what_the_kernels_do_not_cover(change):
    core = layer()
    change(core)
    core(torch.zeros(2, 3, 3, dtype=core.W.dtype, device=core.W.device))
    assert core.backend == "loop"


def test_vmap_falls_back_to_the_loop():
    core, x = layer(), random(5, 2, 4, 3)
    found = torch.func.vmap(lambda x: core(x)[0])(x)
    assert core.backend == "loop"
    torch.testing.assert_close(found[3], core(x[3])[0])
    assert core.backend == "compiled"


def python(code, *, threads=1):
    """Run a program in a process of its own; returns what it printed."""
    code = f"import torch; torch.set_num_threads({threads})\n" + textwrap.dedent(code)
    command = [sys.executable, "-W", "always", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "damage",
    [
        "import sys; sys.modules['numba'] = None",  # not installed
        "from numba.core.dispatcher import Dispatcher\n"
        "def fail(*_, **__): raise RuntimeError('no compiler')\n"
        "Dispatcher._compile_for_args = Dispatcher.compile = fail",
    ],
)
def test_without_a_working_numba_the_loop_runs_and_says_so_once(damage):
    program = "\n".join(
        [
            damage,
            *textwrap.dedent("""
        from mpn_lab import MPN
        core = MPN(3, 4)
        for _ in range(3):
            core(torch.zeros(2, 3, 3))[0].sum().backward()
        core.double()(torch.zeros(2, 3, 3, dtype=torch.float64))
        print(core.backend)
    """).splitlines(),
        ]
    )
    out, err = python(program)
    assert out.strip() == "loop"
    assert err.count("RuntimeWarning") == 1
    assert "plain loop" in err


def test_importing_the_layer_does_not_import_numba():
    out, _ = python("import sys, mpn_lab.networks.mpn; print('numba' in sys.modules)")
    assert out.strip() == "False"


def test_a_forked_child_computes_too():
    out, _ = python(
        """
        import os
        from mpn_lab import MPN
        from mpn_lab.networks import autograd
        autograd._THREAD_WORTH = 1
        core, x = MPN(3, 5), torch.ones(4, 6, 3)
        core(x)
        child = os.fork()
        core(x)
        if not child: os._exit(0)
        print(os.waitpid(child, 0)[1])
        """,
        threads=2,
    )
    assert out.strip() == "0"


def test_memory_of_a_long_trial_is_that_of_its_activations():
    """h, its gradient and M every now and then; the loop takes some 480 MB here."""
    out, _ = python(
        """
        from resource import RUSAGE_SELF, getrusage
        from mpn_lab import MPN
        core = MPN(10, 100)
        core(torch.ones(1, 1, 10))[0].sum().backward()
        x = torch.randn(32, 800, 10)
        before = getrusage(RUSAGE_SELF).ru_maxrss
        core(x)[0].sum().backward()
        print((getrusage(RUSAGE_SELF).ru_maxrss - before) / 1024)
        """
    )
    assert float(out) < 30  # MB; each [32, 800, 100] is 10 of them


def test_states_of_the_kernels_are_plain_tensors():
    h, M, states = layer()(random(2, 3, 3), return_states=True)
    assert (h.shape, M.shape, states.shape) == ((2, 3, 5), (2, 5, 3), (2, 3, 5, 3))
    np.testing.assert_array_equal(states[:, -1].detach(), M.detach())
