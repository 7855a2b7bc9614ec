"""Compressing audio clips (decode, encode at every level, Example, checksums, write) against bare LAME.

One core. Run: python benchmarks/audio.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import soundfile
from compress import everything, one_core
from timing import compare, rate

from helmholtz.codecs.mp3 import _mp3
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.shard_compressor import ShardCompressor, ShardTask
from helmholtz.sources import open_source
from helmholtz.storage import open_store

LEVELS: tuple[Level, ...] = (128, 96, 64, 32, 16, 8)
NOTES = 16


def plucked_strings() -> Experiment:
    """Sixteen notes, each in twelve effects: 192 clips of two seconds."""
    dataset = {"kind": "plucked-strings", "notes": NOTES, "shards": 1}
    return Experiment.model_validate({"dataset": dataset, "levels": [NONE, *LEVELS]})


def main() -> None:
    """Prints a line of JSON."""
    source = open_source(plucked_strings().dataset)
    clips = [np.asarray(source.load(record.key)) for record in source.records()]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number, clip in enumerate(clips):
            path = folder / "clips" / ("even" if number % 2 == 0 else "odd") / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, clip, 44_100, "PCM_16")
        dataset = {"kind": "audio-folder", "path": str(folder / "clips")}
        experiment = Experiment.model_validate({"dataset": dataset, "levels": [NONE, *LEVELS]})
        store = open_store(str(folder / "root"))
        index = index_dataset(store, experiment.dataset)
        compressor = ShardCompressor(store, experiment, index)
        tasks = [ShardTask(split, name, LEVELS) for split, name in index.shard_names()]

        def ours() -> float:
            return rate(len(clips) * len(LEVELS), lambda: everything(compressor, tasks))

        def bare() -> float:
            return rate(len(clips) * len(LEVELS), lambda: [_mp3(clip, int(level)) for clip in clips for level in LEVELS])

        with one_core():
            compare("compress audio clips, 6 bitrates / bare LAME, one core", ours, bare, target=0.9)


if __name__ == "__main__":
    main()
