"""The style of all figures: its sheet, its colours, and figures without pyplot."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mpn_lab.checks import check_number, show
from mpn_lab.files import user_path, write_whole

DIVERGING = "RdBu_r"  # of signed values: white at zero, which is always its centre
GREY = "#8C8C8C"
ACTIONS = ("#4D4D4D", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
PERIODS = ("#BFBFBF", "#56B4E9", "#F0E442", "#CC79A7", "#E69F00", "#009E73", "#0072B2")


@contextmanager
def style() -> Iterator[None]:
    """Apply the project's style to everything that is drawn or saved within the context.

    Only the sheet's own settings are restored afterwards. (matplotlib's context restores all, and
    so switches off a notebook's backend if the first figure is drawn within it.)

    Example:
        >>> with style():
        ...     figure = new_figure(6, 4)
    """
    sheet = str(files("mpn_lab.plotting") / "mpn_lab.mplstyle")
    own = mpl.rc_params_from_file(sheet, use_default_template=False)
    before = {name: mpl.rcParams[name] for name in own}
    mpl.rcParams.update(own)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


class ShownFigure(Figure):
    """A figure that a notebook displays as PNG, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with style():
            self.savefig(buffer, dpi=100)
        return buffer.getvalue()


F = TypeVar("F", bound=Callable[..., Any])


def on_axes(plot: F) -> F:
    """Make a plot function raise ValueError if its first argument is no Axes to draw into."""

    @functools.wraps(plot)
    def checked(*args: Any, **options: Any) -> Any:
        ax = args[0] if args else options.get("ax")
        if not isinstance(ax, Axes):
            raise ValueError(
                f"ax is {show(ax)}; expected matplotlib's Axes, such as figure.add_subplot()."
            )
        return plot(*args, **options)

    return checked  # type: ignore[return-value]


def cleared(figure: Figure | None, width: float | int, height: float | int) -> Figure:
    """Return a figure without its content, or a new one. Raises ValueError for anything else."""
    if figure is not None and not isinstance(figure, Figure):
        raise ValueError(f"figure is {show(figure)}; expected matplotlib's Figure, or None.")
    figure = new_figure(width, height) if figure is None else figure
    figure.clear()
    return figure


def new_figure(width: float | int, height: float | int) -> Figure:
    """Make a figure, sizes in inches, with a canvas of its own; pyplot holds no reference to it."""
    check_number("width", width, 0, 200, above=True)
    check_number("height", height, 0, 200, above=True)
    figure = ShownFigure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, **metadata: str) -> Path:
    """Save a figure in the format of the file's ending (none: PNG), whole or not at all.

    Text stays text in SVG and PDF.

    Args:
        figure: the figure.
        path: the file.
        metadata: entries of the file's metadata, which for PNG may have any name.

    Raises:
        ValueError: the format is not known.
        OSError: the file cannot be written; an existing one is unchanged.
    """
    path = user_path(path)
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    picture = io.BytesIO()
    with style(), mpl.rc_context({"svg.hashsalt": "mpn_lab"}):
        figure.savefig(picture, format=path.suffix[1:], metadata=metadata or None)
    write_whole(path, picture.getvalue())
    return path


def action_color(index: int) -> str:
    """Return the colour of an action, the same in every panel."""
    return ACTIONS[index % len(ACTIONS)]


def channel_colors(names: list[str]) -> list[str]:
    """Assign a colour to each channel: grey for fixation, the cycle of the actions for others."""
    colors, k = [], 0
    for name in names:
        if name == "fixation":
            colors.append(ACTIONS[0])
        else:
            k = k % (len(ACTIONS) - 1) + 1
            colors.append(ACTIONS[k])
    return colors


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest finite value; 0 and 0 where there is none."""
    ends = (values.min(), values.max()) if values.size else (0.0, 0.0)
    if not np.isfinite(ends).all():  # only then a copy: M of many trials is large
        values = values[np.isfinite(values)]
        ends = (values.min(), values.max()) if values.size else (0.0, 0.0)
    return float(ends[0]), float(ends[1])


def largest(values: np.ndarray) -> float:
    """Return the largest magnitude, for a scale centred on zero; 1 where all are 0 or nan."""
    low, high = limits(values)
    return max(-low, high) or 1.0
