"""Accuracy against the number of parameters (paper, Fig. 6 and 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from helmholtz.analysis.cell_summary import CellSummary
from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Row
from helmholtz.levels import NONE, Level
from helmholtz.report.marks import SIZE, alt_text, apart, bars_caption, errors, in_the_paper, labels
from helmholtz.report.picture import Picture, Undrawn, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BESIDE = 0.03  # of the axis's length: a letter


def parameters(report: Report, table: Sequence[Row]) -> Picture | Undrawn:
    """Test accuracy against the number of parameters, at the lossy level with the most architectures, beside none."""
    title = "Accuracy against network size"
    level = _busiest_level(report)
    if level is None:
        return Undrawn(
            "parameters",
            title,
            "No compressed level has results of two architectures; list more in the experiment, under also.",
        )
    named = labels(report)
    chosen = [cell for cell in report.cells if cell.level in (NONE, level) and cell.test_accuracy.n and cell.parameters]
    chosen.sort(key=lambda cell: cell.parameters or 0)
    span = max(cell.parameters or 0 for cell in chosen) / min(cell.parameters or 0 for cell in chosen)
    gap = (1.4 * span) ** BESIDE
    places = _places(chosen, gap)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for at, colour, marker, fill in ((NONE, "#777777", "D", "white"), (level, "#0072B2", "o", "#0072B2")):
            mine = [cell for cell in chosen if cell.level == at]
            x = [places[cell.architecture] * gap ** (-0.28 if at == NONE else 0.28) for cell in mine]
            for cell, place in zip(mine, x, strict=True):
                values = [
                    r.test_accuracy for r in table if (r.architecture, r.level) == (cell.architecture, at) and r.test_accuracy
                ]
                axes.plot([place] * len(values), [100 * v for v in values], ".", color=colour, alpha=0.35, ms=5, zorder=2)
            axes.errorbar(
                x, [100 * (cell.test_accuracy.mean or 0) for cell in mine], yerr=errors([c.test_accuracy for c in mine], 100),
                color=colour, marker=marker, mfc=fill, ms=7, ls="", capsize=3, lw=1.2, label=named[at], zorder=3,
            )  # fmt: skip
        for name, place in places.items():
            axes.annotate(name, (place, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", weight="bold")
        axes.set_xscale("log")
        from matplotlib.ticker import FuncFormatter, NullFormatter

        counts = [cell.parameters or 0 for cell in chosen]
        air = max(1.18, span**0.08)
        axes.set_xlim(min(places.values()) / air, max(places.values()) * air)
        axes.set_xticks([math.exp(at) for at in apart([math.log(count) for count in counts], 0.16)])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count / 1e6:.2f} M"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
        axes.set_xlabel("parameters (logarithmic)")
        axes.set_ylabel("test accuracy (%)")
        axes.legend(loc="best")

    both = sum(cell.level == NONE for cell in chosen)
    moved = sorted({cell.architecture for cell in chosen if places[cell.architecture] != cell.parameters})
    beside = f" Drawn right of their place, for they would cover the one before: {', '.join(moved)}." if moved else ""
    missing = f" Fewer of them were trained at {named[NONE]}." if both < sum(cell.level == level for cell in chosen) else ""
    return draw(
        "parameters", title=title, size=SIZE, paint=paint,
        alt=alt_text("Mean test accuracy in percent", chosen, [cell.test_accuracy for cell in chosen], named, 100),
        caption=f"Every architecture trained at {named[level]}, beside {named[NONE]}. Letters name the architectures."
        f"{in_the_paper(report, 6, 9)} "
        f"{bars_caption(report, chosen)}{beside}{missing}",
    )  # fmt: skip


def _places(chosen: Sequence[CellSummary], gap: float) -> dict[str, float]:
    """Where each architecture stands: at its number of parameters, or right of it, `gap` times the one before."""
    counts = {cell.architecture: cell.parameters or 0 for cell in chosen}
    found: dict[str, float] = {}
    for name, count in counts.items():
        found[name] = max([count, *(place * gap for place in found.values())])
    return found


def _busiest_level(report: Report) -> Level | None:
    """The lossy level with results of the most architectures, two or more; of equals the recommended one, if any."""
    counts: dict[Level, int] = {}
    for cell in report.cells:
        if cell.level != NONE and cell.test_accuracy.n:
            counts[cell.level] = counts.get(cell.level, 0) + 1
    best = max(counts, key=lambda level: (counts[level], level == report.recommendation.level), default=None)
    return best if best is not None and counts[best] > 1 else None
