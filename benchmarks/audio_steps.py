"""Where audio's time goes: milliseconds a clip of each step, and spectrograms made in the trainer against stored ones.

Silent for minutes. Run: python benchmarks/audio_steps.py
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from audio import LEVELS, plucked_strings
from timing import seconds

from helmholtz.codecs.base import Prepared
from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.levels import NONE
from helmholtz.manifest import SplitEntry
from helmholtz.shards import ShardWriter
from helmholtz.sources import open_source
from helmholtz.training.architectures import build
from helmholtz.training.data import Records, TrainingData, load_split
from helmholtz.training.fit import Fit
from helmholtz.training.inputs import open_inputs
from helmholtz.training.loop import Trainer

RUNS = 5
CODEC = Mp3Codec()
EPOCHS, SEEDS = 200, 5  # of a cell in the paper's experiment


def milliseconds(name: str, step: Callable[[], object], clips: int) -> None:
    """Prints the median and spread of `RUNS` timings of `step`, which does `clips`, after one that isn't counted."""
    kept = [1000 * seconds(step) / clips for _ in range(RUNS + 1)][1:]
    numbers = {"median": statistics.median(kept), "min": min(kept), "max": max(kept)}
    rounded = {key: round(value, 3) for key, value in numbers.items()}
    print(json.dumps({"what": name, "unit": "ms a clip of 2 s", "n": RUNS, "clips": clips, **rounded}), flush=True)


def steps(clips: Sequence[np.ndarray]) -> None:
    """Each step of a clip's way, one core but for the spectrograms."""
    experiment = plucked_strings()
    source = open_source(experiment.dataset)
    by_class: dict[str, list[str]] = {}
    for record in source.records():
        by_class.setdefault(record.key.partition("#")[2], []).append(record.key)
    for name, keys in by_class.items():
        milliseconds(f"render {name}", lambda keys=keys: [source.load(key) for key in keys], len(keys))
    for level in (NONE, *LEVELS):
        prepared = [CODEC.prepare(clip) for clip in clips]
        milliseconds(f"code {level}", lambda p=prepared, at=level: [CODEC.encode(one, at) for one in p], len(clips))
        coded = [CODEC.encode(one, level).data for one in prepared]
        milliseconds(f"decode {level}", lambda c=coded: [CODEC.decode(one) for one in c], len(clips))
    inputs = open_inputs(experiment)
    samples = tf.constant(np.stack(clips))
    milliseconds("spectrogram", lambda: inputs.features(samples), len(clips))


def spectrograms(folder: Path, clips: Sequence[np.ndarray]) -> None:
    """Loading a level with spectrograms made on the way, and with stored ones (float16), beside what training costs."""
    experiment = plucked_strings()
    inputs, labels = open_inputs(experiment), [number % 2 for number in range(len(clips))]
    payloads = [CODEC.encode(Prepared(clip, CODEC.frames), 32).data for clip in clips]
    made, made_entry = _shard(folder / "made", payloads, labels)
    features = inputs.features(tf.constant(np.stack([CODEC.decode(payload) for payload in payloads])))
    halves = [np.asarray(one, np.float16).tobytes() for one in features]
    stored, stored_entry = _shard(folder / "stored", halves, labels)

    class Stored(type(inputs)):  # type: ignore[misc]  # the same, but reading what another stage has made
        def samples(self, count: int) -> np.ndarray:
            return np.empty((count, *self.shape), np.float16)

        def decode(self, payload: bytes, into: np.ndarray) -> None:
            into[:] = np.frombuffer(payload, np.float16).reshape(into.shape)

        def features(self, samples: np.ndarray) -> np.ndarray:
            return samples

    reading = Stored(inputs.codec, inputs.frames)  # type: ignore[attr-defined]  # of audio
    records = Records(features, tf.constant(labels, tf.int32))
    few = Records(features[:2], records.labels[:2])
    budget = experiment.training.model_copy(update={"epochs": 1})
    ratios, costs = [], []
    for run in range(RUNS + 1):
        fresh = seconds(lambda: load_split([made], made_entry, inputs))
        again = seconds(lambda: load_split([stored], stored_entry, reading))
        model = build("audio", "A", inputs.shape, 2)
        epoch = Trainer([model], TrainingData(records, few, few), inputs, budget).fit([Fit(0)])[0].train_seconds
        if run:
            training = EPOCHS * SEEDS * epoch
            ratios.append((fresh + training) / (again + training))
            costs.append((fresh, again, epoch))
    fresh, again, epoch = (1000 * statistics.median(column) / len(clips) for column in zip(*costs, strict=True))
    found = {
        "what": f"a cell of A, {EPOCHS} epochs x {SEEDS} seeds: spectrograms made in the trainer / read from shards",
        "n": RUNS,
        "median": round(statistics.median(ratios), 6),
        "max": round(max(ratios), 6),
        "ms a clip": {"made": round(fresh, 3), "read": round(again, 3), "one epoch of A": round(epoch, 3)},
        "bytes a clip": {"payload at 32 kbit/s": round(statistics.fmean(map(len, payloads))), "stored float16": len(halves[0])},
    }
    print(json.dumps(found), flush=True)


def _shard(folder: Path, payloads: Sequence[bytes], labels: Sequence[int]) -> tuple[Path, SplitEntry]:
    folder.mkdir()
    path = folder / "train-00000-of-00001.tfrecord"
    with ShardWriter(path) as writer:
        for number, (payload, label) in enumerate(zip(payloads, labels, strict=True)):
            writer.add(str(number), label, payload)
    counts = (labels.count(0), labels.count(1))
    entry = writer.entry()
    return path, SplitEntry(
        records=len(payloads),
        groups=1,
        per_class=counts,
        payload_bytes=1,
        coded_bits=1,
        samples=1,
        source_bytes=1,
        shards=(entry,),
    )


def main() -> None:
    """Prints one line of JSON a measurement."""
    source = open_source(plucked_strings().dataset)
    clips = [np.asarray(source.load(record.key)) for record in source.records()]
    with tempfile.TemporaryDirectory() as temporary:
        steps(clips)
        spectrograms(Path(temporary), clips)


if __name__ == "__main__":
    main()
