"""What a level takes: its sizes, its bits and what storing it costs."""

from __future__ import annotations

from helmholtz.analysis.estimate import Documented
from helmholtz.analysis.prices import storage_cost
from helmholtz.analysis.table import Run
from helmholtz.analysis.wording import level_label
from helmholtz.levels import NONE, Level
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
    storage_cost: float | None
    """Money for a month of its payload, in the currency of the experiment's prices; null without a price."""
    double_compressed: int | None
    """Records whose source was itself already compressed at this level or a lower one."""
    source_levels: dict[str, int]
    """Estimated level at which the source was compressed ("none" for lossless) -> records."""
    refinement_round: int | None
    """Round of refinement that asked for the level, from 1; null for a level of the experiment."""


def summarise_level(run: Run, level: Level) -> LevelSummary:
    """What `level` of `run` takes."""
    manifest, none = run.manifests.get(level), run.manifests.get(NONE)
    nbytes = manifest.payload_bytes if manifest else None
    return LevelSummary(
        level=level,
        label=level_label(run, level),
        quantisation=run.codec.quantisation(level),
        records={name: split.records for name, split in manifest.splits.items()} if manifest else {},
        payload_bytes=nbytes,
        coded_bytes=manifest.coded_bytes if manifest else None,
        source_bytes=manifest.source_bytes if manifest else None,
        ratio_to_none=none.payload_bytes / nbytes if none and nbytes else None,
        ratio_to_source=manifest.ratio_to_source if manifest else None,
        bits_per_sample=manifest.payload_bits_per_sample if manifest else None,
        bitrate=manifest.bitrate if manifest else None,
        coded_rates=manifest.coded_rates if manifest else {},
        theoretical_bits={
            name: TheoreticalBits(lost=bits.lost, left=bits.left) for name, bits in run.codec.bits(level).items()
        },
        storage_cost=storage_cost(run.experiment.prices, nbytes),
        double_compressed=manifest.double_compressed if manifest else None,
        source_levels=manifest.source_levels if manifest else {},
        refinement_round=run.refinement.round_of(level) if run.refinement else None,
    )
