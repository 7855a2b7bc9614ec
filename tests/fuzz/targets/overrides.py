"""`--set` overrides, one a line, of a bundled experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from helmholtz.experiment_file import load_experiment
from tests.fuzz.mutations import with_tokens
from tests.fuzz.target import Target
from tests.fuzz.targets.experiments import TOKENS, check_sound

LINES = (
    "seeds=2", "levels=[none, 25, 1]", "dataset.kind=image-folder\ndataset.path=/data", "architectures=[A, C]", "also=[]",
    "training.optimizer=adadelta", "training.optimizer=sgd\ntraining.momentum=0", "analysis.margin=0.02", "name=x",
    "dataset.kind=plucked-strings\nlevels=[none, 32]\ntraining={epochs: 3}", "dataset.limit=null", "prices.per_hour=1",
    "cluster.env.A=b", "resources.tolerations=[{operator: Exists}]", "refine={rounds: 2, levels: 3}",
    "dataset.classes=[coffee, rocket]",
)  # fmt: skip
KEYS = (b"dataset", b"kind", b"levels", b"training", b"optimizer", b"also", b".", b"..", b"=", b"==", b"[]", b"{}", b"[a]")
_mutate: Any = with_tokens(*TOKENS, *KEYS, *(line.encode() for line in LINES))


def corpus() -> list[bytes]:
    return [line.encode() for line in LINES]


def check(data: bytes, folder: Path) -> str:
    overrides = data.decode("utf-8", "surrogateescape").split("\n")  # as a shell hands them on
    experiment = load_experiment("quickstart", overrides)
    check_sound(experiment)
    last = {override.partition("=")[0].strip(): override.partition("=")[2] for override in overrides}
    if "seeds" in last:
        assert experiment.seeds == yaml.safe_load(last["seeds"]), "not the number of seeds that was asked for"
    return experiment.dataset.kind


TARGET = Target(corpus, check, _mutate, where=("--set", "bundled experiment quickstart"), speed=0.5)
