"""CIFAR-10's binary form with few records: what it holds, as files and archives, and what a source should make of it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from helmholtz.experiment import Dataset
from helmholtz.sources.cifar10 import Cifar10

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
FOLDER = "cifar-10-batches-bin"


def content(records: int = 20) -> dict[str, bytes]:
    """The seven files, of random pixels; record i of a batch has label i % 10."""
    random = np.random.default_rng(0)
    files = {}
    for name in BATCHES:
        rows = random.integers(0, 256, (records, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(records) % 10
        files[name] = rows.tobytes()
    return files | {"batches.meta.txt": ("\n".join(NAMES) + "\n\n").encode()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def archive(files: dict[str, bytes] | None = None) -> bytes:
    files = content() if files is None else files
    return packed({f"{FOLDER}/{name}": data for name, data in files.items()})


def opened(path, **options) -> Cifar10:
    return Cifar10.open(Dataset(kind="cifar10", path=str(path), **options))


def check(source: Cifar10, files: dict[str, bytes]) -> None:
    """The source holds what `files` do, pixel by pixel, as read by another way."""
    records = list(source.records())
    assert [r.key for r in records] == [f"{name}#{k}" for name in BATCHES for k in range(len(files[name]) // 3073)]
    for record in records[::7]:
        name, _, number = record.key.partition("#")
        stored = files[name][int(number) * 3073 : (int(number) + 1) * 3073]
        pixels = source.load(record.key)
        assert (pixels.dtype, pixels.shape, pixels.flags.c_contiguous, type(pixels)) == (
            np.uint8,
            (32, 32, 3),
            True,
            np.ndarray,
        )
        for y, x, channel in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (5, 7, 1)):
            assert pixels[y, x, channel] == stored[1 + 1024 * channel + 32 * y + x]
        assert record.label == stored[0]
        assert record.digest == blake3(pixels.tobytes()).hexdigest(length=16)
        assert record.split == ("test" if name == "test_batch.bin" else "train")
        assert (record.nbytes, record.group) == (3073, None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
