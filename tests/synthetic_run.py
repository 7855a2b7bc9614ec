"""A run root as the compression and the trainer would leave it, with a known knee, in a fraction of a second.

`write_run` writes plausible trial results (paired over seeds, accuracy flat down to a knee and falling below it), one
manifest a level, and real test shards, so that everything that reads a finished run can be tested without making one.

It is a run of images, or of audio where its experiment is `audio_experiment`: the tone of a clip tells its class.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helmholtz.codecs import open_codec
from helmholtz.codecs.mp3 import CODED_RATES, Mp3Codec
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.manifest import LevelManifest, RejectedEntry, ShardEntry, SplitEntry, level_folder
from helmholtz.results import Curves, TrialResult, pack_right, result_key
from helmholtz.shards import ShardWriter
from helmholtz.storage import Store
from helmholtz.trials import Trial, trials

DATASET = "0123456789abcdef"
CLASSES = ("cat", "dog", "ship", "truck")
LEVELS: tuple[Level, ...] = (NONE, 100, 75, 50, 25, 10, 5, 1)
PARAMETERS = {"A": 701_386, "B": 1_079_562, "C": 1_144_138, "D": 1_276_618, "E": 1_620_298, "F": 1_686_090}
AUDIO_PARAMETERS = {"A": 101_412, "B": 170_436, "C": 427_492, "D": 808_356, "E": 824_868, "F": 3_715_460}
RECORDS = {"train": 9_000, "validation": 1_000, "test": 2_000}
BITRATES: tuple[Level, ...] = (NONE, 128, 64, 32, 16, 8)
SECONDS = 0.7  # of a clip
PITCHES = (400.0, 900.0, 1_500.0, 2_400.0)  # Hz, by class
PER_SHARD = {"image": 20, "audio": 8}


def experiment(**changes: Any) -> Experiment:
    """An experiment over LEVELS with architecture A and 5 seeds, changed as told."""
    content: dict[str, Any] = {
        "name": "synthetic",
        "dataset": {"kind": "photographs"},
        "levels": LEVELS,
        "architectures": ["A"],
        "seeds": 5,
    }
    return Experiment.model_validate(content | changes)


def audio_experiment(**changes: Any) -> Experiment:
    """The same of audio, over BITRATES."""
    content = {"dataset": {"kind": "plucked-strings"}, "mp3": {"seconds": SECONDS}, "levels": BITRATES}
    return experiment(**content | changes)


def accuracy(architecture: str, level: Level, seed: int, *, knee: int = 25, noise: float = 0.002, top: float = 0.86) -> float:
    """Test accuracy: `top`, no worse down to the knee, then 4 points for each halving of the quality.

    A seed shifts all levels alike (that is what pairing removes); `noise` is the standard deviation of what remains.
    """
    shared = _random(f"{architecture}{seed}").normal(0, 0.006)
    own = _random(f"{architecture}{level}{seed}").normal(0, noise)
    lost = 0.0 if level == NONE or level >= knee else 0.04 * float(np.log2(knee / level))
    return min(1.0, max(0.0, round((top + 0.004 * "ABCDEF".index(architecture) + shared + own - lost) * 2_000) / 2_000))


def write_run(
    store: Store,
    run: Experiment,
    *,
    dataset: str = DATASET,
    classes: tuple[str, ...] = CLASSES,
    accuracies: Mapping[tuple[str, Level, int], float] | None = None,
    skip: tuple[tuple[str, Level, int], ...] = (),
    diverged: tuple[tuple[str, Level, int], ...] = (),
    not_converged: tuple[tuple[str, Level, int], ...] = (),
    size: int = 32,
    **manifest: Any,
) -> None:
    """Writes manifests, test shards and trial results of `run`. `manifest` changes fields of every level's manifest."""
    codec = open_codec(run)
    for level in run.all_levels:
        write_level(store, run, level, dataset=dataset, classes=classes, size=size, **manifest)
    for trial in trials(run, dataset, codec.identity):
        cell = (trial.architecture, trial.level, trial.seed)
        if cell in skip:
            continue
        reached = (accuracies or {}).get(cell, accuracy(*cell))
        result = trial_result(
            trial, reached, medium=codec.medium, classes=len(classes), diverged=cell in diverged,
            converged=cell not in not_converged,
        )  # fmt: skip
        store.write_bytes(result_key(trial.id), result.model_dump_json().encode())


