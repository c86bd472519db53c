"""Export of an explorer as one self-contained page: no kernel, no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from mpn_lab.analysis.schema import trial_position
from mpn_lab.files import user_path, write_whole
from mpn_lab.widgets.modules import bundle, source
from mpn_lab.widgets.payload import Arrays, pack

Part = tuple[dict[str, Any], Arrays] | str

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
html {{ color-scheme: light dark; }}
body {{ margin: 0; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #15181d; }} }} /* as the explorer */
{css}
</style>
<div id="explorer"></div>
<noscript>This page needs JavaScript.</noscript>
<script type="application/json" id="parts">{parts}</script>
<script type="application/json" id="values">{values}</script>
<script type="module">
{code}
const read = (id) => JSON.parse(document.getElementById(id).textContent);
mount(document.getElementById("explorer"), new PageModel(read("values"), read("parts")));
</script>
</html>
"""


def write_explorer_page(
    path: str | Path,
    title: str,
    module: str,
    values: Mapping[str, Any],
    parts: Mapping[str, Part],
) -> Path:
    """Write an explorer as a page that holds all that the kernel would send.

    Args:
        path: the file.
        title: of the page.
        module: the explorer's ES module, which exports `mount`.
        values: the traits.
        parts: header and arrays, or what to say instead, by the key under which the browser asks.

    Raises:
        OSError: the file cannot be written; an existing one is unchanged.
    """
    path = user_path(path)
    code = bundle("page.js", module).replace("</script", "<\\/script")
    content = _PAGE.format(
        title=html.escape(title),
        css=source("explorer.css"),
        code=code,
        parts=_json({key: packed(part) for key, part in parts.items()}),
        values=_json(values),
    )
    write_whole(path, content.encode())
    return path


def packed(part: Part) -> dict[str, Any]:
    """Return a part as PageModel of page.js takes it: its arrays as texts."""
    if isinstance(part, str):
        return {"error": part, "buffers": []}
    found = pack(*part)
    return found | {"buffers": [base64.b64encode(b).decode() for b in found["buffers"]]}


def chosen_trials(trials: int | Iterable[int], record: xr.Dataset) -> tuple[list[int], list[int]]:
    """Return the numbers of the trials of a page, each once, and their positions in a record.

    Raises:
        ValueError: no such trial, or none.
    """
    chosen = trials if isinstance(trials, Iterable) else [trials]
    positions = {number: trial_position(record, number) for number in chosen}
    if not positions:
        raise ValueError("trials is empty; expected numbers of trials.")
    return [int(number) for number in positions], list(positions.values())


def _json(value: Any) -> str:
    """Return JSON that can stand in a page's script."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
