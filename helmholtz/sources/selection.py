"""The choice of classes that `dataset.classes` makes, the same for every source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helmholtz.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence


def select_classes(available: Sequence[str], wanted: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """Those of `available` that are `wanted` (None: all), in the order of `available`.

    Raises SourceError, naming `where` and listing what is there, if a wanted class isn't.
    """
    if wanted is None:
        return tuple(available)
    unknown = sorted(set(wanted) - set(available))
    if unknown:
        shown = ", ".join(map(repr, available[:50])) + (", ..." if len(available) > 50 else "")
        raise SourceError(f"{where}: no class {', '.join(map(repr, unknown))} (dataset.classes); there are {shown}")
    return tuple(name for name in available if name in set(wanted))