def trial_result(
    trial: Trial,
    reached: float,
    *,
    medium: str,
    classes: int,
    records: int = RECORDS["test"],
    diverged: bool = False,
    converged: bool = True,
) -> TrialResult:
    """A plausible result; less is learned in fewer epochs where more is compressed."""
    epochs = trial.training.epochs
    gone = 0.0 if trial.level == NONE else max(0, 100 - trial.level) / 100
    parameters = (AUDIO_PARAMETERS if medium == "audio" else PARAMETERS)[trial.architecture]
    at = max(1, min(epochs, round(epochs * (0.75 - 0.35 * gone)) + int(_random(trial.id).integers(-1, 2))))
    rise = tuple(reached * (1 - 0.6 ** (epoch + 1)) for epoch in range(epochs))
    right = right_answers(trial, reached, records)
    tested = float(right.mean())
    return TrialResult(
        trial=trial.id, fingerprint=trial.fingerprint, status="diverged" if diverged else "complete", dataset=trial.dataset,
        codec=trial.codec, level=trial.level, architecture=trial.architecture, seed=trial.seed,
        parameters=parameters, multiply_accumulates=60 * parameters, classes=classes,
        epochs=epochs, best_epoch=None if diverged else epochs, validation_accuracy=None if diverged else reached,
        test_accuracy=None if diverged else tested, test_loss=None if diverged else 0.5, test_records=records,
        test_right=None if diverged else pack_right(right),
        epochs_to_converge=None if diverged else at, converged=converged and not diverged, epochs_to_converge_reference=None,
        curves=Curves(train_loss=tuple(1 - r for r in rise), train_accuracy=rise, validation_loss=(), validation_accuracy=rise),
        train_seconds=100.0 + trial.seed, records_per_second=2_700.0, precision="float32", device="CPU (synthetic)",
        versions={"tensorflow": "2.21.0"},
    )  # fmt: skip


def right_answers(trial: Trial, reached: float, records: int) -> np.ndarray:
    """Which test records a network of that accuracy has right: as many as it says, and mostly the same easy ones."""
    hardness = _random("test set").random(records) + 0.3 * _random(trial.id).random(records)
    return np.argsort(np.argsort(hardness)) < round(reached * records)


