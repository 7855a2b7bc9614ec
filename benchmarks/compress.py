"""The compress stage against a bare loop of the same encoder on the same pictures.

End to end: reading, encoding at every level, Example, checksums, writing. Run: python benchmarks/compress.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from timing import compare, rate

from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.levels import Level
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.storage import open_store

LEVELS: tuple[Level, ...] = (100, 75, 50, 25, 20, 15, 10, 5, 1)
RECORDS = 30_000


def pictures(folder: Path) -> None:
    """A set in CIFAR-10's binary form: smooth colours with noise, no two alike."""
    random = np.random.default_rng(0)
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        coarse = random.integers(0, 200, (RECORDS // 6, 3, 4, 4))
        planes = np.kron(coarse, np.ones((8, 8), int)) + random.integers(0, 56, (RECORDS // 6, 3, 32, 32))
        labels = np.arange(len(planes))[:, None] % 10
        np.hstack([labels, planes.reshape(len(planes), -1)]).astype(np.uint8).tofile(folder / name)


def main() -> None:
    """Compares, and prints one line of JSON."""
    import imagecodecs

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder)
        experiment = Experiment.model_validate({"dataset": {"kind": "cifar10", "path": temporary}, "levels": ["none", *LEVELS]})
        store = open_store(str(folder / "root"))
        index = index_dataset(store, experiment.dataset)
        compressor = ShardCompressor(store, experiment, index)
        tasks = [ShardTask(split, name, LEVELS) for split, name in index.shard_names()]
        count = sum(index.records.values()) * len(LEVELS)
        source, codec = compressor._source, JpegCodec(subsampling="4:2:0", max_pixels=10_000)
        pixels = [codec.prepare(source.load(f"data_batch_1.bin#{number}")).samples for number in range(RECORDS // 6)] * 6

        def ours() -> float:
            return rate(count, lambda: [compressor(task) for task in tasks])

        def bare() -> float:
            def loop() -> None:
                for picture in pixels:
                    for level in LEVELS:
                        imagecodecs.jpeg8_encode(picture, level=level, subsampling="420")

            return rate(len(pixels) * len(LEVELS), loop)

        compare("compress 32x32, 9 levels / bare encoder, one core", ours, bare, target=0.6)


if __name__ == "__main__":
    main()
