"""The compress stage against a bare loop of the same encoder on the same pictures, 32x32 and 256x256, and the reference's way.

End to end: reading, encoding at every level, Example, checksums, writing. Run: python benchmarks/compress.py
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from timing import compare, rate, seconds, tell

from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.levels import Level
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.storage import open_store

LEVELS: tuple[Level, ...] = (100, 75, 50, 25, 20, 15, 10, 5, 1)
RECORDS = 30_000  # of 32x32
LARGE = 2_000  # pictures of 256x256
RUNS = 5


def pictures(folder: Path, records: int = RECORDS) -> None:
    """A set in CIFAR-10's binary form: smooth colours with noise, no two alike."""
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        with (folder / name).open("wb") as file:
            for start in range(0, records // 6, 5_000):
                some = min(5_000, records // 6 - start)
                coarse = random.integers(0, 200, (some, 3, 4, 4), np.uint8)
                planes = coarse.repeat(8, 2).repeat(8, 3) + random.integers(0, 56, (some, 3, 32, 32), np.uint8)
                labels = np.arange(some, dtype=np.uint8)[:, None] % 10
                np.hstack([labels, planes.reshape(some, -1)]).tofile(file)


def large_pictures(folder: Path, kind: str = "ppm") -> None:
    """Two classes of files of 256x256, whose detail falls with its size as in photographs. PPM has nothing to decode."""
    random, textures = np.random.default_rng(1), []
    for _ in range(LARGE // 20):
        pixels = np.zeros((256, 256, 3))
        for side in (4, 8, 16, 32, 64, 128, 256):
            detail = Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8))
            pixels += np.asarray(detail.resize((256, 256), Image.Resampling.BICUBIC)) / side**0.75
        textures.append(((pixels - pixels.min()) * (255 / np.ptp(pixels))).astype(np.uint8))
    for number in range(LARGE):  # each texture is shifted twenty times, which makes another picture of it
        shifted = np.roll(textures[number % len(textures)], 11 * (number // len(textures)), (0, 1))
        path = folder / "ab"[number % 2] / f"{number}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shifted).save(path)


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keeps all threads that begin in the block, and this one, on one core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def against_the_encoder(name: str, folder: Path, dataset: dict[str, Any], target: float, *, passes: int) -> None:
    """One core: the whole unit of work against nothing but the encoder, which gets a thousand pictures so many times.

    Both should take a second at least: a shorter time says how fast the machine is in that moment.
    """
    experiment = Experiment.model_validate({"dataset": dataset, "levels": ["none", *LEVELS]})
    store = open_store(str(folder / f"root-{dataset['kind']}"))
    index = index_dataset(store, experiment.dataset)
    compressor = ShardCompressor(store, experiment, index)
    tasks = [ShardTask(split, name, LEVELS) for split, name in index.shard_names()]
    pixels = prepared(compressor, index, store)
    encoded = sum(index.records.values()) * len(LEVELS)

    def ours() -> float:
        return rate(encoded, lambda: everything(compressor, tasks))

    def bare() -> float:
        def loop() -> None:
            for _ in range(passes):
                for picture in pixels:
                    for level in LEVELS:
                        imagecodecs.jpeg8_encode(picture, level=level, subsampling="420")

        return rate(passes * len(pixels) * len(LEVELS), loop)

    with one_core():
        compare(name, ours, bare, target=target, runs=RUNS)


def everything(compressor: ShardCompressor, tasks: list[ShardTask]) -> None:
    """All tasks, to their end."""
    for task in tasks:
        compressor(task)
    compressor.finish()


def prepared(compressor: ShardCompressor, index: Any, store: Any) -> list[np.ndarray]:
    """The pixels of at most a thousand records, as the encoder gets them."""
    from helmholtz.dataset import read_records

    codec, source = JpegCodec(subsampling="4:2:0", max_pixels=1 << 20), compressor._source
    listed = [record for _, name in index.shard_names() for record in read_records(store, index, name)][:1_000]
    return [codec.prepare(source.load(record.key)).samples for record in listed]


def against_the_reference(folder: Path) -> None:
    """The reference's way: Pillow, one file an image and level."""
    few = 3_000
    pictures(folder / "few", few)
    experiment = Experiment.model_validate(
        {"dataset": {"kind": "cifar10", "path": str(folder / "few")}, "levels": ["none", *LEVELS]}
    )
    store = open_store(str(folder / "root-few"))
    index = index_dataset(store, experiment.dataset)
    compressor = ShardCompressor(store, experiment, index)
    tasks = [ShardTask(split, name, LEVELS) for split, name in index.shard_names()]
    pixels, turn = prepared(compressor, index, store), count()

    def ours() -> float:
        return rate(few * len(LEVELS), lambda: everything(compressor, tasks))

    def theirs() -> float:
        to = folder / f"files{next(turn)}"

        def loop() -> None:
            for level in LEVELS:
                (to / str(level)).mkdir(parents=True)
                for number, picture in enumerate(pixels):
                    Image.fromarray(picture).save(to / str(level) / f"{number}.jpg", quality=level)

        found = rate(len(pixels) * len(LEVELS), loop)
        shutil.rmtree(to)
        return found

    compare("compress 32x32 / the reference's way (Pillow, a file an image and level)", ours, theirs, target=5, runs=RUNS)


def on_two_cores(folder: Path, records: int) -> None:
    """The whole stage, Beam and all, in two processes against one."""
    pictures(folder / "many", records)
    turn, speedups = count(), []

    def stage(runner: str, workers: int) -> float:
        beam = {"runner": runner, "workers": workers}
        dataset = {"kind": "cifar10", "path": str(folder / "many"), "shards": 32}
        experiment = Experiment.model_validate({"dataset": dataset, "levels": ["none", *LEVELS], "beam": beam})
        store = open_store(str(folder / f"root{next(turn)}"))
        index = index_dataset(store, experiment.dataset)
        found = seconds(lambda: compress(store, experiment, index))
        shutil.rmtree(store.uri)
        return found

    for _ in range(3):
        one = stage("local", 1)
        speedups.append(one / stage("multi-processing", 2))
    tell(f"compress {records:,} pictures of 32x32 on 2 cores / on 1", speedups, at_least=1.8)


def main() -> None:
    """Compares, and prints one line of JSON each."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder / "cifar")
        cifar = {"kind": "cifar10", "path": str(folder / "cifar")}
        against_the_encoder("compress 32x32, 9 levels / bare encoder, one core", folder, cifar, 0.6, passes=20)
        large_pictures(folder / "large")
        large = {"kind": "image-folder", "path": str(folder / "large"), "shards": 2}  # of some megabytes, as in large sets
        against_the_encoder("compress 256x256, 9 levels / bare encoder, one core", folder, large, 0.9, passes=2)
        against_the_reference(folder)
        if len(os.sched_getaffinity(0)) > 1:
            on_two_cores(folder, 240_000)


if __name__ == "__main__":
    main()
