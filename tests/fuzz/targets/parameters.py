"""The pipeline's parameters, of any type and text, over an experiment."""

from __future__ import annotations

import json
from pathlib import Path

from helmholtz.parameters import resolve
from tests.fuzz.target import Refused, Target
from tests.fuzz.targets.experiments import EVERYTHING, check_sound
from tests.fuzz.trees import mutate_json

GIVEN = (
    {"experiment": "quickstart", "levels": "none, 50, 10", "seeds": 2, "margin": 0.02},
    {"experiment": "quickstart", "levels": ["none", 50.0], "architectures": "a c", "epochs": "3", "batch_size": 16.0},
    {"experiment": json.dumps(EVERYTHING), "dataset_path": "gs://bucket/x", "dataset_limit": 10, "confidence": "0.9"},
    {"experiment": "quickstart", "levels": "[none,25]", "architectures": '["A"]', "dataset_limit": 0, "seeds": "", "margin": 0},
    {"experiment": "quickstart-audio", "levels": "none 32 8", "epochs": 1, "batch_size": "4", "dataset_path": ""},
)
NAMES = {"dataset_path", "levels", "architectures", "dataset_limit", "seeds", "epochs", "batch_size", "margin", "confidence"}


def corpus() -> list[bytes]:
    return [json.dumps(given).encode() for given in GIVEN]


def check(data: bytes, folder: Path) -> str:
    try:
        given = json.loads(data)
        experiment = given.pop("experiment")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise Refused("the case is no set of parameters") from error
    if not isinstance(experiment, str) or not given.keys() <= NAMES:  # a pipeline has these, and kfp checks texts
        raise Refused("the case is no set of parameters")
    resolved = resolve(experiment, **given)
    check_sound(resolved)
    numbers = {"seeds": resolved.seeds, "epochs": resolved.training.epochs, "margin": resolved.analysis.margin}
    for name, found in numbers.items():
        if given.get(name) and str(given[name]).strip() and float(given[name]):
            assert found == float(given[name]), f"{name} isn't what was given"
    return resolved.dataset.kind


PLACES = ("parameter", "bundled experiment", "no such file", "an experiment is")
TARGET = Target(corpus, check, mutate_json, where=PLACES, speed=0.5)
