"""How a split is read (batches, threads) can't be told from what is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helmholtz.errors import ShardError
from helmholtz.training import data
from helmholtz.training.data import load_split
from helmholtz.training.image_inputs import ImageInputs
from tests.test_training_data import CODEC, png, write_shards


@pytest.mark.parametrize(("nbytes", "threads"), [(1, 1), (2_000, 3), (1 << 26, 3), (1 << 26, 300)])
def test_neither_batches_nor_threads_change_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nbytes: int, threads: int
) -> None:
    shards = [[(f"{i}", i % 2, png(i, 8 if i % 3 else 20)) for i in range(start, start + 140)] for start in (0, 140)]
    paths, entry = write_shards(tmp_path, "train", shards)
    monkeypatch.setattr(data, "_threads", lambda: 1)
    plain = load_split(paths, entry, ImageInputs(CODEC, 8))
    monkeypatch.setattr(data, "_threads", lambda: threads)
    monkeypatch.setattr(data, "_SLOW", 0.0)
    monkeypatch.setattr(data, "_READ_BYTES", nbytes)
    again = load_split(paths, entry, ImageInputs(CODEC, 8))
    np.testing.assert_array_equal(again.inputs, plain.inputs)
    np.testing.assert_array_equal(again.labels, plain.labels)


def test_batches_end_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, _ = write_shards(tmp_path, "train", [[(f"{i}", 0, png(i)) for i in range(10)]])
    monkeypatch.setattr(data, "_READ_BYTES", 2 * len(png()))
    assert max(len(batch) for batch in data._batches(paths)) <= 3


def test_the_first_damage_is_told(tmp_path: Path) -> None:
    paths, entry = write_shards(tmp_path, "train", [[("a", 0, png()), ("b", 1, b"junk"), ("c", 1, png(2))]])
    content = bytearray(paths[0].read_bytes())
    content[-10] ^= 255
    paths[0].write_bytes(content)
    with pytest.raises(ShardError, match="record 1 can't be read"):
        load_split(paths, entry, ImageInputs(CODEC, 8))
