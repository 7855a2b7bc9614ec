"""What a run root holds as JSON: strict models, read back with an error that names file and field."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from helmholtz.errors import StorageError
from helmholtz.storage import Store


class Model(BaseModel):
    """Base of everything stored as JSON: unknown keys are errors, numbers are finite, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


M = TypeVar("M", bound=Model)


def read_model(store: Store, key: str, model: type[M]) -> M:
    """The `model` stored at `key`. Raises StorageError, naming key and field, if it isn't there or isn't one."""
    return parse_model(store.read_bytes(key), f"{store.uri}/{key}", model)


def read_lines(store: Store, key: str, model: type[M]) -> list[M]:
    """The models stored at `key`, one a line. Raises StorageError, naming key, line and field, where one isn't."""
    lines = store.read_bytes(key).split(b"\n")
    try:  # all at once, in a third of the time; but a line may hold two, and an error must name its line
        found: list[M] = _list_of(model).validate_json(b"[" + b",".join(filter(None, lines)) + b"]")
        if len(found) == sum(map(bool, lines)):
            return found
    except ValidationError:
        pass
    return [parse_model(line, f"{store.uri}/{key}, line {n}", model) for n, line in enumerate(lines, start=1) if line]


@functools.cache
def _list_of(model: type[Model]) -> TypeAdapter[Any]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]  # a type that is a value


def parse_model(data: bytes, where: str, model: type[M]) -> M:
    """The `model` in JSON `data`, which `where` names in errors."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        message = f"{where}: damaged, or of another version ({field}: {first['msg']}); delete it and run again"
        raise StorageError(message) from error
