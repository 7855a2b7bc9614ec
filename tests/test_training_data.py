"""Staging and decoding: the pixels are Pillow's, and whatever isn't what the manifest says is refused."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.errors import BadRecord, ShardError, TrainingError
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, ShardEntry, SplitEntry, level_folder
from helmholtz.shards import ShardWriter
from helmholtz.sources.base import SPLITS, Split
from helmholtz.storage import LocalStore
from helmholtz.training import data
from helmholtz.training.data import load_level, load_split, stage
from helmholtz.training.image_inputs import ImageInputs

Record = tuple[str, int, bytes]

CODEC = JpegCodec("4:2:0", 1 << 20)


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """A smooth gradient with noise and hard edges: what chrominance interpolation and the DCT differ on."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    base = np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x // 3 + y // 5) % 2 * 255], -1)
    return Image.fromarray(np.clip(base + random.normal(0, 20, base.shape), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


def png(seed: int = 0, side: int = 8) -> bytes:
    return encoded(picture(side, side, seed), format="PNG")


def write_shards(folder: Path, split: Split, shards: list[list[Record]], classes: int = 2) -> tuple[list[Path], SplitEntry]:
    folder.mkdir(parents=True, exist_ok=True)
    paths, entries, labels = [], [], []
    for number, records in enumerate(shards):
        path = folder / f"{split}-{number:05}-of-{len(shards):05}.tfrecord"
        with ShardWriter(path) as writer:
            for record in records:
                writer.add(*record)
                labels.append(record[1])
        paths.append(path)
        entries.append(writer.entry())
    counts = tuple(labels.count(label) for label in range(classes))
    entry = SplitEntry(
        records=len(labels),
        groups=1,
        per_class=counts,
        payload_bytes=1,
        coded_bits=1,
        samples=1,
        source_bytes=1,
        shards=tuple(entries),
    )
    return paths, entry


def make_level(store: LocalStore, records: int = 6) -> LevelManifest:
    """A level of 8x8 PNG records in two shards a split."""
    splits = {}
    for split in SPLITS:
        shards = [[(f"{split}/{i}/é", i % 2, png(i)) for i in range(start, records, 2)] for start in (0, 1)]
        splits[split] = write_shards(Path(store.uri, level_folder("d", "jpeg-420", "none")), split, shards)[1]
    return LevelManifest(
        dataset="d",
        codec="jpeg-420",
        medium="image",
        level="none",
        quantisation=0,
        sample="pixel",
        payload_bits_per_sample=1,
        classes=("a", "b"),
        splits=splits,
        rejected=(),
        double_compressed=0,
        source_levels={},
        notes={},
        versions={},
    )


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


def check_pixels(payload: bytes) -> None:
    """What the networks get is what Pillow sees, and what TensorFlow would decode."""
    by_pillow = np.asarray(Image.open(io.BytesIO(payload)).convert("RGB"))
    np.testing.assert_array_equal(CODEC.decode(payload), by_pillow)
    if payload.startswith(b"\xff\xd8"):
        by_tensorflow = tf.io.decode_jpeg(payload, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)
    else:
        by_tensorflow = tf.io.decode_png(payload, channels=3)
    np.testing.assert_array_equal(by_tensorflow, by_pillow)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("quality", [1, 5, 10, 25, 50, 75, 90, 95, 100])
def test_jpeg_pixels_are_pillows(quality: int, subsampling: str) -> None:
    for height, width in ((32, 32), (33, 17), (1, 1), (7, 200)):
        check_pixels(encoded(picture(height, width, quality), format="JPEG", quality=quality, subsampling=subsampling))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 1}, {"comment": b"x"}]
)
def test_other_kinds_of_jpeg_too(mode: str, options: dict[str, object]) -> None:
    check_pixels(encoded(picture(40, 24).convert(mode), format="JPEG", **options))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_png_pixels_are_pillows(mode: str) -> None:
    check_pixels(encoded(picture(19, 31).convert(mode), format="PNG"))


@pytest.mark.parametrize("level", ["none", 50])
@pytest.mark.parametrize("claimed", [(1, 1), (64, 64), (60_000, 60_000)])
def test_a_file_of_another_size_than_its_header_claims(level: Level, claimed: tuple[int, int]) -> None:
    payload = CODEC.encode(CODEC.prepare(np.asarray(picture(32, 32))), level).data
    height, width = claimed
    if level == "none":
        head = b"IHDR" + struct.pack(">II", width, height) + payload[24:29]
        forged = payload[:12] + head + struct.pack(">I", zlib.crc32(head)) + payload[33:]
    else:
        forged = payload[:163] + struct.pack(">HH", height, width) + payload[167:]
    if height * width > CODEC.max_pixels or (level == "none" and height > 32):  # PNG is checked to its end
        with pytest.raises(BadRecord):
            CODEC.decode(forged)
    else:
        assert CODEC.decode(forged).shape == (height, width, 3)  # as far as the pixels go, the rest is grey


