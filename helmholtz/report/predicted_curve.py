"""The paper's predicted curve over the whole range of Q, with what was measured (paper, Fig. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helmholtz.analysis.curve import predict
from helmholtz.analysis.summary import Report
from helmholtz.levels import NONE
from helmholtz.report.marks import SIZE, STYLES, errors, in_the_paper
from helmholtz.report.picture import Picture, Undrawn, draw
from helmholtz.report.quantisation_axis import LABEL, TICKS, beside_zero, places

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 400


def predicted_curve(report: Report) -> Picture | Undrawn:
    """``c * ln(100 - Q)`` from Q = 0 to 1, scaled to the compressed levels of the architecture the answer is about."""
    title = "The paper's predicted curve"
    fitted = [curve for curve in report.curves if curve.c is not None]
    if not fitted:
        return Undrawn("prediction", title, "No compressed level has a complete trial yet.")
    leading = report.recommendation.architecture
    curve = next((curve for curve in fitted if curve.architecture == leading), fitted[0])
    c = curve.c or 0.0
    at = places(report)
    cells = [
        cell
        for cell in report.cells
        if cell.architecture == curve.architecture and cell.level != NONE and cell.test_accuracy.mean is not None
    ]

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        along = [step / STEPS for step in range(STEPS - 3)]  # at Q = 1 the logarithm has no bound
        heights = [100 * predict(c, quantisation) for quantisation in along]
        axes.plot(along, heights, color="#666666", lw=1.4, ls=(0, (1, 1.5)), label="paper: c·ln(100 - Q)")
        colour, marker, _ = STYLES[curve.architecture]
        estimates = [cell.test_accuracy for cell in cells]
        axes.errorbar(
            [at[cell.level] for cell in cells], [100 * (e.mean or 0) for e in estimates], yerr=errors(estimates, 100),
            color=colour, marker=marker, ls="", ms=5.5, capsize=2.5, elinewidth=1, label=f"architecture {curve.architecture}",
        )  # fmt: skip
        axes.axhline(100, color="#bbbbbb", lw=0.8)
        axes.set(xlabel=LABEL, ylabel="test accuracy (%)", xticks=TICKS)
        axes.set_xlim(min(0.0, *(at[cell.level] for cell in cells)) - 0.02, 1.02)
        axes.set_ylim(0, 1.05 * max(100, heights[0]))
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)

    r2 = "" if curve.r2 is None else f", R² = {curve.r2:.3g}{' (below 0: a constant would fit better)' if curve.r2 < 0 else ''}"
    beyond = " It predicts more than 100% at small Q: its shape is not that of these data." if c * 4.605 > 1 else ""
    measured = ", ".join(f"{100 * (cell.test_accuracy.mean or 0):.3g} at Q {cell.quantisation:g}" for cell in cells)
    return draw(
        "prediction", title=title, size=SIZE, paint=paint,
        alt=f"Predicted curve falling from {100 * predict(c, 0):.3g}% at Q 0 ever faster towards Q 1; measured: {measured}.",
        caption=f"Accuracy = c·ln(100 - Q), Q in percent, scaled by least squares to the compressed levels (c = {c:.3g}{r2}). "
        f"The shape is the prediction; only its height is fitted.{in_the_paper(report, 3, 3)} "
        f"Points are means over seeds with their intervals.{beside_zero(report, [cell.level for cell in cells])}{beyond}",
    )  # fmt: skip
