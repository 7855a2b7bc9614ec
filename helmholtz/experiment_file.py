"""Reading experiments: YAML files, bundled names, `--set` overrides, and errors that name file, key and what is allowed."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from helmholtz.errors import LONGEST, ExperimentError
from helmholtz.experiment import AUDIO_KINDS, Experiment

_OF_ONE_SET = {"path", "classes", "group", "limit", "download", "notes", "effects_seed", "part"}  # keys below dataset
MAX_BYTES = 1 << 18  # an experiment is a page of text; anything larger is a mistake


def bundled() -> dict[str, str]:
    """Bundled experiments: name -> description."""
    found = {}
    for entry in resources.files("helmholtz.experiments").iterdir():
        if entry.name.endswith(".yaml"):
            tree = yaml.safe_load(entry.read_text("utf-8"))
            found[entry.name.removesuffix(".yaml")] = str(tree.get("description", ""))
    return dict(sorted(found.items()))


def load_experiment(name: str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in the file `name`, or the bundled one of that name, with ``key=value`` overrides applied.

    Raises ExperimentError, naming the file, the key and what is allowed.
    """
    text, where = _read(name)
    return parse_experiment(text, overrides, where=where, name=Path(name).stem)


def parse_experiment(text: str, overrides: Sequence[str] = (), *, where: str = "experiment", name: str = "") -> Experiment:
    """The experiment in the YAML `text`, with overrides applied; `where` names it in errors, `name` is its default name."""
    tree = _tree(text, where)
    if name and "name" not in tree:
        tree["name"] = "".join(c if c.isalnum() and c.isascii() else "-" for c in name.lower()).strip("-")[:63] or "experiment"
    if "dataset.kind" in _keys(overrides):
        _leave_out_the_data_set(tree, overrides)
    if "training.optimizer" in _keys(overrides):
        _leave_out(tree.get("training"), {"learning_rate", "momentum", "decay"})
    if _keys(overrides) & {"architectures", "levels"}:
        _leave_out(tree, {"also"})  # a grid given by hand is the whole grid, without the file's extra combinations
    for override in overrides:
        _apply(tree, override)
    try:
        experiment = Experiment.model_validate(tree)
        experiment.model_dump_json()  # as the run root will hold it
        return experiment
    except PydanticSerializationError as error:
        raise ExperimentError(f"{where}: a text in it is not valid Unicode ({error})") from error
    except ValidationError as error:
        details = _telling(error.errors())
        mistakes = [_explain(where, detail, overrides) for detail in details[:10]]
        raise ExperimentError(_listed(mistakes, len(details))) from error


def _keys(overrides: Sequence[str]) -> set[str]:
    return {override.split("=")[0].strip() for override in overrides}


def _leave_out(section: Any, keys: set[str]) -> None:
    if isinstance(section, dict):
        for key in keys:
            section.pop(key, None)


