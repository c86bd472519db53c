"""Export of an explorer as one self-contained page: no kernel, no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpn_lab.files import user_path, write_whole
from mpn_lab.widgets.modules import bundle, source
from mpn_lab.widgets.payload import pack

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
html {{ color-scheme: light dark; }}
body {{ margin: 0; }}
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
    parts: Mapping[str, tuple[dict[str, Any], Mapping[str, np.ndarray]]],
) -> Path:
    """Write an explorer as a page that holds all that the kernel would send.

    Args:
        path: the file.
        title: of the page.
        module: the explorer's ES module, which exports `mount`.
        values: the traits.
        parts: header and arrays by the key under which the browser asks for them.

    Raises:
        OSError: the file cannot be written; an existing one is unchanged.
    """
    path = user_path(path)
    packed = {}
    for key, (header, arrays) in parts.items():
        layout, buffers = pack(arrays)
        texts = [base64.b64encode(buffer).decode() for buffer in buffers]
        packed[key] = {"header": header, "arrays": layout, "buffers": texts}
    code = bundle("page.js", module).replace("</script", "<\\/script")
    content = _PAGE.format(
        title=html.escape(title),
        css=source("explorer.css"),
        code=code,
        parts=_json(packed),
        values=_json(values),
    )
    write_whole(path, content.encode())
    return path


def _json(value: Any) -> str:
    """Return JSON that can stand in a page's script."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
