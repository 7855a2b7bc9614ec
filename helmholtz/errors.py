"""Errors that a user can act on: each says what was wrong, where, and what to do.

Every error the library raises on purpose is a `HelmholtzError`; the command line prints its text as one line and exits
with status 1 (2 for experiments that can't be read). Anything else that escapes is a defect of ours.
"""

from __future__ import annotations

LONGEST = 1_000  # characters of an error: one that quotes a file of thousands is no sentence any more
_END = 400  # of these, for what to do, which stands at the end


class HelmholtzError(Exception):
    """Base of all errors whose text is meant for the user. It is `legible`, whatever data and names it quotes."""

    def __init__(self, text: str) -> None:
        super().__init__(legible(text))


class ExperimentError(HelmholtzError):
    """The experiment (file, override or pipeline parameter) says something that can't be run."""


class SourceError(HelmholtzError):
    """The data set as a whole can't be used: missing, empty, truncated, or too much of it unusable."""


class StorageError(HelmholtzError):
    """The run root can't be read or written, or holds something that isn't ours."""


class ShardError(HelmholtzError):
    """A shard or manifest doesn't hold what it should."""


class TrainingError(HelmholtzError):
    """A trial can't be trained as asked."""


class BadRecord(Exception):  # noqa: N818  # not an error of the run: the record is set aside and the run goes on
    """One record can't be used. Caught where records are read: it is set aside, counted and listed, never dropped.

    `reason` is a short phrase without the record's name, e.g. ``"truncated image"``, so that reasons can be counted.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def legible(text: str) -> str:
    """`text` as a terminal may show it: control and invisible characters escaped, and cut in its middle to LONGEST."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - _END]} ... {text[-_END:]}"
    shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - _END - 5]} ... {shown[-_END:]}"
