"""What the two sources of rendered clips share: a record for every dry note in every class."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from helmholtz.errors import BadRecord
from helmholtz.sources.base import SourceRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The classes of `effects.registry`, written out so that opening a source doesn't import scipy; a test compares the two.
CLASSES = (
    "Chorus",
    "Distortion",
    "EQ",
    "FeedbackDelay",
    "Flanger",
    "NoFX",
    "Overdrive",
    "Phaser",
    "Reverb",
    "SlapbackDelay",
    "Tremolo",
    "Vibrato",
)


def clips(note: str, content: str, group: str, classes: Sequence[str], seed: int) -> Iterator[SourceRecord]:
    """One record a class for the note named `note`; `content` is the digest or name of its dry samples.

    The digest says what makes the clip (``<dry note>#<class, seed and renderer>``), not what its samples are: these may differ
    in the last bit between machines, by the rounding of their mathematical library, and the digest must not.
    """
    from helmholtz.effects.rendering import FRAMES, VERSION

    for label, name in enumerate(classes):
        how = "\0".join((name, str(seed), str(VERSION)))
        digest = hashlib.blake2b(how.encode(), digest_size=8).hexdigest()
        yield SourceRecord(f"{note}#{name}", label, f"{content}#{digest}", 2 * FRAMES, group)


def dry_digest(digest: str) -> str:
    """The dry note's part of a clip's digest."""
    return digest.rpartition("#")[0]


def parse_key(key: str, classes: Sequence[str]) -> tuple[str, str]:
    """Note and class of a record's key. Raises BadRecord if it is none."""
    note, separator, name = key.rpartition("#")
    if not separator or name not in classes:
        raise BadRecord("not a key of this source")
    return note, name
