"""Shards against TensorFlow's own reader and writer, and against damage."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helmholtz.errors import ShardError
from helmholtz.example import _message, identity
from helmholtz.shards import ShardWriter, read_shard

RECORDS = [("cat/ä 猫.jpg", 0, b"\x00\xff" * 9), ("", 9, b""), ("x" * 5000, 2**40, bytes(range(256)) * 500)]


def write(path: Path, records: list[tuple[str, int, bytes]]) -> Path:
    with ShardWriter(path) as shard:
        for record in records:
            shard.add(*record)
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(st.text(), st.integers(0, 2**63 - 1), st.binary(max_size=300)), max_size=8))
def test_round_trip(tmp_path: Path, records: list[tuple[str, int, bytes]]) -> None:
    assert list(read_shard(write(tmp_path / "s", records))) == records


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=9), st.integers(0, 9), st.sampled_from([0, 9, 8_000, 8_192, 70_000])), max_size=6))
def test_records_written_together_are_the_same_bytes(tmp_path: Path, records: list[tuple[str, int, int]]) -> None:
    made = [(key, label, bytes([label]) * size) for key, label, size in records]
    together = tmp_path / "test-00000-of-00001.tfrecord"
    with ShardWriter(together) as shard:
        shard.extend([identity(key, label) for key, label, _ in made], [payload for _, _, payload in made])
    apart = write(tmp_path / "apart", made)
    assert together.read_bytes() == apart.read_bytes()
    assert shard.entry().sha256 == hashlib.sha256(apart.read_bytes()).hexdigest()
    assert (shard.entry().records, shard.entry().nbytes) == (len(made), apart.stat().st_size)


# Where a length takes another byte.
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([16_383, 16_384, 2_097_000, 2_097_152]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(st.text(max_size=200), st.integers(-(2**63), 2**63 - 1), SIZES)
def test_examples_are_the_bytes_of_protobufs_own_serialisation(tmp_path: Path, key: str, label: int, size: int) -> None:
    payload = bytes(size)
    example = _message()()
    feature = example.features.feature
    feature["key"].bytes_list.value.append(key.encode())
    feature["label"].int64_list.value.append(label)
    feature["payload"].bytes_list.value.append(payload)
    written = write(tmp_path / "s", [(key, label, payload)]).read_bytes()
    assert written[12:-4] == example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("label", [2**63, -(2**63) - 1])
def test_a_label_that_is_no_int64(label: int) -> None:
    with pytest.raises(ValueError, match="no int64"):
        identity("k", label)


def test_entry_describes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.tfrecord"
    with ShardWriter(path) as shard:
        for record in RECORDS:
            shard.add(*record)
    entry = shard.entry()
    content = path.read_bytes()
    assert (entry.name, entry.records, entry.nbytes) == (path.name, 3, len(content))
    assert entry.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.tensorflow
def test_a_write_that_takes_only_a_part_is_gone_on_with_or_fails(tmp_path: Path) -> None:
    """The end of a full disk lies anywhere: here within what is written last."""
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write(tmp_path / "shard", [(f"{number}", 0, bytes(1_000)) for number in range(250)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_after_an_error_nothing_more_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write(tmp_path / "shard", [("a", 0, b"payload"), ("\ud800", 0, b"of a key that is no text")])
    assert (tmp_path / "shard").stat().st_size == 0


def test_tensorflow_reads_what_we_write_and_writes_the_same_bytes(tmp_path: Path) -> None:
    import tensorflow as tf

    ours = write(tmp_path / "ours", RECORDS)
    theirs = tmp_path / "theirs"
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for serialised in tf.data.TFRecordDataset(str(ours)).as_numpy_iterator():
            example = tf.train.Example.FromString(serialised)
            writer.write(example.SerializeToString(deterministic=True))
    assert ours.read_bytes() == theirs.read_bytes()
    read = [tf.train.Example.FromString(s).features.feature for s in tf.data.TFRecordDataset(str(theirs)).as_numpy_iterator()]
    assert [
        (f["key"].bytes_list.value[0].decode(), f["label"].int64_list.value[0], f["payload"].bytes_list.value[0]) for f in read
    ] == RECORDS


def test_every_flipped_byte_and_every_truncation_is_noticed(tmp_path: Path) -> None:
    good = write(tmp_path / "good", [("a", 1, b"payload"), ("b", 2, b"more")]).read_bytes()
    whole_records = {0, len(write(tmp_path / "one", [("a", 1, b"payload")]).read_bytes()), len(good)}
    bad = tmp_path / "bad"
    for position in range(len(good)):
        bad.write_bytes(good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :])
        with pytest.raises(ShardError, match=r"record [01]"):
            list(read_shard(bad))
        if position not in whole_records:
            bad.write_bytes(good[:position])
            with pytest.raises(ShardError, match=r"record [01]"):
                list(read_shard(bad))


def test_a_lying_length_allocates_nothing(tmp_path: Path) -> None:
    import struct

    from helmholtz import shards

    length = struct.pack("<Q", 2**62)
    path = tmp_path / "lies"
    path.write_bytes(length + shards._masked_crc(length) + b"data")
    with pytest.raises(ShardError, match="ends after the file does"):
        list(read_shard(path))


def test_an_example_of_another_kind_is_an_error(tmp_path: Path) -> None:
    import struct

    from helmholtz import shards

    path = tmp_path / "other"
    length = struct.pack("<Q", 0)
    path.write_bytes(length + shards._masked_crc(length) + shards._masked_crc(b""))
    with pytest.raises(ShardError, match="no Example"):
        list(read_shard(path))
