"""What the configurations of both training loops share: the task, the network and the seed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from mpn_lab.checks import LARGEST_SEED, check_int, show
from mpn_lab.networks.qnetwork import Embedding
from mpn_lab.tasks.making import check_task_kwargs
from mpn_lab.training.fields import Config, Count, Flag, checked
from mpn_lab.training.loss import Backprop

_OF_THE_CONFIG = {
    *("obs_size", "n_actions", "core", "input_size", "hidden_size", "num_layers", "embedding"),
    *("embedding_size", "readout_bias", "generator"),
}


class NetworkConfig(Config):
    """The task, the network and the seed."""

    task: str = "DelayMatchSample-v0"
    """Id of the task: one of neurogym's or mpn_lab's, or any registered with `gymnasium.register`.
    """
    task_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task, for example {"dt": 20} or {"use_expl_context": True}."""
    seed: Annotated[int, checked(check_int, 0, LARGEST_SEED)] = 0
    """Seed of all random numbers: initial weights, trials, exploration, replay."""

    core: str = "mpn"
    """The recurrent core: mpn, gru, lstm, rnn, or a name given to `register_core`."""
    core_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the core, for example {"update": "presynaptic"}; the values are numbers, strings,
    True, False or None, and the core checks them."""
    hidden_size: Count = 64
    """Number n of hidden units."""
    num_layers: Annotated[int, checked(check_int, 1, 100)] = 1
    """Number of layers of the core; the output of each is the input of the next."""
    embedding: Embedding = "random"
    """Embedding of the observations: a fixed random projection with a bias (random), a trained one
    (linear), or none."""
    embedding_size: Count = 10
    """Size d of an embedded observation."""
    readout_bias: Flag = True
    """Whether the readout has a trained bias b_RO."""

    @field_validator("task", mode="before")
    @classmethod
    def _is_an_id(cls, task: Any) -> str:
        if not isinstance(task, str) or not task:
            raise ValueError(
                f"task is {show(task)}; a configuration names its task by id: register it with "
                "gymnasium and give the id."
            )
        return task

    @field_validator("core_options")
    @classmethod
    def _survives_json(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if name in _OF_THE_CONFIG:
                raise ValueError(
                    f"core_options holds {name}, which is not an option of the core; leave it out, "
                    "or set the field of the configuration with this name"
                )
            if value is not None and type(value) not in (bool, int, float, str):
                raise ValueError(
                    f"{name} is {value!r} ({type(value).__name__}), which config.json cannot store "
                    "unchanged; expected a number, a string, True, False or None"
                )
        return options

    @field_validator("task_kwargs")
    @classmethod
    def _fits_json(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        check_task_kwargs(kwargs)
        return {name: _as_json(name, value) for name, value in kwargs.items()}


def _as_json(name: str, value: Any) -> Any:
    """Return the value as config.json restores it, with tuples as lists.

    Raises ValueError for a value that JSON cannot represent.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(name, part) for part in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(name, part) for key, part in value.items()}
    raise ValueError(
        f"{name} holds {value!r} ({type(value).__name__}), which a run's config.json cannot store; "
        "expected numbers, strings, True, False, None, or lists or dicts (with string keys) of them"
    )


def check_unused(config: NetworkConfig, backprop: Backprop) -> None:
    """Raise ValueError if a field differs from its default though another one makes it unused."""
    for name, unused, why in (
        ("chunk", backprop == "full", "backprop='full' does not cut the trial"),
        ("embedding_size", config.embedding == "none", "embedding='none' has no size of its own"),
    ):
        value = getattr(config, name)
        if unused and value != type(config).model_fields[name].default:
            raise ValueError(f"{name} is {value}, but {why}; leave {name} out")
