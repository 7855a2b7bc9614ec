"""The same test pictures at every level, as the networks get them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from helmholtz.analysis.table import Run
from helmholtz.report.picks import Shown, level_facts, read_picks, short, unwritten
from helmholtz.report.picture import Picture, Undrawn, draw
from helmholtz.storage import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = 8
LARGEST = 128  # pixels a side; of larger pictures the centre is shown, since shrinking would hide what compression does
TITLE = "The same pictures at every level"
TITLE_INCHES = 0.35


def contact_sheet(store: Store, run: Run) -> Picture | Undrawn:
    """Eight test pictures, spread over the classes, at every level that is written."""
    shown = read_picks(store, run, PICTURES, lambda payload: _centre(run.codec.decode(payload)))
    if shown.lacking:
        return Undrawn("contact-sheet", TITLE, shown.lacking)
    names = ", ".join(shown.names)
    return draw(
        "contact-sheet",
        title=TITLE,
        size=(8.6, TITLE_INCHES + 0.92 * len(shown.levels)),
        wide=True,
        paint=lambda figure: _paint(figure, run, shown),
        alt=f"{len(shown.names)} test pictures ({names}) at the levels {', '.join(str(level) for level in shown.levels)}.",
        caption=f"{len(shown.names)} test pictures, picked by seed and spread over the classes, one row a level. Each pixel is "
        f"drawn as it is, without smoothing{_cropped(shown)}. Bytes are means of the test files, headers included; bits a "
        f"{run.codec.sample} count coded content alone.{unwritten(run)}",
    )


def _centre(samples: np.ndarray) -> np.ndarray:
    height, width = samples.shape[:2]
    top, left = max(0, height - LARGEST) // 2, max(0, width - LARGEST) // 2
    return samples[top : top + LARGEST, left : left + LARGEST]


def _cropped(shown: Shown[np.ndarray]) -> str:
    large = any(image is not None and max(image.shape[:2]) == LARGEST for row in shown.levels.values() for image in row)
    return f"; of pictures larger than {LARGEST} pixels a side only the centre is shown" if large else ""


def _paint(figure: Figure, run: Run, shown: Shown[np.ndarray]) -> None:
    # Placed by hand: of so many axes, the layout engine's solver gives positions that differ in the last digit, run by run.
    figure.set_layout_engine("none")
    top = 1 - TITLE_INCHES / figure.get_figheight()
    grid = figure.add_gridspec(
        len(shown.levels), len(shown.names) + 1, width_ratios=[1.5, *(1 for _ in shown.names)],
        left=0.012, right=0.99, bottom=0.02, top=top, wspace=0.08, hspace=0.08,
    )  # fmt: skip
    for row, (level, images) in enumerate(shown.levels.items()):
        text = figure.add_subplot(grid[row, 0])
        text.axis("off")
        label, facts = level_facts(run, level)
        # Wrapped: the first picture would cover the end of a long one.
        text.text(0, 0.56, textwrap.fill(label, 13), weight="bold", va="bottom", linespacing=1.0, transform=text.transAxes)
        text.text(0, 0.52, facts, va="top", fontsize=8, transform=text.transAxes)
        for column, (name, image) in enumerate(zip(shown.names, images, strict=True)):
            axes = figure.add_subplot(grid[row, column + 1])
            axes.axis("off")
            if image is None:
                axes.text(0.5, 0.5, "missing", ha="center", va="center", fontsize=8)
            else:
                axes.imshow(image, interpolation="nearest")
            if row == 0:
                axes.set_title(short(name), fontsize=8)
