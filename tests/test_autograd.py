"""Which path runs, and the kernels as a differentiable function."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from mpn_lab.networks import autograd
from mpn_lab.networks.autograd import plain_loop
from tests.mpn_layers import layer, random, run


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


def test_parts_of_the_result_may_be_unused():
    core, x = layer(), random(4, 7, 3)
    for part in (0, 1, 2):
        gradients = []
        for context in (plain_loop, torch.enable_grad):
            with context():
                loss = core(x, return_states=True)[part].sum()
            gradients.append(torch.autograd.grad(loss, list(core.parameters()), allow_unused=True))
        for a, b in zip(*gradients, strict=True):
            torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b)


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


def python(code, *, threads=1, **environment):
    """Run a program in a process of its own; returns what it printed."""
    code = f"import torch; torch.set_num_threads({threads})\n" + textwrap.dedent(code)
    command = [sys.executable, "-W", "always", "-c", code]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("import sys; sys.modules['numba'] = None", "`pip install numba`"),
        (
            "from numba.core.dispatcher import Dispatcher\n"
            "def fail(*_, **__): raise RuntimeError('no compiler')\n"
            "Dispatcher._compile_for_args = Dispatcher.compile = fail",
            "RuntimeError: no compiler",
        ),
    ],
)
def test_without_a_working_numba_the_loop_runs_with_one_notice(damage, said):
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
    assert said in err


CALL = """
from mpn_lab import MPN
core = MPN(3, 4)
core(torch.ones(2, 3, 3))
print(core.backend)
"""
NOTICE = "mpn_lab: compiling the MPN's kernels"


def test_the_notice_comes_when_something_is_compiled_and_only_then(tmp_path):
    for notices in (1, 0):
        out, err = python(CALL, NUMBA_CACHE_DIR=str(tmp_path))
        assert out.strip() == "compiled"
        assert err.count(NOTICE) == notices


def test_without_a_folder_for_the_cache_the_kernels_are_compiled_anyway():
    out, err = python(CALL, NUMBA_CACHE_DIR="/dev/null")
    assert out.strip() == "compiled"
    assert err.count(NOTICE) == 1
    assert "Warning" not in err


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
