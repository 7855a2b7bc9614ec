"""One unit of the compress stage: one shard of the record lists, read once and encoded at every level that lacks it."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Codec, Prepared
from helmholtz.control import prepare
from helmholtz.dataset import DatasetIndex, ListedRecord, read_records
from helmholtz.errors import BadRecord
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.manifest import RejectedEntry, ShardEntry, level_folder
from helmholtz.provenance import image
from helmholtz.shards import ShardWriter
from helmholtz.sources import open_source
from helmholtz.sources.base import Source, Split
from helmholtz.storage import Store
from helmholtz.stored import Model


class ShardPart(Model):
    """What one shard adds to its level's manifest. Its presence says that the shard is published whole."""

    format: Literal[1] = 1
    shard: ShardEntry
    per_class: tuple[int, ...]
    payload_bytes: int
    coded_bits: int
    samples: int
    source_bytes: int
    rejected: tuple[RejectedEntry, ...]
    double_compressed: int
    source_levels: dict[str, int]
    bitrates: float = 0.0  # audio: sum over the records, kbit/s
    coded_rates: dict[str, int] = Field(default_factory=dict)  # audio: Hz -> records
    notes: dict[str, int]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One unit of work: a shard, and the levels that still lack it. Picklable."""

    split: Split
    name: str
    levels: tuple[Level, ...]


def part_key(folder: str, name: str) -> str:
    """Key of a shard's part below its level's folder."""
    return f"{folder}/parts/{name}.json"


class ShardCompressor:
    """Does shard tasks. One a worker process; what it opens (source, codec) it opens once."""

    def __init__(self, store: Store, experiment: Experiment, index: DatasetIndex) -> None:
        self._store = store
        self._index = index
        self._codec = open_codec(experiment)
        self._source: Source = open_source(experiment.dataset)
        self._noise = experiment.dataset.noise

    def __call__(self, task: ShardTask) -> None:
        """Writes the task's shard at each of its levels."""
        records = read_records(self._store, self._index, task.name)
        with self._store.scratch() as scratch, contextlib.ExitStack() as stack:
            outputs = [_Output(level, task.name, self._index, stack, scratch) for level in task.levels]
            for record in records:
                self._encode(record, outputs)
            stack.close()
            versions = self._codec.versions() | image()
            for output in outputs:
                folder = level_folder(self._index.fingerprint, self._codec.identity, output.level)
                part = output.part(versions)
                self._store.upload(output.path, f"{folder}/{part.shard.name}")
                self._store.write_bytes(part_key(folder, task.name), part.model_dump_json().encode())

    def _encode(self, record: ListedRecord, outputs: list[_Output]) -> None:
        try:
            prepared = prepare(self._codec, self._source.load(record.key, record.digest), record.key, self._noise)
        except BadRecord as error:
            for output in outputs:
                output.rejected.append(RejectedEntry(key=record.key, reason=error.reason))
            return
        for output in outputs:
            output.add(record, prepared, self._codec)


@dataclass
class _Output:
    """One shard at one level, being written."""

    level: Level
    name: str
    index: DatasetIndex
    stack: contextlib.ExitStack
    scratch: Path
    per_class: list[int] = field(init=False)
    payload_bytes: int = 0
    coded_bits: int = 0
    samples: int = 0
    source_bytes: int = 0
    double_compressed: int = 0
    bitrates: float = 0.0
    rejected: list[RejectedEntry] = field(default_factory=list)
    source_levels: Counter[str] = field(default_factory=Counter)
    coded_rates: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        folder = self.scratch / str(self.level)
        folder.mkdir()
        self.path = folder / f"{self.name}.tfrecord"
        self.writer = self.stack.enter_context(ShardWriter(self.path))
        self.per_class = [0] * len(self.index.classes)

    def add(self, record: ListedRecord, prepared: Prepared, codec: Codec) -> None:
        """Encodes the record and counts it."""
        payload = codec.encode(prepared, self.level)
        self.writer.add(record.key, record.label, payload.data)
        self.per_class[record.label] += 1
        self.payload_bytes += len(payload.data)
        self.coded_bits += payload.coded_bits
        if payload.bitrate is not None:
            self.bitrates += payload.bitrate
            self.coded_rates[str(payload.coded_rate)] += 1
        self.samples += prepared.count
        self.source_bytes += record.nbytes
        source_level = prepared.source_level
        self.source_levels[NONE if source_level is None else str(source_level)] += 1
        if self.level != NONE and source_level is not None and self.level >= source_level:
            self.double_compressed += 1
        self.notes.update(prepared.notes)

    def part(self, versions: dict[str, str]) -> ShardPart:
        """The totals, once the file is closed."""
        return ShardPart(
            shard=self.writer.entry(),
            per_class=tuple(self.per_class),
            payload_bytes=self.payload_bytes,
            coded_bits=self.coded_bits,
            samples=self.samples,
            source_bytes=self.source_bytes,
            rejected=tuple(self.rejected),
            double_compressed=self.double_compressed,
            source_levels=dict(self.source_levels),
            bitrates=self.bitrates,
            coded_rates=dict(self.coded_rates),
            notes=dict(self.notes),
            versions=versions,
        )
