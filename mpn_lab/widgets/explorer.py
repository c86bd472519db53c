"""What every explorer stands on: a picture whose moving parts alone are redrawn, and its errors."""

from __future__ import annotations

import base64
import html
import io
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image

from mpn_lab.plotting.panel import AnimatedPanel
from mpn_lab.plotting.style import style

# A picture has a white ground. Under a dark theme its lightness is turned over and its hues kept.
_STYLE = """<style>
[data-jp-theme-light="false"] .mpn-picture, [data-theme="dark"] .mpn-picture,
.vscode-dark .mpn-picture { filter: invert(0.93) hue-rotate(180deg); }
.mpn-picture { max-width: 100%; height: auto; object-fit: contain; align-self: flex-start; }
.mpn-error { border-left: 4px solid #D55E00; padding: 4px 10px; white-space: pre-wrap;
  color: var(--jp-ui-font-color1, inherit); background: rgba(213, 94, 0, 0.12); line-height: 1.4; }
</style>"""


class Picture:
    """A figure that is drawn once; for each frame only what moves is drawn onto what stays.

    What lies `under` the moving artists is drawn when it changes, and stays from then on.

    Neither pyplot nor a backend knows of the figure: it goes when its picture goes.
    """

    canvas: Any  # an Agg canvas, see new_figure

    def __init__(self, figure: Figure, moving: AnimatedPanel) -> None:
        self.show(figure, moving)

    def show(self, figure: Figure, moving: AnimatedPanel) -> None:
        """Draw another figure (or the same, drawn into anew), and keep what stays of it."""
        self.figure, self.moving = figure, moving
        self.canvas = figure.canvas
        under = [] if moving.under is None else moving.under.artists
        for artist in (*moving.artists, *under):
            artist.set_animated(True)
        with style():
            self.canvas.draw()
        self._ground = self._bare = self.canvas.copy_from_bbox(figure.bbox)
        if under:
            self._lay()

    def lay(self, position: int) -> None:
        """Bring what lies under the moving artists to a position; the next frame shows it."""
        if self.moving.under is not None:
            self.canvas.restore_region(self._bare)
            self.moving.under.to(position)
            self._lay()

    def _lay(self) -> None:
        assert self.moving.under is not None
        self._draw_artists(self.moving.under.artists)
        self._ground = self.canvas.copy_from_bbox(self.figure.bbox)

    def frame(self, step: int) -> bytes:
        """The picture at a step, as PNG."""
        self.draw(step)
        return png(self.image())

    def draw(self, step: int) -> None:
        """Bring the canvas to a step."""
        self.canvas.restore_region(self._ground)
        self.moving.to(step)
        self._draw_artists(self.moving.artists)

    def _draw_artists(self, artists: Sequence[Artist]) -> None:
        for artist in artists:
            (artist.axes or self.figure).draw_artist(artist)

    def image(self) -> Image.Image:
        """What is on the canvas."""
        size = self.canvas.get_width_height()
        pixels = Image.frombuffer("RGBA", size, self.canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        return pixels.convert("RGB")


def png(image: Image.Image) -> bytes:
    """Encode for speed: the picture goes no farther than to the browser."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def report_errors(function: Callable[..., None]) -> Callable[..., None]:
    """A widget's callback: what goes wrong in it is shown in the explorer, not lost in a log."""

    def guarded(self: Explorer, *args: Any) -> None:
        self.message.value = ""
        try:
            function(self, *args)
        except Exception as error:
            self.show_error(error)

    return guarded


class Explorer(ipywidgets.VBox):
    """A picture, its controls, and a place where errors are shown.

    A subclass builds its controls and calls `set_frame`. Where widgets cannot live (GitHub,
    nbconvert, a terminal) the present picture, or the one-line description, stands in for it.
    """

    def __init__(self, description: str, controls: list[ipywidgets.Widget]) -> None:
        self.description = description
        self.image = ipywidgets.Image(format="png")
        self.image.add_class("mpn-picture")
        self.message = ipywidgets.HTML()
        super().__init__([ipywidgets.HTML(_STYLE), *controls, self.message, self.image])

    def set_frame(self, data: bytes) -> None:
        """Show a PNG."""
        self.image.value = data

    def show_error(self, error: Exception) -> None:
        """Say what went wrong where the person looks."""
        sentence = str(error) if isinstance(error, ValueError | OSError) else ""
        if not sentence:
            where = traceback.extract_tb(error.__traceback__)[-1]
            sentence = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        self.message.value = f'<div class="mpn-error" role="alert">{html.escape(sentence)}</div>'

    def tell(self, sentence: str) -> None:
        """Say something that is not an error."""
        self.message.value = f'<div role="status">{html.escape(sentence)}</div>'

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = self.description
        if self.image.value:
            bundle["image/png"] = base64.b64encode(self.image.value).decode()
        return bundle

    def __repr__(self) -> str:
        return self.description


def save_figure(figure: Figure, path: Any) -> None:
    """Save with text that stays text in SVG and PDF; the format is the name's ending."""
    with style(), matplotlib.rc_context({"svg.hashsalt": "mpn_lab"}):
        figure.savefig(path)
