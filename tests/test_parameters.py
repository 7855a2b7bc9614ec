"""The pipeline's parameters as people type them into the user interface."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helmholtz.errors import ExperimentError
from helmholtz.experiment_file import load_experiment
from helmholtz.parameters import resolve


@pytest.mark.parametrize(
    "typed",
    [
        "50,75,none",
        "[50, none, 75]",
        "none, 75, 50",
        "[none,75,50]",
        '["none", "75", 50]',
        "none 75 50",
        "none; 75; 50",
        " None,75 ,50, ",
        ["none", 75.0, "50"],
        [None, 75, 50],
    ],
)
def test_levels_are_read_however_they_are_typed(typed: Any) -> None:
    assert resolve("quickstart", levels=typed).levels == ("none", 75, 50)


@pytest.mark.parametrize("typed", ["A,c", "[A, C]", '["A","C"]', "a c", ["A", "C"]])
def test_so_are_architectures(typed: Any) -> None:
    assert resolve("quickstart", architectures=typed).architectures == ("A", "C")


@pytest.mark.parametrize("empty", ["", "  ", 0, 0.0, "0"])
@pytest.mark.parametrize("name", ["epochs", "seeds", "margin", "dataset_limit"])
def test_nothing_means_as_the_experiment_says(name: str, empty: Any) -> None:
    assert resolve("quickstart", **{name: empty}) == load_experiment("quickstart")


@pytest.mark.parametrize(("typed", "epochs"), [(3, 3), (3.0, 3), ("3", 3), (" 3 ", 3), ("3.0", 3)])
def test_a_number_may_come_as_text_or_as_a_fraction(typed: Any, epochs: int) -> None:
    assert resolve("quickstart", epochs=typed).training.epochs == epochs


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        ({"levels": "[50, 75"}, "one bracket; write it as none, 75, 50, 25"),
        ({"levels": "fifty"}, "'fifty' is not a level"),
        ({"levels": "50-75"}, "'50-75' is not a level"),
        ({"levels": "50,75"}, "must contain none"),
        ({"levels": "none, 50, 50"}, "50 is listed twice"),
        ({"levels": "none, 500"}, "500"),
        ({"levels": "none, 50], seeds: [3"}, "is not a level"),
        ({"levels": {"a": 1}}, "is not a level"),
        ({"levels": "true"}, "is not a level"),
        ({"architectures": "G"}, "'G'"),
        ({"architectures": "A, A"}, "listed twice"),
        ({"epochs": "ten"}, "'ten' is not a whole number; 0 means as the experiment says"),
        ({"epochs": 2.5}, "2.5 is not a whole number"),
        ({"epochs": True}, "True is not a whole number"),
        ({"epochs": -1}, "greater than or equal to 1"),
        ({"epochs": float("inf")}, "not a whole number"),
        ({"seeds": [3]}, "is not a whole number"),
        ({"seeds": "1e400"}, "is not a whole number"),
        ({"margin": "one"}, "'one' is not a number"),
        ({"margin": 5}, "less than 0.5"),
        ({"margin": float("nan")}, ""),
        ({"confidence": 95}, "less than 1"),
        ({"dataset_path": 7}, "7 is no text"),
    ],
)
def test_what_is_none_is_told_by_the_parameters_name(parameter: dict[str, Any], says: str) -> None:
    with pytest.raises(ExperimentError) as error:
        resolve("quickstart", **parameter)
    (name,) = parameter
    assert f"parameter {name}" in str(error.value)
    assert says in str(error.value)
    assert "--set" not in str(error.value)


@given(st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip()))
def test_a_path_arrives_as_it_was_typed(path: str) -> None:
    tree = {"dataset": {"kind": "image-folder", "path": "x"}, "levels": ["none"]}
    assert resolve(json.dumps(tree), dataset_path=path).dataset.path == path.strip()


@pytest.mark.parametrize("path", ["gs://b/a #1", "gs://b/true: yes", "gs://b/Ärger 😀", "true", "12", "[a]", "/a'b\"c"])
def test_no_path_is_taken_for_yaml(path: str) -> None:
    tree = {"dataset": {"kind": "image-folder", "path": "x"}, "levels": ["none"]}
    assert resolve(json.dumps(tree), dataset_path=path).dataset.path == path


def test_an_error_in_the_experiment_is_the_parameter_experiments() -> None:
    with pytest.raises(ExperimentError, match=r"parameter experiment: .*colour"):
        resolve('{"colour": 1, "dataset": {"kind": "photographs"}, "levels": ["none"]}', epochs=3)
