"""Where the compress stage's time goes: wall time of its steps for each encode, on one core, beside the bare encoder's.

32x32 from CIFAR-10's binary form, 256x256 from BMP files; nine levels. Run: python benchmarks/steps.py
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import imagecodecs
from compress import LEVELS, everything, large_pictures, one_core, pictures, prepared

from helmholtz import shard_compressor
from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.shards import ShardWriter
from helmholtz.storage import open_store

STEPS: list[tuple[Any, str, str]] = [
    (shard_compressor, "read_records", "the record list"),
    (ShardCompressor, "_batches", "reading, digest, decoding"),
    (JpegCodec, "encode_all", "encoding, counting coded bits"),
    (ShardWriter, "extend", "Example, CRC-32C, SHA-256, writing"),
    (ShardCompressor, "_publish", "beginning to publish"),
    (ShardCompressor, "finish", "waiting for the shard before"),
]
spent: dict[str, float] = defaultdict(float)


def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`function`, whose calls (or, if it is a generator, whose steps) are added to `spent`."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        found = function(*arguments, **options)
        spent[name] += time.perf_counter() - started
        return _each(found, name) if isinstance(found, Iterator) else found

    return call


def _each(found: Iterator[Any], name: str) -> Iterator[Any]:
    while True:
        started = time.perf_counter()
        item = next(found, None)
        spent[name] += time.perf_counter() - started
        if item is None:
            return
        yield item


def steps(what: str, folder: Path, dataset: dict[str, str]) -> None:
    """Prints microseconds an encode as a line of JSON."""
    experiment = Experiment.model_validate({"dataset": dataset, "levels": ["none", *LEVELS]})
    store = open_store(str(folder / "root"))
    index = index_dataset(store, experiment.dataset)
    compressor = ShardCompressor(store, experiment, index)
    tasks = [ShardTask(split, name, LEVELS) for split, name in index.shard_names()]
    encodes, samples = sum(index.records.values()) * len(LEVELS), prepared(compressor, index, store)
    everything(compressor, tasks)
    spent.clear()
    started = time.perf_counter()
    everything(compressor, tasks)
    wall, began = time.perf_counter() - started, time.perf_counter()
    for picture in samples:
        for level in LEVELS:
            imagecodecs.jpeg8_encode(picture, level=level, subsampling="420")
    bare = (time.perf_counter() - began) / len(samples) / len(LEVELS)
    told = {name: round(1e6 * taken / encodes, 2) for name, taken in spent.items()}
    print(
        json.dumps({"what": what, "microseconds": round(1e6 * wall / encodes, 2), "bare encoder": round(1e6 * bare, 2), **told})
    )


def main() -> None:
    """Prints a line of JSON for each size."""
    for owner, name, what in STEPS:
        setattr(owner, name, timed(getattr(owner, name), what))
    with tempfile.TemporaryDirectory() as temporary, one_core():
        small, large = Path(temporary, "small"), Path(temporary, "large")
        small.mkdir()
        pictures(small / "cifar", 30_000)
        steps("32x32", small, {"kind": "cifar10", "path": str(small / "cifar")})
        large_pictures(large / "files")
        steps("256x256", large, {"kind": "image-folder", "path": str(large / "files")})


if __name__ == "__main__":
    main()
