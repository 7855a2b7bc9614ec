"""The content of report.json: everything the report says, as data.

It holds no time and no place, so that equal runs give equal files.
"""

from __future__ import annotations

from typing import Any, Literal

from helmholtz.analysis.broken_stick import BrokenStick
from helmholtz.analysis.cell_summary import CellSummary
from helmholtz.analysis.claim import Claim
from helmholtz.analysis.costs import Costs
from helmholtz.analysis.curve import PaperCurve
from helmholtz.analysis.equivalence import Equivalence
from helmholtz.analysis.estimate import Documented
from helmholtz.analysis.level_summary import LevelSummary
from helmholtz.analysis.mismatch import Mismatch
from helmholtz.analysis.models import ModelComparison
from helmholtz.analysis.n_approx import NApprox
from helmholtz.analysis.noninferiority import Walk
from helmholtz.analysis.recommendation import Recommendation
from helmholtz.analysis.smallest_architecture import SmallestArchitecture
from helmholtz.codecs.base import Medium
from helmholtz.levels import NONE
from helmholtz.manifest import RejectedEntry


class Equivalences(Documented):
    """What each comparison of an architecture's walk shows on both sides."""

    architecture: str
    """The architecture."""
    findings: tuple[Equivalence, ...]
    """One a comparison of the walk, in its order."""


class TrialCounts(Documented):
    """How much of the experiment is done."""

    expected: int
    """Trials of the experiment."""
    complete: int
    """Trials that were trained and tested."""
    diverged: tuple[str, ...]
    """Ids of the trials that diverged."""
    missing: tuple[str, ...]
    """Ids of the trials without a result so far."""


class RejectedSummary(Documented):
    """Records that were set aside; they are absent from every level."""

    records: int
    """How many."""
    by_reason: dict[str, int]
    """Reason -> records, most frequent first."""
    first: tuple[RejectedEntry, ...]
    """The first twenty."""


class CodecSummary(Documented):
    """The codec."""

    identity: str
    """Name and settings, e.g. "jpeg-420"."""
    name: str
    """Name, e.g. "jpeg"."""
    medium: Medium
    """What it compresses: "image" or "audio"."""
    scale: str
    """What the level numbers are, e.g. "quality"."""
    sample: str
    """What one sample is, e.g. "pixel"."""


class Report(Documented):
    """A whole report. Accuracies, differences and margins are fractions: 0.01 is one point."""

    format: Literal[1] = 1
    """Version of this format."""
    recommendation: Recommendation
    """The answer."""
    experiment: dict[str, Any]
    """The experiment in full, as in experiment.json."""
    dataset: str
    """Fingerprint of the data set."""
    classes: tuple[str, ...]
    """Class names in label order; empty while no level is written."""
    test_records: int | None
    """Records of the test split."""
    test_groups: int | None
    """Groups of alike records that these come from, as many as records where each is its own: the luck of the test set is
    that of its groups."""
    codec: CodecSummary
    """The codec."""
    trials: TrialCounts
    """How much is done."""
    rejected: RejectedSummary
    """Records that were set aside."""
    levels: tuple[LevelSummary, ...]
    """Every level, least compressed first."""
    cells: tuple[CellSummary, ...]
    """Every architecture at every level it was asked for."""
    walks: tuple[Walk, ...]
    """The comparisons with none, by architecture that was asked for at every level."""
    equivalences: tuple[Equivalences, ...]
    """What the same comparisons show about gains and losses; same order."""
    sticks: tuple[BrokenStick, ...]
    """The broken stick, by architecture that was asked for at every level."""
    n_approx: tuple[NApprox, ...]
    """Both estimates of N_approx, and the bits there; same order."""
    curves: tuple[PaperCurve, ...]
    """The paper's curve; same order."""
    models: tuple[ModelComparison, ...]
    """Which response model the data support; same order."""
    smallest: SmallestArchitecture
    """Which architecture is enough at the recommended level."""
    costs: Costs | None
    """What the recommendation saves, in money; null without prices."""
    claims: tuple[Claim, ...]
    """The paper's five claims, put to the test."""
    mismatch: tuple[Mismatch, ...]
    """Networks tested at other levels than their own, by architecture that was asked for at every level; empty unless the
    experiment asks for it."""
    versions: dict[str, dict[str, tuple[str, ...]]]
    """Stage (compress, train, analyse) -> library -> versions; more than one where trials or levels disagree."""
    devices: tuple[str, ...]
    """What the trials ran on."""

    def metrics(self) -> dict[str, float]:
        """Headline figures by name, those that are known; fractions for accuracies and differences."""
        answer = self.recommendation
        found: dict[str, float | None] = {"trials_complete": self.trials.complete, "trials_expected": self.trials.expected}
        for cell in self.cells:
            if cell.architecture == answer.architecture and cell.level == NONE:
                found["accuracy_lossless"] = cell.test_accuracy.mean
            if cell.architecture == answer.architecture and cell.level == answer.level:
                found["accuracy_recommended"] = cell.test_accuracy.mean
        for level in self.levels:
            if level.level == answer.level:
                found |= {"recommended_quantisation": level.quantisation, "times_smaller": level.ratio_to_none}
        return {name: float(value) for name, value in found.items() if value is not None}


def report_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of report.json; shipped as helmholtz/report/report.schema.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Report.model_json_schema(mode="serialization")}
