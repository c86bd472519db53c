"""Q-network: input embedding -> recurrent core -> linear readout of one value per action."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import optree
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mpn_lab.checks import MOST, check_bool, check_choice, check_int, check_memory, show
from mpn_lab.networks.mpn import MPN
from mpn_lab.networks.recurrent import Stack
from mpn_lab.networks.registry import (
    Dims,
    State,
    check_input,
    initial_state,
    make_core,
    state_dims,
)

Embedding = Literal["random", "linear", "none"]


class Activity(NamedTuple):
    """The intermediate results of a network at every step."""

    embedded: Tensor  # x, [B, T, d]
    h: Tensor  # of the last layer, [B, T, n]
    states: State  # after every step, [B, T, ...]; M of an MPN is [B, T, n, d]


class Projection(nn.Module):
    """x = W_rand obs + b_rand: random, and fixed unless `trained`.

    If the input of an MPN is zero, h = phi(b) whatever M contains. Many neurogym tasks show exactly
    zero when a response is required; the bias keeps x away from zero there.
    W_rand is Xavier-uniform, b_rand uniform within the same limits.

    Source: Aitken & Mihalas, eLife 2023;12:e83035, Methods ("NeuroGym tasks").
    """

    def __init__(
        self, obs_size: int, embedding_size: int, trained: bool, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        weight, bias = torch.empty(embedding_size, obs_size), torch.empty(embedding_size)
        nn.init.xavier_uniform_(weight, generator=generator)
        limit = (6 / (obs_size + embedding_size)) ** 0.5
        nn.init.uniform_(bias, -limit, limit, generator=generator)
        self.weight = nn.Parameter(weight, requires_grad=trained)
        self.bias = nn.Parameter(bias, requires_grad=trained)

    def forward(self, obs: Float[Tensor, "*B obs"]) -> Float[Tensor, "*B d"]:
        return nn.functional.linear(obs, self.weight, self.bias)


class QNetwork(nn.Module):
    """Computes the value of each action at each step of a trial.

    `q, state = network(obs, state=None)` maps obs [B, T, obs_size] to Q [B, T, n_actions]. With
    `return_states=True` it also returns, as a third value, the `Activity` at every step.

    Args:
        obs_size: number of channels of an observation.
        n_actions: number of actions.
        hidden_size: number n of hidden units.
        core: `mpn`, `gru`, `lstm`, `rnn`, or a name given to `register_core`.
        num_layers: number of layers of the core.
        embedding: `random` (a fixed random projection with a bias), `linear` (a trained one) or
            `none` (the observation itself).
        embedding_size: size d of an embedded observation.
        readout_bias: whether the readout has a bias.
        generator: draws all initial values.
        core_options: options of every layer's core, which checks them; see `MPN` for those of
            `mpn`.

    Raises:
        ValueError: a size is below 1, a choice is unknown, or the core is not registered, does not
            take the options, or breaks the protocol (see `mpn_lab.networks.registry`).
    """

    def __init__(
        self,
        obs_size: int,
        n_actions: int,
        *,
        hidden_size: int = 64,
        core: str = "mpn",
        num_layers: int = 1,
        embedding: Embedding = "random",
        embedding_size: int = 10,
        readout_bias: bool = True,
        generator: torch.Generator | None = None,
        **core_options: Any,
    ) -> None:
        super().__init__()
        sizes = {"obs_size": obs_size, "n_actions": n_actions, "embedding_size": embedding_size}
        sizes |= {"hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in sizes.items():
            check_int(name, size, 1, 100 if name == "num_layers" else MOST)
        check_bool("readout_bias", readout_bias)
        outer = obs_size * embedding_size + hidden_size * n_actions
        check_memory(4 * outer, "the network's embedding and readout", "choose smaller sizes")
        if generator is not None and not isinstance(generator, torch.Generator):
            raise ValueError(
                f"generator is {show(generator)}; expected a torch.Generator, or None."
            )
        self.obs_size, self.n_actions = obs_size, n_actions
        if embedding == "none":
            self.embedding: nn.Module = nn.Identity()
            embedding_size = obs_size
        elif embedding in ("random", "linear"):
            trained = embedding == "linear"
            self.embedding = Projection(obs_size, embedding_size, trained, generator)
        else:
            check_choice("embedding", embedding, Embedding)
        self.input_sizes = [embedding_size, *[hidden_size] * (num_layers - 1)]
        layers = [
            make_core(core, size, hidden_size, generator=generator, **core_options)
            for size in self.input_sizes
        ]
        self.core = layers[0] if num_layers == 1 else Stack(layers)
        # skip_init: nothing is drawn from torch's global generator
        self.readout = nn.utils.skip_init(nn.Linear, hidden_size, n_actions, bias=readout_bias)
        nn.init.xavier_uniform_(self.readout.weight, generator=generator)
        if readout_bias:
            nn.init.zeros_(self.readout.bias)

    def forward(
        self, obs: Float[Tensor, "B T obs"], state: State | None = None, return_states: bool = False
    ):
        """Return Q at every step; see the class.

        Raises:
            ValueError: another shape or dtype than the network's.
        """
        if isinstance(obs, Tensor) and obs.dim() == 3 and obs.shape[2] != self.obs_size:
            raise ValueError(
                f"an observation has {obs.shape[2]} channels; expected {self.obs_size}."
            )
        check_input(obs, self.obs_size, self.readout.weight)
        x = self.embedding(obs)  # (B, T, d)
        if not return_states:
            h, state = self.core(x, state)  # (B, T, n)
            return self.readout(h), state  # (B, T, A)
        h, state, states = self.core(x, state, return_states=True)
        return self.readout(h), state, Activity(x, h, states)

    def step(
        self, obs: Float[Tensor, "B obs"], state: State | None
    ) -> tuple[Float[Tensor, "B A"], State]:
        """Compute one step of a batch of trials; state None: the trials' start."""
        if not isinstance(obs, Tensor) or obs.dim() != 2:
            raise ValueError(f"obs is {show(obs)}; expected a tensor [B, {self.obs_size}].")
        q, state = self(obs.unsqueeze(1), state)
        return q.squeeze(1), state

    @staticmethod
    def select_state(state: State, index: Int[Tensor, " k"]) -> State:
        """Return the states of the trials in `index` (positions in the batch)."""
        return optree.tree_map(lambda s: s[index], state)

    def join_states(self, states: list[State]) -> State:
        """Concatenate the states of several batches, on the device of the weights."""
        return optree.tree_map(lambda *s: torch.cat([p.to(self.device) for p in s]), *states)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.readout.weight.device

    @property
    def layers(self) -> list[nn.Module]:
        """The cores from the first to the last."""
        return list(self.core) if isinstance(self.core, Stack) else [self.core]

    def mpn_layers(self) -> list[MPN]:
        """The MPN layers from the first to the last; empty for other cores."""
        return [layer for layer in self.layers if isinstance(layer, MPN)]

    def initial_state(self, batch_size: int) -> State:
        """Return the state of `batch_size` trials at their start."""
        check_int("batch_size", batch_size, 0)
        inputs = [self.readout.weight.new_zeros(batch_size, 1, size) for size in self.input_sizes]
        states = map(initial_state, self.layers, inputs)
        return tuple(states) if isinstance(self.core, Stack) else next(states)

    def named_states(self, state: State) -> dict[str, tuple[Dims, Tensor]]:
        """Return the tensors of a state (or of `Activity.states`) with names and dimensions.

        From the second layer on, a name has the layer's number as a suffix (`M_2`), and so have its
        dimensions except `hidden`; `input` becomes `hidden_below`. A state `h` has no suffix in the
        last layer, whose h is the network's, but has one in the layers below (`h_1`, `h_2` ...).
        """
        result, last = {}, len(self.layers)
        per_layer = state if isinstance(self.core, Stack) else (state,)
        for k, (layer, own) in enumerate(zip(self.layers, per_layer, strict=True), start=1):
            new = {"hidden": "hidden", "input": "hidden_below" if k > 1 else "input"}
            leaves = zip(state_dims(layer).items(), optree.tree_leaves(own), strict=True)
            for (name, dims), tensor in leaves:
                plain = k == last if name == "h" else k == 1
                dims = tuple(new.get(dim, dim if k == 1 else f"{dim}_{k}") for dim in dims)
                result[name if plain else f"{name}_{k}"] = (dims, tensor)
        return result

    def metrics(self) -> dict[str, float]:
        """Return the metrics that the cores report, as means over layers."""
        each: list[dict[str, float]] = [getattr(layer, "metrics", dict)() for layer in self.layers]
        return {name: sum(m[name] for m in each) / len(each) for name in each[0]}

    def project_(self) -> None:
        """Project parameters into their valid range; called after every optimizer step."""
        for layer in self.layers:
            getattr(layer, "project_", dict)()
