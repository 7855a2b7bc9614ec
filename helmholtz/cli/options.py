"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from helmholtz.experiment import Experiment
from helmholtz.experiment_file import load_experiment

F = TypeVar("F", bound=Callable[..., Any])


def experiment_options(function: F) -> F:
    """EXPERIMENT and --set."""
    function = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a key of the experiment; may be given many times. Lists as [none,25,1].",
    )(function)
    return click.argument("experiment", metavar="EXPERIMENT")(function)


def root_option(function: F) -> F:
    """--root."""
    return click.option(
        "--root",
        metavar="ROOT",
        help="Run root: a folder, gs://bucket/prefix or s3://bucket/prefix that holds everything the run makes. "
        "Finished pieces in it are reused.  [default: helmholtz-runs/NAME]",
    )(function)


def json_option(function: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Answer with JSON on standard output.")(function)


def load(experiment: str, overrides: tuple[str, ...]) -> Experiment:
    """The experiment as the options say. A local data path is made absolute, so that it means the same in every process."""
    loaded = load_experiment(experiment, overrides)
    path = loaded.dataset.path
    if path is None or "://" in path:
        return loaded
    absolute = str(Path(path).expanduser().absolute())
    return loaded.model_copy(update={"dataset": loaded.dataset.model_copy(update={"path": absolute})})


def default_root(experiment: Experiment) -> str:
    """The run root where --root isn't given."""
    return str(Path("helmholtz-runs", experiment.name))
