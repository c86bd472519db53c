"""The MPN forward and backward through time: the equations of `recurrence.py`, compiled.

Within a step no neuron depends on another: row j of M depends on the input and on its own h_j
only. So one sample and one block of neurons run through all of time with their piece of M in the
cache. Arrays of synapses lie as [d, n], neurons last: the innermost loops run over neighbours in
memory, so that LLVM vectorises them. eta and lam come as [1, n] (the same for all inputs of a
neuron) or as [d, n]. `Equations` says at run time which MPN it is, so that there is one variant
of each function per dtype.

`no_type_check` keeps jaxtyping's import hook from wrapping what numba compiles. Imports numba:
import it late.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np

try:
    from mpn_lab.networks import kernel_cache
except (ImportError, AttributeError):  # a numba whose cache is made otherwise: compiles each time
    kernel_cache = None  # type: ignore[assignment]

VECTOR = 16  # numbers: a row of a block is a multiple of this, or its end runs one by one
BLOCK = 128  # neurons at most: several arrays of d rows have to share the cache


class Equations(NamedTuple):
    """Which MPN: M_t = clip(lam M_{t-1} + eta post pre^T)."""

    pre_is_input: bool  # pre = x_t; otherwise the constant 1/sqrt(d)
    post_is_output: bool  # post = h_t; otherwise the constant 1/sqrt(n)
    additive: bool  # z = (W + M) x + b; otherwise [W * (1 + M)] x + b
    relu: bool  # phi; otherwise tanh
    bound: float  # of |M|; infinite where there is none


def compiled(function):
    """`numba.njit`, with a cache on disk where there is a private folder for it."""
    options: dict[str, Any] = {
        "error_model": "numpy",
        "fastmath": {"contract", "reassoc"},
        "nogil": True,
    }
    dispatcher = numba.njit(**options)(function)
    if kernel_cache is not None and dispatcher is not function:  # as NUMBA_DISABLE_JIT makes it
        with contextlib.suppress(OSError, RuntimeError):  # no home, a full disk, a foreign folder
            dispatcher._cache = kernel_cache.KernelCache(function)  # as its `enable_caching` does
    return dispatcher


def block_width(n: int) -> int:
    """How many neurons share a block: equal parts of n, padded to whole vectors."""
    blocks = -(-n // BLOCK)
    return -(-n // (blocks * VECTOR)) * VECTOR


@compiled
@no_type_check
def _copy(source, target):
    """Copy a row, as far as both go: a block may stick out over the last neuron."""
    for j in range(min(len(source), len(target))):
        target[j] = source[j]


@compiled
@no_type_check
def _read(array, lo, block):
    """Copy the columns of array[rows, n] from lo on into a block of them."""
    for i in range(len(array)):
        _copy(array[i, lo:], block[i])


@compiled
@no_type_check
def _write(block, lo, array):
    """Copy a block back into the columns of array[rows, n] from lo on."""
    for i in range(len(array)):
        _copy(block[i], array[i, lo:])


@compiled
@no_type_check
def _row(array, i):
    """Row i of [d, n], or the only row of [1, n]."""
    return array[min(i, len(array) - 1)]


@compiled
@no_type_check
def _activate(z, relu):
    """z <- phi(z), tanh to a few units of rounding.

    tanh(z / 16) by its [7/6] Pade approximant P / Q, then four times
    tanh(2y) = 2 tanh(y) / (1 + tanh(y)^2). From 20 on tanh is 1, in float64 too.
    """
    real = z.dtype.type
    for j in range(len(z)):
        if relu:
            z[j] = real(0) if z[j] < 0 else z[j]
        else:
            y = min(max(z[j], real(-20)), real(20)) * real(1 / 16)
            s = y * y
            P = y * (real(1) + s * (real(5 / 39) + s * (real(2 / 715) + s * real(1 / 135135))))
            Q = real(1) + s * (real(6 / 13) + s * (real(10 / 429) + s * real(4 / 19305)))
            for _ in range(4):
                P, Q = (P + P) * Q, P * P + Q * Q
            z[j] = P / Q


@compiled
@no_type_check
def _step(M, W, lam, gain, pre, x, bound, additive, z):
    """M <- clip(lam M + gain pre^T), and in the same pass z <- z + [W * (1 + M)] x.

    For one lam and one gain per neuron: with rows for all inputs it takes a third longer.
    """
    bounded = bound < math.inf
    for i in range(len(x)):
        M_i, W_i, pre_i, x_i = M[i], W[i], pre[i], x[i]
        for j in range(len(z)):
            u = lam[j] * M_i[j] + gain[j] * pre_i
            if bounded:
                u = min(max(u, -bound), bound)
            M_i[j] = u
            z[j] += (W_i[j] + (u if additive else W_i[j] * u)) * x_i


@compiled
@no_type_check
def _update(M, new, lam, gain, pre, bound):
    """new <- clip(lam M + gain pre^T)."""
    bounded = bound < math.inf
    for i in range(len(pre)):
        M_i, new_i, lam_i, gain_i = M[i], new[i], _row(lam, i), _row(gain, i)
        pre_i = pre[i]
        for j in range(len(M_i)):
            u = lam_i[j] * M_i[j] + gain_i[j] * pre_i
            if bounded:
                u = min(max(u, -bound), bound)
            new_i[j] = u


@compiled
@no_type_check
def _at(array, s, t):
    """Step t of sample s in [B, T, d], or the only one in [1, 1, d]."""
    return array[min(s, array.shape[0] - 1), min(t, array.shape[1] - 1)]


@compiled
@no_type_check
def _gain(eta, post, gain):
    """gain <- eta post."""
    for r in range(len(eta)):
        eta_r, gain_r = eta[r], gain[r]
        for j in range(len(post)):
            gain_r[j] = eta_r[j] * post[j]


@compiled
@no_type_check
def forward(first, stride, mpn, width, chunk, x, W, b, eta, lam, M0, h, MT, checkpoints, states):
    """Samples first, first + stride, ... through time; the last four arrays are written.

    x [B, T, d]; W [d, n]; b [n]; eta, lam; M0 [B, d, n] -> h [B, T, n]; MT [B, d, n];
    checkpoints [B, .., d, n]: M before steps chunk, 2 chunk, ... (chunk 0: none);
    states [B, T, d, n]: M after every step ([B, 0, d, n]: not wanted).
    """
    (B, T, d), n, kind, real = x.shape, len(b), x.dtype, x.dtype.type
    W_, M = np.zeros((d, width), kind), np.zeros((d, width), kind)
    eta_, lam_ = np.zeros((len(eta), width), kind), np.zeros((len(lam), width), kind)
    b_, z, gain = np.zeros(width, kind), np.zeros(width, kind), np.zeros_like(eta_)
    one, zero = np.ones(width, kind), np.zeros(d, kind)
    post = z if mpn.post_is_output else np.full(width, 1 / math.sqrt(n), kind)
    pre = x if mpn.pre_is_input else np.full((1, 1, d), 1 / math.sqrt(d), kind)
    bound, shared = real(mpn.bound), len(eta) == len(lam) == 1
    for lo in range(0, n, width):
        _read(W, lo, W_)
        _read(eta, lo, eta_)
        _read(lam, lo, lam_)
        _copy(b[lo:], b_)
        for s in range(first, B, stride):
            _read(M0[min(s, len(M0) - 1)], lo, M)
            for t in range(T):
                _copy(b_, z)
                if shared and t > 0:
                    pre_t = _at(pre, s, t - 1)
                    _step(M, W_, lam_[0], gain[0], pre_t, x[s, t], bound, mpn.additive, z)
                else:
                    if t > 0:
                        _update(M, M, lam_, gain, _at(pre, s, t - 1), bound)
                    _step(M, W_, one, one, zero, x[s, t], real(math.inf), mpn.additive, z)
                if t > 0 and states.shape[1] > 0:
                    _write(M, lo, states[s, t - 1])
                if chunk > 0 and t > 0 and t % chunk == 0:
                    _write(M, lo, checkpoints[s, t // chunk - 1])
                _activate(z, mpn.relu)  # h_t
                _copy(z, h[s, t, lo:])
                _gain(eta_, post, gain)
            if T > 0:
                _update(M, M, lam_, gain, _at(pre, s, T - 1), bound)
                if states.shape[1] > 0:
                    _write(M, lo, states[s, T - 1])
            _write(M, lo, MT[s])


@compiled
@no_type_check
def _add(source, target):
    """target += source, as far as both go."""
    for j in range(min(len(source), len(target))):
        target[j] += source[j]


@compiled
@no_type_check
def _stop(M, lam, gain, pre, bound, G):
    """G_t <- 0 where |u_t| > bound: nothing passes through the clip there."""
    for i in range(len(pre)):
        M_i, lam_i, gain_i, G_i, pre_i = M[i], _row(lam, i), _row(gain, i), G[i], pre[i]
        for j in range(len(M_i)):
            u = lam_i[j] * M_i[j] + gain_i[j] * pre_i
            G_i[j] = G_i[j] if abs(u) <= bound else bound - bound


@compiled
@no_type_check
def _to_gain(G, pre, sent):
    """sent <- G_t pre_t, the sum over the inputs that share an eta."""
    for r in range(len(sent)):
        sent_r = sent[r]
        for j in range(len(sent_r)):
            sent_r[j] = 0
    for i in range(len(pre)):
        G_i, sent_i, pre_i = G[i], _row(sent, i), pre[i]
        for j in range(len(G_i)):
            sent_i[j] += G_i[j] * pre_i


@compiled
@no_type_check
def _to_eta(eta, sent, post, geta, dh, post_is_output):
    """geta += G_t * post_t pre_t^T, and dh_t += (eta * G_t) pre_t where post is h."""
    for r in range(len(eta)):
        eta_r, sent_r, geta_r = eta[r], sent[r], geta[r]
        for j in range(len(post)):
            geta_r[j] += sent_r[j] * post[j]
            if post_is_output:
                dh[j] += eta_r[j] * sent_r[j]


@compiled
@no_type_check
def _to_z(h, relu, dz, gb):
    """dz_t = phi'(z_t) * dh_t, in place, and gb += dz_t."""
    one = h.dtype.type(1)
    for j in range(len(h)):
        if relu:
            dz[j] = one - one if h[j] <= 0 else dz[j]
        else:
            dz[j] *= one - h[j] * h[j]
        gb[j] += dz[j]


