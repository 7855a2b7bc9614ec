"""Accuracy against measured bits, with the broken stick: how many bits of a sample matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from helmholtz.analysis.broken_stick import BrokenStick
from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Row
from helmholtz.levels import NONE
from helmholtz.report.marks import SIZE, STYLES, alt_text, apart, bars_caption, errors, labels
from helmholtz.report.picture import Picture, Undrawn, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def bits(report: Report, table: Sequence[Row]) -> Picture | Undrawn:
    """Test accuracy of the architecture the answer is about, its stick, and the interval of the breakpoint."""
    title = "Accuracy against the bits that are left"
    at = {level.level: level.bits_per_sample for level in report.levels if level.bits_per_sample}
    leading = report.recommendation.architecture or report.walks[0].architecture
    cells = [cell for cell in report.cells if cell.architecture == leading and cell.level in at and cell.test_accuracy.n]
    if not cells:
        return Undrawn("bits", title, "No level is written and tested yet.")
    turn = next(n for n, stick in enumerate(report.sticks) if stick.architecture == leading)
    stick, named = report.sticks[turn], labels(report)
    shown = stick.low is not None and report.recommendation.outcome != "chance"

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        colour, marker, _ = STYLES[leading]
        axes.set_xscale("log")
        x = [at[cell.level] or 0.0 for cell in cells]
        low, high = min(x) / 1.15, max(x) * 1.15
        axes.set_xlim(low, high)
        if shown:
            _stick(axes, stick, low, high, colour)
        for row in table:
            if row.architecture == leading and row.level in at and row.test_accuracy is not None:
                axes.plot([at[row.level]], [100 * row.test_accuracy], "o", color=colour, alpha=0.4, ms=3.5, mew=0, zorder=4)
        for lossy in (True, False):
            mine = [cell for cell in cells if (cell.level != NONE) == lossy]
            axes.errorbar(
                [at[cell.level] or 0.0 for cell in mine], [100 * (cell.test_accuracy.mean or 0) for cell in mine],
                yerr=errors([cell.test_accuracy for cell in mine], 100), color=colour, ls="", ms=5.5, capsize=2.5,
                marker=marker if lossy else "D", mfc=colour if lossy else "white",
            )  # fmt: skip
        _ticks(axes, x, [str(cell.level) for cell in cells])
        axes.set(xlabel=f"measured bits a {report.codec.sample} (logarithmic)", ylabel="test accuracy (%)")

    return draw(
        "bits", title=title, size=SIZE, paint=paint,
        alt=alt_text("Mean test accuracy in percent", cells, [cell.test_accuracy for cell in cells], named, 100),
        caption=f"Architecture {leading}; the open diamond is {named[NONE]}. {_stick_caption(stick, shown)}"
        f"{report.n_approx[turn].sentence} {bars_caption(report, cells)}",
    )  # fmt: skip


def _stick(axes: Axes, stick: BrokenStick, low: float, high: float, colour: str) -> None:
    if stick.low is not None:
        axes.axvspan(stick.low, stick.high or high, color=colour, alpha=0.12, lw=0, zorder=0)
    if stick.plateau is not None and stick.breakpoint is not None and stick.slope is not None:
        end = stick.plateau - stick.slope * math.log(stick.breakpoint / low)
        axes.plot([low, stick.breakpoint, high], [100 * end, 100 * stick.plateau, 100 * stick.plateau], color="#444444", lw=1.2)


def _ticks(axes: Axes, x: Sequence[float], names: Sequence[str]) -> None:
    """Bits below, levels above; those too close to the one before stand a line higher, or stay without a label."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    by_place = dict(zip(map(math.log, x), names, strict=True))
    left = list(by_place)
    for line in range(2):
        kept = apart(left, 0.05 * (max(by_place) - min(by_place)))
        left = [place for place in left if place not in kept]
        for place in kept:
            axes.annotate(
                by_place[place], (math.exp(place), 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2 + 9 * line),
                textcoords="offset points", ha="center", va="bottom", fontsize=7.5,
            )  # fmt: skip


def _stick_caption(stick: BrokenStick, shown: bool) -> str:
    if not shown:
        return ""
    if stick.breakpoint is None:
        return "Shaded: where the drop may begin. "
    return "The line is a plateau with a drop below it, fitted to all trials; shaded: where the drop may begin. "
