"""GRU, LSTM and RNN as cores (their state has the batch first), and stacks of cores."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mpn_lab.networks.registry import State, check_input, check_sizes, describe, register_core


class _TorchCore(nn.Module):
    """A single layer of torch's recurrent kernels; the batch is the first dimension of its state.

    The weights of each gate are initialised Xavier-uniform, like those of the MPN, and the biases
    uniformly in +-sqrt(6 / n). (With torch's own initial values, +-1 / sqrt(n), the largest
    eigenvalue of the recurrent weights is about 0.58 instead of 1, and a GRU needs 17,000 trials or
    more, instead of 2,300, to learn integration with a delay of 20 steps from whole trials.)

    Source: Aitken & Mihalas, eLife 2023;12:e83035, Methods ("Training"), and the authors' code.
    """

    torch_class: Callable[..., nn.RNNBase]

    def __init__(
        self, input_size: int, hidden_size: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        input_size, hidden_size = check_sizes(input_size, hidden_size, generator, recurrent=4)
        self.input_size, self.hidden_size = input_size, hidden_size
        # On device "meta" no initial values are drawn from torch's global generator.
        rnn = self.torch_class(input_size, hidden_size, batch_first=True, device="meta")
        self.rnn = rnn.to_empty(device="cpu")
        for name, values in self.rnn.named_parameters():
            for gate in values.data.split(hidden_size):  # each gate on its own
                if name.startswith("weight"):
                    nn.init.xavier_uniform_(gate, generator=generator)
                elif name.startswith("bias_ih"):
                    limit = math.sqrt(6 / hidden_size)
                    nn.init.uniform_(gate, -limit, limit, generator=generator)
                else:  # torch adds two biases: one suffices
                    nn.init.zeros_(gate)

    def forward(self, input: Tensor, state: State | None = None, return_states: bool = False):
        self._check(input, "h", state)
        output, last = self.rnn(input, None if state is None else state.unsqueeze(0))
        state = last.squeeze(0)
        return (output, state, output) if return_states else (output, state)  # the state is h

    def _check(self, input: Tensor, name: str, state: Any) -> None:
        check_input(input, self.input_size, self.rnn.weight_ih_l0)
        if not input.shape[1]:
            raise ValueError("input has no steps; expected at least one.")
        expected = (len(input), self.hidden_size)
        fits = isinstance(state, Tensor) and (state.shape, state.dtype) == (expected, input.dtype)
        if state is not None and not fits:
            raise ValueError(
                f"state is {describe(state)}; expected {name} of {expected}, {input.dtype}."
            )


class GRU(_TorchCore):
    """`nn.GRU`, one layer. State and states: h, [B, n] and [B, T, n]."""

    torch_class = nn.GRU
    state_dims = {"h": ("hidden",)}  # noqa: RUF012


class RNN(_TorchCore):
    """`nn.RNN` with tanh, one layer. State and states: h, [B, n] and [B, T, n]."""

    torch_class = nn.RNN
    state_dims = {"h": ("hidden",)}  # noqa: RUF012


class LSTM(_TorchCore):
    """`nn.LSTM`, one layer. State: (h, c), each [B, n]; states: each [B, T, n]."""

    torch_class = nn.LSTM
    state_dims = {"h": ("hidden",), "c": ("hidden",)}  # noqa: RUF012

    def forward(self, input: Tensor, state: State | None = None, return_states: bool = False):
        self._check(input, "h", None)
        if return_states:  # torch returns only the last c: run step by step
            hs, cs = [], []
            for t in range(input.shape[1]):
                _, state = self.forward(input[:, t : t + 1], state)
                hs.append(state[0])
                cs.append(state[1])
            states = torch.stack(hs, 1), torch.stack(cs, 1)  # each (B, T, n)
            return states[0], state, states
        if state is not None:
            if not isinstance(state, tuple) or len(state) != 2:
                raise ValueError(f"state is {describe(state)}; expected (h, c).")
            for name, part in zip("hc", state, strict=True):
                self._check(input, name, part)
            state = tuple(s.unsqueeze(0) for s in state)
        output, (h, c) = self.rnn(input, state)
        return output, (h.squeeze(0), c.squeeze(0))


class Stack(nn.ModuleList):
    """Several cores, each of which receives the output of the one below.

    State and states are tuples with one entry per layer.
    """

    def forward(
        self, input: Tensor, state: tuple[State, ...] | None = None, return_states: bool = False
    ):
        if state is not None and (not isinstance(state, tuple) or len(state) != len(self)):
            raise ValueError(
                f"state is {describe(state)}; expected one for each of {len(self)} layers."
            )
        options, results = {"return_states": True} if return_states else {}, []
        for layer, s in zip(self, state or [None] * len(self), strict=True):
            input, *rest = layer(input, s, **options)  # (B, T, n)
            results.append(rest)
        return input, *zip(*results, strict=True)


for _name, _core in {"gru": GRU, "lstm": LSTM, "rnn": RNN}.items():
    register_core(_name, _core)
