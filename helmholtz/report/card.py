"""The card of an exported data set: what it is, what was measured, how to read it (README.md, as Hugging Face reads it)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from helmholtz import __version__
from helmholtz.analysis.summary import Report
from helmholtz.analysis.wording import kilohertz, points, signed, times_smaller
from helmholtz.levels import NONE
from helmholtz.manifest import LevelManifest
from helmholtz.report import formats
from helmholtz.report.answer import answer
from helmholtz.report.html import VERDICTS
from helmholtz.report.reader import needs

TEMPLATE = "card.md.jinja"
SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")  # powers of ten, from a thousand on


class Markdown(str):
    """Text that is Markdown already, and stays as it is."""


def card(report: Report, manifest: LevelManifest, *, source: str, command: str, page: bool) -> str:
    """Markdown with a YAML header, every value escaped but for code and the header. `manifest` is of the exported level.

    `source` says in words where the records are from, `command` is what exported them, and `page` says that report.html lies
    beside the card.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701  # it is Markdown: `finalize` escapes
        finalize=_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": _code,
        "number": formats.number,
        "size": formats.size,
        "signed": signed,
        "points": points,
        "times_smaller": times_smaller,
        "kilohertz": kilohertz,
    }
    named = {level.level: level for level in report.levels}
    level, recommended = named[manifest.level], report.recommendation.level
    walk = next((walk for walk in report.walks if walk.architecture == report.recommendation.architecture), None)
    found = next((c for c in walk.comparisons if c.level == manifest.level), None) if walk else None
    title = _line(f"{report.experiment['name']}, {level.label}")
    return environment.get_template(TEMPLATE).render(
        header=Markdown(yaml.safe_dump(_header(report, manifest, title), sort_keys=False, allow_unicode=True)),
        title=title,
        report=report,
        manifest=manifest,
        level=level,
        records=_records(manifest),
        audio=report.codec.medium == "audio",
        lossy=manifest.level != NONE,
        codec=report.codec.name.upper(),
        media=_media(report, manifest),
        original=named[NONE].label,
        answer=report.recommendation,
        why=answer(report),
        chosen=recommended == manifest.level,
        recommended="" if recommended is None else named[recommended].label,
        comparison=found,
        verdict=VERDICTS[found.verdict] if found else "",
        confidence=f"{100 * report.experiment['analysis']['confidence']:.4g}",
        margin=report.experiment["analysis"]["margin"],
        controls=_controls(report),
        source=source,
        needs=needs(report, level),
        page=page,
        version=__version__,
        command=command,
    )


def _header(report: Report, manifest: LevelManifest, title: str) -> dict[str, Any]:
    """What Hugging Face's hub reads of a card (its dataset card specification)."""
    return {
        "pretty_name": title,
        "license": "unknown",
        "task_categories": [f"{report.codec.medium}-classification"],
        "size_categories": [size_category(_records(manifest))],
        "tags": ["helmholtz", "tfrecord", _line(report.codec.name)],
    }


def size_category(records: int) -> str:
    """Which of the hub's classes of size so many records are in, e.g. ``1K<n<10K``."""
    place = sum(records >= 10 ** (3 + power) for power in range(len(SIZES)))
    if place == 0:
        return f"n<{SIZES[0]}"
    return f"n>{SIZES[-1]}" if place == len(SIZES) else f"{SIZES[place - 1]}<n<{SIZES[place]}"


def _records(manifest: LevelManifest) -> int:
    return sum(split.records for split in manifest.splits.values())


def _media(report: Report, manifest: LevelManifest) -> str:
    if manifest.level != NONE:
        return report.codec.name.upper()
    if report.codec.medium == "audio":
        return "FLAC"
    return "PNG or JPEG" if any(source != NONE for source in manifest.source_levels) else "PNG"


def _controls(report: Report) -> str:
    asked = report.experiment["dataset"]
    said = ["labels were shuffled within each split"] if asked["permute_labels"] else []
    return " and ".join([*said, *([f"noise of {asked['noise']:g} of full scale was added"] if asked["noise"] else [])])


def _text(value: object) -> str:
    """`value` on one line, with all that Markdown or HTML would read as more than text taken literally."""
    if isinstance(value, Markdown):
        return value
    line = _line(value)
    line = re.sub(r"[\\`*_\[\]{}<>|#~$&^@]|:(?=//)|(?i:(?<=www))\.", r"\\\g<0>", line)
    line = re.sub(r"^[-+=](?=[-+= ]|$)", r"\\\g<0>", line)  # would begin a list, or underline what stands above
    return re.sub(r"^([0-9]+)([.)])(?= |$)", r"\1\\\2", line)


def _code(value: str) -> Markdown:
    """`value` as code in a cell of a table."""
    line = _line(value).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return Markdown(f"{fence}{space}{line}{space}{fence}")


def _line(value: object) -> str:
    """`value` on one line, `formats.harmless`."""
    return formats.harmless(" ".join(str(value).split()))
