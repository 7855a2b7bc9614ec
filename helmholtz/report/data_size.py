"""Bytes of each level, headers apart from content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helmholtz.analysis.level_summary import LevelSummary
from helmholtz.analysis.summary import Report
from helmholtz.analysis.wording import overhead, times_smaller
from helmholtz.levels import NONE
from helmholtz.report.marks import SIZE
from helmholtz.report.picture import Picture, Undrawn, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVERHEAD = {"image": "headers, tables", "audio": "headers, stuffing"}
DEARLY = {
    "image": "which small files pay for dearly",
    "audio": "the last to keep the bitrate constant where there is less to code",
}


def sizes(report: Report) -> Picture | Undrawn:
    """Bytes of each level: coded content, and headers apart."""
    title = "Size against compression"
    levels = [level for level in report.levels if level.payload_bytes is not None]
    if not levels:
        return Undrawn("sizes", title, "No level is written yet.")
    unit, name = _unit(max(level.payload_bytes or 0 for level in levels))

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        coded = [(level.coded_bytes or 0) / unit for level in levels]
        heads = [(level.payload_bytes or 0) / unit - c for level, c in zip(levels, coded, strict=True)]
        y = range(len(levels))
        axes.barh(y, coded, color="#0072B2", label="coded content", height=0.66)
        axes.barh(
            y, heads, left=coded, color="#F3DDA5", hatch="////", ec="#8a6d1f", lw=0.5, height=0.66,
            label=OVERHEAD[report.codec.medium],
        )  # fmt: skip
        for at, level in enumerate(levels):
            text = _size_words(level, report.codec.sample)
            axes.annotate(
                text, ((level.payload_bytes or 0) / unit, at), (5, 0), textcoords="offset points", va="center", fontsize=8
            )
        axes.set_yticks(list(y), [level.label for level in levels])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlim(right=1.6 * max(c + h for c, h in zip(coded, heads, strict=True)) or 1)
        axes.set_xlabel(f"size of the whole set ({name})")
        axes.legend(loc="lower right")

    described = "; ".join(f"{level.label}: {_size_words(level, report.codec.sample)}" for level in levels)
    return draw(
        "sizes", title=title, size=(SIZE[0], 1.3 + 0.33 * len(levels)), paint=paint, alt=f"Size of each level. {described}.",
        caption=f"Bytes of all {sum(levels[0].records.values()):,} records at each level. The hatched part is "
        f"{overhead(report.codec.medium)}, {DEARLY[report.codec.medium]}; bits a {report.codec.sample} count the coded content "
        "alone.",
    )  # fmt: skip


def _unit(nbytes: int) -> tuple[float, str]:
    return next(((size, name) for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if nbytes >= size), (1.0, "bytes"))


def _size_words(level: LevelSummary, sample: str) -> str:
    ratio = "" if level.ratio_to_none is None or level.level == NONE else f"{times_smaller(level.ratio_to_none)}, "
    return f"{ratio}{level.bits_per_sample:.2f} bits a {sample}"
