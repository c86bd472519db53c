"""The base of all configurations, and the types of their fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError

from mpn_lab.checks import (
    MOST_SAMPLED,
    MOST_SIDE_BY_SIDE,
    check_int,
    check_number,
    did_you_mean,
    show,
)


def checked(check: Callable[..., Any], *limits: Any, **options: Any) -> BeforeValidator:
    """Make a check of `mpn_lab.checks` the validator of a field; None is left to its type."""

    def validate(value: Any, info: Any) -> Any:
        return None if value is None else check(info.field_name, value, *limits, **options)

    return BeforeValidator(validate)


Count = Annotated[int, checked(check_int, 1)]
CountOrNone = Annotated[int | None, checked(check_int, 1)]
NotNegative = Annotated[int, checked(check_int, 0)]
Sampled = Annotated[int, checked(check_int, 1, MOST_SAMPLED)]
SideBySide = Annotated[int, checked(check_int, 1, MOST_SIDE_BY_SIDE)]
Unit = Annotated[float, checked(check_number, 0, 1)]
UnitOrNone = Annotated[float | None, checked(check_number, 0, 1)]
Positive = Annotated[float, checked(check_number, 0, above=True)]
PositiveOrNone = Annotated[float | None, checked(check_number, 0, above=True)]
Flag = Annotated[bool, Strict()]
Model = TypeVar("Model", bound=type[BaseModel])

_EXPECTED = {
    "bool_type": "True or False",
    "dict_type": "a dict",
    "float_type": "a number",
    "int_type": "a whole number",
    "string_type": "text",
    "tuple_type": 'a tuple of names, such as ("decision",)',
    "missing": "a value",
}


class ConfigError(ValueError):
    """Raised if a configuration is not valid: one sentence on the first field that is wrong."""


class Config(BaseModel):
    """The base of all configurations: strict, frozen, and with errors of one sentence."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def __init__(self, *unnamed: Any, **fields: Any) -> None:
        if unnamed:
            raise ConfigError(
                f"{type(self).__name__} takes its fields by name, as in "
                f"{type(self).__name__}({next(iter(type(self).model_fields))}=...); "
                f"{show(unnamed[0])} has none."
            )
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise ConfigError(_sentence(type(self), error)) from None

    # Without this, pydantic calls __init__ also for a configuration inside another one.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Any:
        """As pydantic's. Raises ConfigError."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise ConfigError(_sentence(cls, error)) from None


def _sentence(model: type[BaseModel], error: ValidationError) -> str:
    """Describe the first of pydantic's errors in one sentence that begins with the field's name."""
    first = error.errors(include_url=False)[0]
    if not first["loc"] and first["type"].startswith("model"):
        return f"the configuration is {show(first['input'])}; expected a {model.__name__}."
    *outer, name = first["loc"] or ("",)
    if name == "[key]":
        return f"{outer[0]} holds {show(first['input'])} as a name; expected text."
    for part in outer:  # the model that has the field
        inner = model.model_fields.get(str(part))
        types = (inner.annotation, *getattr(inner.annotation, "__args__", ())) if inner else ()
        model = next((t for t in types if isinstance(t, type) and issubclass(t, Config)), model)
    name = name if str(name).isidentifier() else show(name)  # a name from a file may be anything
    where = "".join(f"{part if str(part).isidentifier() else show(part)}." for part in outer)
    if first["type"] == "value_error":
        return where + str(first["ctx"]["error"]).rstrip(".") + "."
    if first["type"] == "extra_forbidden":
        known = list(model.model_fields)
        listed = (
            f"its fields are {', '.join(known)}"
            if len(known) < 8
            else f"see help({model.__name__})"
        )
        hint = did_you_mean(name, known) or f"; {listed}"
        return f"{model.__name__} has no field {where}{name}{hint}."
    expected = _EXPECTED.get(first["type"]) or str(
        first.get("ctx", {}).get("expected", first["msg"])
    )
    if first["type"].startswith("model"):
        expected = f"a {first['ctx']['class_name']}"
    return f"{where}{name} is {show(first['input'])}; expected {expected}."


def list_fields(model: Model) -> Model:
    """Add the fields and their descriptions to a model's docstring, so that help() shows them."""
    lines = [inspect.cleandoc(model.__doc__ or ""), "", "Args:"]
    cls: type[BaseModel] = model
    for name, field in cls.model_fields.items():
        field.description = " ".join((field.description or "").split())
        lines.append(f"    {name}: {field.description}")
    model.__doc__ = "\n".join(lines)
    return model
