"""A folder of dry notes, each rendered to the twelve classes of IDMT-SMT-Audio-Effects when it is loaded.

Any audio files that `helmholtz.audio` reads, at any depth, serve as notes. Nothing is written: a clip is rendered from its note
each time it is asked for, with parameters drawn from the seed, the content of the file and the class, so that neither the order
of clips nor the name of a file changes what they sound like.

All clips of one note form a group, so they stand on one side of every split; equal files are one note (the same sound in
another format is not recognised: use `group`). Takes of one pitch
(other dynamics, round robin) are different notes unless `group`, a regular expression on the file's path, brings them
together: `SAME_PITCH` does that for names like ``emily_a2_f_rr1.flac``. Files it doesn't match remain notes of their own.

Files become notes by `helmholtz.audio`: the mean of their channels, at 44.1 kHz, the first two seconds (the rest of an hour,
say, isn't decoded). Shorter ones are filled with silence, into which echoes ring. Set aside, with the reason and in all
classes, is what it can't read, and what is no note: shorter than 50 ms, or silent (a peak below -80 dBFS).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from helmholtz.errors import SourceError
from helmholtz.sources.audio_folder import EXTENSIONS
from helmholtz.sources.base import Rejected, SourceRecord, content_digest
from helmholtz.sources.class_folders import (
    check_group,
    digested,
    group_of,
    has_extension,
    parted,
    unusable,
    without_copies,
)
from helmholtz.sources.folders import Folder, open_folder
from helmholtz.sources.rendered import CLASSES, clips, dry_digest, parse_key
from helmholtz.sources.selection import select_classes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAME_PITCH = r"(?:^|/)([^/]*?_[A-Ga-g][b#]?-?[0-9])(?=[_.])"
"""Instrument and pitch of ``instrument_pitch_dynamic_roundrobin`` names: ``emily_a2``, ``pasta_spaghetti_db6``."""


@dataclass(frozen=True, slots=True)
class GuitarEffects:
    """The source `guitar-effects`. Keys are ``<path of the note>#<class>``, e.g. ``emily_a2_f_rr1.flac#Chorus``."""

    folder: Folder
    classes: tuple[str, ...]
    seed: int
    group: str | None  # regular expression on the path of the note

    @classmethod
    def open(cls, path: str, classes: Sequence[str] | None = None, seed: int = 0, group: str | None = None) -> Self:
        """Raises SourceError if `path` is no folder or a class unknown, ExperimentError if `group` is no expression."""
        check_group(group)
        folder = open_folder(path)
        return cls(folder, select_classes(CLASSES, classes, folder.uri), seed, group)

    @property
    def description(self) -> str:
        return f"dry notes of {self.folder.uri}, rendered to {len(self.classes)} effect classes (seed {self.seed})"

    def records(self) -> Iterator[SourceRecord | Rejected]:
        rejected, listed = parted(self._notes())
        failed, hashed = parted(digested(self.folder, listed))
        for note in (*rejected, *failed, *without_copies(hashed)):
            if isinstance(note, Rejected):
                yield from (Rejected(f"{note.key}#{name}", note.reason) for name in self.classes)
            else:
                yield from clips(note.key, note.digest, note.group or note.digest, self.classes, self.seed)

    def load(self, key: str, digest: str | None = None) -> NDArray[np.int16]:
        """int16 [88200], mono, 44,100 Hz."""
        from helmholtz.effects.rendering import render

        note, name = parse_key(key, self.classes)
        data = self.folder.read(note, None if digest is None else dry_digest(digest))
        return render(_decoded(data), name, self.seed, content_digest(data))

    def _notes(self) -> Iterator[SourceRecord | Rejected]:
        """Every audio file, as a record of its own, before it is known in all classes."""
        everything = self.folder.files("")
        found = [file for file in everything if has_extension(file.key, EXTENSIONS)]
        if not found:
            raise SourceError(
                f"{self.folder.uri}: no audio file in it ({len(everything)} other files, ignored); expected a folder of dry "
                f"notes, files that end in {', '.join(sorted(EXTENSIONS))}"
            )
        for file in found:
            reason = None if isinstance(file, Rejected) else unusable(file)
            if isinstance(file, Rejected):
                yield file
            elif reason is not None:
                yield Rejected(file.key, reason)
            else:
                yield SourceRecord(file.key, 0, file.digest or "", file.nbytes, group_of(self.group, file.key))


def _decoded(data: bytes) -> NDArray[np.float64]:
    """The note in an audio file, float64 [n] in -1..1 with n up to 88,200. Raises BadRecord if it can't be read."""
    import numpy as np

    from helmholtz.audio import decode
    from helmholtz.effects.rendering import FRAMES

    samples = decode(data, FRAMES).samples
    sounding = np.flatnonzero(samples)
    end = sounding[-1] + 1 if len(sounding) else FRAMES  # without what `decode` filled up
    return samples[:end] / 32768.0
