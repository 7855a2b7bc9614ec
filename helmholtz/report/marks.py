"""What the figures share: how architectures are told apart, intervals, labels, and the words below and instead of a figure.

Architectures differ in colour (Okabe and Ito's palette, safe for colour-blind readers), marker and line, so that the
figures also work in black and white.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from helmholtz.analysis.cell_summary import CellSummary
from helmholtz.analysis.estimate import Estimate
from helmholtz.analysis.summary import Report
from helmholtz.levels import Level

SIZE = (5.4, 4.3)  # inches: readable when shrunk to a phone's width
STYLES: dict[str, tuple[str, str, Any]] = {
    "A": ("#0072B2", "o", "-"),
    "B": ("#E69F00", "s", "--"),
    "C": ("#009E73", "^", "-."),
    "D": ("#CC79A7", "D", ":"),
    "E": ("#D55E00", "v", (0, (6, 1.5))),
    "F": ("#222222", "P", (0, (4, 1.5, 1, 1.5, 1, 1.5))),
}


def in_the_paper(report: Report, image: int, audio: int) -> str:
    """A sentence for the caption: the paper's figure of the same kind, by its number for the run's medium."""
    return f" It is the paper's figure {image if report.codec.medium == 'image' else audio}, of these data."


def labels(report: Report) -> dict[Level, str]:
    """Level -> how people call it."""
    return {level.level: level.label for level in report.levels}


def errors(estimates: Sequence[Estimate], scale: float) -> list[list[float]]:
    """Distances from the means down and up to the ends of their intervals; 0 where there is no interval."""
    low = [scale * (e.mean - e.low) if e.mean is not None and e.low is not None else 0.0 for e in estimates]
    high = [scale * (e.high - e.mean) if e.mean is not None and e.high is not None else 0.0 for e in estimates]
    return [low, high]


def apart(values: Sequence[float], gap: float | Callable[[float, float], float]) -> list[float]:
    """`values` in ascending order, without those less than `gap` above the one before: their labels would overlap."""
    kept: list[float] = []
    for value in sorted(values):
        if not kept or value >= kept[-1] + (gap(kept[-1], value) if callable(gap) else gap) - 1e-9:
            kept.append(value)
    return kept


def bars_caption(
    report: Report, cells: Sequence[CellSummary], *, dots: bool = True, over: str = "over seeds and test records"
) -> str:
    """What points and bars are, and n; `over` says what the intervals hold."""
    counts = sorted({cell.test_accuracy.n for cell in cells if cell.test_accuracy.n})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    confidence = 100 * report.experiment["analysis"]["confidence"]
    if counts[-1] < 2:
        return "One seed a level, so there are no intervals."
    single = ", faint dots single trials" if dots else ""
    return f"Means of n = {n} seeds; bars are {confidence:.4g}% intervals, {over}{single}."


def alt_text(what: str, cells: Sequence[CellSummary], values: Sequence[Estimate], named: dict[Level, str], scale: float) -> str:
    """A figure of estimates in words: every mean, scaled."""
    parts = [
        f"{cell.architecture} at {named[cell.level]} {scale * value.mean:.3g}"
        for cell, value in zip(cells, values, strict=True)
        if value.mean is not None
    ]
    return f"{what}: {'; '.join(parts)}."