def _leave_out_the_data_set(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    """Takes out what the file says of its own data set, since another kind is asked for, and of the codec of its medium."""
    dataset = tree.get("dataset")
    if isinstance(dataset, dict):
        kind = next(o.partition("=")[2].strip() for o in reversed(overrides) if _keys([o]) == {"dataset.kind"})
        if (dataset.get("kind") in AUDIO_KINDS) != (kind in AUDIO_KINDS):
            _leave_out(tree, {"codec", "jpeg", "mp3"})
        _leave_out(tree, {"description"})
        _leave_out(dataset, _OF_ONE_SET)


def _read(name: str) -> tuple[str, str]:
    path = _path(name)
    if path and path.is_file():
        if path.stat().st_size > MAX_BYTES:
            raise ExperimentError(f"{path}: over {MAX_BYTES} bytes; an experiment is a short YAML file")
        try:
            return path.read_text("utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ExperimentError(f"{path}: can't read it as UTF-8 text ({error})") from error
    names = bundled()
    if name in names:
        return resources.files("helmholtz.experiments").joinpath(f"{name}.yaml").read_text(
            "utf-8"
        ), f"bundled experiment {name}"
    if path and path.is_dir():
        raise ExperimentError(
            f"{name}: a folder; for its data: quickstart --set dataset.kind=image-folder --set dataset.path={name}"
        )
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ExperimentError(f"{name}: no such file, and no bundled experiment; {hint}bundled: {', '.join(names)}")


def _path(name: str) -> Path | None:
    """What lies at that name; None if nothing does, or nothing can."""
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError):  # too long a name, or no such user's home
        return None


class _Loader(yaml.SafeLoader):
    """YAML without aliases (which can grow without bound) and with duplicate keys as errors."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) aren't supported")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.YAMLError(f"the key {name} stands twice, the second time in line {key.start_mark.line + 1}")
            seen.add(name)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # derived from SafeLoader
    except (AttributeError, LookupError, TypeError) as error:  # how PyYAML says that a value isn't what its tag claims
        raise yaml.YAMLError("a value isn't what its tag (!!...) says; leave the tag out") from error


def _tree(text: str, where: str) -> dict[str, Any]:
    try:
        tree = _parse(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ExperimentError(f"{where}: not valid YAML: {_said(error)}") from error
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise ExperimentError(f"{where}: an experiment is a YAML mapping of keys to values, such as 'codec: jpeg'")
    return tree


def _said(error: Exception) -> str:
    """PyYAML's words on one line, without its name for a text that is no file."""
    return " ".join(str(error).replace('in "<unicode string>", ', "at ").split())


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ExperimentError(f"--set {override}: write key=value, for instance --set seeds=2 or --set levels=[none,25,1]")
    try:
        value = _parse(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ExperimentError(f"--set {override}: the value is not valid YAML: {_said(error)}") from error
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ExperimentError(f"--set {override}: {part} is a value, it has no keys below it")
    tree[parts[-1]] = value


def _telling(details: Sequence[Any]) -> list[Any]:
    """Without those that lists are too short from which only wrong values were taken out."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(len(place) > len(detail["loc"]) and place[: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _explain(where: str, detail: Mapping[str, Any], overrides: Sequence[str]) -> str:
    location = [part for part in detail["loc"] if not (isinstance(part, str) and part.startswith(("function-", "literal[")))]
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    top = key.split("[")[0]
    if any(top and override.split("=")[0].strip() == top for override in overrides):
        where = "--set"
    if detail["type"] == "extra_forbidden":
        if any(f"{override.split('=')[0].strip()}.".startswith(f"{key}.") for override in overrides):
            where = "--set"
        allowed = _keys_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{where}: {key}: unknown key; {hint}allowed here: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{where}: {key}: missing; it must be given"
    if detail["type"] == "value_error":  # raised by us: says what it got
        said = str(detail["msg"]).removeprefix("Value error, ")
        if not key and any(override.split("=")[0].strip() == said.split(":")[0].split("[")[0] for override in overrides):
            where = "--set"
        return f"{where}: {key + ': ' if key else ''}{said}"
    message = str(detail["msg"])
    if detail["type"] == "too_short":
        message = f"give at least {detail['ctx']['min_length']} values"
    elif detail["type"] == "string_pattern_mismatch":
        message = f"must match {detail['ctx']['pattern']}"
    elif detail["type"] == "tuple_type":
        given = detail["input"] if isinstance(detail["input"], str | int) else "none, 50"
        message = f"give a list in brackets, for instance [{given}]"
    elif key == "analysis.margin" and detail["type"] == "less_than":
        message += "; it is a fraction of 1: 0.05 is 5 points"
    got = "" if isinstance(detail["input"], (dict, list)) else f" (got {detail['input']!r})"
    return f"{where}: {key + ': ' if key else ''}{message[0].lower() + message[1:]}{got}"


def _listed(mistakes: list[str], total: int) -> str:
    """The first of the `mistakes`, one a line, as many as an error has room for, and how many of the `total` are left out."""
    shown = mistakes[:1]
    for mistake in mistakes[1:]:
        if sum(map(len, shown)) + len(mistake) > LONGEST - 100:
            break
        shown.append(mistake)
    more = total - len(shown)
    return "\n".join([*shown, *([f"and {more} more"] if more else [])])


def _keys_at(location: Sequence[str | int]) -> list[str]:
    """Keys allowed in the section at `location`."""
    model: type[BaseModel] = Experiment
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *typing.get_args(annotation)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
