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
    """One record a class for the note named `note`; `content` stands for its dry samples.

    The digest is that of what makes the clip (dry note, class, seed, renderer), not of its samples: these may differ in the
    last bit between machines, by the rounding of their mathematical library, and the digest must not.
    """
    from helmholtz.effects.rendering import FRAMES, VERSION

    for label, name in enumerate(classes):
        made_of = "\0".join((content, name, str(seed), str(VERSION)))
        digest = hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()
        yield SourceRecord(f"{note}#{name}", label, digest, 2 * FRAMES, group)


def parse_key(key: str, classes: Sequence[str]) -> tuple[str, str]:
    """Note and class of a record's key. Raises BadRecord if it is none."""
    note, separator, name = key.rpartition("#")
    if not separator or name not in classes:
        raise BadRecord("not a key of this source")
    return note, name
