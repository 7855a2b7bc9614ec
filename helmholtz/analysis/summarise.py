"""Sums a run up: from its table and manifests to the report."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterable, Sequence

from helmholtz import __version__
from helmholtz.analysis.broken_stick import BrokenStick, broken_stick
from helmholtz.analysis.cell_summary import CellSummary, summarise_cell
from helmholtz.analysis.claims import claims
from helmholtz.analysis.costs import costs
from helmholtz.analysis.curve import PaperCurve, fit
from helmholtz.analysis.equivalence import equivalence
from helmholtz.analysis.estimate import estimate
from helmholtz.analysis.level_summary import summarise_level
from helmholtz.analysis.mismatch import mismatches
from helmholtz.analysis.models import ModelComparison, compare_models
from helmholtz.analysis.n_approx import n_approx
from helmholtz.analysis.noninferiority import Walk
from helmholtz.analysis.recommendation import recommend
from helmholtz.analysis.response import LevelMean
from helmholtz.analysis.smallest_architecture import SmallestArchitecture, nothing_smaller, smallest_architecture
from helmholtz.analysis.summary import CodecSummary, Equivalences, RejectedSummary, Report, TrialCounts
from helmholtz.analysis.table import Row, Run, leading_architecture
from helmholtz.analysis.walks import accuracies_of, answers_of, tested_groups, tested_records, walk_of
from helmholtz.levels import NONE, Level
from helmholtz.manifest import RejectedEntry
from helmholtz.provenance import image

REJECTED_SHOWN = 20


def summarise(run: Run, table: Sequence[Row]) -> Report:
    """The report of a run; `table` are its rows."""
    manifests = tuple(run.manifests.values())
    cells = tuple(summarise_cell(run, table, architecture, level) for architecture, level in run.extended.combinations)
    levels = tuple(summarise_level(run, level) for level in run.extended.all_levels)
    walks = tuple(walk_of(run, table, architecture) for architecture in run.experiment.architectures)
    models = tuple(_models(run, cells, walk) for walk in walks)
    sticks = tuple(_stick(run, table, walk) for walk in walks)
    smallest = _smallest(run, table, cells, walks)
    recommendation = recommend(run, table, walks, smallest)
    finished = [result for _, result in run.results if result]
    return Report(
        recommendation=recommendation,
        experiment=run.experiment.model_dump(mode="json"),
        dataset=run.dataset,
        classes=manifests[0].classes if manifests else (),
        test_records=tested_records(run),
        test_groups=tested_groups(run),
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
        equivalences=tuple(_equivalences(run, walk) for walk in walks),
        sticks=sticks,
        n_approx=tuple(n_approx(run, walk, stick, _bits(run)) for walk, stick in zip(walks, sticks, strict=True)),
        curves=tuple(_curve(cells, architecture) for architecture in run.experiment.architectures),
        models=models,
        smallest=smallest,
        costs=costs(run.experiment.prices, cells, levels, recommendation, smallest),
        claims=claims(run, table, recommendation, walks, models, smallest),
        mismatch=mismatches(run, table, recommendation.architecture, recommendation.level),
        versions={
            "compress": _versions(manifest.versions for manifest in manifests),
            "train": _versions(result.versions for result in finished),
            "analyse": {
                "helmholtz": (__version__,),
                **{name: (importlib.metadata.version(name),) for name in ("numpy", "scipy")},
                **{name: (tag,) for name, tag in image().items()},
            },
        },
        devices=tuple(sorted({f"{result.device}, {result.precision}" for result in finished})),
    )


def _bits(run: Run) -> dict[Level, float]:
    """Measured bits a sample of the levels that are written."""
    return {level: manifest.payload_bits_per_sample for level, manifest in run.manifests.items()}


def _stick(run: Run, table: Sequence[Row], walk: Walk) -> BrokenStick:
    tested = (NONE, *(comparison.level for comparison in walk.comparisons))
    accuracies = accuracies_of(table, walk.architecture)
    swept = {level: accuracies[level] for level in tested if level in accuracies}
    confidence = run.experiment.analysis.confidence
    return broken_stick(walk.architecture, swept, _bits(run), confidence, answers=answers_of(table, walk.architecture))


def _models(run: Run, cells: Sequence[CellSummary], walk: Walk) -> ModelComparison:
    bits = _bits(run)
    means = [
        LevelMean(cell.level, cell.quantisation, bits.get(cell.level) or None, cell.test_accuracy.mean)
        for cell in cells
        if cell.architecture == walk.architecture and cell.test_accuracy.mean is not None
    ]
    return compare_models(walk.architecture, means, walk.n_approx)


def _equivalences(run: Run, walk: Walk) -> Equivalences:
    asked = run.experiment.analysis
    return Equivalences(
        architecture=walk.architecture,
        findings=tuple(equivalence(comparison, asked.margin) for comparison in walk.comparisons),
    )


def _smallest(run: Run, table: Sequence[Row], cells: Sequence[CellSummary], walks: Sequence[Walk]) -> SmallestArchitecture:
    """At N_approx of the leading architecture, of all that were trained there."""
    asked = run.experiment.analysis
    leading = leading_architecture(table, [walk.architecture for walk in walks])
    level = next(walk.n_approx for walk in walks if walk.architecture == leading)
    if level is None:
        return nothing_smaller(None, "no level is N_approx")
    there = [cell for cell in cells if cell.level == level and cell.parameters is not None]
    by_architecture = {cell.architecture: accuracies_of(table, cell.architecture) for cell in there}
    answers = {cell.architecture: answers_of(table, cell.architecture) for cell in there}
    found = smallest_architecture(
        level,
        {architecture: by_level.get(level, {}) for architecture, by_level in by_architecture.items()},
        {cell.architecture: cell.parameters for cell in there if cell.parameters is not None},
        seeds=run.experiment.seeds,
        margin=asked.margin,
        confidence=asked.confidence,
        diverged={cell.architecture: cell.diverged for cell in there},
        answers={architecture: by_level[level] for architecture, by_level in answers.items() if level in by_level},
    )
    if found.smallest is None or found.largest is None:
        return found
    with_it, before = by_architecture[found.smallest][level], by_architecture[found.largest].get(NONE, {})
    whole = [with_it[seed] - before[seed] for seed in sorted(with_it.keys() & before.keys())]
    luck = answers[found.smallest][level].less(answers[found.largest][NONE]).luck() if before else None
    return found.model_copy(update={"whole_difference": estimate(whole, asked.confidence, luck)})


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
