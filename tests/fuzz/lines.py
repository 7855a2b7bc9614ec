"""Which lines of the library a case reaches: those that no earlier one did make it worth keeping.

By `sys.settrace`, for Python 3.11 has no `sys.monitoring`. A function all of whose lines are known isn't traced any more, so
that the guide costs next to nothing once most is known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import helmholtz

_OURS = str(Path(helmholtz.__file__).parent)


class Lines:
    """Lines seen so far."""

    def __init__(self) -> None:
        self._unseen: dict[CodeType, set[int] | None] = {}  # None: not ours, or nothing left
        self.seen = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes the lines that the block reaches, in this thread."""
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _on_call(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        try:
            unseen = self._unseen[code]
        except KeyError:
            ours = code.co_filename.startswith(_OURS)
            unseen = self._unseen[code] = {line for *_, line in code.co_lines() if line} if ours else None
        return None if unseen is None else self._on_line

    def _on_line(self, frame: FrameType, event: str, argument: Any) -> Any:
        unseen = self._unseen[frame.f_code]
        if unseen and frame.f_lineno in unseen:
            unseen.discard(frame.f_lineno)
            self.seen += 1
            if not unseen:
                self._unseen[frame.f_code] = None
        return self._on_line