@compiled
@no_type_check
def _to_input(dz, W, M, mpn, gain, G, gx):
    """gx_t = [W * (1 + M_{t-1})]^T dz_t, and (eta * G_t)^T post_t where pre is x."""
    for i in range(len(gx)):
        W_i, M_i, gain_i, G_i, total = W[i], M[i], _row(gain, i), G[i], dz.dtype.type(0)
        for j in range(len(dz)):
            total += dz[j] * (W_i[j] + (M_i[j] if mpn.additive else W_i[j] * M_i[j]))
            if mpn.pre_is_input:
                total += gain_i[j] * G_i[j]
        gx[i] = total


@compiled
@no_type_check
def _decay(G, M, lam, glam):
    """glam += G_t * M_{t-1} and G <- lam G_t, for a lam that differs between inputs."""
    for i in range(len(G)):
        G_i, M_i, lam_i, glam_i = G[i], M[i], lam[i], glam[i]
        for j in range(len(G_i)):
            glam_i[j] += G_i[j] * M_i[j]
            G_i[j] *= lam_i[j]


@compiled
@no_type_check
def _to_previous(dz, x, W, M, lam, additive, gW, glam, G):
    """gW += dz_t x_t^T * (1 + M_{t-1}), and G_{t-1} from G_t. One lam per neuron, as in `_step`."""
    for i in range(len(x)):
        x_i, W_i, M_i, gW_i, G_i = x[i], W[i], M[i], gW[i], G[i]
        for j in range(len(dz)):
            dzx, G_ij, M_ij = dz[j] * x_i, G_i[j], M_i[j]
            gW_i[j] += dzx if additive else dzx + dzx * M_ij
            glam[j] += G_ij * M_ij
            G_i[j] = lam[j] * G_ij + (dzx if additive else dzx * W_i[j])


