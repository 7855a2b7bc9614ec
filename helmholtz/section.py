"""What all sections of an experiment have in common: strict keys, values that never change, and whole numbers that are ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _whole(value: object) -> object:
    if isinstance(value, (bool, str)):
        raise ValueError(f"{value!r} is not a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
