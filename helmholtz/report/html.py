"""The report as one self-contained page: answer first, then figures, tables, method and provenance."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from helmholtz.analysis.estimate import Estimate
from helmholtz.analysis.summary import Report
from helmholtz.analysis.wording import kilohertz, overhead, points, signed, times_smaller
from helmholtz.levels import NONE
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.report.players import Players

TEMPLATE = "report.html"
NO_VALUE = "\N{EN DASH}"


def page(report: Report, pictures: Sequence[Picture | Players | Undrawn], *, root: str, experiment: str) -> str:
    """The page, everything from data escaped. `root` is the run root, as the user wrote it; `experiment` its YAML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "interval": _interval,
        "points": points,
        "signed": signed,
        "size": _size,
        "number": _number,
        "times_smaller": times_smaller,
        "kilohertz": kilohertz,
    }
    return environment.get_template(TEMPLATE).render(
        report=report,
        answer=report.recommendation,
        pictures=[(picture, _data_uri(picture) if isinstance(picture, Picture) else None) for picture in pictures],
        audio=report.codec.medium == "audio",
        overhead=overhead(report.codec.medium),
        recompressed=any(source != NONE for level in report.levels for source in level.source_levels),
        labels={level.level: level.label for level in report.levels},
        original=next(level.label for level in report.levels if level.level == NONE),
        by_level={level.level: level for level in report.levels},
        best=next((c for w in report.walks for c in w.comparisons if _is_answer(report, w.architecture, c.level)), None),
        experiment=experiment,
        margin=report.experiment["analysis"]["margin"],
        confidence=100 * report.experiment["analysis"]["confidence"],
        root=root,
    )


def _is_answer(report: Report, architecture: str, level: object) -> bool:
    return level is not None and (architecture, level) == (report.recommendation.architecture, report.recommendation.level)


def _data_uri(picture: Picture) -> str:
    # As an image, not as elements of the page: its identifiers can't clash with another's, and no script in it would run.
    kind, data = ("png", picture.png) if picture.wide else ("svg+xml", picture.svg)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _percent(fraction: float | None) -> str:
    return NO_VALUE if fraction is None else f"{100 * fraction:.1f}"


def _interval(estimate: Estimate, scale: float = 1.0, digits: int = 1) -> str:
    if estimate.mean is None:
        return NO_VALUE
    mean = f"{scale * estimate.mean:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} ({scale * estimate.low:.{digits}f} to {scale * estimate.high:.{digits}f})"


def _size(nbytes: float | None) -> str:
    if nbytes is None:
        return NO_VALUE
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.2f} {name}"
    return f"{nbytes:.0f} bytes"


def _number(value: float | None, digits: int = 2) -> str:
    return NO_VALUE if value is None else f"{value:,.{digits}f}"