def test_a_second_frame_does_not_get_the_memory_it_asks_for() -> None:
    small, large = (encoded(picture(side, side), format="JPEG") for side in (8, 900))
    # Where the frame header is looked for stands a small one, inside a comment; the frame that counts is larger.
    start = small[:20]
    comment = b"\xff\xfe" + struct.pack(">H", 158 - 20 - 2 + 19) + bytes(158 - 20 - 4) + small[158:177]
    forged = start + comment + large[20:]
    assert forged[158:163] == b"\xff\xc0\x00\x11\x08"
    assert CODEC.decode(forged).shape == (900, 900, 3)
    with pytest.raises(BadRecord, match="pixels"):
        JpegCodec("4:2:0", 100).decode(forged)
    claimed = small[158:163] + b"\0\1\0\1" + small[167:177]  # 1x1 pixel of three channels, where there are 1x3 of one
    grey = encoded(picture(1, 3).convert("L"), format="JPEG")
    assert CODEC.decode(start + comment[:-19] + claimed + grey[20:]).shape == (1, 3, 3)


def test_records_come_in_the_order_of_the_shards(tmp_path: Path) -> None:
    def slow_or_quick(i: int) -> bytes:
        return png(i, 400) if i % 50 == 3 else png(i)  # decoded in parallel, the large ones would come late

    shards = [[(f"{i}", i % 3, slow_or_quick(i)) for i in range(start, start + 300)] for start in (0, 300)]
    paths, entry = write_shards(tmp_path, "train", shards, classes=3)
    records = load_split(paths, entry, ImageInputs(CODEC, 8))
    np.testing.assert_array_equal(records.labels, [i % 3 for i in range(600)])
    for i in (0, 1, 299, 300, 599):
        np.testing.assert_array_equal(records.inputs[i], np.asarray(picture(8, 8, i)))
    assert records.inputs.dtype == tf.uint8
    assert records.labels.dtype == tf.int32
    assert len(records) == 600


def test_an_empty_shard_among_others(tmp_path: Path) -> None:
    paths, entry = write_shards(tmp_path, "train", [[], [("a", 1, png())], []])
    assert load_split(paths, entry, ImageInputs(CODEC, 8)).inputs.shape == (1, 8, 8, 3)


@pytest.mark.parametrize("shape", [(64, 64), (16, 48), (5, 9)])
def test_other_sizes_are_resized_after_decoding(tmp_path: Path, shape: tuple[int, int]) -> None:
    image = picture(*shape)
    paths, entry = write_shards(tmp_path, "train", [[("k", 0, encoded(image, format="PNG"))]])
    got = np.asarray(load_split(paths, entry, ImageInputs(CODEC, 16)).inputs[0], np.int32)
    pillow = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR), np.int32)  # antialiased, in fixed point
    assert got.shape == (16, 16, 3)
    assert np.abs(got - pillow).max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.model_copy(update={"records": 3}), "more than 3 records"),
        (lambda entry: entry.model_copy(update={"records": 5}), "4 records instead of 5"),
        (lambda entry: entry.model_copy(update={"per_class": (1, 3)}), r"per class \(2, 2\) instead of \(1, 3\)"),
        (lambda entry: entry.model_copy(update={"per_class": (2,)}), "label 1 where there are 1 classes"),
    ],
)
def test_counts_are_the_manifests(tmp_path: Path, change: Callable[[SplitEntry], SplitEntry], message: str) -> None:
    paths, entry = write_shards(tmp_path, "train", [[("a", 0, png()), ("b", 1, png())]] * 2)
    with pytest.raises(ShardError, match=message):
        load_split(paths, change(entry), ImageInputs(CODEC, 8))


