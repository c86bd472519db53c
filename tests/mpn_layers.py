"""An MPN away from special values, and its results by either path."""

import torch

from mpn_lab import MPN
from mpn_lab.networks.autograd import plain_loop


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
