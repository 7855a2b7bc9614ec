"""How numbers, levels and verdicts are put into words, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from helmholtz.analysis.noninferiority import Comparison, Walk
from helmholtz.analysis.table import Run
from helmholtz.codecs.base import Medium
from helmholtz.levels import NONE, Level


def evidence(comparison: Comparison, walk: Walk, run: Run) -> str:
    """The numbers behind a verdict, e.g. "difference -0.2 points, 95% interval -0.6..+0.2, ..."."""
    if comparison.difference is None or comparison.lower_bound is None or comparison.low is None or comparison.high is None:
        return comparison.reason
    confidence = run.experiment.analysis.confidence
    stricter = "" if comparison.bound_confidence == confidence else f"{100 * comparison.bound_confidence:.4g}% "
    return (
        f"difference {signed(comparison.difference)} points, {100 * confidence:.4g}% interval "
        f"{signed(comparison.low)}..{signed(comparison.high)}, one-sided {stricter}bound {signed(comparison.lower_bound)}, "
        f"architecture {walk.architecture}, {comparison.pairs} seeds"
    )


def level_name(run: Run, level: Level) -> str:
    """The level as a noun phrase, e.g. "JPEG quality 25" or "MP3 32 kbit/s"."""
    return original(run) if level == NONE else f"{run.codec.name.upper()} {run.codec.label(level)}"


def level_label(run: Run, level: Level) -> str:
    """The level where its codec is known from what stands around it, e.g. "quality 25", "32 kbit/s" or "lossless"."""
    return original(run) if level == NONE else run.codec.label(level)


def original(run: Run) -> str:
    """What none is in this run: "lossless", the source's own files where all are compressed already, or some of each.

    A codec that passes no files through hands on what it decoded, without further loss, whatever the source's files are.
    """
    if not (run.codec.passes_through and source_compressed(run)):
        return "lossless"
    lossless = any(manifest.source_levels.get(str(NONE)) for manifest in run.manifests.values())
    return "lossless or original" if lossless else "original files"


def overhead(medium: Medium) -> str:
    """What of a payload is no coded content."""
    return {"image": "file headers and tables", "audio": "headers, side information and stuffing"}[medium]


def a_sample(run: Run) -> str:
    """What one sample is, where that needs a word: a pixel needs none."""
    return f" (a {run.codec.sample} is one sample of the one channel, 44,100 a second)" if run.codec.medium == "audio" else ""


def kilohertz(rates: Iterable[str | int]) -> str:
    """Sample rates in hertz, put into kHz, lowest first: ["44100"] is "44.1 kHz", ["22050", "8000"] "8 and 22.05 kHz"."""
    return " and ".join(f"{rate / 1000:g}" for rate in sorted(int(rate) for rate in rates)) + " kHz"


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
