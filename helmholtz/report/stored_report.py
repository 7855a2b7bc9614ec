"""report.json read back, for those who go by it: its experiment is one, and what it refers to is in it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from helmholtz.analysis.summary import CodecSummary, Report
from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Codec
from helmholtz.errors import StorageError
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE
from helmholtz.manifest import LevelManifest
from helmholtz.storage import Store
from helmholtz.stored import parse_model

KEY = "report/report.json"
MAX_BYTES = 1 << 26  # thousands of times what a report takes: a larger file isn't read


def read_report(store: Store) -> Report:
    """The report of the run root `store`. Raises StorageError, naming what is wrong with it, if it can't be relied on."""
    where = f"{store.uri}/{KEY}"
    nbytes = store.size(KEY)
    if nbytes is not None and nbytes > MAX_BYTES:
        raise StorageError(f"{where}: {nbytes:,} bytes, which is no report; delete it and run again")
    report = parse_model(store.read_bytes(KEY), where, Report)
    try:
        experiment = Experiment.model_validate(report.experiment)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("experiment", *map(str, first["loc"])))
        raise StorageError(
            f"{where}: damaged, or of another version ({field}: {first['msg']}); delete it and run again"
        ) from error
    report = report.model_copy(update={"experiment": experiment.model_dump(mode="json")})
    for gap in _gaps(report, open_codec(experiment)):
        raise StorageError(f"{where}: it doesn't fit together ({gap}); delete it and run again")
    return report


def check_level(report: Report, manifest: LevelManifest, where: str) -> None:
    """Raises StorageError if what `report` says of a level isn't so by the level's `manifest`; `where` names the report."""
    level = next(level for level in report.levels if level.level == manifest.level)
    pairs = {
        "classes": (report.classes, manifest.classes),
        "medium": (report.codec.medium, manifest.medium),
        "records": (level.records, {name: split.records for name, split in manifest.splits.items()}),
        "payload_bytes": (level.payload_bytes, manifest.payload_bytes),
        "source_bytes": (level.source_bytes, manifest.source_bytes),
        "bits_per_sample": (level.bits_per_sample, manifest.payload_bits_per_sample),
        "coded_rates": (level.coded_rates, manifest.coded_rates),
        "source_levels": (level.source_levels, manifest.source_levels),
        "double_compressed": (level.double_compressed, manifest.double_compressed),
    }
    for name, (said, written) in pairs.items():
        if said != written:
            raise StorageError(f"{where}: its {name} at level {manifest.level} aren't the manifest's; delete it and run again")


def _gaps(report: Report, codec: Codec) -> Iterator[str]:
    """What it refers to and doesn't hold, and what it can't hold, as phrases."""
    levels = [level.level for level in report.levels]
    if levels.count(NONE) != 1 or len(set(levels)) != len(levels):
        yield "levels: each must be there once, and none among them"
    for level in levels:
        try:
            codec.check(level)
        except ValueError as error:
            yield f"levels: {error}"
    named = CodecSummary(identity=codec.identity, name=codec.name, medium=codec.medium, scale=codec.scale, sample=codec.sample)
    if report.codec != named:
        yield "codec: not the experiment's"
    if (report.test_records is None) != (report.test_groups is None):
        yield "test_records and test_groups: one without the other"
    yield from _dangling(report)


def _dangling(report: Report) -> Iterator[str]:
    """What the answer names and the report doesn't hold."""
    answer, found = report.recommendation, report.smallest
    if answer.level is not None:
        walks = [walk for walk in report.walks if walk.architecture == answer.architecture]
        if answer.level not in [level.level for level in report.levels]:
            yield f"recommendation.level: {answer.level} isn't among the levels"
        if not any(comparison.level == answer.level for walk in walks[:1] for comparison in walk.comparisons):
            yield f"recommendation: no walk compares level {answer.level} for architecture {answer.architecture}"
        if answer.architecture not in [approx.architecture for approx in report.n_approx]:
            yield f"recommendation: no n_approx of architecture {answer.architecture}"
    sized = {cell.architecture for cell in report.cells if cell.parameters}
    if found.smallest is not None and found.largest is not None and not {found.smallest, found.largest} <= sized:
        yield "smallest: an architecture of unknown size"
