"""IDMT-SMT-Audio-Effects (M. Stein, Zenodo record 7544032, CC BY-NC-ND 4.0), packed or unpacked, as it is laid out there.

``IDMT-SMT-AUDIO-EFFECTS.zip`` holds, two folders deep, a zip each of ``Gitarre monophon``, ``Gitarre monophon2``, ``Bass
monophon``, ``Bass monophon2``, ``Gitarre polyphon``, ``Gitarre polyphon2``; each holds ``Samples/<class>/<name>.wav``. This
source reads the unpacked tree, a folder of these inner zips, one of them, or the outer zip if it stores them uncompressed.

File names are like ``G61-40100-1111-20593``: instrument, its setting, playing style - MIDI pitch (2 digits), string, fret (2) -
effect group, effect (2 digits), setting - running number. The first two parts name the source note: the same for all effects
made from it, so they are the split group. The class is the folder's name, or for files right below ``Samples`` what the effect
code says; a file where the two disagree is set aside.

Checked against public code and documents that read the set, not against the set itself: the nested zips and folders (mirdata's
loader); the form of names and their fields (mirdata's copy of the list G73-00000-3341-568.xml; the README of GUITAR-FX-DIST,
made from this set's 624 dry monophonic and 420 polyphonic sounds); the codes 11 = NoFX and 34 = Tremolo (the same); 88,201
frames at 44.1 kHz in mirdata's sample. The other codes follow the order in which a published annotation of the set numbers its
classes (0 none, 1 EQ, 2 feedback delay, ... 11 overdrive), but were not seen beside a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Self

from helmholtz.errors import BadRecord, SourceError
from helmholtz.sources.archive import ZipFolder
from helmholtz.sources.base import Rejected, SourceRecord
from helmholtz.sources.class_folders import digested, has_extension, parted, unusable, without_copies
from helmholtz.sources.folders import File, Folder, open_folder
from helmholtz.sources.rendered import CLASSES
from helmholtz.sources.selection import select_classes

Part = Literal["guitar", "bass", "chords"]
HALVES: dict[Part, tuple[str, str]] = {
    "guitar": ("Gitarre monophon", "Gitarre monophon2"),  # the paper's: 20,592 notes
    "bass": ("Bass monophon", "Bass monophon2"),  # 20,592 notes
    "chords": ("Gitarre polyphon", "Gitarre polyphon2"),  # 13,860 intervals and chords
}
EFFECT_CODES = {
    "11": "NoFX",
    "12": "EQ",
    "21": "FeedbackDelay",
    "22": "SlapbackDelay",
    "23": "Reverb",
    "31": "Chorus",
    "32": "Flanger",
    "33": "Phaser",
    "34": "Tremolo",
    "35": "Vibrato",
    "41": "Distortion",
    "42": "Overdrive",
}
_NAME = re.compile(r"([A-Z][0-9]{2}-[0-9]{5})-[0-9]([0-9]{2})[0-9]-[0-9]{1,6}")
_TOP = "IDMT-SMT-AUDIO-EFFECTS"
_BASES = ("", _TOP, f"{_TOP}/{_TOP}")


@dataclass(frozen=True, slots=True)
class Idmt:
    """The source `idmt`. Keys are the same however the set is packed: ``Gitarre monophon/Samples/Chorus/G61-....wav``."""

    uri: str
    part: Part
    classes: tuple[str, ...]
    halves: tuple[tuple[str, Folder, str], ...]  # name of the half, where it is, and the key of its folder there

    @classmethod
    def open(cls, path: str, classes: Sequence[str] | None = None, part: Part = "guitar") -> Self:
        """Finds the halves of `part` below `path`: a local folder, ``gs://`` or ``s3://`` URI, or a local zip.

        Raises SourceError, with what was expected where, if they or a class of `classes` (None: all twelve) aren't there.
        """
        if part not in HALVES:
            raise SourceError(f"{path}: the set has no part {part!r}; it has {', '.join(map(repr, HALVES))}")
        local = Path(path.removeprefix("file://")).expanduser().absolute()
        folder: Folder = ZipFolder(str(local)) if "://" not in path and local.is_file() else open_folder(path)
        halves = tuple(half for name in HALVES[part] for half in _find(folder, name))
        if not halves:
            raise SourceError(f"{folder.uri}: no {' or '.join(map(repr, HALVES[part]))} in it; {_expected(part)}")
        chosen = select_classes(CLASSES, classes, folder.uri)
        there = {name for _, place, key in halves for name in place.subfolders(f"{key}/Samples")}
        lacking = [name for name in chosen if name not in there]
        if there & set(CLASSES) and lacking:
            raise SourceError(
                f"{folder.uri}: no folder Samples/{lacking[0]} in {' or '.join(repr(half[0]) for half in halves)} "
                f"({len(lacking)} classes lack theirs: {', '.join(lacking)}); {_expected(part)}. Or choose classes with "
                "dataset.classes"
            )
        return cls(folder.uri, part, chosen, halves)

    @property
    def description(self) -> str:
        return (
            f"IDMT-SMT-Audio-Effects (M. Stein, Zenodo 7544032, CC BY-NC-ND 4.0), {self.part}, {len(self.classes)} classes, "
            f"from {self.uri}"
        )

    def records(self) -> Iterator[SourceRecord | Rejected]:
        found: list[SourceRecord] = []
        for name, folder, place in self.halves:
            rejected, listed = parted(self._listed(name, folder, place))
            failed, hashed = parted(digested(folder, listed))
            prefix = len(place)
            yield from rejected
            yield from (Rejected(name + record.key[prefix:], record.reason) for record in failed)
            found += (_renamed(record, name + record.key[prefix:]) for record in hashed)
        if not found:
            raise SourceError(f"{self.uri}: no usable .wav file of the chosen classes in it; {_expected(self.part)}")
        yield from without_copies(found)

    def load(self, key: str, digest: str | None = None) -> bytes:
        """The bytes of the WAV file."""
        name, _, rest = key.partition("/")
        for half, folder, place in self.halves:
            if half == name:
                return folder.read(f"{place}/{rest}", digest)
        raise BadRecord("not a key of this source")

    def _listed(self, name: str, folder: Folder, place: str) -> Iterator[SourceRecord | Rejected]:
        """The files of the chosen classes, under their keys in `folder`; those set aside, under their keys in this source."""
        for file in folder.files(f"{place}/Samples"):
            if not has_extension(file.key, frozenset({".wav"})):
                continue
            record = file if isinstance(file, Rejected) else _record(file, self.classes)
            if isinstance(record, Rejected):
                yield Rejected(name + record.key[len(place) :], record.reason)
            elif record is not None:
                yield record


def _find(folder: Folder, name: str) -> Iterator[tuple[str, Folder, str]]:
    """The half `name` as (name, where, key there): a folder, the same folder in a folder of its name, or a zip of it."""
    for base in _BASES:
        key = f"{base}/{name}" if base else name
        for place in (key, f"{key}/{name}"):
            if _has_samples(folder, place):
                yield name, folder, place
                return
        zipped = _zipped(folder, f"{key}.zip")
        if zipped is not None:
            if not _has_samples(zipped, name):
                raise SourceError(f"{zipped.uri}: holds no folder {name}/Samples; fetch it again")
            yield name, zipped, name
            return


def _has_samples(folder: Folder, key: str) -> bool:
    parent = ""
    for part in (*PurePosixPath(key).parts, "Samples"):
        if part not in folder.subfolders(parent):
            return False
        parent = f"{parent}/{part}" if parent else part
    return True


def _zipped(folder: Folder, key: str) -> ZipFolder | None:
    if isinstance(folder, ZipFolder):
        return ZipFolder(folder.path, key) if any(file.key == key for file in folder.files(key.rpartition("/")[0])) else None
    path = Path(folder.uri, key)
    return ZipFolder(str(path)) if "://" not in folder.uri and path.is_file() else None


def _record(file: File, classes: tuple[str, ...]) -> SourceRecord | Rejected | None:
    """None: of a class that wasn't chosen."""
    path = PurePosixPath(file.key)
    name = _NAME.fullmatch(path.stem)
    if name is None:
        return Rejected(file.key, "file name is not of the set's form, so its note is unknown")
    code = EFFECT_CODES.get(name[2])
    above = path.parent.name
    if above == "Samples" and code is None:
        return Rejected(file.key, f"unknown effect code {name[2]}")
    if above not in (*CLASSES, "Samples"):
        return Rejected(file.key, f"in the folder {above}, which is no class of the set")
    label = code if above == "Samples" else above
    if label not in classes:
        return None
    if code is not None and code != label:
        return Rejected(file.key, f"effect code {name[2]} says {code}, its folder {label}")
    reason = unusable(file)
    if reason is not None:
        return Rejected(file.key, reason)
    return SourceRecord(file.key, classes.index(label), file.digest or "", file.nbytes, name[1])


def _renamed(record: SourceRecord, key: str) -> SourceRecord:
    return SourceRecord(key, record.label, record.digest, record.nbytes, record.group)


def _expected(part: Part) -> str:
    first, second = HALVES[part]
    return (
        f"expected IDMT-SMT-AUDIO-EFFECTS.zip of Zenodo record 7544032, or it unpacked: '{first}/Samples/<class>/*.wav' and "
        f"'{second}/Samples/<class>/*.wav' (folders or zips), at the top or below {_TOP}"
    )
