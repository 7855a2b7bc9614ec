"""One unit of the compress stage: one shard of the record lists, read once and encoded at every level that lacks it.

A shard is published while the next one is encoded: a disk or a bucket takes its time, and no processor. So two shards, at all
their levels, lie in the scratch folder at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field

from helmholtz.codecs import open_codec
from helmholtz.codecs.base import EncodedBatch, Prepared
from helmholtz.control import prepare
from helmholtz.dataset import DatasetIndex, ListedRecord, read_records
from helmholtz.errors import BadRecord
from helmholtz.example import identity
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
_BATCH = 128  # records
_BATCH_BYTES = 1 << 18  # of decoded samples: more would not stay in the processor's cache from level to level
_UPLOADS = 8  # at once: to a bucket, or to a disk that is waited for

_log = logging.getLogger(__name__)

Batch = tuple[Sequence[ListedRecord], Sequence[Prepared]]


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
    """Does shard tasks. One a worker; what it opens (source, codec) it opens once. Not thread-safe."""

    def __init__(self, store: Store, experiment: Experiment, index: DatasetIndex) -> None:
        self._store = store
        self._index = index
        self._codec = open_codec(experiment)
        self._source: Source = open_source(experiment.dataset)
        self._noise = experiment.dataset.noise
        self._published: _Publication | None = None  # of the last task

    def __call__(self, task: ShardTask) -> None:
        """Encodes the task's shard at each of its levels. It is published while the next task is encoded, or by `finish`.

        Raises what was in the way of the shard before, too.
        """
        try:
            with contextlib.ExitStack() as stack:
                scratch = stack.enter_context(self._store.scratch())
                used, outputs = self._encode(task, scratch)
                self.finish()
                self._published = self._publish(task.name, used, outputs, stack.pop_all())
        except BaseException:
            self.abandon()
            raise

    def finish(self) -> None:
        """Waits until all that was encoded is published. Raises StorageError if it can't be."""
        published, self._published = self._published, None
        if published is not None:
            published.wait()

    def abandon(self) -> None:
        """Leaves nothing behind of a task that failed, or that nobody waits for."""
        try:
            self.finish()
        except Exception as error:
            _log.warning("not published: %s", error)  # what failed first is what is told

    def _encode(self, task: ShardTask, scratch: Path) -> tuple[_Used, list[_Output]]:
        """The shard at each level, as local files in `scratch`."""
        used = _Used([0] * len(self._index.classes))
        with contextlib.ExitStack() as stack:
            outputs = [_Output(level, stack.enter_context(_writer(scratch, level, task.name))) for level in task.levels]
            for records, prepared in self._batches(read_records(self._store, self._index, task.name), used):
                identities = [identity(record.key, record.label) for record in records]
                for output in outputs:
                    output.add(identities, self._codec.encode_all(prepared, output.level))
        return used, outputs

    def _publish(self, name: str, used: _Used, outputs: Sequence[_Output], files: contextlib.ExitStack) -> _Publication:
        versions = self._codec.versions() | image()

        def publish(output: _Output) -> None:
            folder = level_folder(self._index.fingerprint, self._codec.identity, output.level)
            part = output.part(used, versions)
            self._store.upload(output.writer.path, f"{folder}/{part.shard.name}")
            self._store.write_bytes(part_key(folder, name), part.model_dump_json().encode())

        pool = ThreadPoolExecutor(_UPLOADS)
        uploads = [pool.submit(publish, output) for output in outputs]
        pool.shutdown(wait=False)
        return _Publication(files, uploads)

    def _batches(self, listed: Sequence[ListedRecord], used: _Used) -> Iterator[Batch]:
        """The records that can be used, some at a time, ready to be encoded; counts them in `used`, and the others too."""
        records: list[ListedRecord] = []
        ready: list[Prepared] = []
        nbytes = 0
        for record in listed:
            try:
                prepared = prepare(self._codec, self._source.load(record.key, record.digest), record.key, self._noise)
            except BadRecord as error:
                used.rejected.append(RejectedEntry(key=record.key, reason=error.reason))
                continue
            records.append(record)
            ready.append(prepared)
            nbytes += prepared.samples.nbytes + len(prepared.passthrough or b"")
            if len(ready) == _BATCH or nbytes >= _BATCH_BYTES:
                used.add(records, ready)
                yield records, ready
                records, ready, nbytes = [], [], 0
        if ready:
            used.add(records, ready)
            yield records, ready


@dataclass(frozen=True, slots=True)
class _Publication:
    """A shard on its way to the store, at all its levels."""

    files: contextlib.ExitStack  # holds them until they are there
    uploads: Sequence[Future[None]]

    def wait(self) -> None:
        """Returns once all have ended. Raises what the first that failed raised."""
        with self.files:
            try:
                wait(self.uploads)
            except BaseException:  # Ctrl-C: the files stay as long as someone reads them
                for upload in self.uploads:
                    upload.cancel()
                wait(self.uploads)
                raise
            for upload in self.uploads:
                upload.result()


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

    def add(self, records: Sequence[ListedRecord], prepared: Sequence[Prepared]) -> None:
        """Counts a batch."""
        for record in records:
            self.per_class[record.label] += 1
        self.samples += sum([one.count for one in prepared])
        self.source_bytes += sum([record.nbytes for record in records])
        self.source_levels.update([one.source_level for one in prepared])
        self.notes.update([note for one in prepared for note in one.notes])

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

    def add(self, identities: Sequence[bytes], batch: EncodedBatch) -> None:
        """Writes the batch's records, and counts them."""
        self.writer.extend(identities, batch.payloads)
        self.payload_bytes += sum(map(len, batch.payloads))
        self.coded_bits += batch.coded_bits
        for bitrate in batch.bitrates:
            self.bitrates += bitrate
        for rate in batch.coded_rates:
            self.coded_rates[str(rate)] += 1

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
