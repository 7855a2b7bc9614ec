"""The report as one self-contained page: answer first, then figures, tables, method and provenance."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path

from helmholtz.analysis.level_summary import LevelSummary
from helmholtz.analysis.summary import Report
from helmholtz.analysis.wording import kilohertz, overhead, points, signed, times_smaller
from helmholtz.levels import NONE
from helmholtz.manifest import level_folder
from helmholtz.report import formats
from helmholtz.report.answer import answer
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.report.players import Players
from helmholtz.report.reader import reader

TEMPLATE = "report.html"
VERDICTS = {
    "non-inferior": "passes",
    "inferior": "loses more than the margin",
    "undecided": "not shown either way",
    "untestable": "can\N{RIGHT SINGLE QUOTATION MARK}t be tested",
}
FINDINGS = {
    "equivalent": "no loss or gain as large as the margin",
    "no loss": "no loss as large as the margin; a gain as large isn\N{RIGHT SINGLE QUOTATION MARK}t ruled out",
    "different": "differs by more than the margin",
    "loss": "a loss is shown, its size isn\N{RIGHT SINGLE QUOTATION MARK}t",
    "none found": "no loss is shown; one of the margin would probably have been",
    "blind": "a loss of the margin could well have been missed",
    "untestable": "\N{EN DASH}",
}


def page(report: Report, pictures: Sequence[Picture | Players | Undrawn], *, root: str, experiment: str) -> str:
    """The page, everything from data escaped. `root` is the run root, as the user wrote it; `experiment` its YAML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": formats.percent,
        "interval": formats.interval,
        "points": points,
        "signed": signed,
        "size": formats.size,
        "number": formats.number,
        "times_smaller": times_smaller,
        "kilohertz": kilohertz,
        "effect": formats.effect,
        "paid": formats.paid,
    }
    return environment.get_template(TEMPLATE).render(
        report=report,
        answer=report.recommendation,
        why=answer(report),
        titles={picture.name: picture.title for picture in pictures if isinstance(picture, Picture)},
        pictures=[(picture, _data_uri(picture) if isinstance(picture, Picture) else None) for picture in pictures],
        audio=report.codec.medium == "audio",
        overhead=overhead(report.codec.medium),
        recompressed=any(source != NONE for level in report.levels for source in level.source_levels),
        labels={level.level: _marked(level) for level in report.levels},
        original=next(level.label for level in report.levels if level.level == NONE),
        by_level={level.level: level for level in report.levels},
        best=next((c for w in report.walks for c in w.comparisons if _is_answer(report, w.architecture, c.level)), None),
        level_name=_level_name(report),
        bits=next((found.bits for found in report.n_approx if found.architecture == report.recommendation.architecture), ()),
        verdicts=VERDICTS,
        findings=FINDINGS,
        priced=report.experiment["prices"]["per_hour"] is not None,
        stored=report.experiment["prices"]["per_gb_month"] is not None,
        experiment=experiment,
        refined=report.experiment["refine"]["rounds"] > 0,
        margin=report.experiment["analysis"]["margin"],
        confidence=100 * report.experiment["analysis"]["confidence"],
        mismatch=next((found for found in report.mismatch if found.architecture == report.recommendation.architecture), None),
        root=root,
        quoted_root=shlex.quote(root),
        reader=_reader(report, root),
    )


def _shown(value: object) -> object:
    # Markup is our own. All else that is text may be a name from data.
    return formats.harmless(value) if type(value) is str else value


def _reader(report: Report, root: str) -> str:
    """Python that reads the recommended level's shards where they lie; empty without one."""
    level = next((level for level in report.levels if level.level == report.recommendation.level), None)
    return reader(report, level, f"{root}/{level_folder(report.dataset, report.codec.identity, level.level)}") if level else ""


def _level_name(report: Report) -> str:
    """The recommended level as a noun phrase; empty without one."""
    label = next((level.label for level in report.levels if level.level == report.recommendation.level), "")
    return f"{report.codec.name.upper()} {label}" if label else ""


def _marked(level: LevelSummary) -> str:
    return f"{level.label} (refinement)" if level.refinement_round else level.label


def _is_answer(report: Report, architecture: str, level: object) -> bool:
    return level is not None and (architecture, level) == (report.recommendation.architecture, report.recommendation.level)


def _data_uri(picture: Picture) -> str:
    # As an image, not as elements of the page: its identifiers can't clash with another's, and no script in it would run.
    kind, data = ("png", picture.png) if picture.wide else ("svg+xml", picture.svg)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
