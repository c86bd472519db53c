"""The networks, the optimizer and one update."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from mpn_lab.loading import ArraySpec, check_arrays, check_integer
from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.replay.trials import TrialBatch
from mpn_lab.training.config import NetworkConfig, SupervisedConfig, TrainConfig
from mpn_lab.training.device import training_defaults
from mpn_lab.training.loss import compute_td_loss_trial


class NonFiniteLoss(RuntimeError):
    """Raised if the loss is nan or infinite, so that training cannot continue."""


@training_defaults()
def make_network(config: NetworkConfig, obs_size: int, n_actions: int) -> QNetwork:
    """Create the network of a configuration, with initial weights drawn from its seed."""
    return QNetwork(
        obs_size,
        n_actions,
        hidden_size=config.hidden_size,
        core=config.core,
        num_layers=config.num_layers,
        embedding=config.embedding,
        embedding_size=config.embedding_size,
        readout_bias=config.readout_bias,
        generator=torch.Generator().manual_seed(config.seed),
        **config.core_options,
    )


class Learner:
    """A network and its optimizer, Adam.

    Args:
        config: the configuration, as `resolve_defaults` returns it.
        obs_size: number of channels of an observation.
        n_actions: number of actions of the task.
        device: device of the network.
    """

    def __init__(
        self,
        config: TrainConfig | SupervisedConfig,
        obs_size: int,
        n_actions: int,
        device: torch.device | str = "cpu",
    ) -> None:
        if config.learning_rate is None:
            raise ValueError("learning_rate is None; `resolve_defaults` fills it in.")
        self.learning_rate, self.max_grad_norm = config.learning_rate, config.max_grad_norm
        self.network = make_network(config, obs_size, n_actions).to(device)
        self.parameters: list[Tensor] = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.learning_rate, fused=True)
        self.updates = 0

    def step(self, loss: Tensor, learning_rate: float) -> float:
        """Take one step of Adam. Returns the loss; raises NonFiniteLoss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLoss(f"the loss is {value} after {self.updates} updates")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.optimizer.step()
        self.network.project_()
        self.updates += 1
        return value

    def state(self) -> dict[str, np.ndarray]:
        """Return all arrays that `load_state` needs to continue exactly from here.

        Adam's moments are there for every parameter: zero, after 0 steps, where it has none yet.
        """
        arrays = network_arrays(self.network)
        for i, parameter in enumerate(self.parameters):
            zeros = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            moments = (
                self.optimizer.state.get(parameter)
                or {"step": torch.zeros((), dtype=torch.float32)} | zeros
            )
            arrays |= {f"adam.{i}.{name}": _array(value) for name, value in moments.items()}
        return arrays

    def expected(self) -> dict[str, ArraySpec | np.ndarray]:
        """Return the names, shapes and dtypes of the arrays that `load_state` accepts."""
        specs: dict[str, ArraySpec | np.ndarray] = dict(network_arrays(self.network))
        for i, parameter in enumerate(self.parameters):
            like = _array(parameter)
            specs |= {f"adam.{i}.exp_avg": like, f"adam.{i}.exp_avg_sq": like}
            specs[f"adam.{i}.step"] = ArraySpec((), np.dtype(np.float32))
        return specs

    def check_state(self, arrays: dict[str, np.ndarray], updates: int) -> None:
        """Raise ValueError unless the arrays and the number of updates fit this learner.

        torch compares no shapes: moments of another shape would be written beyond their end.
        """
        check_arrays(arrays, self.expected())
        check_integer("updates", updates, 0, 2**53)
        for i in range(len(self.parameters)):
            step, squares = arrays[f"adam.{i}.step"].item(), arrays[f"adam.{i}.exp_avg_sq"]
            if not (step.is_integer() and 0 <= step <= updates):
                raise ValueError(f"adam.{i}.step is {step}; expected 0 to {updates} updates")
            moved = arrays[f"adam.{i}.exp_avg"].any() or squares.any()
            if (squares < 0).any() or (step == 0 and moved):
                raise ValueError(f"adam.{i} holds moments that {step:.0f} steps cannot have left")

    def load_state(self, arrays: dict[str, np.ndarray], updates: int) -> None:
        """Restore what `state` returned; ValueError, with nothing changed, if it does not fit."""
        self.check_state(arrays, updates)
        load_arrays(self.network, arrays)
        moments: dict[int, dict[str, Tensor]] = {}
        for i, parameter in enumerate(self.parameters):
            shapes = {"exp_avg": parameter.shape, "exp_avg_sq": parameter.shape, "step": ()}
            if arrays[f"adam.{i}.step"] > 0:  # Adam makes its moments at the first step
                moments[i] = {
                    name: torch.from_numpy(arrays[f"adam.{i}.{name}"].copy()).reshape(shape)
                    for name, shape in shapes.items()
                }
        state = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": moments, "param_groups": state["param_groups"]})
        self.updates = updates


class DQNLearner(Learner):
    """A Q-network, its target network and Adam. The arguments are those of `Learner`."""

    config: TrainConfig

    def __init__(
        self,
        config: TrainConfig,
        obs_size: int,
        n_actions: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(config, obs_size, n_actions, device)
        if config.gamma is None or config.td_lambda is None:
            raise ValueError("gamma or td_lambda is None; `resolve_defaults` fills them in.")
        self.config, self.gamma, self.td_lambda = config, config.gamma, config.td_lambda
        self.target = make_network(config, obs_size, n_actions).to(device).requires_grad_(False)
        trained = [n for n, p in self.network.named_parameters() if p.requires_grad]
        of_target = dict(self.target.named_parameters())
        self.target_parameters: list[Tensor] = [of_target[n] for n in trained]

    def update(self, batch: TrialBatch, learning_rate: float) -> float:
        """Take one step of Adam on the TD loss. Returns the loss; raises NonFiniteLoss."""
        config = self.config
        loss = compute_td_loss_trial(
            self.network,
            self.target,
            batch,
            self.gamma,
            self.td_lambda,
            backprop=config.backprop,
            chunk=config.chunk,
        )
        value = self.step(loss, learning_rate)
        with torch.no_grad():  # target <- (1 - tau) target + tau network
            torch._foreach_lerp_(self.target_parameters, self.parameters, config.tau)
        return value

    def state(self) -> dict[str, np.ndarray]:
        """As in `Learner`, with the target network."""
        return super().state() | network_arrays(self.target, "target")

    def expected(self) -> dict[str, ArraySpec | np.ndarray]:
        """As in `Learner`, with the target network."""
        return super().expected() | network_arrays(self.target, "target")

    def load_state(self, arrays: dict[str, np.ndarray], updates: int) -> None:
        """As in `Learner`, with the target network."""
        super().load_state(arrays, updates)
        load_arrays(self.target, arrays, "target")


def network_arrays(network: nn.Module, prefix: str = "network") -> dict[str, np.ndarray]:
    """Return the weights of a network under their names in a checkpoint."""
    return {f"{prefix}.{name}": _array(value) for name, value in network.state_dict().items()}


def load_arrays(network: nn.Module, arrays: dict[str, np.ndarray], prefix: str = "network") -> None:
    """Load weights from a checkpoint; arrays that do not begin with the prefix are left alone.

    Raises:
        ValueError: names, shapes or dtypes are not those of the network, which is unchanged.
    """
    start = f"{prefix}."
    weights = {name: array for name, array in arrays.items() if name.startswith(start)}
    check_arrays(weights, network_arrays(network, prefix))
    network.load_state_dict(
        {k.removeprefix(start): torch.from_numpy(v.copy()) for k, v in weights.items()}
    )


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
