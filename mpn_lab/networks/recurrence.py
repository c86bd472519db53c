"""The MPN's equations as a plain loop over time: the reference that faster code is tested against.

Aitken & Mihalas, eLife 2023;12:e83035, "Methods: Multi-plasticity network".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Update = Literal["associative", "presynaptic", "postsynaptic"]
Modulation = Literal["multiplicative", "additive"]
Activation = Literal["tanh", "relu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


def hebbian_update(
    M: Float[Tensor, "B n d"],
    x: Float[Tensor, "B d"],
    h: Float[Tensor, "B n"],
    eta: Float[Tensor, ...],
    lam: Float[Tensor, ...],
    update: Update = "associative",
    bound: float | None = None,
) -> Float[Tensor, "B n d"]:
    """Return M_t = lam M_{t-1} + eta h_t x_t^T, or its pre- or postsynaptic form."""
    if update == "associative":
        hebb = h.unsqueeze(2) * x.unsqueeze(1)  # h x^T, (B, n, d)
    elif update == "presynaptic":
        hebb = x.unsqueeze(1) / h.shape[1] ** 0.5  # 1 x^T / sqrt(n), (B, 1, d)
    else:
        hebb = h.unsqueeze(2) / x.shape[1] ** 0.5  # h 1^T / sqrt(d), (B, n, 1)
    M = lam * M + eta * hebb  # (B, n, d)
    return M if bound is None else M.clamp(-bound, bound)


def mpn_loop(
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
) -> tuple[Float[Tensor, "B T n"], Float[Tensor, "B n d"], Float[Tensor, "B T n d"] | None]:
    """Run the MPN over a sequence, step by step.

    `eta` and `lam` broadcast against M: shape (), (d,), (n, 1) or (n, d).

    Returns:
        h at every step; M after the last step; M after every step, or None unless `return_states`.
    """
    phi = ACTIVATIONS[activation]
    n, d = W.shape
    output, states = [], []
    for x in input.unbind(dim=1):  # (B, d)
        modulated = W * (1 + M) if modulation == "multiplicative" else W + M  # (B, n, d)
        z = torch.einsum("bnd,bd->bn", modulated, x)  # (B, n), uses M_{t-1}
        h = phi(z if b is None else z + b)  # (B, n)
        M = hebbian_update(M, x, h, eta, lam, update, bound)
        output.append(h)
        if return_states:
            states.append(M)
    if not output:
        empty = input.new_zeros(input.shape[0], 0, n)
        return empty, M, M.new_zeros(M.shape[0], 0, n, d) if return_states else None
    return torch.stack(output, 1), M, torch.stack(states, 1) if return_states else None
