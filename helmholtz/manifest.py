"""The manifest: what a level of a data set holds, written last, so that where it stands the level is whole.

Lies at ``data/<dataset>/<codec>/<level>/manifest.json`` below the run root, beside the shards it lists.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from helmholtz.errors import StorageError
from helmholtz.levels import Level
from helmholtz.sources.base import Split
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model


class ShardEntry(Model):
    """One TFRecord file."""

    name: str  # file name beside the manifest, e.g. "train-00000-of-00008.tfrecord"
    records: int = Field(ge=0)
    nbytes: int = Field(ge=0)
    sha256: str


class SplitEntry(Model):
    """Totals of one split at one level."""

    records: int
    groups: int  # that the records come from, as listed: those of one group are alike, and so is a network's luck with them
    per_class: tuple[int, ...]  # in the order of `classes`
    payload_bytes: int  # the media files alone, with their headers
    coded_bits: int  # entropy-coded content alone, without headers and tables
    samples: int  # pixels, or frames of audio
    source_bytes: int  # what the same records take as the source stores them
    shards: tuple[ShardEntry, ...]


class RejectedEntry(Model):
    """A record that was set aside, and why."""

    key: str
    reason: str


class LevelManifest(Model):
    """One level of a data set."""

    format: Literal[1] = 1
    dataset: str  # fingerprint
    codec: str  # identity, e.g. "jpeg-420"
    medium: Literal["image", "audio"]
    level: Level
    quantisation: float  # relative, 0..1
    sample: str  # "pixel"
    payload_bits_per_sample: float  # measured: entropy-coded content alone, without headers and tables
    bitrate: float | None = None  # audio: kbit/s realised, mean over the records
    coded_rates: dict[str, int] = Field(default_factory=dict)  # audio: Hz at which the codec coded -> records
    classes: tuple[str, ...]
    splits: dict[Split, SplitEntry]
    rejected: tuple[RejectedEntry, ...]
    double_compressed: int  # records whose source was itself compressed at this level or a lower one (none is 0)
    source_levels: dict[str, int]  # estimated source level ("none" for lossless) -> records
    notes: dict[str, int]  # conversions done on the way in ("palette", "cmyk", ...) -> records
    versions: dict[str, str]  # libraries that wrote the payloads

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads, all splits."""
        return sum(split.payload_bytes for split in self.splits.values())

    @property
    def source_bytes(self) -> int:
        """Bytes the same records take in the source."""
        return sum(split.source_bytes for split in self.splits.values())

    @property
    def ratio_to_source(self) -> float | None:
        """How many times smaller than in the source; None where clips were cropped: the source holds more than they do."""
        if "cropped" in self.notes or not self.payload_bytes:
            return None
        return self.source_bytes / self.payload_bytes


def level_folder(dataset: str, codec: str, level: Level) -> str:
    """Key of the folder that holds a level's shards and manifest."""
    return f"data/{dataset}/{codec}/{level}"


def read_manifest(store: Store, dataset: str, codec: str, level: Level) -> LevelManifest:
    """The manifest of a level. Raises StorageError if it isn't there, or isn't that level's."""
    key = f"{level_folder(dataset, codec, level)}/manifest.json"
    manifest = read_model(store, key, LevelManifest)
    if (manifest.dataset, manifest.codec, manifest.level) != (dataset, codec, level):
        found = level_folder(manifest.dataset, manifest.codec, manifest.level)
        raise StorageError(f"{store.uri}/{key}: it describes {found}; delete it and run again")
    return manifest
