"""Networks tested at levels that they weren't trained at, and whether inputs may stay uncompressed (`training.mismatch`).

Each trained network is set against the one that matches the inputs it is tested on: trained at the level tested at, from the
same seed. The question of practice is one of these pairs: trained at the recommended level, tested at `none`. It is tested as
levels are, at the same margin and confidence. The level was chosen with the same trials, at which this test doesn't look
again: the matched accuracies at the level are no part of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helmholtz.analysis.answers import Answers, read_answers
from helmholtz.analysis.estimate import Documented, Estimate, estimate
from helmholtz.analysis.noninferiority import Comparison, compare
from helmholtz.analysis.table import Row, Run
from helmholtz.analysis.wording import level_name, original, points, signed
from helmholtz.levels import NONE, Level, sort_key


@dataclass(frozen=True, slots=True)
class Tested:
    """What the networks of one architecture had right, packed: unpacked all at once the pairs of levels would fill memory."""

    packed: Mapping[tuple[Level, Level], Mapping[int, str]]  # (level trained at, level tested at) -> seed -> right answers
    sizes: str  # of the groups of test records

    def answers(self, trained_at: Level, tested_at: Level) -> Answers:
        """Right answers of one pair of levels; of no seeds where it wasn't tested."""
        by_seed = self.packed.get((trained_at, tested_at))
        return Answers({}, np.ones(0)) if by_seed is None else read_answers(by_seed, self.sizes)


class MismatchCell(Documented):
    """Networks trained at one level and tested at one, the same or another."""

    trained_at: Level
    """Level of the training and validation data."""
    tested_at: Level
    """Level of the test data."""
    accuracy: Estimate
    """Test accuracy over seeds; a fraction."""
    difference: Estimate | None
    """From networks that match the inputs (trained at the level tested at), paired over seeds, a fraction: below 0 it is worse
    not to have trained on such inputs. Null where both levels are the same."""


class Mismatch(Documented):
    """The matrix of one architecture, and whether its inputs may stay uncompressed."""

    architecture: str
    """Architecture that was trained at every level."""
    cells: tuple[MismatchCell, ...]
    """By level trained at, then level tested at, least compressed first; pairs without any result are left out."""
    uncompressed: Comparison | None
    """Trained at the recommended level, against trained at none, both tested at none. Null where no level is recommended, or
    where it is about another architecture."""
    sentence: str
    """Whether inputs may stay uncompressed, in words; empty where `uncompressed` is null."""


def mismatches(run: Run, table: Sequence[Row], architecture: str | None, level: Level | None) -> tuple[Mismatch, ...]:
    """Of every architecture that was trained at every level; empty unless the experiment asked for it.

    The question is answered for `architecture` at `level`, those of the recommendation.
    """
    if not run.experiment.training.mismatch:
        return ()
    return tuple(_mismatch(run, table, name, level if name == architecture else None) for name in run.experiment.architectures)


def _mismatch(run: Run, table: Sequence[Row], architecture: str, level: Level | None) -> Mismatch:
    packed: dict[tuple[Level, Level], dict[int, str]] = {}
    sizes = ""
    for row in table:
        if row.architecture == architecture and row.test_groups is not None:
            sizes = row.test_groups
            for tested_at, right in row.right_at.items():
                packed.setdefault((row.level, tested_at), {})[row.seed] = right
    tested = Tested(packed, sizes)
    asked = None if level is None else _uncompressed(run, table, architecture, level, tested)
    return Mismatch(
        architecture=architecture,
        cells=tuple(_cell(run, tested, *pair) for pair in sorted(packed, key=lambda pair: [*map(sort_key, pair)])),
        uncompressed=asked,
        sentence="" if asked is None else _sentence(run, asked),
    )


def _cell(run: Run, tested: Tested, trained_at: Level, tested_at: Level) -> MismatchCell:
    alike = trained_at == tested_at
    return MismatchCell(
        trained_at=trained_at,
        tested_at=tested_at,
        accuracy=_estimate(run, tested.answers(trained_at, tested_at)),
        difference=None if alike else _estimate(run, _difference(tested, trained_at, tested_at)),
    )


def _estimate(run: Run, answers: Answers) -> Estimate:
    return estimate(list(answers.accuracies().values()), run.experiment.analysis.confidence, answers.luck())


def _difference(tested: Tested, trained_at: Level, tested_at: Level) -> Answers:
    """From the networks trained at the level tested at, of the seeds that have both."""
    return tested.answers(trained_at, tested_at).less(tested.answers(tested_at, tested_at))


def _uncompressed(run: Run, table: Sequence[Row], architecture: str, level: Level, tested: Tested) -> Comparison:
    asked = run.experiment.analysis
    difference = _difference(tested, level, NONE)
    values = list(difference.accuracies().values())
    dropped = run.experiment.seeds - len(values)
    found = compare(level, values, dropped, asked.margin, asked.confidence, luck=difference.luck())
    for at in (level, NONE):
        lost = sum((row.architecture, row.level, row.status) == (architecture, at, "diverged") for row in table)
        if lost:
            reason = f"{lost} of its {run.experiment.seeds} trials at {at} diverged, and the others alone would flatter it"
            found = found.model_copy(update={"verdict": "untestable", "reason": reason})
    return found


def _sentence(run: Run, found: Comparison) -> str:
    name, margin = level_name(run, found.level), points(run.experiment.analysis.margin)
    files = original(run) if original(run).endswith("files") else f"{original(run)} files"
    networks = f"networks trained on {name} and tested on {files}"
    if found.difference is None or found.low is None or found.high is None or found.verdict == "untestable":
        return f"Whether inputs need compression too can't be told of {networks}: {found.reason}."
    evidence = (
        f"against networks trained on {files} (difference {signed(found.difference)} points, "
        f"{100 * run.experiment.analysis.confidence:.4g}% interval {signed(found.low)} to {signed(found.high)}, "
        f"{found.pairs} seeds)"
    )
    if found.verdict == "non-inferior":
        return f"Inputs need no compression: {networks} lose less than {margin} {evidence}."
    if found.verdict == "inferior":
        return f"Inputs need the same compression: {networks} lose more than {margin} {evidence}."
    seeds = f" About {found.seeds_needed} seeds, in a new run, would tell." if found.seeds_needed else ""
    return (
        f"Compress inputs as well, to be safe: {networks} are neither shown to lose less than {margin} nor more, "
        f"{evidence}.{seeds}"
    )
