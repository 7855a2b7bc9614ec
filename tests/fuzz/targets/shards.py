"""TFRecord shards of tf.train.Example: every record is what a reader in plain Python makes of it, or the shard is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from helmholtz.errors import ShardError
from helmholtz.example import around_identity, decode_example, identity
from helmholtz.shards import ShardWriter, read_shard
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.target import Target

RECORDS = (
    (("a/1.png", 0, b"payload"),),
    (("a/1.png", 0, b""), ("b/\N{SNOWMAN}.jpg", 3, bytes(range(200))), ("c", -1, b"x" * 40)),
    (),
)


def corpus() -> list[bytes]:
    import tempfile

    made = []
    with tempfile.TemporaryDirectory() as folder:
        for records in RECORDS:
            path = Path(folder, "x.tfrecord")
            with ShardWriter(path) as shard:
                for record in records:
                    shard.add(*record)
            made.append(path.read_bytes())
    return made


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    if random.random() < 0.3:
        return mutate_bytes(random, data, corpus)
    frames = [content for content, _ in _frames(data)]
    if frames and random.random() < 0.9:
        at = random.randrange(len(frames))
        frames[at] = mutate_bytes(random, frames[at], frames)
    if random.random() < 0.2:
        frames.insert(0, random.choice(frames) if frames else _example("k" * random.randrange(300), 2**62, b"z"))
    return b"".join(_framed(frame) for frame in frames)


def _example(key: str, label: int, payload: bytes) -> bytes:
    same = identity(key, label)
    start, between = around_identity(len(same), len(payload))
    return start + same + between + payload


def _framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _frames(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """(content, whether both checksums are right) of each frame that is whole."""
    while len(data) >= 12:
        (length,) = struct.unpack("<Q", data[:8])
        content, crc = data[12 : 12 + length], data[12 + length : 16 + length]
        if len(crc) < 4:
            return
        yield content, data[8:12] == _masked(data[:8]) and crc == _masked(content)
        data = data[16 + length :]


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _masked(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def check(data: bytes, folder: Path) -> str:
    path = folder / "train-00000-of-00001.tfrecord"
    path.write_bytes(data)
    frames, read = list(_frames(data)), []
    try:
        for key, label, payload in read_shard(path):
            assert decode_example(_example(key, label, payload)) == (key, label, payload), "written again it is another"
            assert payload in frames[len(read)][0], "a payload that isn't in the record"
            assert key.encode() in frames[len(read)][0], "a key that isn't in the record"
            read.append(key)
    except ShardError:
        assert all(right for _, right in frames[: len(read)]), "read a record whose checksum is wrong"
        raise
    assert len(read) == len(frames), "records got lost"
    assert all(right for _, right in frames), "read a record whose checksum is wrong"
    assert sum(16 + len(content) for content, _ in frames) == len(data), "bytes behind the last record got lost"
    return f"{min(len(read), 3)} records"


TARGET = Target(corpus, check, mutate, where=("train-00000-of-00001.tfrecord",), speed=5)
