"""The targets, one a module, by name."""

from __future__ import annotations

import importlib
import pkgutil

from tests.fuzz.target import Target

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Target:
    """The target of that name."""
    target: Target = importlib.import_module(f"{__name__}.{name}").TARGET
    return target
