"""The networks, the optimizer and one update: what learns, without what it learns from."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from mpn_lab.networks.qnetwork import QNetwork
from mpn_lab.replay.trials import TrialBatch
from mpn_lab.training.config import NetworkConfig, SupervisedConfig, TrainConfig
from mpn_lab.training.loss import compute_td_loss_trial

FOLLOWS = ("gamma", "td_lambda", "learning_rate")
"""What follows from the task where the configuration says None, beside mpn.lam_max."""


class NonFiniteLoss(RuntimeError):
    """The loss is nan or infinite: training cannot go on."""


def make_network(config: NetworkConfig, obs_size: int, n_actions: int) -> QNetwork:
    """The network of a configuration, with the start values that its seed fixes."""
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
        **(config.mpn.model_dump() if config.core == "mpn" else {}),
    )


class Descent:
    """A trained network and Adam."""

    def __init__(
        self,
        config: TrainConfig | SupervisedConfig,
        obs_size: int,
        n_actions: int,
        device: str = "cpu",
        trained: Literal["all", "readout"] = "all",
    ) -> None:
        missing = [name for name in FOLLOWS if getattr(config, name, 0) is None]
        if missing or config.mpn.lam_max is None:
            raise ValueError(
                f"{', '.join(missing) or 'mpn.lam_max'} is None; `with_reach` finds a number."
            )
        self.learning_rate: float = config.learning_rate  # type: ignore[assignment]
        self.grad_clip = config.grad_clip
        self.network = make_network(config, obs_size, n_actions).to(device)
        if trained == "readout":
            self.network.embedding.requires_grad_(False)
            self.network.core.requires_grad_(False)
        self.parameters: list[Tensor] = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.learning_rate, fused=True)
        self.updates = 0

    def descend(self, loss: Tensor, learning_rate: float) -> float:
        """One step of Adam. Returns the loss; raises NonFiniteLoss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLoss(f"the loss is {value} after {self.updates} updates")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.grad_clip)
        self.optimizer.step()
        self.network.project_()
        self.updates += 1
        return value

    def state(self) -> dict[str, np.ndarray]:
        """All tensors that `restore` needs to go on exactly from here."""
        arrays = _named("network", self.network)
        for i, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"adam.{i}.{name}": _array(value) for name, value in moments.items()}
        return arrays

    def restore(self, arrays: dict[str, np.ndarray], updates: int) -> None:
        """Go back to what `state` returned. Raises KeyError or RuntimeError: it does not fit."""
        load_arrays(self.network, arrays, "network")
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in arrays.items():
            if key.startswith("adam."):
                _, i, name = key.split(".")
                moments.setdefault(int(i), {})[name] = torch.from_numpy(value.copy())
        state = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": moments, "param_groups": state["param_groups"]})
        self.updates = updates


class Learner(Descent):
    """A trained network, its slowly following target and Adam."""

    def __init__(
        self, config: TrainConfig, obs_size: int, n_actions: int, device: str = "cpu"
    ) -> None:
        super().__init__(config, obs_size, n_actions, device)
        self.config = config
        self.target = make_network(config, obs_size, n_actions).to(device).requires_grad_(False)
        trained = [n for n, p in self.network.named_parameters() if p.requires_grad]
        of_target = dict(self.target.named_parameters())
        self.target_parameters: list[Tensor] = [of_target[n] for n in trained]

    def update(self, batch: TrialBatch, learning_rate: float) -> float:
        """One step of Adam on the TD loss. Returns the loss; raises NonFiniteLoss."""
        config = self.config
        loss = compute_td_loss_trial(
            self.network,
            self.target,
            batch,
            config.gamma,  # type: ignore[arg-type]  # `Descent` refuses None
            config.td_lambda,  # type: ignore[arg-type]
            backprop=config.backprop,
            chunk=config.chunk,
        )
        value = self.descend(loss, learning_rate)
        with torch.no_grad():
            torch._foreach_lerp_(self.target_parameters, self.parameters, config.target_rate)
        return value

    def state(self) -> dict[str, np.ndarray]:
        """As `Descent.state`."""
        return super().state() | _named("target", self.target)

    def restore(self, arrays: dict[str, np.ndarray], updates: int) -> None:
        """As `Descent.restore`."""
        super().restore(arrays, updates)
        load_arrays(self.target, arrays, "target")


def network_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """The weights of a network, as they are kept in a checkpoint."""
    return _named("network", network)


def load_arrays(network: nn.Module, arrays: dict[str, np.ndarray], prefix: str = "network") -> None:
    """Load weights from a checkpoint. Raises RuntimeError where they are another network's."""
    start = f"{prefix}."
    network.load_state_dict(
        {
            k.removeprefix(start): torch.from_numpy(v.copy())
            for k, v in arrays.items()
            if k.startswith(start)
        }
    )


def _named(prefix: str, module: nn.Module) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": _array(value) for name, value in module.state_dict().items()}


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
