"""Accuracy against what a network computes for one record, at every level with several architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from helmholtz.analysis.cell_summary import CellSummary
from helmholtz.analysis.summary import Report
from helmholtz.levels import NONE, Level, sort_key
from helmholtz.report.marks import SIZE, alt_text, bars_caption, errors, labels
from helmholtz.report.picture import Picture, Undrawn, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

APART = 0.012  # share of the axis between levels of one architecture, so that their intervals can be seen
CLOSE = 0.03  # share of the axis: a letter


def operations(report: Report) -> Picture | Undrawn:
    """Test accuracy against multiply-accumulates, a line a level: parameters alone don't tell what a network takes to run."""
    title = "Accuracy against computation"
    chosen = _cells(report)
    levels = sorted({cell.level for cell in chosen}, key=sort_key)
    if not levels:
        return Undrawn(
            "operations", title, "No level has results of two architectures; list more in the experiment, under also."
        )
    named = labels(report)

    def paint(figure: Figure) -> None:
        import matplotlib as mpl

        axes = figure.add_subplot()
        shades = mpl.colormaps["viridis"]
        counts = [cell.multiply_accumulates or 0 for cell in chosen]
        span = max(counts) / min(counts) if min(counts) else 1.0
        for at, level in enumerate(levels):
            mine = [cell for cell in chosen if cell.level == level]
            shift = max(span, 1.2) ** (APART * (at - (len(levels) - 1) / 2))
            colour = "#777777" if level == NONE else shades(0.8 * at / max(1, len(levels) - 1))
            axes.errorbar(
                [(cell.multiply_accumulates or 0) * shift for cell in mine],
                [100 * (cell.test_accuracy.mean or 0) for cell in mine], yerr=errors([c.test_accuracy for c in mine], 100),
                color=colour, marker="D" if level == NONE else "o", mfc="white" if level == NONE else colour, ms=5, lw=1.1,
                ls=":", elinewidth=1, capsize=2.5, label=named[level],
            )  # fmt: skip
        for count, names in _letters(chosen, span):
            axes.annotate(names, (count, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", weight="bold")
        axes.set_xscale("log")
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count / 1e6:g} M"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        air = max(1.15, span**0.08)
        axes.set_xlim(min(counts) / air, max(counts) * air)
        axes.set(xlabel="multiply-accumulates for one record (logarithmic)", ylabel="test accuracy (%)")
        figure.legend(loc="outside lower center", ncols=min(4, len(levels)), fontsize=8)

    left_out = sum(cell.test_accuracy.n > 0 for cell in report.cells) - len(chosen)
    alone = " Levels with a single architecture are left out." if left_out else ""
    return draw(
        "operations", title=title, size=SIZE, paint=paint,
        alt=alt_text("Mean test accuracy in percent", chosen, [cell.test_accuracy for cell in chosen], named, 100),
        caption="What a network computes for one record is not what its parameters tell: it decides time and energy. A line a "
        f"level, letters name the architectures, whose levels stand side by side. "
        f"{bars_caption(report, chosen, dots=False)}{alone}",
    )  # fmt: skip


def _letters(chosen: Sequence[CellSummary], span: float) -> list[tuple[int, str]]:
    """Multiply-accumulates and name of each architecture; those too close to the one before are named together with it."""
    found: list[tuple[int, str]] = []
    for architecture, count in {cell.architecture: cell.multiply_accumulates or 0 for cell in chosen}.items():
        if found and count < found[-1][0] * max(span, 1.2) ** CLOSE:
            found[-1] = (found[-1][0], f"{found[-1][1]}, {architecture}")
        else:
            found.append((count, architecture))
    return found


def _cells(report: Report) -> list[CellSummary]:
    """Those at levels with results of two architectures, least computation first."""
    known = [cell for cell in report.cells if cell.test_accuracy.n and cell.multiply_accumulates]
    by_level: dict[Level, set[str]] = {}
    for cell in known:
        by_level.setdefault(cell.level, set()).add(cell.architecture)
    several = [cell for cell in known if len(by_level[cell.level]) > 1]
    return sorted(several, key=lambda cell: (cell.multiply_accumulates or 0, cell.architecture))
