"""One unit of the compress stage: one shard of the record lists, read once and encoded at every level that lacks it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from helmholtz.codecs import open_codec
from helmholtz.codecs.base import Encoded, Prepared
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

# Encoded together, one level after the other: at 32x32 pixels Python's own calls cost as much as libjpeg's work.
_BATCH = 64  # records
_BATCH_BYTES = 1 << 22  # of decoded samples, so that large ones don't pile up
_UPLOADS = 8  # at once: to a bucket, or to a disk that is waited for

Batch = Sequence[tuple[ListedRecord, Prepared]]


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
            used = _Used([0] * len(self._index.classes))
            outputs = [_Output(level, stack.enter_context(_writer(scratch, level, task.name))) for level in task.levels]
            for batch in self._batches(records, used):
                for output in outputs:
                    output.add(batch, [self._codec.encode(prepared, output.level) for _, prepared in batch])
            stack.close()
            versions = self._codec.versions() | image()

            def publish(output: _Output) -> None:
                folder = level_folder(self._index.fingerprint, self._codec.identity, output.level)
                part = output.part(used, versions)
                self._store.upload(output.writer.path, f"{folder}/{part.shard.name}")
                self._store.write_bytes(part_key(folder, task.name), part.model_dump_json().encode())

            with ThreadPoolExecutor(_UPLOADS) as pool:
                list(pool.map(publish, outputs))

    def _batches(self, records: Sequence[ListedRecord], used: _Used) -> Iterator[Batch]:
        """The records that can be used, some at a time, ready to be encoded; counts them in `used`, and the others too."""
        batch: list[tuple[ListedRecord, Prepared]] = []
        nbytes = 0
        for record in records:
            try:
                prepared = prepare(self._codec, self._source.load(record.key, record.digest), record.key, self._noise)
            except BadRecord as error:
                used.rejected.append(RejectedEntry(key=record.key, reason=error.reason))
                continue
            used.add(record, prepared)
            batch.append((record, prepared))
            nbytes += prepared.samples.nbytes + len(prepared.passthrough or b"")
            if len(batch) == _BATCH or nbytes >= _BATCH_BYTES:
                yield batch
                batch, nbytes = [], 0
        if batch:
            yield batch


def _writer(scratch: Path, level: Level, name: str) -> ShardWriter:
    folder = scratch / str(level)
    folder.mkdir()
    return ShardWriter(folder / f"{name}.tfrecord")


@dataclass
class _Used:
    """The records of a shard, which are the same at all levels."""

    per_class: list[int]
    samples: int = 0
    source_bytes: int = 0
    rejected: list[RejectedEntry] = field(default_factory=list)
    source_levels: Counter[int | None] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, record: ListedRecord, prepared: Prepared) -> None:
        """Counts one record."""
        self.per_class[record.label] += 1
        self.samples += prepared.count
        self.source_bytes += record.nbytes
        self.source_levels[prepared.source_level] += 1
        self.notes.update(prepared.notes)

    def compressed_before(self, level: Level) -> int:
        """How many records had been compressed at `level` or a lower one; of ``none``, 0."""
        return sum(n for source, n in self.source_levels.items() if level != NONE and source is not None and level >= source)


@dataclass
class _Output:
    """One shard at one level, being written."""

    level: Level
    writer: ShardWriter
    payload_bytes: int = 0
    coded_bits: int = 0
    bitrates: float = 0.0
    coded_rates: Counter[str] = field(default_factory=Counter)

    def add(self, batch: Batch, payloads: Sequence[Encoded]) -> None:
        """Writes the batch's records, and counts them."""
        self.writer.extend(
            [(record.key, record.label, payload.data) for (record, _), payload in zip(batch, payloads, strict=True)]
        )
        self.payload_bytes += sum([len(payload.data) for payload in payloads])
        self.coded_bits += sum([payload.coded_bits for payload in payloads])
        for payload in payloads:
            if payload.bitrate is not None:
                self.bitrates += payload.bitrate
                self.coded_rates[str(payload.coded_rate)] += 1

    def part(self, used: _Used, versions: dict[str, str]) -> ShardPart:
        """The totals, once the file is closed."""
        return ShardPart(
            shard=self.writer.entry(),
            per_class=tuple(used.per_class),
            payload_bytes=self.payload_bytes,
            coded_bits=self.coded_bits,
            samples=used.samples,
            source_bytes=used.source_bytes,
            rejected=tuple(used.rejected),
            double_compressed=used.compressed_before(self.level),
            source_levels={NONE if source is None else str(source): n for source, n in used.source_levels.items()},
            bitrates=self.bitrates,
            coded_rates=dict(self.coded_rates),
            notes=dict(used.notes),
            versions=versions,
        )
