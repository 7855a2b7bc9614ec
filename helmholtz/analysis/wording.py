"""How numbers, levels and verdicts are put into words, the same everywhere."""

from __future__ import annotations

from helmholtz.analysis.noninferiority import Comparison, Walk
from helmholtz.analysis.table import Run
from helmholtz.levels import NONE, Level


def evidence(comparison: Comparison, walk: Walk, run: Run) -> str:
    """The numbers behind a verdict, e.g. "difference -0.2 points, 95% interval -0.6..+0.2, ..."."""
    if comparison.difference is None or comparison.lower_bound is None or comparison.low is None or comparison.high is None:
        return comparison.reason
    return (
        f"difference {signed(comparison.difference)} points, {100 * run.experiment.analysis.confidence:.4g}% interval "
        f"{signed(comparison.low)}..{signed(comparison.high)}, one-sided bound {signed(comparison.lower_bound)}, "
        f"architecture {walk.architecture}, {comparison.pairs} seeds"
    )


def level_name(run: Run, level: Level) -> str:
    """The level as a noun phrase, e.g. "JPEG quality 25"."""
    return original(run) if level == NONE else f"{run.codec.name.upper()} {run.codec.scale} {level}"


def original(run: Run) -> str:
    """What none is in this run: "lossless", the source's own files where all are compressed already, or some of each."""
    if not source_compressed(run):
        return "lossless"
    lossless = any(manifest.source_levels.get(str(NONE)) for manifest in run.manifests.values())
    return "lossless or original" if lossless else "original files"


def source_compressed(run: Run) -> bool:
    """Whether any record of the source was itself compressed."""
    return any(n and level != NONE for manifest in run.manifests.values() for level, n in manifest.source_levels.items())


def points(fraction: float) -> str:
    """A fraction of accuracy in points: 0.01 is "1 point", 0.005 "0.5 points"."""
    number = f"{100 * fraction:.2g}"
    return f"{number} point" if number == "1" else f"{number} points"


def signed(fraction: float) -> str:
    """A difference of accuracies in points, with its sign and one decimal; zero without."""
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def times_smaller(ratio: float) -> str:
    """A ratio of sizes in words: 5.1 is "5.1 times smaller", 0.5 "2.0 times larger"."""
    return f"{ratio:.1f} times smaller" if ratio >= 1 else f"{1 / ratio:.1f} times larger"