@pytest.mark.parametrize("label", [-1, 2**40])
def test_labels_out_of_range(tmp_path: Path, label: int) -> None:
    path = tmp_path / "train-00000-of-00001.tfrecord"
    feature = {
        "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"k"])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "payload": tf.train.Feature(bytes_list=tf.train.BytesList(value=[png()])),
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    entry = write_shards(tmp_path / "other", "train", [[("k", 0, png())]])[1]
    with pytest.raises(ShardError, match="label"):
        load_split([path], entry, ImageInputs(CODEC, 8))


@pytest.mark.parametrize("payload", [b"", b"nonsense", png()[:60], encoded(picture(32, 32), format="JPEG")[:300]])
def test_a_payload_that_does_not_decode_names_its_record(tmp_path: Path, payload: bytes) -> None:
    paths, entry = write_shards(tmp_path, "train", [[("a", 0, png())], [("b", 1, png()), ("c", 1, payload)]])
    with pytest.raises(ShardError, match=r"train-00001-of-00002.tfrecord: record 1 can't be read .*delete"):
        load_split(paths, entry, ImageInputs(CODEC, 8))


def test_a_truncated_shard_is_refused_while_reading(tmp_path: Path) -> None:
    paths, entry = write_shards(tmp_path, "train", [[("a", 0, png()), ("b", 1, png())]])
    paths[0].write_bytes(paths[0].read_bytes()[:-10])
    with pytest.raises(ShardError, match="record 1 can't be read"):
        load_split(paths, entry, ImageInputs(CODEC, 8))


def test_stage_fetches_and_verifies(store: LocalStore, tmp_path: Path) -> None:
    manifest = make_level(store)
    folder = tmp_path / "staged"
    folder.mkdir()
    paths = stage(store, manifest, folder)
    assert {split: [path.name for path in found] for split, found in paths.items()} == {
        split: [shard.name for shard in manifest.splits[split].shards] for split in SPLITS
    }
    assert all(path.parent == folder for found in paths.values() for path in found)


def _flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_byte, "SHA-256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(b""), "0 bytes instead of"),
        (Path.unlink, "gone"),
    ],
)
def test_a_damaged_shard_is_named(store: LocalStore, tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    manifest = make_level(store)
    shard = manifest.splits["validation"].shards[1].name
    damage(Path(store.uri, level_folder("d", "jpeg-420", "none"), shard))
    with pytest.raises(ShardError, match=rf"{shard}: .*{message}.*; delete this level's manifest.json and run again"):
        load_level(store, manifest, ImageInputs(CODEC, 8))
    assert not list(Path(store.uri, ".tmp").iterdir())  # nothing staged is left behind


@pytest.mark.parametrize("name", ["/etc/passwd", "../train", "a/b"])
def test_a_shards_name_stays_in_its_folder(store: LocalStore, tmp_path: Path, name: str) -> None:
    manifest = make_level(store)
    shard = ShardEntry.model_construct(name=name, records=1, nbytes=1, sha256="0")  # no manifest that is read would hold it
    split = manifest.splits["train"].model_copy(update={"shards": (shard,)})
    with pytest.raises(ShardError, match="is not a file name"):
        stage(store, manifest.model_copy(update={"splits": {**manifest.splits, "train": split}}), tmp_path)


def test_a_level_is_loaded_whole(store: LocalStore) -> None:
    level = load_level(store, make_level(store, 7), ImageInputs(CODEC, 8))
    assert [len(records) for records in (level.train, level.validation, level.test)] == [7, 7, 7]
    np.testing.assert_array_equal(level.train.inputs[0], np.asarray(picture(8, 8, 0)))


def test_a_split_without_records_is_refused(store: LocalStore) -> None:
    manifest = make_level(store)
    splits = {"train": manifest.splits["train"]}
    with pytest.raises(TrainingError, match="no validation and no test records"):
        load_level(store, manifest.model_copy(update={"splits": splits}), ImageInputs(CODEC, 8))


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU has memory of its own")
@pytest.mark.parametrize("shape", [(1,), (7, 5, 3), (2, 0, 3), (3, 96, 17, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_tensor_shares_the_memory_of_what_was_decoded(shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    array = data._aligned(shape, dtype)
    array[...] = 1
    tensor = data._tensor(array)
    array[...] = 2
    np.testing.assert_array_equal(tensor.numpy(), np.full(shape, 2, dtype), strict=True)
    del array
    np.testing.assert_array_equal(tf.identity(tensor) + 1, np.full(shape, 3, dtype), strict=True)


def test_what_does_not_fit_in_memory_is_refused(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_level(store, 6)
    needed = 3 * 6 * 8 * 8 * 3
    monkeypatch.setattr(data, "available_memory", lambda: needed * 2)
    with pytest.raises(TrainingError, match=f"takes {needed:,} bytes decoded at 8x8, .* lower training.input_size"):
        load_level(store, manifest, ImageInputs(CODEC, 8))
    monkeypatch.setattr(data, "available_memory", lambda: needed * 3)
    load_level(store, manifest, ImageInputs(CODEC, 8))


def test_available_memory_is_plausible() -> None:
    available = data.available_memory()
    assert available is None or 0 < available < 1 << 50
