"""The MPN forward and backward through time, compiled: the equations of `loop.py`, fused.

Within a step the neurons do not see each other: row j of M depends on the input and on its own h_j
only. So one sample and one block of neurons (the lanes of a vector) run through all of time with
their piece of M in the cache, and arrays of synapses lie as [d, n], neurons last.

eta and lam come as [1, n] (the same for all inputs of a neuron) or [d, n].

`no_type_check` keeps jaxtyping's import hook from wrapping what numba compiles.

Imports numba: import it late.
"""

from __future__ import annotations

import contextlib
import math
import os
from typing import NamedTuple, no_type_check

from numba import njit

from mpn_lab.networks import simd
from mpn_lab.networks.simd import (
    clip,
    expect,
    get,
    lanes,
    load,
    put,
    rows,
    spread,
    store,
    tanh,
    total,
    where,
)

# numba's cache looks at the date of this file only, yet the vectors are compiled in as well
if os.stat(simd.__file__).st_mtime > os.stat(__file__).st_mtime:
    with contextlib.suppress(OSError):
        os.utime(__file__)

AHEAD = 8  # steps between asking for a row of h and writing it: main memory takes so long
compiled = njit(error_model="numpy", nogil=True, cache=True)


ON, OFF = (1,), ()  # a switch: its *type* says which, so the other way is not even compiled
Switch = tuple


class Equations(NamedTuple):
    """Which MPN: M_t = lam M_{t-1} + eta post pre^T."""

    pre_is_input: Switch  # pre = x_t; off: the constant 1/sqrt(d)
    post_is_output: Switch  # post = h_t; off: the constant 1/sqrt(n)
    additive: Switch  # z = (W + M) x + b; off: [W * (1 + M)] x + b
    relu: Switch  # phi; off: tanh
    eta_by_input: Switch  # eta is [d, n]; off: [1, n]
    lam_by_input: Switch
    bounded: Switch  # M_t is clipped to
    bound: float


@compiled
@no_type_check
def _fetch(memory, array, block, at, n, count):
    """Copy one block of neurons of array[..., n], `count` rows from row `at` on, into memory."""
    for i in range(count):
        put(memory, i, load(array, (at + i) * n + block, n - block))


@compiled
@no_type_check
def _keep(array, block, at, n, memory, count):
    """Copy the first `count` vectors of memory back into array[..., n], from row `at` on."""
    for i in range(count):
        store(array, (at + i) * n + block, get(memory, i), n - block)


@compiled
@no_type_check
def _update(M, old, new, x_t, h_t, eta, lam, n, how):
    """M_t = lam M_{t-1} + eta post pre^T, clipped: from row `old` of M on to row `new` on."""
    d = len(x_t)
    post = h_t if how.post_is_output else spread(1 / math.sqrt(n), h_t)
    pre, gain = x_t.dtype.type(1 / math.sqrt(d)), get(eta, 0) * post
    for i in range(d):
        if how.pre_is_input:
            pre = x_t[i]
        if how.eta_by_input:
            gain = get(eta, i) * post
        u = get(lam, i if how.lam_by_input else 0) * get(M, old + i) + gain * pre
        put(M, new + i, clip(u, -how.bound, how.bound) if how.bounded else u)


