"""The base of explorers that draw in the browser: its code, messages and static picture."""

from __future__ import annotations

import base64
import html
import struct
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import numpy as np
import traitlets
import xarray as xr
from IPython.display import display
from matplotlib.backend_bases import FigureCanvasBase

from mpn_lab.checks import check_choice, check_int, check_number, check_path, show
from mpn_lab.widgets.modules import bundle, source
from mpn_lab.widgets.payload import pack

# What a notebook shows that is opened without the explorer's kernel. JupyterLab and Notebook 7
# prefer a widget to its picture even where the widget's model is gone, and then show an error; so
# the picture comes once more, in an output of its own, which hides the empty widget before it. A
# living explorer hides this output. Where styles are removed (GitHub, a notebook that is not
# trusted) the widget's own picture is shown, and here the words alone, as in nbconvert's pages.
_PICTURE = """<style>
#{id} > div {{ width: {width}px; max-width: 100%; aspect-ratio: {width} / {height};
  background: url(data:image/png;base64,{picture}) 0 0 / 100% no-repeat; }}
body.jp-Notebook #{id} > div {{ display: none; }}
.jp-OutputArea-child:not(:has(> .jp-OutputArea-output > *)):has(+ .jp-OutputArea-child #{id}) {{
  display: none; }}
</style>
<figure id="{id}" style="margin: 0"><div role="img" aria-label="{description}"></div>
<figcaption>A picture of the explorer. Run this cell again to bring the explorer back.</figcaption>
</figure>"""


_INTERRUPTED = "the computation was interrupted; choose it again to have it computed."


class TraitError(traitlets.TraitError, ValueError):
    """Raised if a trait is set to a value that the record does not have."""


class BrowserExplorer(anywidget.AnyWidget):
    """A widget whose record is sent to the browser once, and which draws there.

    A subclass names its ES module in `module`, puts what it sends at opening into `overview`, and
    answers in `_answer` what the browser asks for later. Where there is no front end (GitHub,
    nbconvert, a terminal), a notebook shows the picture that `png` returns. As long as an explorer
    is not closed (`close`), it stays in memory with its record.

    Args:
        record: what it shows, if it shows a record.
        description: one line that describes it.
        overview: a header and arrays, which the browser gets at opening.
    """

    module = ""

    _esm = traitlets.Unicode().tag(sync=True)
    _code = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    _overview = traitlets.Dict().tag(sync=True)
    _picture = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        record: xr.Dataset | None,
        description: str,
        overview: tuple[dict[str, Any], Mapping[str, np.ndarray]],
        **values: Any,
    ) -> None:
        self._record, self.description = record, description
        super().__init__(
            _esm=source("widget.js"),
            _code=bundle(self.module),
            _css=source("explorer.css"),
            _overview=pack(*overview),
            _picture=f"mpn-{uuid4().hex}",
            **values,
        )
        self.on_msg(self._on_message)

    @property
    def record(self) -> xr.Dataset:
        """The trials that are shown."""
        record: xr.Dataset | None = self.__dict__.get("_record")
        if record is None:
            raise ValueError("this explorer is closed; make another one of the record.")
        return record

    def png(self) -> bytes:
        """Return the static picture of what is shown, as PNG."""
        raise NotImplementedError

    def close(self) -> None:
        """Replace the explorer by its picture and free its memory; it cannot be used again."""
        if self.comm is None:
            return
        self.unobserve_all()
        self.on_msg(self._on_message, remove=True)
        self.layout.close()
        super().close()
        self._release()

    def _release(self) -> None:
        """Let go of the record and of what was computed from it."""
        self.__dict__.pop("_record", None)
        self._trait_values.pop("_overview", None)

    def _answer(self, asked: dict[str, Any]) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """Return a header and arrays for what the browser asks for."""
        raise NotImplementedError

    def _on_message(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Answer the browser; what goes wrong is shown there, in the explorer's place."""
        key = {"key": content.get("key")}
        try:
            found = pack(*self._answer(content))
        except Exception as error:
            self.send(key | {"error": sentence(error)})
        except BaseException:  # KeyboardInterrupt: else the browser would wait for an answer
            self.send(key | {"error": _INTERRUPTED})
            raise
        else:
            buffers = found.pop("buffers")
            self.send(key | found, buffers)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take traits from the browser; it gets back those that are refused, and says why."""
        try:
            super().set_state(sync_data)
        except traitlets.TraitError as error:
            self.send_state([name for name in sync_data if name in self.keys])
            self.send({"key": None, "error": sentence(error)})

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if bundle is not None else ({}, {})
        picture = base64.b64encode(self.png()).decode()
        return {**data, "text/plain": self.description, "image/png": picture}, metadata

    def _ipython_display_(self) -> None:
        if self.comm is None:  # closed
            display({"text/plain": repr(self)}, raw=True)
            return
        for data, metadata in self._outputs():
            display(data, metadata=metadata, raw=True)

    def _outputs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Return the outputs of a cell: the explorer, and its picture once the explorer is gone."""
        data, metadata = self._repr_mimebundle_()
        picture = data["image/png"]
        width, height = struct.unpack(">II", base64.b64decode(picture[:32])[16:])
        content = _PICTURE.format(
            id=self._picture,
            picture=picture,
            width=width,
            height=height,
            description=html.escape(self.description),
        )
        return [(data, metadata), ({"text/html": content}, {})]

    def __repr__(self) -> str:
        return self.description


def sentence(error: Exception) -> str:
    """Return what to show of an error: its sentence, or its type and place if it is a fault."""
    told = isinstance(error, ValueError | OSError | traitlets.TraitError)
    text = str(error) if told else ""
    if not text:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
    return text


def check_selection(value: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Raise ValueError unless the unit and the input are there, and the span is one of time."""
    sizes = {"unit": header["hidden"], "input": header.get("inputs", 0)}
    for name, chosen in value.items():
        check_choice("selection", name, ("unit", "input", "span"))
        if name == "span":
            if not isinstance(chosen, list | tuple) or len(chosen) != 2:
                raise ValueError(f"span is {show(chosen)}; expected two times in ms, from and to.")
            low, high = (check_number("a time of span", time) for time in chosen)
            if low > high:
                raise ValueError(f"span is {show(chosen)}; expected the earlier time first.")
        elif not sizes[name]:
            raise ValueError(
                f"{name} is {show(chosen)}, but there is none to select; leave it out."
            )
        else:
            check_int(name, chosen, 0, sizes[name] - 1)
    if "input" in value and "unit" not in value:
        raise ValueError(f"selection is {show(value)}; expected a unit with the input.")


def figure_path(path: Any) -> Path:
    """Return the path of a figure. Raises ValueError for a format that is not known."""
    path = check_path("path", path)
    formats = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ValueError(
            f"path is {show(str(path))}; expected a file ending in .{' or .'.join(formats)}."
        )
    return path
