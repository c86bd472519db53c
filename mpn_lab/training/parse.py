"""Parses the files of a run, config.json and safetensors, from bytes that nobody vouches for.

Each function raises ValueError with one line, without a full stop, that a reader puts into its
sentence.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpn_lab.loading import check_integer, parse_json, read_regular_file, reason_of, shorten
from mpn_lab.training.config import CONFIGS, SupervisedConfig, TrainConfig
from mpn_lab.training.fields import ConfigError

LARGEST_CONFIG = 2**20
"""Bytes of the largest config.json that is read."""

_HEADER = 2**25  # bytes of a safetensors header, which has the rows of the metrics in it
_DTYPES = {
    **{"F64": np.float64, "F32": np.float32, "F16": np.float16, "BOOL": np.bool_},
    **{"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8},
    **{"U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8},
}

Text = Annotated[str, Field(max_length=1000)]
Size = Annotated[int, Field(ge=1, le=2**20)]


class _RunFile(BaseModel):
    """The entries of config.json, with their types."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Text
    config: dict[str, Any]
    obs_size: Size
    n_actions: Size
    modules: dict[Text, Text | None] = {}
    device: Text = "cpu"
    threads: Size = 1
    initial_weights: Text = "seed"
    initial_weights_sha256: Text = ""
    versions: dict[Text, Text] = {}
    machine: dict[Text, Text] = {}
    identity: Text = ""


def parse_run_file(data: bytes) -> tuple[dict[str, Any], TrainConfig | SupervisedConfig]:
    """Parse config.json. Returns its content, and the configuration in it."""
    content = parse_json(data)
    if not isinstance(content, dict):
        raise ValueError(f"it holds {shorten(content)}; expected an object")
    if (kind := content.get("kind", "dqn")) not in tuple(CONFIGS):
        raise ValueError(
            f"it has the kind {shorten(kind)}; expected {' or '.join(CONFIGS)}: open the run with "
            "the version that made it"
        )
    try:
        _RunFile.model_validate(content)
    except ValidationError as error:
        raise ValueError(_first(error)) from None
    settings = content["config"]
    try:
        config = CONFIGS[kind].model_validate(settings)
    except ConfigError as error:
        raise ValueError(f"config: {error}") from None
    except (TypeError, OverflowError) as error:
        raise ValueError(f"config: {reason_of(error)}") from None
    # What the training wrote comes back as it is; a default or a conversion would show here.
    written = json.loads(json.dumps(config.model_dump()))
    if json.dumps(written, sort_keys=True) != json.dumps(settings, sort_keys=True):
        names = sorted(set(written) | set(settings))
        name = next(n for n in names if json.dumps(written.get(n)) != json.dumps(settings.get(n)))
        raise ValueError(
            f"config.{name} is {shorten(settings.get(name))}, which a training would have written "
            f"as {shorten(written.get(name))}"
        )
    return content, config


def parse_tensors(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Parse a safetensors file. Returns its arrays, and its description as below."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _HEADER):
        raise ValueError("it is cut short or no safetensors file")
    description = parse_description(data[8 : 8 + size])
    try:
        tensors = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(reason_of(error)) from None
    return {name: _array(name, tensor) for name, tensor in tensors}, description


def read_header(path: Path) -> bytes:
    """Read the header of a safetensors file alone. Raises also OSError."""
    start = read_regular_file(path, first=8)
    size = int.from_bytes(start, "little")
    if size > _HEADER:
        raise ValueError("it is no safetensors file")
    header = read_regular_file(path, first=8 + size)[8:]
    if len(header) < size:
        raise ValueError("it is cut short")
    return header


def parse_description(header: bytes) -> dict[str, Any] | None:
    """Parse the entry `mpn_lab` in the metadata of a safetensors header; None: there is none."""
    content = parse_json(header)
    if not isinstance(content, dict):
        raise ValueError(f"its header is {shorten(content)}; expected an object")
    metadata = content.get("__metadata__", {})
    entry = metadata.get("mpn_lab") if isinstance(metadata, dict) else None
    if entry is None:
        return None
    description = parse_json(entry, allow_nan=True) if isinstance(entry, str) else entry
    if not isinstance(description, dict):
        raise ValueError(f"its description is {shorten(description)}; expected an object")
    return description


def check_saved(meta: dict[str, Any]) -> None:
    """Raise ValueError unless `meta`, of resume.safetensors, has `trials` and rows of numbers."""
    check_integer("trials", meta.get("trials"), 0, 2**53)
    rows = meta.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("the rows of the metrics are missing")
    for i, row in enumerate(rows, start=1):
        if list(row) != list(rows[0]) or type(row.get("trials")) is not int:
            raise ValueError(f"row {i} of the metrics has other columns than the first")
        if not all(type(value) in (int, float) for value in row.values()):
            raise ValueError(f"row {i} of the metrics holds {shorten(row)}; expected numbers")


def _array(name: str, tensor: dict[str, Any]) -> np.ndarray:
    dtype = _DTYPES.get(tensor["dtype"])
    if dtype is None:
        expected = ", ".join(_DTYPES)
        raise ValueError(f"{shorten(name)} has the dtype {tensor['dtype']}; expected {expected}")
    array = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    if dtype is np.bool_ and (array.view(np.uint8) > 1).any():
        raise ValueError(f"{shorten(name)} holds bytes that are neither true nor false")
    return array


def _first(error: ValidationError) -> str:
    """Describe the first of pydantic's errors in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{where!r} is missing"
    said = " ".join(first["msg"].removeprefix("Value error, ").split()).rstrip(".")
    return f"{shorten(where)[1:-1]}: {said}"
