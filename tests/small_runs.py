"""Small runs with a whole report: a synthetic one, and real networks on real data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from helmholtz.report.publish import analyse
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic

LEVELS = ("none", "100", "75", "50", "35", "25", "20", "15", "10", "5", "1")
PRICES = {"per_hour": 1.7, "per_gb_month": 23.0, "currency": "EUR"}
ALSO = [{"architectures": list("ABCDEF"), "levels": ["none", 25]}]


def synthetic_root(folder: Path) -> Path:
    """A knee at quality 25, two architectures at every level and six at two, one trial missing, one not converged."""
    store = open_store(str(folder))
    experiment = synthetic.experiment(
        levels=LEVELS, architectures=["A", "F"], also=ALSO, prices=PRICES, analysis={"margin": 0.015}
    )
    synthetic.write_run(store, experiment, skip=(("F", 50, 3),), not_converged=(("A", 5, 1),))
    analyse(store, experiment, synthetic.DATASET)
    return folder


STAGES = """
import sys
from helmholtz import stages
from helmholtz.experiment_file import load_experiment
experiment, root = load_experiment(sys.argv[1]), sys.argv[2]
plan = stages.plan(root, experiment)
for cell in stages.compress(root, plan):
    stages.train(root, plan, cell["architecture"], cell["level"])
stages.analyse(root, plan)
stages.publish(root, experiment)
"""


def real_root(folder: Path, **content: Any) -> Path:
    """A small run of real networks, all stages in one process: what starts them is tested elsewhere."""
    training = {"batch_size": 8, "epochs": 3} | content.pop("training", {})
    content |= {"name": "real", "architectures": ["A"], "seeds": 3, "prices": PRICES, "training": training}
    (folder / "real.yaml").write_text(yaml.safe_dump(content | {"analysis": {"margin": 0.1}}))
    command = [sys.executable, "-c", STAGES, str(folder / "real.yaml"), str(folder / "root")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder / "root"


def photographs(folder: Path) -> Path:
    """The built-in photographs: their patches come in groups."""
    dataset = {"kind": "photographs", "limit": 60, "classes": ["astronaut", "coffee", "retina"]}
    return real_root(folder, dataset=dataset, levels=["none", 50, 10, 3, 1], training={"input_size": 16})


def strings(folder: Path) -> Path:
    """The built-in plucked strings: audio, in groups of takes."""
    dataset = {"kind": "plucked-strings", "notes": 30, "classes": ["Distortion", "NoFX", "Tremolo"], "test": 0.3}
    return real_root(folder, dataset=dataset, levels=["none", 32, 16, 8], codec="mp3", mp3={"seconds": 0.8})


def cifar10(folder: Path, unpacked: Path) -> Path:
    """Thirty training and sixty test pictures of each of three classes of CIFAR-10, as files."""
    for split, name in (("train", "data_batch_1.bin"), ("test", "test_batch.bin")):
        records = np.frombuffer((unpacked / name).read_bytes(), np.uint8).reshape(-1, 3073)
        for label in range(3):
            place = folder / "pictures" / split / str(label)
            place.mkdir(parents=True)
            for at, record in enumerate(records[records[:, 0] == label][: 30 if split == "train" else 60]):
                Image.fromarray(record[1:].reshape(3, 32, 32).transpose(1, 2, 0)).save(place / f"{at}.png")
    dataset = {"kind": "image-folder", "path": str(folder / "pictures")}
    return real_root(folder, dataset=dataset, levels=["none", 50, 10, 1], training={"input_size": 16})
