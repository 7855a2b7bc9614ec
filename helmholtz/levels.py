"""Compression levels: one axis for every codec.

A level is ``"none"`` (lossless, the reference of every comparison) or an integer on the codec's own scale (JPEG quality
1..100, MP3 kbit/s). In file names, JSON and parameters a level is its text, e.g. ``"none"`` or ``"25"``.
"""

from __future__ import annotations

import re
from typing import Literal

Level = Literal["none"] | int

NONE: Literal["none"] = "none"


def parse_level(value: object) -> Level:
    """The level that `value` names. Accepts ``None``/``"none"``, integers, their text, and whole floats.

    Whole floats are accepted because kfp hands integers inside lists and dicts on as floats.
    Raises ValueError (with what is allowed) for anything else.
    """
    if value is None or value == NONE:
        return NONE
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a level: use 'none' or a whole number")
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value.strip()):
        return int(value)
    raise ValueError(f"{value!r} is not a level: use 'none' or a whole number")


def sort_key(level: Level) -> tuple[int, int]:
    """Sorts levels from least to most compressed: ``none`` first, then high numbers to low."""
    return (0, 0) if level == NONE else (1, -level)
