"""The figures of a report; here accuracy and epochs to converge against Q (paper, Fig. 4 and 5; of audio 7 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helmholtz.analysis.cell_summary import CellSummary
from helmholtz.analysis.curve import PaperCurve, predict
from helmholtz.analysis.estimate import Estimate
from helmholtz.analysis.summary import Report
from helmholtz.analysis.table import Row
from helmholtz.analysis.wording import points
from helmholtz.levels import NONE, Level, sort_key
from helmholtz.report.bits_axis import bits
from helmholtz.report.data_size import sizes
from helmholtz.report.marks import SIZE, STYLES, alt_text, bars_caption, errors, in_the_paper, labels
from helmholtz.report.mismatch_map import mismatch_map
from helmholtz.report.network_operations import operations
from helmholtz.report.network_size import parameters
from helmholtz.report.picture import Picture, Undrawn, draw
from helmholtz.report.predicted_curve import predicted_curve
from helmholtz.report.quantisation_axis import beside_zero, draw_quantisation_axis, places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_MEANS = "No trial is complete yet."


def figures(report: Report, table: Sequence[Row]) -> tuple[Picture | Undrawn, ...]:
    """All figures, what the answer rests on first; those that can't be drawn say why. Mismatch only where asked for."""
    return (
        accuracy(report, table),
        bits(report, table),
        sizes(report),
        convergence(report, table),
        parameters(report, table),
        operations(report),
        predicted_curve(report),
        *mismatch_map(report),
    )


def accuracy(report: Report, table: Sequence[Row]) -> Picture | Undrawn:
    """Test accuracy against relative quantisation, over seeds, with the margin, N_approx and the paper's curve."""
    title = "Accuracy against compression"
    cells = _swept(report)
    if not any(cell.test_accuracy.n for cell in cells):
        return Undrawn("accuracy", title, NO_MEANS)
    n_approx, curve = report.recommendation.level, _papers_curve(report)
    named, at = labels(report), places(report)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        if curve is not None:
            along = [i / 200 for i in range(199)]
            heights = [100 * predict(curve.c or 0.0, quantisation) for quantisation in along]
            axes.plot(along, heights, color="#999999", lw=1.2, ls=(0, (1, 1.5)), label="paper: c·ln(100 - Q)", zorder=1)
        _margin(axes, report)
        for architecture in _architectures(cells):
            mine = [cell for cell in cells if cell.architecture == architecture]
            _seeds(axes, at, [row for row in table if row.architecture == architecture], "test_accuracy", 100)
            _line(axes, architecture, at, [(cell.level, cell.test_accuracy) for cell in mine], 100)
            _rings(axes, architecture, at, [(c.level, c.test_accuracy) for c in mine if c.level in _refined(report)], 100)
        if n_approx is not None:
            axes.axvline(at[n_approx], color="#444444", lw=1, ls="--", zorder=1)
            axes.annotate(
                f"N_approx: {named[n_approx]}", (at[n_approx], 0.02), xycoords=("data", "axes fraction"), xytext=(-4, 0),
                textcoords="offset points", rotation=90, ha="right", va="bottom", fontsize=8,
            )  # fmt: skip
        if report.recommendation.outcome == "chance":
            axes.set_title("not shown to be above chance: nothing can be concluded", fontsize=9, color="#a00000")
        axes.set_ylabel("test accuracy (%)")
        axes.set_ylim(*_range(report, table))
        draw_quantisation_axis(axes, report, _swept_levels(report))
        _legend(figure, axes)

    return draw(
        "accuracy", title=title, size=SIZE, paint=paint,
        alt=alt_text("Mean test accuracy in percent", cells, [cell.test_accuracy for cell in cells], named, 100),
        caption=_accuracy_caption(report),
    )  # fmt: skip


def convergence(report: Report, table: Sequence[Row]) -> Picture | Undrawn:
    """Epochs to converge against relative quantisation; trials not seen to converge within the budget are hollow."""
    title = "Training effort against compression"
    cells = _swept(report)
    if not any(cell.epochs_to_converge.n for cell in cells):
        return Undrawn("convergence", title, NO_MEANS)
    rising = sum(cell.not_converged for cell in cells)
    budget = report.experiment["training"]["epochs"]
    at = places(report)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for architecture in _architectures(cells):
            mine = [cell for cell in cells if cell.architecture == architecture]
            _seeds(axes, at, [row for row in table if row.architecture == architecture], "epochs_to_converge", 1)
            _line(axes, architecture, at, [(cell.level, cell.epochs_to_converge) for cell in mine], 1)
            _rings(axes, architecture, at, [(c.level, c.epochs_to_converge) for c in mine if c.level in _refined(report)], 1)
        axes.set_ylabel("epochs to converge")
        axes.set_ylim(0, min(axes.get_ylim()[1], 1.15 * budget))  # an interval may reach beyond what was trained
        draw_quantisation_axis(axes, report, _swept_levels(report))
        _legend(figure, axes)

    hollow = (
        f" Hollow dots: {rising} {'trial was' if rising == 1 else 'trials were'} not seen to converge within the budget of "
        f"{budget} epoch{'' if budget == 1 else 's'}, so their values, and the means they enter, are lower bounds."
        if rising
        else " All trials converged within the budget."
    )
    return draw(
        "convergence", title=title, size=SIZE, paint=paint,
        alt=alt_text("Mean epochs to converge", cells, [cell.epochs_to_converge for cell in cells], labels(report), 1),
        caption="Epochs of training until validation accuracy has all but stopped rising, by level."
        f"{in_the_paper(report, 5, 8)} "
        f"{bars_caption(report, cells, over='over seeds')}{hollow}"
        f"{beside_zero(report, _swept_levels(report))}{_rings_caption(report)}",
    )  # fmt: skip


