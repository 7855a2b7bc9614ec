"""Pictures of a report: drawn once, as SVG for the page and as PNG for TensorBoard, with the words that belong to them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 150

_STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same everywhere
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.titlesize": 9,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "text.parse_math": False,  # class names may hold dollar signs
    "svg.hashsalt": "helmholtz",  # equal figures give equal bytes
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure."""

    name: str  # file name without suffix
    title: str
    alt: str  # what one sees, for those who don't
    caption: str
    svg: bytes
    png: bytes  # 150 dpi
    wide: bool = False  # needs more than a column's width


@dataclass(frozen=True, slots=True)
class Undrawn:
    """A figure that this run can't show (yet), and why."""

    name: str
    title: str
    reason: str


def draw(
    name: str,
    *,
    title: str,
    alt: str,
    caption: str,
    size: tuple[float, float],
    paint: Callable[[Figure], None],
    wide: bool = False,
) -> Picture:
    """Calls `paint` with an empty figure of `size` (inches) and renders what it drew."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():  # type: ignore[arg-type]  # it types each setting's name
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # scripts the font lacks: boxes
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.savefig(png, format="png", dpi=PNG_DPI)
    return Picture(name, title, alt, caption, svg.getvalue(), png.getvalue(), wide)