@compiled
@no_type_check
def forward(first, stride, how, chunk, x, W, b, eta, lam, M0, h, MT, kept, states):
    """Samples first, first + stride, ... through time; the last four arrays are written.

    x [B, T, d]; W [d, n]; b [n]; eta, lam; M0 [B, d, n] -> h [B, T, n]; MT [B, d, n];
    kept [B, .., d, n]: M before steps chunk, 2 chunk, ... (chunk 0: none, nothing to be kept);
    states [B, T, d, n]: M after every step ([B, 0, d, n]: not wanted).
    """
    B, T, d = x.shape
    n = len(b)
    M, W_, eta_, lam_ = rows(d, x), rows(d, x), rows(len(eta), x), rows(len(lam), x)
    for block in range(0, n, lanes(x)):
        _fetch(W_, W, block, 0, n, d)
        _fetch(eta_, eta, block, 0, n, len(eta))
        _fetch(lam_, lam, block, 0, n, len(lam))
        for s in range(first, B, stride):
            _fetch(M, M0, block, s * d, n, d)
            for t in range(T):
                x_t, now = x[s, t], s * T + t
                expect(h, (now + AHEAD) * n + block)
                if chunk > 0 and t > 0 and t % chunk == 0:
                    _keep(kept, block, (s * kept.shape[1] + t // chunk - 1) * d, n, M, d)

                z = load(b, block, n - block)
                for i in range(d):  # z_t = [W * (1 + M_{t-1})] x_t + b, or (W + M_{t-1}) x_t + b
                    W_i, M_i = get(W_, i), get(M, i)
                    z = z + (W_i + (M_i if how.additive else W_i * M_i)) * x_t[i]
                h_t = where(z < 0, spread(0, z), z) if how.relu else tanh(z)  # h_t = phi(z_t)
                _update(M, 0, 0, x_t, h_t, eta_, lam_, n, how)  # M_t

                store(h, now * n + block, h_t, n - block)
                if states.shape[1] > 0:
                    _keep(states, block, now * d, n, M, d)
            _keep(MT, block, s * d, n, M, d)


@compiled
@no_type_check
def backward(
    first, stride, how, to_input, chunk, x, W, eta, lam, M0, h, kept, gh, gMT, gstates,
    gx, gW, gb, geta, glam, gM0,
):  # fmt: skip
    """The gradients of `forward`, from gh [B, T, n], gMT [B, d, n] and gstates [B, T or 0, d, n].

    The work is cut into (block of neurons, group of samples), whatever the number of threads;
    cuts first, first + stride, ... are done here. Each has sums of its own, gW [groups, d, n] and
    so on and gx [blocks, B, T, d] (if `to_input`), so that all is added up in one order only.

    With G_t the gradient of M_t, and u_t = lam M_{t-1} + eta post_t pre_t^T before the bound:

        G_t += gstates_t;  0 where |u_t| > bound   geta += G_t * post_t pre_t^T
        dh_t = gh_t + (eta * G_t) pre_t            glam += G_t * M_{t-1}
        dz_t = phi'(z_t) * dh_t                    gb += dz_t
        gW += dz_t x_t^T * (1 + M_{t-1})           gx_t = [W * (1 + M_{t-1})]^T dz_t
        G_{t-1} = lam G_t + W * dz_t x_t^T                + (eta * G_t)^T post_t

    where the last part of gx_t is there if pre is x, and that of dh_t if post is h.
    """
    (B, T, d), (groups, n) = x.shape, gb.shape
    W_, eta_, lam_ = rows(d, x), rows(len(eta), x), rows(len(lam), x)
    gW_, geta_, glam_ = rows(d, x), rows(len(eta), x), rows(len(lam), x)
    G, M = rows(d, x), rows(chunk * d, x)  # M before each step of a chunk
    zero = spread(0, load(W, 0, 0))
    for cut in range(first, groups * ((n - 1) // lanes(x) + 1), stride):
        group, block = cut % groups, cut // groups * lanes(x)
        _fetch(W_, W, block, 0, n, d)
        _fetch(eta_, eta, block, 0, n, len(eta))
        _fetch(lam_, lam, block, 0, n, len(lam))
        gW_[:], geta_[:], glam_[:], gb_ = 0, 0, 0, zero
        for s in range((group + 1) * B // groups - 1, group * B // groups - 1, -1):
            _fetch(G, gMT, block, s * d, n, d)
            for t in range(T - 1, -1, -1):
                x_t, now = x[s, t], s * T + t
                start, at = t // chunk * chunk, t % chunk * d  # of the chunk; of M_{t-1} in it
                if t == T - 1 or t % chunk == chunk - 1:  # M throughout the chunk, once more
                    if start == 0:
                        _fetch(M, M0, block, s * d, n, d)
                    else:
                        _fetch(M, kept, block, (s * kept.shape[1] + start // chunk - 1) * d, n, d)
                    for k in range(t - start):
                        h_k = load(h, (s * T + start + k) * n + block, n - block)
                        _update(M, k * d, (k + 1) * d, x[s, start + k], h_k, eta_, lam_, n, how)
                expect(h, (now - chunk) * n + block)
                expect(gh, (now - chunk) * n + block)
                h_t = load(h, now * n + block, n - block)
                post = h_t if how.post_is_output else spread(1 / math.sqrt(n), h_t)
                pre, eta_i, sent = x.dtype.type(1 / math.sqrt(d)), get(eta_, 0), zero

                if gstates.shape[1] > 0:
                    for i in range(d):
                        put(G, i, get(G, i) + load(gstates, (now * d + i) * n + block, n - block))
                for i in range(d):  # through M_t = clip(u_t), to h_t and eta
                    if how.pre_is_input:
                        pre = x_t[i]
                    if how.eta_by_input:
                        eta_i = get(eta_, i)
                    G_i = get(G, i)
                    if how.bounded:
                        u = (
                            get(lam_, i if how.lam_by_input else 0) * get(M, at + i)
                            + eta_i * post * pre
                        )
                        G_i = where(u <= how.bound, where(u >= -how.bound, G_i, zero), zero)
                        put(G, i, G_i)
                    sent = sent + (eta_i * G_i if how.eta_by_input else G_i) * pre
                    if how.eta_by_input:
                        put(geta_, i, get(geta_, i) + G_i * post * pre)
                if not how.eta_by_input:  # one eta for all inputs of a neuron comes out of the sum
                    put(geta_, 0, get(geta_, 0) + sent * post)
                    sent = eta_i * sent

                dh = load(gh, now * n + block, n - block)
                if how.post_is_output:
                    dh = dh + sent
                dz = where(h_t <= 0, zero, dh) if how.relu else dh * (1 - h_t * h_t)
                gb_ = gb_ + dz

                decayed = zero
                for i in range(d):  # through z_t to W and x_t; through M_t to lam, x_t and M_{t-1}
                    G_i, M_i, W_i = get(G, i), get(M, at + i), get(W_, i)
                    dzx = dz * x_t[i]
                    put(gW_, i, get(gW_, i) + (dzx if how.additive else dzx + dzx * M_i))
                    if to_input:
                        gx_i = dz * (W_i + (M_i if how.additive else W_i * M_i))
                        if how.pre_is_input:
                            gx_i = gx_i + get(eta_, i if how.eta_by_input else 0) * G_i * post
                        gx[block // lanes(x), s, t, i] = total(gx_i, n - block)
                    if how.lam_by_input:
                        put(glam_, i, get(glam_, i) + G_i * M_i)
                    else:
                        decayed = decayed + G_i * M_i
                    lam_i = get(lam_, i if how.lam_by_input else 0)
                    put(G, i, lam_i * G_i + (dzx if how.additive else dzx * W_i))
                if not how.lam_by_input:
                    put(glam_, 0, get(glam_, 0) + decayed)
            _keep(gM0, block, s * d, n, G, d)
        _keep(gW, block, group * d, n, gW_, d)
        _keep(geta, block, group * len(eta), n, geta_, len(eta))
        _keep(glam, block, group * len(lam), n, glam_, len(lam))
        store(gb, group * n + block, gb_, n - block)
