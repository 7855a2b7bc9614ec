"""The pipeline's parameters, as they come from a command line or from Kubeflow's user interface, where people type them."""

from __future__ import annotations

import json

from helmholtz.errors import ExperimentError
from helmholtz.experiment import Experiment
from helmholtz.experiment_file import load_experiment, parse_experiment
from helmholtz.levels import Level, parse_level

# Parameters that override a key of the experiment, where they aren't empty or 0.
_TEXTS = {"dataset_path": "dataset.path"}
_LISTS = {"levels": "levels", "architectures": "architectures"}
_WHOLE = {"dataset_limit": "dataset.limit", "seeds": "seeds", "epochs": "training.epochs", "batch_size": "training.batch_size"}
_FRACTIONS = {"margin": "analysis.margin", "confidence": "analysis.confidence"}
_KEYS = _TEXTS | _LISTS | _WHOLE | _FRACTIONS

Parsed = str | int | float | list[Level] | list[str]


def resolve(experiment: str, **parameters: object) -> Experiment:
    """The experiment in the text (YAML, JSON, or a bundled name), with the pipeline's parameters applied.

    Raises ExperimentError, which names the parameter.
    """
    given = {name: parsed for name, value in parameters.items() if (parsed := _parsed(name, value))}
    # JSON is YAML that leaves no doubt, but for its pairs of escapes beyond U+FFFF.
    overrides = [f"{_KEYS[name]}={json.dumps(value, ensure_ascii=False)}" for name, value in given.items()]
    try:
        if "\n" not in experiment and not experiment.lstrip().startswith("{"):
            return load_experiment(experiment, overrides)
        return parse_experiment(experiment, overrides, where="parameter experiment")
    except ExperimentError as error:
        text = str(error)
        for name in given:
            text = text.replace(f"--set: {_KEYS[name]}", f"parameter {name}")
            text = text.replace(f"--set {_KEYS[name]}=", f"parameter {name}: ")
        raise ExperimentError(text) from error


def _parsed(name: str, value: object) -> Parsed:
    """The value of a parameter; empty or 0 where none is given."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    if name in _LISTS:
        items = _items(name, value)
        return [_level(item) for item in items] if name == "levels" else [str(item).strip().upper() for item in items]
    if name in _TEXTS:
        if not isinstance(value, str):
            raise ExperimentError(f"parameter {name}: {value!r} is no text; give one, such as gs://bucket/folder")
        return value.strip()
    return _number(name, value)


def _items(name: str, value: object) -> list[object]:
    """The items of a list, which may be typed as ``[none, 75]``, ``none, 75``, ``none 75`` or ``["none", 75]``."""
    if isinstance(value, list):
        return value
    text = str(value).strip()
    if text.startswith("[") != text.endswith("]"):
        raise ExperimentError(f"parameter {name}: {text!r} has one bracket; write it as {_example(name)}")
    words = text.removeprefix("[").removesuffix("]").replace(",", " ").replace(";", " ").split()
    return [word.strip("\"'") for word in words]


def _level(item: object) -> Level:
    try:
        return parse_level(item.lower() if isinstance(item, str) else item)
    except ValueError as error:
        raise ExperimentError(f"parameter levels: {error}; write them as {_example('levels')}") from error


def _example(name: str) -> str:
    return "none, 75, 50, 25" if name == "levels" else "A, C"


def _number(name: str, value: object) -> int | float:
    whole = name in _WHOLE
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)  # type: ignore[arg-type]  # whatever it is: what is no number raises
        if whole and not number.is_integer():
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        kind = "a whole number" if whole else "a number"
        raise ExperimentError(f"parameter {name}: {value!r} is not {kind}; 0 means as the experiment says") from error
    return int(number) if whole else number
