"""Which path an MPN runs, the plain loop or the compiled kernels, and the kernels' gradients."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mpn_lab.networks.recurrence import Activation, Modulation, Update, mpn_loop

_GROUPS = 8  # the samples' gradients are added up in so many groups, on however many threads
_CHUNK_BYTES = 512 * 1024  # of M recomputed at a time, one block of neurons: fits the L2 cache
_THREAD_WORTH = 200_000  # synapses times steps; handing over to a thread costs about 20 us

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


def kernels_work() -> bool:
    """Whether an MPN may run the compiled kernels: numba is found, and they have not failed."""
    try:
        return not _loop_only and importlib.util.find_spec("numba") is not None
    except ImportError:
        return False


def mpn_compiled(
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
    node: Float[Tensor, "B T n d"] | None = None,
) -> tuple[Float[Tensor, "B T n"], Float[Tensor, "B n d"], Float[Tensor, "B T n d"] | None] | None:
    """Run `mpn_loop` by the compiled kernels: same arguments and results, or None for not this way.

    `node` stands for a change of M before each step: it is not read, but receives its gradient.

    The kernels take float32 and float64 on the CPU, outside of torch.compile and torch.func, if
    numba is installed. The first call compiles: some seconds, once per installation.
    """
    tensors = (input, M.transpose(1, 2), W, b, eta, lam)
    if _loop_only or not _covered(tensors):
        return None
    options = {"update": update, "modulation": modulation, "activation": activation, "bound": bound}
    try:
        kernels = _kernels()
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
            to_M = None if node is None else node.transpose(2, 3)
            h, MT, states = _MPN.apply(kernels, options, return_states, to_M, *tensors)
        else:
            h, MT, states, _ = _forward(kernels, options, return_states, 0, _arrays(*tensors))
    except Exception as error:
        _run_the_loop_from_now_on(error)
        return None
    return h, MT.transpose(1, 2), states.transpose(2, 3) if return_states else None


def _covered(tensors: tuple[Tensor | None, ...]) -> bool:
    dtypes = {t.dtype for t in tensors if t is not None}
    return (
        (dtypes == {torch.float32} or dtypes == {torch.float64})
        and all(t is None or t.is_cpu for t in tensors)
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


@functools.cache
def _kernels() -> ModuleType:
    """The compiled kernels. numba takes a while to import, so as late as this."""
    try:
        import numba.core.event as numba_event
    except ImportError as error:
        raise ImportError("numba is missing; `pip install numba` brings it") from error
    from mpn_lab.networks import kernels

    class Notice(numba_event.Listener):
        """Says once that the kernels are being compiled; hears nothing if the cache has them."""

        said = False

        def on_start(self, event) -> None:
            if event.data["dispatcher"].py_func.__module__ == kernels.__name__ and not self.said:
                self.said = True
                print(
                    "mpn_lab: compiling the MPN's kernels, some seconds, once per installation",
                    file=sys.stderr,
                )

        def on_end(self, event) -> None:
            pass

    numba_event.register("numba:compile", Notice())
    return kernels


def _run_the_loop_from_now_on(error: Exception) -> None:
    global _loop_only
    _loop_only = True
    warnings.warn(
        "The MPN runs its plain loop, which is many times slower, because its compiled kernels "
        f"failed: {type(error).__name__}: {error}",
        RuntimeWarning,
        stacklevel=4,
    )


class _MPN(torch.autograd.Function):
    """The kernels as a differentiable function. M lies as [B, d, n] here, as it does in them."""

    @staticmethod
    def forward(ctx, kernels, options, return_states, node, *tensors):
        x, _, W, *_ = tensors
        T, (n, d) = x.shape[1], W.shape
        # sqrt(T) steps take the least memory; more save time as long as the cache holds them
        step_bytes = d * kernels.block_width(n) * x.element_size()
        chunks = -(-T // max(math.isqrt(T), _CHUNK_BYTES // step_bytes, 1))
        ctx.chunk = -(-T // max(chunks, 1)) or 1
        arrays = _arrays(*tensors)
        results = _forward(kernels, options, return_states, ctx.chunk, arrays)
        h, MT, states, ctx.checkpoints = results
        ctx.save_for_backward(*tensors, h)
        ctx.set_materialize_grads(False)
        ctx.kernels, ctx.options, ctx.arrays = kernels, options, arrays
        return h, MT, states

    @staticmethod
    def backward(ctx, gh, gMT, gstates):
        *tensors, h = ctx.saved_tensors
        if torch.is_grad_enabled():  # these gradients will be differentiated in turn
            _refuse_node(ctx)
            return None, None, None, None, *_loop_gradients(ctx.options, tensors, gh, gMT, gstates)
        outside = gh, gMT, gstates
        x, _, W, b, eta, lam = tensors
        x_, M0_, W_, b_, eta_, lam_ = ctx.arrays
        (B, T, d), n, dtype = x.shape, W.shape[0], x_.dtype
        gh = np.zeros((B, T, n), dtype) if gh is None else _array(gh)
        gMT = np.empty((0, d, n), dtype) if gMT is None else _array(gMT)
        gstates = np.empty((B, 0, d, n), dtype) if gstates is None else _array(gstates)

        width = ctx.kernels.block_width(n)
        groups, blocks = min(B, _GROUPS), -(-n // width)
        parts = [np.empty((groups, *a.shape), dtype) for a in (W_, b_, eta_, lam_)]
        gx = np.empty((blocks if ctx.needs_input_grad[4] else 0, B, T, d), dtype)
        gM0 = np.empty((B if ctx.needs_input_grad[5] else 0, d, n), dtype)
        gM = np.empty((B, T if ctx.needs_input_grad[3] else 0, d, n), dtype)
        inputs = (x_, W_, eta_, lam_, M0_, _array(h), ctx.checkpoints, gh, gMT, gstates)
        case = (_equations(ctx.kernels, ctx.options), width, ctx.chunk)
        outputs = (gx, *parts, gM0, gM)
        try:
            _run(ctx.kernels.backward, groups * blocks, B * T * n * d, *case, *inputs, *outputs)
        except Exception as error:  # it is compiled at its first call, which may fail
            _refuse_node(ctx)
            _run_the_loop_from_now_on(error)
            with torch.enable_grad():
                gradients = _loop_gradients(ctx.options, tensors, *outside)
            return None, None, None, None, *gradients
        with np.errstate(all="ignore"):  # infinity - infinity is NaN in torch without a word
            to_x, gW, gb, geta, glam = (torch.from_numpy(a.sum(0)) for a in (gx, *parts))
        return (
            *(None, None, None),
            torch.from_numpy(gM) if ctx.needs_input_grad[3] else None,
            to_x if ctx.needs_input_grad[4] else None,
            torch.from_numpy(gM0) if ctx.needs_input_grad[5] else None,
            gW.t(),
            None if b is None else gb,
            geta.t().sum_to_size(eta.shape),
            glam.t().sum_to_size(lam.shape),
        )


def _forward(kernels, options, return_states, chunk, arrays):
    """h [B, T, n], M_T [B, d, n], M at every step where asked; M every `chunk` steps."""
    x, M0, W, b, eta, lam = arrays
    (B, T, d), n = x.shape, len(b)
    h, MT = np.empty((B, T, n), x.dtype), np.empty((B, d, n), x.dtype)
    states = np.empty((B, T if return_states else 0, d, n), x.dtype)
    checkpoints = np.empty((B, max(T - 1, 0) // chunk if chunk else 0, d, n), x.dtype)
    case = (_equations(kernels, options), kernels.block_width(n), chunk)
    outputs = (h, MT, checkpoints, states)
    _run(kernels.forward, B, B * T * n * d, *case, x, W, b, eta, lam, M0, *outputs)
    return torch.from_numpy(h), torch.from_numpy(MT), torch.from_numpy(states), checkpoints


def _equations(kernels, options) -> tuple:
    bound = options["bound"]
    return kernels.Equations(
        pre_is_input=options["update"] != "postsynaptic",
        post_is_output=options["update"] != "presynaptic",
        additive=options["modulation"] == "additive",
        relu=options["activation"] == "relu",
        bound=math.inf if bound is None else float(bound),
    )


def _arrays(x, M0, W, b, eta, lam) -> tuple[np.ndarray, ...]:
    """The arguments as the kernels read them: x, M0 [B, d, n], W [d, n], b, eta and lam."""
    n, x_ = W.shape[0], _array(x)
    b_ = np.zeros(n, x_.dtype) if b is None else _array(b)
    M0 = M0[:1] if M0.stride(0) == 0 else M0  # one start for all samples
    return x_, _array(M0), _array(W.t()), b_, _by_neuron(eta, n), _by_neuron(lam, n)


def _by_neuron(a: Tensor, n: int) -> np.ndarray:
    """[1, n], or [d, n] where it differs between inputs."""
    return _array(a.expand(n, a.shape[-1] if a.dim() else 1).t())


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


def _refuse_node(ctx) -> None:
    """Raise RuntimeError where only the kernels could give the gradients of M at every step."""
    if ctx.needs_input_grad[3]:
        raise RuntimeError("the gradients of M before every step come from the kernels alone")


def _loop_gradients(options, tensors, gh, gMT, gstates):
    """The gradients by way of the loop, in a graph of their own."""
    x, M0, *parameters = tensors
    h, M, states = mpn_loop(x, M0.transpose(1, 2), *parameters, **options, return_states=True)
    assert states is not None  # they were asked for
    MT, states = M.transpose(1, 2), states.transpose(2, 3)
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
