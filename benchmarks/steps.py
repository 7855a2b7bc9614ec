"""Where the compress stage's time goes: wall time of its steps for each encode, on one core, beside the bare encoder's.

32x32 from CIFAR-10's binary form, 256x256 from PPM files; nine levels, the mean of some runs in turn with the bare encoder.
Silent for a minute. Run: python benchmarks/steps.py
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tempfile
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from compress import LEVELS, everything, large_pictures, one_core, pictures, prepared
from PIL import Image
from skimage.data import astronaut

from helmholtz import images, shard_compressor
from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.codecs.jpeg_stream import read_stream
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.plain_images import decode_plain
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.shards import ShardWriter
from helmholtz.sources.base import content_digest
from helmholtz.storage import open_store

RUNS = 3
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


def steps(what: str, folder: Path, dataset: dict[str, Any]) -> None:
    """Prints microseconds an encode as a line of JSON."""
    experiment = Experiment.model_validate({"dataset": dataset, "levels": ["none", *LEVELS]})
    store = open_store(str(folder / "root"))
    index = index_dataset(store, experiment.dataset)
    compressor = ShardCompressor(store, experiment, index)
    tasks = [ShardTask(split, name, LEVELS) for split, name in index.shard_names()]
    encodes, samples = sum(index.records.values()) * len(LEVELS), prepared(compressor, index, store)
    everything(compressor, tasks)
    spent.clear()
    wall = bare = 0.0
    for _ in range(RUNS):  # in turn
        started = time.perf_counter()
        everything(compressor, tasks)
        wall += time.perf_counter() - started
        began = time.perf_counter()
        for picture in samples:
            for level in LEVELS:
                imagecodecs.jpeg8_encode(picture, level=level, subsampling="420")
        bare += (time.perf_counter() - began) / len(samples) / len(LEVELS)
    told = {name: round(1e6 * taken / encodes / RUNS, 2) for name, taken in spent.items()}
    rest = round(1e6 * wall / encodes / RUNS - sum(told.values()), 2)
    whole = {"of": what, "microseconds an encode": round(1e6 * wall / encodes / RUNS, 2)}
    print(json.dumps({**whole, **told, "the rest": rest, "bare encoder alone": round(1e6 * bare / RUNS, 2)}), flush=True)


def by_pillow(data: bytes) -> None:
    """As it would be decoded without `plain_images`, and with what is to be known of a JPEG file's structure."""
    images._by_pillow(data, 1 << 20)
    if data.startswith(b"\xff\xd8"):
        read_stream(data)


def pieces() -> dict[str, float]:
    """Microseconds of single pieces of work on a photograph of 256x256 (196 kB of samples), the best of some runs each."""
    picture = Image.fromarray(astronaut()[:256, :256])
    files = {}
    for kind in ("PPM", "BMP", "JPEG"):
        file = io.BytesIO()
        picture.save(file, kind, quality=90)
        files[kind] = file.getvalue()
    content, payloads = np.asarray(picture).tobytes(), bytes(78_000)
    work: dict[str, Callable[[], object]] = {
        "BLAKE3 of 196 kB": lambda: content_digest(content),
        "BLAKE2b of 196 kB": lambda: hashlib.blake2b(content, digest_size=16).hexdigest(),
        "SHA-256 of 78 kB": lambda: hashlib.sha256(payloads).hexdigest(),
        **{f"{kind} decoded directly": lambda data=data: decode_plain(data, 1 << 20) for kind, data in files.items()},
        **{f"{kind} by Pillow": lambda data=data: by_pillow(data) for kind, data in files.items()},
    }
    best = {name: min(timeit.repeat(one, number=50, repeat=9)) / 50 for name, one in work.items()}
    return {name: round(1e6 * taken, 1) for name, taken in best.items()}


def main() -> None:
    """Prints a line of JSON for each size, and one of single pieces of work."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for owner, name, what in STEPS:
        setattr(owner, name, timed(getattr(owner, name), what))
    with tempfile.TemporaryDirectory() as temporary, one_core():
        small, large = Path(temporary, "small"), Path(temporary, "large")
        small.mkdir()
        pictures(small / "cifar", 30_000)
        steps("32x32", small, {"kind": "cifar10", "path": str(small / "cifar")})
        large_pictures(large / "files")
        steps("256x256", large, {"kind": "image-folder", "path": str(large / "files"), "shards": 2})
        print(json.dumps({"what": "a photograph of 256x256, microseconds", **pieces()}))


if __name__ == "__main__":
    main()
