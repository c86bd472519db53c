"""The MPN's compiled kernels as one differentiable function of tensors.

A single step without gradients takes the same path, with next to nothing left but the kernel call.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mpn_lab.networks.recurrence import Activation, Modulation, Update, mpn_loop

_GROUPS = 8  # the samples' gradients are added up in so many groups, on however many threads
_BLOCK_BYTES = 256  # of one block of neurons: `simd.BYTES`, here without importing numba
_CHUNK_BYTES = 512 * 1024  # of M recomputed at a time, one block of neurons: fits the L2 cache
_THREAD_WORTH = 200_000  # synapses times steps; handing over to a thread costs about 20 us


class _Plan(NamedTuple):
    """One case of the equations, with the kernels that are compiled for it."""

    kernels: ModuleType
    how: Any  # a kernels.Equations
    to_input: tuple  # a switch: whether the input's gradient is wanted
    options: dict[str, Any]  # the case, as `mpn_loop` takes it


_plans: dict[tuple, _Plan] = {}
_loop_only = False  # inside `plain_loop()`, or for good once the kernels failed
_pool: ThreadPoolExecutor | None = None


@contextmanager
def plain_loop() -> Iterator[None]:
    """Within it every MPN runs `mpn_loop`: for tests and benchmarks."""
    global _loop_only
    before, _loop_only = _loop_only, True
    try:
        yield
    finally:
        _loop_only = before


def mpn_fused(
    input: Float[Tensor, "B T d"],
    M: Float[Tensor, "B n d"],
    W: Float[Tensor, "n d"],
    b: Float[Tensor, " n"] | None,
    eta: Float[Tensor, ...],
    lam: Float[Tensor, ...],
    *,
    update: Update = "associative",
    modulation: Modulation = "multiplicative",
    activation: Activation = "tanh",
    bound: float | None = None,
    return_states: bool = False,
) -> tuple[Float[Tensor, "B T n"], Float[Tensor, "B n d"], Float[Tensor, "B T n d"] | None] | None:
    """`mpn_loop`, compiled: the same arguments and results; or None where this does not apply.

    It applies to tanh and ReLU, float32 and float64, on the CPU, outside of torch.compile and
    torch.func, if numba is there. The first call compiles: some seconds, once per installation.
    """
    tensors = (input, M.transpose(1, 2), W, b, eta, lam)
    if not _applies(activation, tensors):
        return None
    options = {"update": update, "modulation": modulation, "activation": activation, "bound": bound}
    gradients = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    plan = _plan(options, gradients, tensors)
    if plan is None:
        return None
    if gradients:
        h, MT, states = _MPN.apply(plan, return_states, *tensors)
    else:
        h, MT, states, _ = _forward(plan, return_states, 0, _arrays(*tensors))
    return h, MT.transpose(1, 2), states.transpose(2, 3) if return_states else None


def _applies(activation: Activation, tensors: tuple[Tensor | None, ...]) -> bool:
    dtypes = {t.dtype for t in tensors if t is not None}
    return (
        not _loop_only
        and activation in ("tanh", "relu")
        and (dtypes == {torch.float32} or dtypes == {torch.float64})
        and all(t is None or t.is_cpu for t in tensors)
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


class _MPN(torch.autograd.Function):
    """The kernels as a differentiable function. M lies as [B, d, n] here, as it does in them."""

    @staticmethod
    def forward(ctx, plan, return_states, *tensors):
        T, d = tensors[0].shape[1:]
        # sqrt(T) steps take the least memory; more save time as long as the cache holds them
        chunks = -(-T // max(math.isqrt(T), _CHUNK_BYTES // (d * _BLOCK_BYTES), 1))
        ctx.chunk = -(-T // max(chunks, 1)) or 1
        h, MT, states, ctx.kept = _forward(plan, return_states, ctx.chunk, _arrays(*tensors))
        ctx.save_for_backward(*tensors, h)
        ctx.set_materialize_grads(False)
        ctx.plan = plan
        return h, MT, states

    @staticmethod
    def backward(ctx, gh, gMT, gstates):
        *tensors, h = ctx.saved_tensors
        if torch.is_grad_enabled():  # these gradients will be differentiated in turn
            return None, None, *_loop_gradients(ctx.plan.options, tensors, gh, gMT, gstates)
        x, _, W, b, eta, lam = tensors
        x_, M0_, W_, b_, eta_, lam_ = _arrays(*tensors)
        (B, T, d), n, dtype = x.shape, W.shape[0], x_.dtype
        gh = np.zeros((B, T, n), dtype) if gh is None else _array(gh)
        gMT = np.zeros((B, d, n), dtype) if gMT is None else _array(gMT)
        gstates = np.empty((B, 0, d, n), dtype) if gstates is None else _array(gstates)

        groups, blocks = min(B, _GROUPS), -(-n * x_.itemsize // _BLOCK_BYTES)
        parts = [np.empty((groups, *a.shape), dtype) for a in (W_, b_, eta_, lam_)]
        gx = np.empty((blocks if ctx.plan.to_input else 0, B, T, d), dtype)
        gM0 = np.empty((B, d, n), dtype)
        inputs = (x_, W_, eta_, lam_, M0_, _array(h), ctx.kept, gh, gMT, gstates)
        _run(
            ctx.plan.kernels.backward,
            groups * blocks,
            B * T * n * d,
            *(ctx.plan.how, ctx.plan.to_input, ctx.chunk, *inputs, gx, *parts, gM0),
        )
        with np.errstate(all="ignore"):  # infinity - infinity is NaN in torch without a word
            gx, gW, gb, geta, glam = (torch.from_numpy(a.sum(0)) for a in (gx, *parts))
        return (
            None,
            None,
            gx if ctx.plan.to_input else None,
            torch.from_numpy(gM0),
            gW.t(),
            None if b is None else gb,
            geta.t().sum_to_size(eta.shape),
            glam.t().sum_to_size(lam.shape),
        )


def _forward(plan, return_states, chunk, arrays):
    """h [B, T, n], M_T [B, d, n], M at every step where asked; M every `chunk` steps."""
    x, M0, W, b, eta, lam = arrays
    (B, T, d), n = x.shape, len(b)
    h, MT = np.empty((B, T, n), x.dtype), np.empty((B, d, n), x.dtype)
    states = np.empty((B, T if return_states else 0, d, n), x.dtype)
    kept = np.empty((B, max(T - 1, 0) // chunk if chunk else 0, d, n), x.dtype)
    arguments = (plan.how, chunk, x, W, b, eta, lam, M0, h, MT, kept, states)
    _run(plan.kernels.forward, B, B * T * n * d, *arguments)
    return torch.from_numpy(h), torch.from_numpy(MT), torch.from_numpy(states), kept


def _arrays(x, M0, W, b, eta, lam) -> tuple[np.ndarray, ...]:
    """The arguments as the kernels read them: x, M0 [B, d, n], W [d, n], b, eta and lam."""
    n = W.shape[0]

    def by_neuron(a: Tensor) -> np.ndarray:  # [1, n], or [d, n] where it differs between inputs
        return _array(a.expand(n, a.shape[-1] if a.dim() else 1).t())

    x_ = _array(x)
    b_ = np.zeros(n, x_.dtype) if b is None else _array(b)
    return x_, _array(M0), _array(W.t()), b_, by_neuron(eta), by_neuron(lam)


def _array(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _run(kernel: Callable, cuts: int, work: int, *arguments) -> None:
    """Run a kernel over its cuts, on torch's number of threads where that is worth it.

    A result never depends on the number of threads: the cuts are the same, and none shares a sum.
    """
    threads = max(1, min(torch.get_num_threads(), cuts, work // _THREAD_WORTH))
    others = [_threads().submit(kernel, k, threads, *arguments) for k in range(1, threads)]
    kernel(0, threads, *arguments)
    for other in others:
        other.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="mpn_lab")
    return _pool


def _forget_threads() -> None:
    global _pool
    _pool = None  # a forked child inherits none of them


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_threads)


def _loop_gradients(options, tensors, gh, gMT, gstates):
    """The gradients by way of the loop, in a graph of their own."""
    x, M0, *parameters = tensors
    outputs = mpn_loop(x, M0.transpose(1, 2), *parameters, **options, return_states=True)
    h, MT, states = outputs[0], outputs[1].transpose(1, 2), outputs[2].transpose(2, 3)
    pairs = [(o, g) for o, g in ((h, gh), (MT, gMT), (states, gstates)) if g is not None]
    wanted = [t for t in tensors if t is not None and t.requires_grad]
    found = iter(
        torch.autograd.grad(
            [o for o, _ in pairs],
            wanted,
            [g for _, g in pairs],
            create_graph=True,
            materialize_grads=True,
        )
    )
    return [next(found) if t is not None and t.requires_grad else None for t in tensors]


def _plan(options: dict[str, Any], gradients: bool, tensors: tuple) -> _Plan | None:
    """The kernels for this case, compiled the first time; None where that failed."""
    global _loop_only
    x, *_, eta, lam = tensors
    by_input = [a.dim() > 0 and a.shape[-1] > 1 for a in (eta, lam)]
    case = (x.dtype, *options.values(), *by_input, gradients, x.requires_grad)
    if case not in _plans:
        word = "mpn_lab: compiling the MPN's kernels, some seconds, once per installation"
        patience = threading.Timer(1.5, print, (word,), {"file": sys.stderr})  # cached: no word
        patience.daemon = True
        patience.start()
        try:
            _plans[case] = _compile(options, gradients, x, by_input)
        except Exception as error:
            _loop_only = True
            warnings.warn(
                "The MPN runs its plain loop, which is many times slower, because its kernels do "
                f"not compile: {type(error).__name__}: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
        finally:
            patience.cancel()
    return _plans.get(case)


def _compile(options: dict[str, Any], gradients: bool, x: Tensor, by_input: list[bool]) -> _Plan:
    from mpn_lab.networks import kernels  # imports numba, so as late as this

    def switch(on: bool) -> tuple:
        return kernels.ON if on else kernels.OFF

    how = kernels.Equations(
        pre_is_input=switch(options["update"] != "postsynaptic"),
        post_is_output=switch(options["update"] != "presynaptic"),
        additive=switch(options["modulation"] == "additive"),
        relu=switch(options["activation"] == "relu"),
        eta_by_input=switch(by_input[0]),
        lam_by_input=switch(by_input[1]),
        bounded=switch(options["bound"] is not None),
        bound=float(options["bound"] or 0),
    )
    to_input = switch(x.requires_grad)
    # glibc hands a freed block back to the system, and asks for it again page by page, until it has
    # once seen one as large as this: measured, up to half of the time of a training step
    torch.empty(31 * 2**20, dtype=torch.uint8)
    # numba compiles at the first call for these types: one on empty arrays, which does nothing
    a1, a2, a3, a4 = (x.detach().new_empty((0,) * k + (1,)).numpy() for k in range(4))
    kernels.forward(0, 1, how, 0, a3, a2, a1, a2, a2, a3, a3, a3, a4, a4)
    if gradients:
        inputs, outputs = (a3, a2, a2, a2, a3, a3, a4, a3, a3, a4), (a4, a3, a2, a3, a3, a3)
        kernels.backward(0, 1, how, to_input, 1, *inputs, *outputs)
    return _Plan(kernels, how, to_input, options)
