"""What weakens an answer: unfinished or diverged trials, small sets, little learned, sources that were compressed before."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from helmholtz.analysis.estimate import spread
from helmholtz.analysis.noninferiority import Walk
from helmholtz.analysis.table import Row, Run
from helmholtz.analysis.walks import tested_groups, tested_records
from helmholtz.analysis.wording import level_name, points, source_compressed
from helmholtz.levels import NONE

FEW_TEST_RECORDS = 10  # a margin of fewer records than this is decided by a handful of them


def caveats(run: Run, table: Sequence[Row], walk: Walk) -> list[str]:
    """What weakens the answer that rests on `walk`."""
    said = []
    missing = sum(row.status == "missing" for row in table)
    diverged = sum(row.status == "diverged" for row in table)
    at_none = any(row.status == "diverged" and row.level == NONE for row in table)
    if missing:
        said.append(
            f"{missing} of {len(table)} trials are still missing: this is a preliminary report; run again to complete it."
        )
    if diverged:
        said.append(
            f"{diverged} of {len(table)} trials diverged and are left out of every mean, together with their partners in the "
            "comparisons; that a level makes training diverge is itself a loss, which the means don't show."
            + (" Some diverged without compression, too: a lower training.learning_rate may cure that." if at_none else "")
        )
    if 2 * sum(row.converged is False for row in table if row.status == "complete") > len(table):
        said.append(
            f"Most trials were not seen to converge within the budget of {run.experiment.training.epochs} epochs: what levels "
            "do to networks that have learned more may differ. Raise training.epochs (fewer than 10 can't show it)."
        )
    said += _unequal_spread(table, walk)
    if run.experiment.seeds < 3:
        said.append("Fewer than 3 seeds: the spread over seeds is hardly known; 5 find the right level far more often.")
    return (
        said + _too_easy(run, table, walk) + _small_test_set(run) + _little_learned(run, table, walk) + _already_compressed(run)
    )


def _too_easy(run: Run, table: Sequence[Row], walk: Walk) -> list[str]:
    accuracies, records = accuracies_at_none(table, walk), tested_records(run)
    if not accuracies or records is None or statistics.fmean(accuracies) < 1 - 1 / records:
        return []
    return [
        "Without compression the networks are right in every test record: the task is too easy to show a gain, and a loss "
        "shows only once it is large. Use harder or more test records."
    ]


def _small_test_set(run: Run) -> list[str]:
    records, groups = tested_records(run), tested_groups(run)
    if groups is None or run.experiment.analysis.margin * groups >= FEW_TEST_RECORDS:
        return []
    decided = run.experiment.analysis.margin * groups
    such = "test records" if groups == records else "groups of alike test records"
    return [
        f"The margin is worth {decided:.1f} of the {groups} {such}, so a handful of them decide, and smaller losses "
        f"can't be told from luck. Use more {such}."
    ]


def _unequal_spread(table: Sequence[Row], walk: Walk) -> list[str]:
    """Of the trials over seeds, by Bartlett's test (1937) at 1%: the broken stick takes one spread for all levels."""
    by_level: dict[object, list[float]] = {}
    for row in table:
        if row.architecture == walk.architecture and row.test_accuracy is not None:
            by_level.setdefault(row.level, []).append(row.test_accuracy)
    spreads = {level: spread(several) for level, several in by_level.items() if len(several) >= 3}
    known = [by_level[level] for level, sd in spreads.items() if sd]
    if len(known) < 3:
        return []
    from scipy import stats

    if stats.bartlett(*known).pvalue > 0.01:
        return []
    least, most = min(sd for sd in spreads.values() if sd), max(sd for sd in spreads.values() if sd)
    return [
        f"Trials spread differently at different levels ({100 * least:.1f} to {100 * most:.1f} points over seeds). The test of "
        "each level allows for that; where the drop begins by the broken stick is less sure than its interval says."
    ]


def _little_learned(run: Run, table: Sequence[Row], walk: Walk) -> list[str]:
    accuracies = accuracies_at_none(table, walk)
    learned = statistics.fmean(accuracies) - walk.chance if accuracies else 0.0
    margin = run.experiment.analysis.margin
    if not walk.above_chance or margin <= 0.1 * learned:
        return []
    return [
        f"The margin is {margin / learned:.0%} of all that is learned: without compression accuracy is only "
        f"{points(learned)} above chance."
    ]


def _already_compressed(run: Run) -> list[str]:
    said = []
    if source_compressed(run):
        levels = next(iter(run.manifests.values())).source_levels
        known = sorted(((int(level), n) for level, n in levels.items() if level != NONE), reverse=True)
        span = " to ".join(run.codec.label(level) for level, _ in dict.fromkeys((known[-1], known[0])))
        count = sum(n for _, n in known)
        before = f"{count:,} {'record was' if count == 1 else 'records were'} already compressed in the source"
        if run.codec.passes_through:
            said.append(f"{before} (estimated {span}): none is no lossless original of {'it' if count == 1 else 'them'}.")
        else:
            said.append(
                f"{before} ({span}, in their own formats, all channels together): none holds what they decode to, without "
                "further loss, so what was lost before is missing at every level."
            )
    twice = [
        level_name(run, level) for level, manifest in run.manifests.items() if manifest.double_compressed and level != NONE
    ]
    if twice:
        said.append(
            f"Double compression: the source of some records was already compressed at or below {', '.join(twice)}; what these "
            "levels lose on a fresh original can't be told from here."
        )
    return said


def accuracies_at_none(table: Sequence[Row], walk: Walk) -> list[float]:
    """Test accuracies at none of the walk's architecture, one a complete trial."""
    return [
        row.test_accuracy
        for row in table
        if row.architecture == walk.architecture and row.level == NONE and row.test_accuracy is not None
    ]
