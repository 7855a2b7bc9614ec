"""Sums a run up: from its table and manifests to the report."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterable, Sequence

from helmholtz import __version__
from helmholtz.analysis.curve import PaperCurve, fit
from helmholtz.analysis.estimate import Estimate, estimate
from helmholtz.analysis.noninferiority import Walk, walk
from helmholtz.analysis.recommendation import recommend
from helmholtz.analysis.summary import (
    CellSummary,
    CodecSummary,
    LevelSummary,
    RejectedSummary,
    Report,
    TheoreticalBits,
    TrialCounts,
)
from helmholtz.analysis.table import Row, Run
from helmholtz.analysis.wording import level_label
from helmholtz.levels import NONE, Level
from helmholtz.manifest import LevelManifest, RejectedEntry

REJECTED_SHOWN = 20


def summarise(run: Run, table: Sequence[Row]) -> Report:
    """The report of a run; `table` are its rows."""
    manifests = tuple(run.manifests.values())
    cells = tuple(_cell(run, table, architecture, level) for architecture, level in run.experiment.combinations)
    levels = tuple(_level(run, level) for level in run.experiment.all_levels)
    walks = tuple(_walk(run, table, architecture) for architecture in run.experiment.architectures)
    finished = [result for _, result in run.results if result]
    return Report(
        recommendation=recommend(run, table, walks),
        experiment=run.experiment.model_dump(mode="json"),
        dataset=run.dataset,
        classes=manifests[0].classes if manifests else (),
        test_records=_test_records(run),
        codec=CodecSummary(
            identity=run.codec.identity,
            name=run.codec.name,
            medium=run.codec.medium,
            scale=run.codec.scale,
            sample=run.codec.sample,
        ),
        trials=TrialCounts(
            expected=len(table),
            complete=sum(row.status == "complete" for row in table),
            diverged=tuple(row.trial for row in table if row.status == "diverged"),
            missing=tuple(row.trial for row in table if row.status == "missing"),
        ),
        rejected=_rejected(manifests[0].rejected if manifests else ()),
        levels=levels,
        cells=cells,
        walks=walks,
        curves=tuple(_curve(cells, architecture) for architecture in run.experiment.architectures),
        versions={
            "compress": _versions(manifest.versions for manifest in manifests),
            "train": _versions(result.versions for result in finished),
            "analyse": {
                "helmholtz": (__version__,),
                **{name: (importlib.metadata.version(name),) for name in ("numpy", "scipy")},
            },
        },
        devices=tuple(sorted({f"{result.device}, {result.precision}" for result in finished})),
    )


def _level(run: Run, level: Level) -> LevelSummary:
    manifest, none = run.manifests.get(level), run.manifests.get(NONE)
    nbytes = manifest.payload_bytes if manifest else None
    return LevelSummary(
        level=level,
        label=level_label(run, level),
        quantisation=run.codec.quantisation(level),
        records={name: split.records for name, split in manifest.splits.items()} if manifest else {},
        payload_bytes=nbytes,
        coded_bytes=sum(split.coded_bits for split in manifest.splits.values()) / 8 if manifest else None,
        source_bytes=manifest.source_bytes if manifest else None,
        ratio_to_none=none.payload_bytes / nbytes if none and nbytes else None,
        ratio_to_source=manifest.ratio_to_source if manifest else None,
        bits_per_sample=manifest.payload_bits_per_sample if manifest else None,
        bitrate=manifest.bitrate if manifest else None,
        coded_rates=manifest.coded_rates if manifest else {},
        theoretical_bits={
            name: TheoreticalBits(lost=bits.lost, left=bits.left) for name, bits in run.codec.bits(level).items()
        },
        double_compressed=manifest.double_compressed if manifest else None,
        source_levels=manifest.source_levels if manifest else {},
    )


def _cell(run: Run, table: Sequence[Row], architecture: str, level: Level) -> CellSummary:
    mine = [row for row in table if row.architecture == architecture and row.level == level]
    done = [row for row in mine if row.status == "complete"]
    confidence = run.experiment.analysis.confidence

    def over_seeds(column: str) -> Estimate:
        return estimate([getattr(row, column) for row in done if getattr(row, column) is not None], confidence)

    return CellSummary(
        architecture=architecture,
        level=level,
        quantisation=run.codec.quantisation(level),
        parameters=next((row.parameters for row in mine if row.parameters is not None), None),
        multiply_accumulates=next((row.multiply_accumulates for row in mine if row.multiply_accumulates is not None), None),
        complete=len(done),
        diverged=sum(row.status == "diverged" for row in mine),
        missing=sum(row.status == "missing" for row in mine),
        test_accuracy=over_seeds("test_accuracy"),
        validation_accuracy=over_seeds("validation_accuracy"),
        epochs_to_converge=over_seeds("epochs_to_converge"),
        not_converged=sum(row.converged is False for row in done),
        epochs_to_converge_reference=over_seeds("epochs_to_converge_reference"),
        train_seconds=over_seeds("train_seconds"),
    )


def _walk(run: Run, table: Sequence[Row], architecture: str) -> Walk:
    accuracies: dict[Level, dict[int, float]] = {}
    for row in table:
        if row.architecture == architecture and row.test_accuracy is not None:
            accuracies.setdefault(row.level, {})[row.seed] = row.test_accuracy
    diverged = Counter(row.level for row in table if row.architecture == architecture and row.status == "diverged")
    return walk(
        architecture,
        accuracies,
        run.experiment.levels,
        seeds=run.experiment.seeds,
        chance=_chance(run),
        margin=run.experiment.analysis.margin,
        confidence=run.experiment.analysis.confidence,
        diverged=diverged,
        test_records=_test_records(run),
    )


def _test_records(run: Run) -> int | None:
    manifest: LevelManifest | None = next(iter(run.manifests.values()), None)
    return manifest.splits["test"].records if manifest and "test" in manifest.splits else None


def _chance(run: Run) -> float:
    """Accuracy of always answering the test split's most frequent class; 1 / classes where they are balanced."""
    manifest: LevelManifest | None = next(iter(run.manifests.values()), None)
    if manifest and "test" in manifest.splits and manifest.splits["test"].records:
        return max(manifest.splits["test"].per_class) / manifest.splits["test"].records
    return max((1 / result.classes for _, result in run.results if result), default=0.0)


def _curve(cells: Sequence[CellSummary], architecture: str) -> PaperCurve:
    means = [
        (cell.quantisation, cell.test_accuracy.mean)
        for cell in cells
        if cell.architecture == architecture and cell.level != NONE and cell.test_accuracy.mean is not None
    ]
    return fit(architecture, means)


def _rejected(entries: Sequence[RejectedEntry]) -> RejectedSummary:
    by_reason = dict(Counter(entry.reason for entry in entries).most_common())
    return RejectedSummary(records=len(entries), by_reason=by_reason, first=tuple(entries[:REJECTED_SHOWN]))


def _versions(found: Iterable[dict[str, str]]) -> dict[str, tuple[str, ...]]:
    versions: dict[str, set[str]] = {}
    for one in found:
        for name, version in one.items():
            versions.setdefault(name, set()).add(version)
    return {name: tuple(sorted(versions[name])) for name in sorted(versions)}
