"""The manifest: what a level of a data set holds, written last, so that where it stands the level is whole.

Lies at ``data/<dataset>/<codec>/<level>/manifest.json`` below the run root, beside the shards it lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from helmholtz.errors import StorageError
from helmholtz.levels import Level
from helmholtz.sources.base import Split
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model

Rate = Annotated[str, Field(pattern=r"^[0-9]{1,6}$")]  # a number as text, for it is the key of a JSON object
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Amount = Annotated[float, Field(ge=0, le=1e12)]  # of bits, seconds, ...: more is a mistake, and its square no number
Source = Annotated[str, Field(pattern=r"^(none|[0-9]{1,6})$")]  # a level as text: likewise a key


class ShardEntry(Model):
    """One TFRecord file."""

    name: str = Field(pattern=r"^(train|validation|test)-[0-9]{5}-of-[0-9]{5}\.tfrecord$")  # of the file beside the manifest
    records: Count
    nbytes: Count
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SplitEntry(Model):
    """Totals of one split at one level."""

    records: Count
    groups: Count  # that the records come from, as listed: those of one group are alike, and so is a network's luck with them
    per_class: tuple[Count, ...]  # in the order of `classes`
    payload_bytes: Count  # the media files alone, with their headers
    coded_bits: Count  # entropy-coded content alone, without headers and tables
    samples: Count  # pixels, or frames of audio
    source_bytes: Count  # what the same records take as the source stores them
    shards: tuple[ShardEntry, ...]

    @property
    def most_frequent(self) -> float | None:
        """Share of the most frequent class, 0..1: the accuracy of always answering it. None without records."""
        return max(self.per_class) / self.records if self.records else None


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
    quantisation: float = Field(ge=0, le=1)  # relative, 0..1
    sample: str  # "pixel"
    payload_bits_per_sample: Amount  # measured: entropy-coded content alone, without headers and tables
    bitrate: Amount | None = None  # audio: kbit/s realised, mean over the records
    coded_rates: dict[Rate, Count] = Field(default_factory=dict)  # audio: Hz at which the codec coded -> records
    classes: tuple[str, ...]
    splits: dict[Split, SplitEntry]
    rejected: tuple[RejectedEntry, ...]
    double_compressed: Count  # records whose source was itself compressed at this level or a lower one (none is 0)
    source_levels: dict[Source, Count]  # estimated source level ("none" for lossless) -> records
    notes: dict[str, Count]  # conversions done on the way in ("palette", "cmyk", ...) -> records
    versions: dict[str, str]  # libraries that wrote the payloads

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, count in Counter(entry.name for entry in self.shards()).items():
            if count > 1:
                raise ValueError(f"shard {name} is listed {count} times")
        for split, entry in self.splits.items():
            if any(not shard.name.startswith(f"{split}-") for shard in entry.shards):
                raise ValueError(f"split {split} lists a shard of another split")
            if len(entry.per_class) != len(self.classes):
                raise ValueError(f"split {split} counts {len(entry.per_class)} classes, but there are {len(self.classes)}")
            if sum(entry.per_class) != entry.records:
                raise ValueError(f"split {split} has {entry.records} records, but {sum(entry.per_class)} in its classes")
        return self

    def shards(self) -> Iterator[ShardEntry]:
        """The shards of all splits."""
        for split in self.splits.values():
            yield from split.shards

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads, all splits."""
        return sum(split.payload_bytes for split in self.splits.values())

    @property
    def coded_bytes(self) -> float:
        """Bytes of their entropy-coded content alone, without headers and tables."""
        return sum(split.coded_bits for split in self.splits.values()) / 8

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


def check_same_records(store: Store, manifests: Iterable[LevelManifest]) -> None:
    """Raises StorageError where levels have set aside different records: nothing could be compared record by record."""
    first: LevelManifest | None = None
    for manifest in manifests:
        first = first or manifest
        if {entry.key for entry in manifest.rejected} == {entry.key for entry in first.rejected}:
            continue
        folder = level_folder(manifest.dataset, manifest.codec, manifest.level)
        raise StorageError(
            f"{store.uri}/{folder}/manifest.json: it set aside other records ({len(manifest.rejected)}) than level "
            f"{first.level} ({len(first.rejected)}); delete the folders of both levels and run again"
        )
