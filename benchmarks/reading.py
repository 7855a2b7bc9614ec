"""Reading a level's shards into the trainer (fetch, verify, parse, decode, keep) against libjpeg-turbo decoding its payloads.

One core. Run: python benchmarks/reading.py
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tempfile
from pathlib import Path

import imagecodecs
from compress import large_pictures, pictures
from timing import compare, rate

from helmholtz.codecs import open_codec
from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.manifest import level_folder, read_manifest
from helmholtz.shards import read_shard
from helmholtz.storage import open_store
from helmholtz.training.data import load_level
from helmholtz.training.inputs import open_inputs

LEVEL = 50


def read(name: str, folder: Path, dataset: dict[str, str], size: int) -> None:
    """Compares for one set of pictures."""
    training = {"input_size": size}
    experiment = Experiment.model_validate({"dataset": dataset, "levels": ["none", LEVEL], "training": training})
    store = open_store(str(folder / f"root-{dataset['kind']}"))
    index = index_dataset(store, experiment.dataset)
    compress(store, experiment, index)
    codec = open_codec(experiment).identity
    manifest = read_manifest(store, index.fingerprint, codec, LEVEL)
    paths = [Path(store.uri, level_folder(index.fingerprint, codec, LEVEL), shard.name) for shard in manifest.shards()]
    payloads = [payload for path in paths for _, _, payload in read_shard(path)]
    inputs = open_inputs(experiment)

    def ours() -> float:
        return rate(len(payloads), lambda: load_level(store, manifest, inputs))

    def bare() -> float:
        return rate(len(payloads), lambda: [imagecodecs.jpeg8_decode(payload) for payload in payloads])

    compare(f"read a level of {name} / bare libjpeg-turbo decode, one core", ours, bare, target=0.6)


def main() -> None:
    """Prints a line of JSON each."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder / "cifar")
        read("32x32", folder, {"kind": "cifar10", "path": str(folder / "cifar")}, 32)
        large_pictures(folder / "large")
        read("256x256", folder, {"kind": "image-folder", "path": str(folder / "large")}, 256)


if __name__ == "__main__":
    main()
