"""Experiment files: YAML of any kind, against plain YAML and the experiment's own JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from random import Random
from typing import Any

import yaml

from helmholtz.experiment import Experiment
from helmholtz.experiment_file import bundled, load_experiment
from tests.fuzz.mutations import with_tokens
from tests.fuzz.target import Target
from tests.fuzz.trees import mutate_json

EVERYTHING = {
    "name": "all",
    "dataset": {"kind": "image-folder", "path": "/data", "limit": 100, "classes": ["a", "b"], "group": "^[0-9]+", "noise": 0.1},
    "codec": "jpeg",
    "jpeg": {"subsampling": "4:4:4"},
    "levels": ["none", 50, 10],
    "architectures": ["A", "B"],
    "also": [{"architectures": ["C"], "levels": [25]}],
    "seeds": 2,
    "training": {"epochs": 3, "batch_size": 8, "optimizer": "adadelta", "input_size": 16, "mismatch": True},
    "refine": {"rounds": 2, "levels": 1},
    "analysis": {"margin": 0.02, "confidence": 0.9},
    "prices": {"per_hour": 1.5, "per_gb_month": 0.02, "currency": "EUR"},
    "beam": {"runner": "flink", "workers": 2, "options": ["--region=x"]},
    "resources": {"cpu": 2, "memory": "8G", "gpus": 1, "node_selector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]},
    "cluster": {
        "cpu_image": "registry:5000/cpu:1", "env": {"A": "b"}, "secrets": [{"name": "s", "env": {"KEY": "k"}}],
        "volumes": [{"claim": "runs", "path": "/mnt/runs"}], "run_as_user": 1000,
    },
}  # fmt: skip
TOKENS = (
    b"!!int ''", b"!!float ''", b"!!bool x", b"!!timestamp x", b"!!binary x", b"!!set {a}", b"!!omap [a]", b"!!pairs [a]",
    b"!!python/object:os.system x", b"&a [*a]", b"<<: {a: 1}", b"? [a]\n: b\n", b"1:59:59", b"0x_", b"0b", b"1_0", b".inf",
    b".nan", b"2001-13-99", b"2001-01-01t00:00:00+99:99", b"'", b'"\\xff\\uD800"', b"|\n  x", b"--- ", b"...\n", b"%YAML 9.9\n",
    b"{", b"}", b"[", b"]", b": ", b"- ", b"#", b"\t", b"\n", b"\n  ", b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"\xc2\x85", b"~",
)  # fmt: skip
_mutate_text: Any = with_tokens(*TOKENS)


def corpus() -> list[bytes]:
    files = resources.files("helmholtz.experiments")
    return [json.dumps(EVERYTHING).encode()] + [files.joinpath(f"{name}.yaml").read_bytes() for name in bundled()]


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    if random.random() < 0.5:
        try:
            tree = json.dumps(yaml.safe_load(data)).encode()
        except Exception:
            return bytes(_mutate_text(random, data, corpus))
        return mutate_json(random, tree, corpus)
    return bytes(_mutate_text(random, data, corpus))


def check(data: bytes, folder: Path) -> str:
    path = folder / "experiment.yaml"
    path.write_bytes(data)
    experiment = load_experiment(str(path))
    check_sound(experiment)
    said = yaml.safe_load(data)
    for key in ("seeds", "name", "description"):
        assert getattr(experiment, key) == said.get(key, getattr(experiment, key)), f"{key} isn't what the file says"
    for section in ("training", "analysis", "dataset"):
        for key, value in (said.get(section) or {}).items():
            if isinstance(value, (str, bool, int, float)) and key != "input_size":
                found = getattr(getattr(experiment, section), key)
                expected = float(value) if isinstance(found, float) else value
                assert found in (value, expected), f"{section}.{key} isn't what the file says"
    return experiment.dataset.kind


def check_sound(experiment: Experiment) -> None:
    """That it can be written as strict JSON, and is the same when it is read back."""
    text = json.dumps(experiment.model_dump(mode="json"), allow_nan=False)
    assert Experiment.model_validate_json(text) == experiment, "read back it is another"
    assert Experiment.model_validate_json(experiment.to_json()).to_json() == experiment.to_json(), "its text isn't canonical"
    assert experiment.combinations, "it has no trial"


TARGET = Target(corpus, check, mutate, where=("experiment.yaml",), speed=0.5)