def _swept(report: Report) -> list[CellSummary]:
    swept = {walk.architecture for walk in report.walks}
    cells = [cell for cell in report.cells if cell.architecture in swept]
    return sorted(cells, key=lambda cell: (cell.architecture, sort_key(cell.level)))


def _architectures(cells: Sequence[CellSummary]) -> list[str]:
    return sorted({cell.architecture for cell in cells if cell.test_accuracy.n})


def _leading(report: Report) -> str:
    return report.recommendation.architecture or report.walks[0].architecture


def _line(
    axes: Axes, architecture: str, at: Mapping[Level, float], points: Sequence[tuple[Level, Estimate]], scale: float
) -> None:
    colour, marker, line = STYLES[architecture]
    for lossy, style, label in ((False, "", None), (True, line, architecture)):
        mine = [(at[level], e) for level, e in points if (level != NONE) == lossy and e.mean is not None]
        axes.errorbar(
            [x for x, _ in mine], [scale * (e.mean or 0) for _, e in mine], yerr=errors([e for _, e in mine], scale),
            color=colour, marker=marker if lossy else "D", mfc=colour if lossy else "white", mew=1.3, ms=5.5, ls=style, lw=1.5,
            capsize=2.5, elinewidth=1, label=f"architecture {label}" if label else None, zorder=3,
        )  # fmt: skip


def _rings(
    axes: Axes, architecture: str, at: Mapping[Level, float], points: Sequence[tuple[Level, Estimate]], scale: float
) -> None:
    """Around the means at levels that refinement asked for."""
    known = [(at[level], scale * estimate.mean) for level, estimate in points if estimate.mean is not None]
    colour = STYLES[architecture][0]
    axes.plot([x for x, _ in known], [y for _, y in known], "o", mfc="none", mec=colour, ms=10, mew=0.8, zorder=3)


def _refined(report: Report) -> set[Level]:
    return {level.level for level in report.levels if level.refinement_round}


def _seeds(axes: Axes, at: Mapping[Level, float], table: Sequence[Row], column: str, scale: float) -> None:
    """One faint dot a trial, hollow where the value is only a lower bound."""
    for row in table:
        value = getattr(row, column)
        if value is not None and row.status == "complete":
            hollow = column == "epochs_to_converge" and row.converged is False
            colour = STYLES[row.architecture][0]
            x = at[row.level]
            if hollow:
                axes.plot([x], [scale * value], "o", mfc="white", mec=colour, ms=4.5, mew=1, zorder=4)
            else:
                axes.plot([x], [scale * value], "o", color=colour, alpha=0.4, ms=3.5, mew=0, zorder=4)


def _legend(figure: Figure, axes: Axes) -> None:
    """Below the axes, where no line can run through it."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(names)), handlelength=3, columnspacing=1.2)


def _margin(axes: Axes, report: Report) -> None:
    cell = next((c for c in report.cells if c.level == NONE and c.architecture == _leading(report)), None)
    if cell is not None and cell.test_accuracy.mean is not None:
        top, margin = 100 * cell.test_accuracy.mean, report.experiment["analysis"]["margin"]
        axes.axhspan(top - 100 * margin, top, color="#d6d6d6", lw=0, zorder=0, label=f"tolerated loss, {points(margin)}")


def _range(report: Report, table: Sequence[Row]) -> tuple[float, float]:
    """Limits of the accuracy axis in percent: what was measured, with air, so that the flat part and the margin can be seen."""
    swept = {cell.architecture for cell in _swept(report)}
    values = [row.test_accuracy for row in table if row.architecture in swept and row.test_accuracy is not None]
    ends = [end for cell in _swept(report) for end in (cell.test_accuracy.low, cell.test_accuracy.high) if end is not None]
    low, high = max(0.0, min(values + ends)), min(1.0, max(values + ends))
    air = max(0.08 * (high - low), 2 * report.experiment["analysis"]["margin"])
    return 100 * max(0.0, low - air), 100 * (high + 0.6 * air)


def _swept_levels(report: Report) -> set[Level]:
    return {cell.level for cell in _swept(report)}


def _rings_caption(report: Report) -> str:
    return " Rings: levels that refinement asked for." if _refined(report) else ""


def _papers_curve(report: Report) -> PaperCurve | None:
    """Of the architecture the answer is about; None where nothing is learned, which no curve describes."""
    if report.recommendation.outcome == "chance":
        return None
    return next((c for c in report.curves if c.architecture == _leading(report) and c.c is not None), None)


def _accuracy_caption(report: Report) -> str:
    cells = _swept(report)
    records = f" on {report.test_records:,} test records" if report.test_records else ""
    caption = (
        f"Test accuracy{records} at each level; the open diamond left of Q = 0: {labels(report)[NONE]}."
        f"{in_the_paper(report, 4, 7)}{beside_zero(report, _swept_levels(report))} {bars_caption(report, cells)} "
        "Levels are compared seed by seed, which sees smaller differences than these bars. "
        f"The grey band is the tolerated loss (architecture {_leading(report)}).{_rings_caption(report)}"
    )
    curve = _papers_curve(report)
    if curve is not None:
        fit = "" if curve.r2 is None else f", R² = {curve.r2:.3g}"
        worse = " (below 0: a constant would fit better)" if curve.r2 is not None and curve.r2 < 0 else ""
        caption += (
            f" Dotted: the paper's prediction c·ln(100 - Q), scaled to the compressed levels (c = {curve.c:.3f}{fit}{worse})."
        )
    return caption
