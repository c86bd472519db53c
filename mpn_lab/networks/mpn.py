"""The Multi-Plasticity Network layer, with the interface of `nn.GRU(batch_first=True)`."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mpn_lab.checks import check_bool, check_choice, check_device, check_number
from mpn_lab.networks.autograd import mpn_compiled
from mpn_lab.networks.recurrence import (
    Activation,
    Modulation,
    Update,
    hebbian_update,
    mpn_loop,
)
from mpn_lab.networks.registry import check_input, check_sizes, describe, register_core

SHORT_TRIAL = 40
"""Steps of a trial up to which the default time constants are those of a short task."""

PlasticityShape = Literal["scalar", "input", "hidden", "synapse"]


class MPN(nn.Module):
    """One layer whose input weights W are modulated by a fast Hebbian matrix M.

        h_t = phi([W * (1 + M_{t-1})] x_t + b)      (multiplicative)
        M_t = lam M_{t-1} + eta h_t x_t^T           (associative)

    `output, state = core(input, state=None)` takes input [B, T, d] and gives h [B, T, n] and the
    last M [B, n, d]. Without a state a sequence starts at M_0 = 0 (or at the trained M_0). With
    `return_states=True` it also returns M_t after every step, [B, T, n, d].

    `backend` names the path of the last call: "compiled", the numba kernels (float32 and float64 on
    the CPU), or "loop", the same equations in plain PyTorch; None before the first call.

    Source: Aitken & Mihalas, eLife 2023;12:e83035, equations 1 to 3; the additive modulation is
    HebbFF's (Tyulmankov et al., Neuron 2022).

    Args:
        input_size: d.
        hidden_size: n.
        update: what M gains in a step: `associative` eta h x^T; `presynaptic` (the paper's MPNpre)
            eta 1 x^T / sqrt(n); `postsynaptic` eta h 1^T / sqrt(d).
        modulation: `multiplicative` W * (1 + M) or `additive` W + M.
        activation: phi.
        bias: whether b is trained; without it b = 0.
        bound: |M_ij| is clipped to this after each update; None: not clipped.
        eta_init: the start value of eta, or "uniform": drawn from U[-sqrt 3, sqrt 3], as the
            paper does. An eta drawn near 0 hardly moves: such a network has no memory.
        eta_shape, lam_shape: one value for all (`scalar`), one per input unit [d], per hidden
            unit [n, 1] or per synapse [n, d].
        lam_init: the start value of lam; None: lam_max, as in the paper.
        lam_max: lam is clamped to [0, lam_max].
        train_M0: whether M_0 [n, d] is trained (it starts at 0).
        generator: draws the start values; None: torch's global one.

    Raises:
        ValueError: a size below 1, an unknown choice, or a start value outside its range.
    """

    state_dims = {"M": ("hidden", "input")}  # noqa: RUF012

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update: Update = "associative",
        modulation: Modulation = "multiplicative",
        activation: Activation = "tanh",
        bias: bool = True,
        bound: float | None = None,
        eta_init: float | Literal["uniform"] = 1.0,
        eta_shape: PlasticityShape = "scalar",
        lam_init: float | None = None,
        lam_shape: PlasticityShape = "scalar",
        lam_max: float = 0.99,
        train_M0: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("update", update, Update)
        check_choice("modulation", modulation, Modulation)
        check_choice("activation", activation, Activation)
        check_choice("eta_shape", eta_shape, PlasticityShape)
        check_choice("lam_shape", lam_shape, PlasticityShape)
        input_size, hidden_size = check_sizes(input_size, hidden_size, generator)
        check_bool("bias", bias)
        check_bool("train_M0", train_M0)
        lam_max = check_number("lam_max", lam_max, 0)
        if lam_init is not None:
            lam_init = check_number("lam_init", lam_init, 0, lam_max)
        if bound is not None:
            bound = check_number("bound", bound, 0, above=True)
        if eta_init != "uniform":
            eta_init = check_number("eta_init", eta_init)
        if device is not None:
            check_device(device)
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ValueError(f"dtype is {dtype!r}; expected one such as torch.float32.")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.update, self.modulation, self.activation = update, modulation, activation
        self.bound, self.lam_max = bound, lam_max
        self.backend: Literal["compiled", "loop"] | None = None

        shapes = {"scalar": (), "input": (input_size,), "hidden": (hidden_size, 1)}
        shapes["synapse"] = (hidden_size, input_size)
        W = torch.empty(hidden_size, input_size, dtype=dtype)
        nn.init.xavier_uniform_(W, generator=generator)
        eta = torch.empty(shapes[eta_shape], dtype=dtype)
        if eta_init == "uniform":
            eta.uniform_(-math.sqrt(3), math.sqrt(3), generator=generator)
        else:
            eta.fill_(eta_init)
        lam = torch.full(shapes[lam_shape], lam_max if lam_init is None else lam_init, dtype=dtype)
        self.W = nn.Parameter(W.to(device))
        self.b = (
            nn.Parameter(torch.zeros(hidden_size, dtype=dtype, device=device)) if bias else None
        )
        self.eta = nn.Parameter(eta.to(device))
        self.lam = nn.Parameter(lam.to(device))
        self.M0 = (
            nn.Parameter(torch.zeros(hidden_size, input_size, dtype=dtype, device=device))
            if train_M0
            else None
        )

    def initial_state(self, batch_size: int) -> Float[Tensor, "B n d"]:
        """M_0 of `batch_size` sequences: zero, or the trained M_0."""
        if self.M0 is not None:
            return self.M0.expand(batch_size, -1, -1)
        return self.W.new_zeros(self.hidden_size, self.input_size).expand(batch_size, -1, -1)

    def forward(
        self,
        input: Float[Tensor, "B T d"],
        state: Float[Tensor, "_ n d"] | None = None,
        return_states: bool = False,
    ):
        """Run a batch of sequences, as the class describes.

        nan in the input gives nan from there on, as in nn.GRU.

        Raises:
            ValueError: a wrong shape, or another dtype than that of the weights.
        """
        check_input(input, self.input_size, self.W)
        M_shape = (input.shape[0], self.hidden_size, self.input_size)
        if state is None:
            state = self.initial_state(input.shape[0])
        elif not isinstance(state, Tensor) or (state.shape, state.dtype) != (M_shape, input.dtype):
            raise ValueError(f"state is {describe(state)}; expected M of {M_shape}, {input.dtype}.")
        arguments = self._arguments(input, state)
        options = self._options() | {"return_states": return_states}
        result = mpn_compiled(*arguments, **options)
        self.backend = "loop" if result is None else "compiled"
        output, M, states = mpn_loop(*arguments, **options) if result is None else result
        return (output, M, states) if return_states else (output, M)

    def state_node(
        self, input: Float[Tensor, "B T d"], state: Float[Tensor, "B n d"]
    ) -> tuple[Float[Tensor, "B T n"], Float[Tensor, "B T n d"]] | None:
        """Return the output and a node whose gradient is that of M before each step.

        The backward kernel has these gradients at hand; None where the kernels do not run.
        """
        node = self.W.new_zeros(1).expand(*input.shape[:2], *self.W.shape).requires_grad_()
        result = mpn_compiled(*self._arguments(input, state), **self._options(), node=node)
        return None if result is None else (result[0], node)

    def _arguments(self, input: Tensor, state: Tensor) -> tuple[Any, ...]:
        lam = self.lam.clamp(0.0, self.lam_max)
        return input, state, self.W, self.b, self.eta, lam

    def _options(self) -> dict[str, Any]:
        names = ("update", "modulation", "activation", "bound")
        return {name: getattr(self, name) for name in names}

    def state_after(
        self,
        state: Float[Tensor, "B n d"],
        input: Float[Tensor, "B d"],
        output: Float[Tensor, "B n"],
    ) -> Float[Tensor, "B n d"]:
        """Return M after a step in which the output was this one, as when h is edited."""
        lam = self.lam.clamp(0.0, self.lam_max)
        return hebbian_update(state, input, output, self.eta, lam, self.update, self.bound)

    @torch.no_grad()
    def project_(self) -> None:
        """Clamp the parameter lam to [0, lam_max]; to be called after every optimizer step.

        The clamp in `forward` has no gradient outside the range: a lam that an optimizer step
        carried past the edge would never come back.
        """
        self.lam.clamp_(0.0, self.lam_max)

    @classmethod
    def horizon_options(cls, steps: float | int) -> dict[str, float]:
        """lam_max by the mean length of the trials: M lasts over the same share of each.

        0.99 for trials of up to `SHORT_TRIAL` steps; see ai_docs/long_trials.md for the evidence.
        """
        return {"lam_max": 1 - 0.01 * min(1.0, SHORT_TRIAL / steps)}

    def metrics(self) -> dict[str, float]:
        """Means of eta and lam."""
        return {"eta": self.eta.mean().item(), "lam": self.lam.mean().item()}

    def equations(self) -> dict[str, str]:
        """The choices that say which equations these are."""
        return {name: getattr(self, name) for name in ("update", "modulation", "activation")}

    def weights(self) -> dict[str, tuple[tuple[str, ...], Tensor]]:
        """W, b, eta, lam and M0 with the names of their dimensions."""
        result: dict[str, tuple[tuple[str, ...], Tensor]] = {"W": (("hidden", "input"), self.W)}
        if self.b is not None:
            result["b"] = (("hidden",), self.b)
        if self.M0 is not None:
            result["M0"] = (("hidden", "input"), self.M0)
        for name, value in (("eta", self.eta), ("lam", self.lam.clamp(0, self.lam_max))):
            by_hidden = value.dim() == 2 and value.shape[1] == 1  # (n, 1)
            dims = ("hidden",) if by_hidden else ("hidden", "input")[2 - value.dim() :]
            result[name] = (dims, value.squeeze(1) if by_hidden else value)
        return result

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, update={self.update}, "
            f"modulation={self.modulation}, activation={self.activation}, "
            f"bound={self.bound}, lam_max={self.lam_max}"
        )


register_core("mpn", MPN)
