"""Export of pictures with a time slider as one self-contained page: no kernel, no network."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mpn_lab.files import user_path, write_whole
from mpn_lab.widgets.modules import bundle, source
from mpn_lab.widgets.payload import pack

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 1.2em; background: #fff; color: #222; }}
img {{ max-width: 100%; display: block; }}
.controls {{ display: flex; gap: 1em; align-items: center; margin-bottom: .6em; }}
input {{ width: min(30em, 50vw); }}
button {{ font: inherit; padding: .2em .8em; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #121212; color: #ddd; }}
  img {{ filter: invert(0.93) hue-rotate(180deg); }}
}}
</style>
<div class="controls">
<button id="play" aria-label="play or pause">&#9654;</button>
<input id="time" type="range" min="0" max="{last}" value="0" step="1" aria-label="time" autofocus>
<output id="label" for="time"></output>
</div>
<img id="picture" alt="{title}" width="{width}" height="{height}">
<noscript>The slider of this page needs JavaScript.</noscript>
<script>
const frames = {frames}, labels = {labels};
const time = document.getElementById("time"), picture = document.getElementById("picture");
const label = document.getElementById("label"), play = document.getElementById("play");
const images = frames.map(f => {{
  const image = new Image(); image.src = "data:image/png;base64," + f; return image;
}});
let timer = null;
function show() {{
  picture.src = images[+time.value].src; label.textContent = labels[+time.value];
}}
function stop() {{ clearInterval(timer); timer = null; play.innerHTML = "&#9654;"; }}
time.addEventListener("input", show);
play.addEventListener("click", () => {{
  if (timer) return stop();
  if (+time.value === +time.max) time.value = 0;
  play.innerHTML = "&#10073;&#10073;";
  timer = setInterval(() => {{
    if (+time.value === +time.max) return stop();
    time.value = +time.value + 1; show();
  }}, 100);
}});
show();
</script>
</html>
"""


def write_page(
    path: str | Path, title: str, frames: Sequence[Image.Image], labels: Sequence[str]
) -> Path:
    """Write frames (all of one size) to a page with a slider over them and a label for each.

    Each frame has a palette of 256 colours of its own, enough for the panels to look the same.

    Raises:
        OSError: the file cannot be written; an existing one is unchanged.
    """
    path = user_path(path)
    width, height = frames[0].size
    content = _PAGE.format(
        title=html.escape(title),
        last=len(frames) - 1,
        width=width,
        height=height,
        frames=json.dumps([_encoded(frame) for frame in frames]),
        labels=json.dumps(list(labels)).replace("<", "\\u003c"),
    )
    write_whole(path, content.encode())
    return path


def _encoded(frame: Image.Image) -> str:
    buffer = io.BytesIO()
    small = frame.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


_EXPLORER = """<!doctype html>
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
    content = _EXPLORER.format(
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
