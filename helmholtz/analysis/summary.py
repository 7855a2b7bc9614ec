"""The content of report.json: everything the report says, as data.

It holds no time and no place, so that equal runs give equal files.
"""

from __future__ import annotations

from typing import Any, Literal

from helmholtz.analysis.curve import PaperCurve
from helmholtz.analysis.estimate import Documented, Estimate
from helmholtz.analysis.noninferiority import Walk
from helmholtz.analysis.recommendation import Recommendation
from helmholtz.codecs.base import Medium
from helmholtz.levels import NONE, Level
from helmholtz.manifest import RejectedEntry
from helmholtz.sources.base import Split


class TheoreticalBits(Documented):
    """Bits a sample by one of the paper's accountings (section 4.1): of 16, how many the quantisation loses and leaves."""

    lost: float
    """Bits lost."""
    left: float
    """Bits left."""


class LevelSummary(Documented):
    """What a level takes, all splits together. Sizes are null while the level isn't written."""

    level: Level
    """The level."""
    label: str
    """The level for people, e.g. "quality 25" or "32 kbit/s"; none is "lossless", or "original files" where those of a
    compressed source are handed on as they are."""
    quantisation: float
    """Relative quantisation Q, 0..1."""
    records: dict[Split, int]
    """Records of each split."""
    payload_bytes: int | None
    """Bytes of the media files, headers included."""
    coded_bytes: float | None
    """Bytes of entropy-coded content alone, without headers and tables."""
    source_bytes: int | None
    """Bytes the same records take as the source stores them."""
    ratio_to_none: float | None
    """How many times smaller than at none."""
    ratio_to_source: float | None
    """How many times smaller than in the source; null where clips were cropped, for the source's bytes hold more than they."""
    bits_per_sample: float | None
    """Measured entropy-coded bits a sample (images: a pixel; audio: a frame, one sample of the one channel)."""
    bitrate: float | None
    """Audio: kbit/s realised, mean over the records; null for images."""
    coded_rates: dict[str, int]
    """Audio: sample rate in Hz at which the codec coded -> records; empty for images."""
    theoretical_bits: dict[str, TheoreticalBits]
    """By accounting: "standard" and "paper"; empty at none, and for MP3, for which there is no theory."""
    double_compressed: int | None
    """Records whose source was itself already compressed at this level or a lower one."""
    source_levels: dict[str, int]
    """Estimated level at which the source was compressed ("none" for lossless) -> records."""


class CellSummary(Documented):
    """One architecture at one level, over its seeds."""

    architecture: str
    """The architecture."""
    level: Level
    """The level."""
    quantisation: float
    """Relative quantisation Q, 0..1."""
    parameters: int | None
    """Parameters, trainable and not; null before the first result."""
    multiply_accumulates: int | None
    """Of one forward pass over one record."""
    complete: int
    """Trials that were trained and tested."""
    diverged: int
    """Trials that diverged: they have no accuracy."""
    missing: int
    """Trials without a result so far."""
    test_accuracy: Estimate
    """Over the complete trials; fractions."""
    validation_accuracy: Estimate
    """At the epoch it chose, over the complete trials; fractions."""
    epochs_to_converge: Estimate
    """Over the complete trials; values of trials still rising at the end of the budget count as they are, as lower bounds."""
    not_converged: int
    """Complete trials that were still rising at the end of the budget."""
    epochs_to_converge_reference: Estimate
    """The reference code's measure, over the trials where it is defined."""
    train_seconds: Estimate
    """Seconds of training alone, over the complete trials."""


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
    curves: tuple[PaperCurve, ...]
    """The paper's curve, by architecture that was asked for at every level."""
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