def write_level(
    store: Store,
    run: Experiment,
    level: Level,
    *,
    dataset: str = DATASET,
    classes: tuple[str, ...] = CLASSES,
    size: int = 32,
    **changes: Any,
) -> LevelManifest:
    """Writes a level: two real test shards of PER_SHARD records each, and a manifest that claims RECORDS of them."""
    codec = open_codec(run)
    audio, each = codec.medium == "audio", PER_SHARD[codec.medium]
    folder = level_folder(dataset, codec.identity, level)
    sizes, coded, entries = [], [], []
    with store.scratch() as scratch:
        for number in range(2):
            path = Path(scratch, f"test-{number:05d}-of-00002.tfrecord")
            with ShardWriter(path) as shard:
                for record in range(each):
                    label = record % len(classes)
                    if audio:
                        media, bits = clip_payload(label, each * number + record, level, run.mp3.seconds)
                    else:
                        media = payload(each * number + record, level, size)
                        bits = 8 * (len(media) - (60 if level == NONE else 623))
                    sizes.append(len(media))
                    coded.append(bits)
                    shard.add(f"{number}/{record:02d}.{'wav' if audio else 'png'}", label, media)
            entries.append(shard.entry())
            store.upload(path, f"{folder}/{path.name}")
    samples = round(44_100 * run.mp3.seconds) if audio else size * size
    nbytes, bits = sum(sizes) / len(sizes), sum(coded) / len(coded)
    splits = {
        name: SplitEntry(
            records=records,
            groups=records,
            per_class=tuple(len(range(i, records, len(classes))) for i in range(len(classes))),
            payload_bytes=round(nbytes * records),
            coded_bits=round(bits * records),
            samples=samples * records,
            source_bytes=samples * (2 if audio else 3) * records,
            shards=tuple(entries) if name == "test" else (_absent(name, records),),
        )
        for name, records in RECORDS.items()
    }
    content: dict[str, Any] = {
        "dataset": dataset, "codec": codec.identity, "medium": codec.medium, "level": level,
        "quantisation": codec.quantisation(level), "sample": codec.sample,
        "payload_bits_per_sample": sum(s.coded_bits for s in splits.values()) / sum(s.samples for s in splits.values()),
        "classes": classes, "splits": splits, "rejected": (), "double_compressed": 0,
        "source_levels": {NONE: sum(RECORDS.values())}, "notes": {}, "versions": {"imagecodecs": "2026.3.6"},
    }  # fmt: skip
    if audio:
        content |= {
            "bitrate": bits / (1000 * run.mp3.seconds) if level == NONE else float(level),
            "coded_rates": {str(44_100 if level == NONE else CODED_RATES[level]): sum(RECORDS.values())},
            "versions": {"lame": "3.100"},
        }
    written = LevelManifest.model_validate(content | changes)
    store.write_bytes(f"{folder}/manifest.json", written.model_dump_json().encode())
    return written


def rejected(*pairs: tuple[str, str]) -> tuple[RejectedEntry, ...]:
    """Entries of records that were set aside."""
    return tuple(RejectedEntry(key=key, reason=reason) for key, reason in pairs)


def picture(number: int, size: int = 32) -> np.ndarray:
    """A picture with edges, a gradient and noise, different for every number; uint8 [size, size, 3]."""
    noise = np.random.default_rng(number)
    y, x = np.mgrid[:size, :size] / size
    disc = (x - noise.uniform(0.3, 0.7)) ** 2 + (y - noise.uniform(0.3, 0.7)) ** 2 < noise.uniform(0.03, 0.09)
    base = np.stack([x, y, 1 - x * y], axis=-1) * noise.uniform(60, 200, 3) + noise.uniform(0, 50, 3)
    base = np.where(disc[..., None], 255 - base, base) + noise.normal(0, 9, (size, size, 3))
    return np.clip(base, 0, 255).astype(np.uint8)


def _random(text: str) -> np.random.Generator:
    return np.random.default_rng(list(text.encode()))


def payload(number: int, level: Level, size: int = 32) -> bytes:
    """A picture as a media file: PNG for none, else JPEG as Pillow writes it."""
    samples, file = picture(number, size), io.BytesIO()
    if level == NONE:
        Image.fromarray(samples).save(file, "PNG")
    else:
        Image.fromarray(samples).save(file, "JPEG", quality=level)
    return file.getvalue()


@functools.lru_cache(maxsize=1000)  # LAME takes milliseconds a clip, and there are hundreds
def clip_payload(label: int, number: int, level: Level, seconds: float = SECONDS) -> tuple[bytes, int]:
    """A clip as a media file, and its coded bits: the tone of its class, its octave and noise, each `number` another."""
    codec = Mp3Codec(seconds=seconds)
    random = np.random.default_rng([label, number])
    time = np.arange(codec.frames) / 44_100
    pitch = PITCHES[label % len(PITCHES)]
    wave = np.sin(2 * np.pi * pitch * time) + 0.3 * np.sin(4 * np.pi * pitch * time) + random.normal(0, 0.02, codec.frames)
    samples = (9_000 * wave * np.exp(-time / random.uniform(0.5, 2))).astype(np.int16)
    encoded = codec.encode(codec.prepare(samples), level)
    return encoded.data, encoded.coded_bits


def _absent(split: str, records: int) -> ShardEntry:
    return ShardEntry(name=f"{split}-00000-of-00001.tfrecord", records=records, nbytes=0, sha256="0" * 64)
