"""The base of all explorers: a picture that redraws only what changes, and visible errors."""

from __future__ import annotations

import base64
import html
import io
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ipywidgets
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from PIL import Image

from mpn_lab.plotting.panel import AnimatedPanel
from mpn_lab.plotting.style import style

MOST_DRAWN = 4
"""Number of explorers that keep their figure (9 MB); another draws it again when it is used."""

_drawn: list[Explorer] = []  # those that keep their figure, the one drawn last at the end

# Pictures are white. A dark theme inverts their lightness and keeps their hues.
_STYLE = """<style>
[data-jp-theme-light="false"] .mpn-picture, [data-theme="dark"] .mpn-picture,
.vscode-dark .mpn-picture { filter: invert(0.93) hue-rotate(180deg); }
.mpn-picture { max-width: 100%; height: auto; object-fit: contain; align-self: flex-start; }
.mpn-error { border-left: 4px solid #D55E00; padding: 4px 10px; white-space: pre-wrap;
  color: var(--jp-ui-font-color1, inherit); background: rgba(213, 94, 0, 0.12); line-height: 1.4; }
</style>"""


class Picture:
    """A figure that is drawn once; each frame redraws only the animated artists.

    The animated panel's background is redrawn only when its control changes. Neither pyplot nor a
    backend holds a reference to the figure, so that it is freed with its picture.
    """

    canvas: Any  # an Agg canvas, see new_figure

    def __init__(self, figure: Figure, panel: AnimatedPanel) -> None:
        self.show(figure, panel)

    def show(self, figure: Figure, panel: AnimatedPanel) -> None:
        """Draw another figure, or the same one with new content."""
        self.figure, self.panel = figure, panel
        self.canvas = figure.canvas
        background = [] if panel.background is None else panel.background.artists
        for artist in (*panel.artists, *background):
            artist.set_animated(True)
        with style():
            self.canvas.draw()
        self._static = self._background = self.canvas.copy_from_bbox(figure.bbox)
        if background:
            self._draw_background(background)

    def redraw_background(self, position: int) -> None:
        """Update the panel's background to a position; the next frame shows it."""
        if self.panel.background is not None:
            self.canvas.restore_region(self._static)
            self.panel.background.update(position)
            self._draw_background(self.panel.background.artists)

    def _draw_background(self, artists: Sequence[Artist]) -> None:
        self._draw_artists(artists)
        self._background = self.canvas.copy_from_bbox(self.figure.bbox)

    def frame(self, step: int) -> bytes:
        """Return the picture at a step, as PNG."""
        self.draw(step)
        return png(self.image())

    def draw(self, step: int) -> None:
        """Draw a step onto the canvas."""
        self.canvas.restore_region(self._background)
        self.panel.update(step)
        self._draw_artists(self.panel.artists)

    def _draw_artists(self, artists: Sequence[Artist]) -> None:
        for artist in artists:
            (artist.axes or self.figure).draw_artist(artist)

    def image(self) -> Image.Image:
        """Return the content of the canvas."""
        size = self.canvas.get_width_height()
        pixels = Image.frombuffer("RGBA", size, self.canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        return pixels.convert("RGB")


def png(image: Image.Image) -> bytes:
    """Encode a picture as PNG, fast rather than small, because it only goes to the browser."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def report_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a widget's callback so that the explorer shows its errors, which are otherwise lost."""

    def guarded(self: Explorer, *args: Any) -> None:
        self.message.value = ""
        try:
            function(self, *args)
        except Exception as error:
            self.show_error(error)

    return guarded


class Explorer(ipywidgets.VBox):
    """A picture, its controls, and a place where errors are shown.

    A subclass builds its controls and calls `set_frame`. Where widgets do not work (GitHub,
    nbconvert, a terminal), the current picture or the one-line description is shown instead. As
    long as an explorer is not closed (`close`), it stays in memory with the record that it shows.
    """

    _picture: Picture | None = None
    _links: Sequence[ipywidgets.Widget] = ()  # between controls, in the browser
    _held: tuple[str, ...] = ("_picture",)  # attributes that are freed when it is closed

    def __init__(self, description: str, controls: list[ipywidgets.Widget]) -> None:
        self.description = description
        self.image = ipywidgets.Image(format="png")
        self.image.add_class("mpn-picture")
        self.message = ipywidgets.HTML()
        super().__init__([ipywidgets.HTML(_STYLE), *controls, self.message, self.image])

    def close(self) -> None:
        """Remove the explorer from the notebook and free its memory; it cannot be used again."""
        if self.comm is None:
            return
        for part in [*self._links, *_parts(self)]:
            part.unobserve_all()
            if part is not self:
                part.close()
        super().close()
        if self in _drawn:
            _drawn.remove(self)
        for name in self._held:
            self.__dict__.pop(name, None)

    def _show_picture(self, figure: Figure, panel: AnimatedPanel) -> Picture:
        """Draw a figure, and let go of that of the explorer that was drawn longest ago."""
        if self._picture is None:
            self._picture = Picture(figure, panel)
        else:
            self._picture.show(figure, panel)
        _drawn[:] = [*(other for other in _drawn if other is not self), self]
        for other in _drawn[:-MOST_DRAWN]:
            other._let_go()
        del _drawn[:-MOST_DRAWN]
        return self._picture

    def _let_go(self) -> None:
        """Free the figure, which is drawn again when it is needed."""
        self._picture = None

    def set_frame(self, data: bytes) -> None:
        """Show a PNG."""
        self.image.value = data

    def show_error(self, error: Exception) -> None:
        """Show an error between the controls and the picture."""
        sentence = str(error) if isinstance(error, ValueError | OSError) else ""
        if not sentence:
            where = traceback.extract_tb(error.__traceback__)[-1]
            sentence = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        self.message.value = f'<div class="mpn-error" role="alert">{html.escape(sentence)}</div>'

    def show_message(self, sentence: str) -> None:
        """Show a message that is not an error."""
        self.message.value = f'<div role="status">{html.escape(sentence)}</div>'

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = self.description
        if self.image.value:
            bundle["image/png"] = base64.b64encode(self.image.value).decode()
        return bundle

    def __repr__(self) -> str:
        return self.description


def _parts(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """Yield a widget and all those in it: children, layouts and styles."""
    yield widget
    for name in widget.keys:
        value = getattr(widget, name)
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, ipywidgets.Widget):
                yield from _parts(part)
