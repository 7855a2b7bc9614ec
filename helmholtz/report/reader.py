"""A reader of a level's shards for those who don't have helmholtz: one Python file, of plain tf.data.

The report shows it, and an export writes it beside the shards: both from one template.
"""

from __future__ import annotations

import re
from pathlib import Path
from pprint import pformat

from helmholtz.analysis.level_summary import LevelSummary
from helmholtz.analysis.summary import Report
from helmholtz.errors import StorageError
from helmholtz.levels import NONE

TEMPLATE = "reader.py.jinja"


def reader(report: Report, level: LevelSummary, folder: str | None) -> str:
    """Python source that reads the shards of `level` in `folder` (a path or URI; None: beside the source itself).

    Its ``dataset(split)`` gives batches of uint8 images [n, side, side, 3], or of float32 clips [n, frames], with int64 labels
    [n]. They are what the networks of the measurement were given: images pixel by pixel, clips to one step of 16 bits.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701  # it is Python; what comes from data goes through `repr`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["python"] = repr
    title = f"{report.codec.name.upper()} {level.label}" if level.level != NONE else level.label
    if not re.fullmatch(r"[\w ./()-]{1,60}", title):  # it stands in the source's docstring as it is
        raise StorageError(f"report.json: {title[:60]!r} is no label of a level; make the report again")
    facts = _audio(report, level) if report.codec.medium == "audio" else _images(report, level)
    return environment.get_template(TEMPLATE).render(
        level=title,
        lossy=level.level != NONE,
        folder=folder,
        classes=pformat(list(report.classes), width=110, compact=True),
        needs=needs(report, level),
        **facts,
    )


def needs(report: Report, level: LevelSummary) -> str:
    """The packages that `reader` imports, in words."""
    if report.codec.medium == "image":
        return "TensorFlow"
    return "TensorFlow, soundfile and soxr" if _is_resampled(level) else "TensorFlow and soundfile"


def _is_resampled(level: LevelSummary) -> bool:
    from helmholtz.audio import SAMPLE_RATE

    return any(int(rate) != SAMPLE_RATE for rate in level.coded_rates)


def _images(report: Report, level: LevelSummary) -> dict[str, object]:
    return {
        "audio": False,
        "resample": False,
        "content": "images",
        "side": int(report.experiment["training"]["input_size"]),
        # none hands a compressed source's JPEG files on as they are, but not those that decoders disagree about.
        "mixed": level.level == NONE and any(source != NONE for source in level.source_levels),
    }


def _audio(report: Report, level: LevelSummary) -> dict[str, object]:
    from helmholtz.audio import SAMPLE_RATE
    from helmholtz.codecs.mp3 import DELAY, SCALES, Mp3Codec

    seconds = float(report.experiment["mp3"]["seconds"])
    return {
        "audio": True,
        "content": "sounds",
        "rate": SAMPLE_RATE,
        "seconds": seconds,
        "frames": Mp3Codec(seconds=seconds).frames,
        "delay": DELAY,
        "scale": None if level.level == NONE else SCALES[level.level],
        "resample": _is_resampled(level),
    }
