"""Clips as networks get them: the codec's own decoding, as spectrograms, in the order of the shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lameenc")
tf = pytest.importorskip("tensorflow")

from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.errors import ShardError, TrainingError
from helmholtz.experiment_file import parse_experiment
from helmholtz.levels import NONE, Level
from helmholtz.storage import LocalStore
from helmholtz.training import data
from helmholtz.training.audio_inputs import AudioInputs
from helmholtz.training.data import load_level, load_split
from helmholtz.training.features import log_mel
from helmholtz.training.inputs import open_inputs
from tests.test_training_data import make_level, write_shards

CODEC = Mp3Codec(seconds=0.6)
INPUTS = AudioInputs(CODEC, CODEC.frames)


def clip(seed: int) -> np.ndarray:
    """A tone of its own pitch under noise, int16."""
    random = np.random.default_rng(seed)
    time = np.arange(CODEC.frames) / 44_100
    wave = 0.4 * np.sin(2 * np.pi * 110 * (1 + seed % 7) * time) + random.normal(0, 0.05, len(time))
    return (wave * 20_000).astype(np.int16)


def payload(seed: int, level: Level) -> bytes:
    return CODEC.encode(CODEC.prepare(clip(seed)), level).data


@pytest.mark.parametrize("level", [NONE, 320, 64, 8])
def test_spectrograms_are_those_of_the_decoded_clips_in_order(tmp_path: Path, level: Level) -> None:
    shards = [[(f"{i}", i % 2, payload(i, level)) for i in range(start, start + 5)] for start in (0, 5)]
    paths, entry = write_shards(tmp_path, "train", shards)
    records = load_split(paths, entry, INPUTS)
    assert records.inputs.shape == (10, 96, 52, 1)  # 1 + 26,460 // 512 columns
    assert records.inputs.dtype == tf.float32
    assert records.labels.numpy().tolist() == [i % 2 for i in range(10)]
    for i in range(10):
        alone = log_mel(CODEC.decode(payload(i, level))[np.newaxis].astype(np.float32) / 32768)
        np.testing.assert_allclose(records.inputs[i, ..., 0], alone[0], atol=1e-3)


def test_deterministic_operations_change_nothing(tmp_path: Path) -> None:
    paths, entry = write_shards(tmp_path, "train", [[(f"{i}", i % 2, payload(i, 32)) for i in range(6)]])
    first = load_split(paths, entry, INPUTS).inputs
    tf.config.experimental.enable_op_determinism()
    np.testing.assert_array_equal(load_split(paths, entry, INPUTS).inputs, first)


@pytest.mark.parametrize("bad", [b"", b"junk", payload(1, NONE)[:30]])
def test_a_payload_that_does_not_decode_names_its_record(tmp_path: Path, bad: bytes) -> None:
    paths, entry = write_shards(tmp_path, "train", [[("a", 0, payload(0, 64)), ("b", 1, bad)]])
    with pytest.raises(ShardError, match=r"train-00000-of-00001.tfrecord: record 1 can't be read .*delete"):
        load_split(paths, entry, INPUTS)


def test_what_does_not_fit_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(str(tmp_path))
    manifest = make_level(store).model_copy(update={"medium": "audio"})
    monkeypatch.setattr(data, "available_memory", lambda: 800_000)
    with pytest.raises(TrainingError, match=f"takes {18 * 96 * 52 * 4:,} bytes decoded at 96x52, .* lower mp3.seconds"):
        load_level(store, manifest, INPUTS)


def test_an_experiment_has_the_inputs_of_its_medium() -> None:
    audio = parse_experiment("dataset: {kind: plucked-strings}\nlevels: [none, 8]")
    assert open_inputs(audio).shape == (96, 173, 1)
    images = parse_experiment("dataset: {kind: photographs}\nlevels: [none, 8]\ntraining: {input_size: 20}")
    assert open_inputs(images).shape == (20, 20, 3)
