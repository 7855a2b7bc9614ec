"""Test accuracy by level trained at and level tested at: a heat map with its numbers, which black and white don't hurt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from helmholtz.analysis.summary import Report
from helmholtz.levels import Level, sort_key
from helmholtz.report.marks import SIZE, labels
from helmholtz.report.picture import Picture, Undrawn, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

DARK = 0.18  # relative luminance below which white is read better than black (WCAG 2.2, contrast ratio)
FEW = 6  # levels that a phone's width holds
CELL = 0.62  # inches of each beyond these


def mismatch_map(report: Report) -> tuple[Picture | Undrawn, ...]:
    """Of the architecture the answer is about; nothing where the experiment doesn't ask for it."""
    if not report.mismatch:
        return ()
    title = "Trained at one level, tested at another"
    leading = report.recommendation.architecture
    found = next((found for found in report.mismatch if found.architecture == leading), report.mismatch[0])
    means = {
        (cell.trained_at, cell.tested_at): 100 * cell.accuracy.mean for cell in found.cells if cell.accuracy.mean is not None
    }
    if not means:
        return (Undrawn("mismatch", title, "No trial is complete yet that was tested at other levels."),)
    trained, tested = (sorted({pair[side] for pair in means}, key=sort_key) for side in (0, 1))
    named = labels(report)
    counts = sorted({cell.accuracy.n for cell in found.cells})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    numbers = "; ".join(f"{named[a]} at {named[b]} {mean:.3g}" for (a, b), mean in means.items())
    width = SIZE[0] + CELL * max(0, len(tested) - FEW)
    empty = "" if len(means) == len(trained) * len(tested) else " Empty: not tested."
    return (
        draw(
            "mismatch",
            title=title,
            size=(width, 1.1 + 0.42 * max(4, len(trained))),
            wide=len(tested) > FEW,
            paint=lambda figure: _paint(figure, report, means, trained, tested),
            alt=f"Mean test accuracy in percent, trained at one level and tested at one: {numbers}.",
            caption=f"Architecture {found.architecture}, test accuracy in percent, means of n = {n} seeds; darker is higher. "
            "Framed: trained and tested at the same level, as everywhere else in this report. A column compares networks on "
            f"the same inputs, a row the same networks on other inputs.{empty}",
        ),
    )


def _paint(
    figure: Figure, report: Report, means: dict[tuple[Level, Level], float], trained: list[Level], tested: list[Level]
) -> None:
    axes = figure.add_subplot()
    values = np.array([[means.get((row, column), np.nan) for column in tested] for row in trained])
    low, high = min(means.values()), max(means.values())
    air = 0.1 + 0.3 * (high - low)  # the darkest blue would hide the frames
    image = axes.imshow(values, cmap="Blues", vmin=low - 0.1, vmax=high + air, aspect="auto")
    for y, row in enumerate(trained):
        for x, column in enumerate(tested):
            if (row, column) not in means:
                continue
            ink = "white" if _luminance(image.to_rgba(values[y : y + 1, x : x + 1])[0, 0]) < DARK else "black"
            axes.text(x, y, f"{means[row, column]:.1f}", ha="center", va="center", fontsize=8.5, color=ink)
            if row == column:
                axes.add_patch(_frame(x, y))
    axes.set_xticks(range(len(tested)), [str(level) for level in tested])
    axes.set_yticks(range(len(trained)), [str(level) for level in trained])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    scale = f"{report.codec.name.upper()} {report.codec.scale}"
    axes.set(xlabel=f"tested at: {scale}", ylabel="trained at")


def _luminance(colour: Sequence[float]) -> float:
    red, green, blue = (math.pow(share, 2.2) for share in colour[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _frame(x: int, y: int) -> Patch:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, ec="#111111", lw=1.4)