@compiled
@no_type_check
def backward(
    first, stride, mpn, width, chunk, x, W, eta, lam, M0, h, checkpoints, gh, gMT, gstates,
    gx, gW, gb, geta, glam, gM0, gM,
):  # fmt: skip
    """The gradients of `forward`, from gh [B, T, n], gMT [B, d, n] and gstates [B, T or 0, d, n].

    The work is cut into (block of neurons, group of samples), whatever the number of threads;
    cuts first, first + stride, ... are done here. Each has sums of its own, gW [groups, d, n] and
    so on and gx [blocks, B, T, d] (blocks 0: not wanted), so that all is added up in one order.
    gM0 [B or 0, d, n] and gM [B, T or 0, d, n]: the gradients of M_0 and of M before every step.

    With G_t the gradient of M_t, and u_t = lam M_{t-1} + eta post_t pre_t^T before the bound:

        G_t += gstates_t;  0 where |u_t| > bound   geta += G_t * post_t pre_t^T
        dh_t = gh_t + (eta * G_t) pre_t            glam += G_t * M_{t-1}
        dz_t = phi'(z_t) * dh_t                    gb += dz_t
        gW += dz_t x_t^T * (1 + M_{t-1})           gx_t = [W * (1 + M_{t-1})]^T dz_t
        G_{t-1} = lam G_t + W * dz_t x_t^T                + (eta * G_t)^T post_t

    where the last part of gx_t is there if pre is x, and that of dh_t if post is h.
    """
    (B, T, d), (groups, n), kind, real = x.shape, gb.shape, x.dtype, x.dtype.type
    W_, gW_, G = np.zeros((d, width), kind), np.zeros((d, width), kind), np.zeros((d, width), kind)
    eta_, lam_ = np.zeros((len(eta), width), kind), np.zeros((len(lam), width), kind)
    geta_, glam_, gb_ = np.zeros_like(eta_), np.zeros_like(lam_), np.zeros(width, kind)
    gain, sent = np.zeros_like(eta_), np.zeros_like(eta_)
    # of a chunk of steps: M before each, h and dh, which becomes dz
    M = np.zeros((chunk, d, width), kind)
    h_, dh = np.zeros((chunk, width), kind), np.zeros((chunk, width), kind)
    one, unused, bound = np.ones(width, kind), np.zeros(width, kind), real(mpn.bound)
    post = h_ if mpn.post_is_output else np.full((1, width), 1 / math.sqrt(n), kind)
    pre = x if mpn.pre_is_input else np.full((1, 1, d), 1 / math.sqrt(d), kind)
    for cut in range(first, groups * ((n - 1) // width + 1), stride):
        group, lo = cut % groups, cut // groups * width
        _read(W, lo, W_)
        _read(eta, lo, eta_)
        _read(lam, lo, lam_)
        gW_[:], geta_[:], glam_[:], gb_[:] = 0, 0, 0, 0
        for s in range((group + 1) * B // groups - 1, group * B // groups - 1, -1):
            G[:] = 0
            if len(gMT) > 0:
                _read(gMT[s], lo, G)
            for t in range(T - 1, -1, -1):
                at = t % chunk
                start = t - at
                if t == T - 1 or at == chunk - 1:  # the next chunk: M throughout it, once more
                    _read(h[s, start : t + 1], lo, h_)
                    _read(gh[s, start : t + 1], lo, dh)
                    if start == 0:
                        _read(M0[min(s, len(M0) - 1)], lo, M[0])
                    else:
                        _read(checkpoints[s, start // chunk - 1], lo, M[0])
                    for k in range(at):
                        _gain(eta_, _row(post, k), gain)
                        _update(M[k], M[k + 1], lam_, gain, _at(pre, s, start + k), bound)
                x_t, pre_t, post_t = x[s, t], _at(pre, s, t), _row(post, at)
                M_t, h_t, dz = M[at], h_[at], dh[at]
                if bound < math.inf or len(gx) > 0:
                    _gain(eta_, post_t, gain)

                if gstates.shape[1] > 0:
                    for i in range(d):
                        _add(gstates[s, t, i, lo:], G[i])
                if bound < math.inf:
                    _stop(M_t, lam_, gain, pre_t, bound, G)
                _to_gain(G, pre_t, sent)
                _to_eta(eta_, sent, post_t, geta_, dz, mpn.post_is_output)
                _to_z(h_t, mpn.relu, dz, gb_)
                if len(gx) > 0:
                    gx_t, real_dz = gx[lo // width, s, t], dz[: min(width, n - lo)]
                    _to_input(real_dz, W_, M_t, mpn, gain, G, gx_t)
                if len(lam) == 1:
                    _to_previous(dz, x_t, W_, M_t, lam_[0], mpn.additive, gW_, glam_[0], G)
                else:
                    _decay(G, M_t, lam_, glam_)
                    _to_previous(dz, x_t, W_, M_t, one, mpn.additive, gW_, unused, G)
                if gM.shape[1] > 0:
                    _write(G, lo, gM[s, t])
            if len(gM0) > 0:
                _write(G, lo, gM0[s])
        _write(gW_, lo, gW[group])
        _write(geta_, lo, geta[group])
        _write(glam_, lo, glam[group])
        _copy(gb_, gb[group, lo:])
