"""Folders with one folder of files a class: what most labelled sets come as, whatever the medium.

The class folders lie at the top, or below split folders (``train`` and ``test``, ``validation``, ``val`` or ``valid``),
which are then kept as they are. Where such a set has no ``test`` folder, its validation folder stays the validation split
and the test is cut from the training folder. Files may lie at any depth below their class folder.

The order of classes is that of their names. Names compare in Unicode's composed form (NFC), so that a folder copied from
macOS is the same class. Hidden files, and files whose extension is no format of the medium, are no records.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Self

from helmholtz.errors import BadRecord, ExperimentError, SourceError
from helmholtz.sources import folders
from helmholtz.sources.base import SPLITS, Rejected, SourceRecord, Split
from helmholtz.sources.folders import TOO_LARGE, File, Folder, open_folder
from helmholtz.sources.selection import select_classes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
_THREADS = 8
_BATCH = 4096  # files hashed between two looks at the results


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """Base of the folder sources. Keys are paths below the folder, e.g. ``train/cat/001.jpg``."""

    folder: Folder
    classes: tuple[str, ...]
    layout: tuple[tuple[str, Split | None], ...]  # folders that hold class folders, and the split they prescribe
    group: str | None  # regular expression on the key

    medium: ClassVar[str]  # what one file is, for people: "image"
    extensions: ClassVar[frozenset[str]]

    @classmethod
    def find(cls, path: str, classes: Sequence[str] | None, group: str | None) -> Self:
        """The classes below `path`. Raises SourceError if there aren't two, ExperimentError if `group` is no expression."""
        check_group(group)
        folder = open_folder(path)
        layout = _layout(folder, cls._expected())
        found = sorted({name for parent, _ in layout for name in _class_folders(folder, parent)})
        if len(found) < 2:
            holds = f"{len(found)} class folder{'' if len(found) == 1 else 's'}{_quoted(found)}"
            raise SourceError(f"{folder.uri}: holds {holds}, at least 2 needed: {cls._expected()}")
        wanted = None if classes is None else tuple(map(_composed, classes))
        return cls(folder, select_classes(found, wanted, folder.uri), layout, group)

    @classmethod
    def _expected(cls) -> str:
        what = f"one folder of {cls.medium} files a class"
        return f"expected {what}, or train and test (and validation) folders that hold such folders"

    @property
    def description(self) -> str:
        return f"{self.medium} files in {len(self.classes)} class folders of {self.folder.uri}"

    def records(self) -> Iterator[SourceRecord | Rejected]:
        rejected, listed = parted(self._listed())
        failed, hashed = parted(digested(self.folder, listed))
        yield from rejected
        yield from failed
        yield from without_copies(hashed)

    def load(self, key: str, digest: str | None = None) -> bytes:
        """The bytes of the file."""
        return self.folder.read(key, digest)

    def _listed(self) -> Iterator[SourceRecord | Rejected]:
        """Every file of the medium, with the object store's digest or none yet."""
        for parent, split in self.layout:
            for file in self.folder.files(parent, deep=False):
                if has_extension(file.key, self.extensions):
                    yield Rejected(file.key, "not in a class folder")
            for name, places in sorted(_class_folders(self.folder, parent).items()):
                if name in self.classes:
                    label = self.classes.index(name)
                    for place in places:
                        yield from (self._record(file, label, split) for file in self._files(place))

    def _record(self, file: File | Rejected, label: int, split: Split | None) -> SourceRecord | Rejected:
        if isinstance(file, Rejected):
            return file
        reason = unusable(file)
        if reason is not None:
            return Rejected(file.key, reason)
        return SourceRecord(file.key, label, file.digest or "", file.nbytes, group_of(self.group, file.key), split)

    def _files(self, place: str) -> list[File | Rejected]:
        everything = self.folder.files(place)
        found = [file for file in everything if has_extension(file.key, self.extensions)]
        if not found:
            raise SourceError(
                f"{self.folder.uri}/{place}: no {self.medium} in this class folder ({len(everything)} other files, ignored); "
                f"remove it, choose classes with dataset.classes, or rename its files: {self.medium} files end in "
                f"{', '.join(sorted(self.extensions))}"
            )
        return found


def check_group(group: str | None) -> None:
    """Raises ExperimentError if `group` is no regular expression."""
    try:
        re.compile(group or "")
    except re.error as error:
        raise ExperimentError(f"dataset.group: {group!r} is not a regular expression: {error}") from error


def group_of(group: str | None, key: str) -> str | None:
    """What `group` matches in `key` (its first capture, if it has one), or None."""
    match = None if group is None else re.search(group, key)
    if match is None:
        return None
    return match[1] if match.re.groups else match[0]


def has_extension(key: str, extensions: frozenset[str]) -> bool:
    """Whether a file counts: its name ends in one of `extensions`, and no part of its path is hidden."""
    path = PurePosixPath(key)
    return path.suffix.lower() in extensions and not any(part.startswith(".") for part in path.parts)


def unusable(file: File) -> str | None:
    """The reason to set a file aside that its size alone gives, or None."""
    if file.nbytes == 0:
        return "empty file"
    return TOO_LARGE if file.nbytes > folders.MAX_FILE_BYTES else None


def digested(folder: Folder, records: list[SourceRecord]) -> Iterator[SourceRecord | Rejected]:
    """The same records, with the digests of their files; those that can't be read are Rejected."""

    def with_digest(record: SourceRecord) -> SourceRecord | Rejected:
        try:
            digest = folder.digest(File(record.key, record.nbytes, record.digest or None))
        except BadRecord as error:
            return Rejected(record.key, error.reason)
        return replace(record, digest=digest)

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(records), _BATCH):
            yield from pool.map(with_digest, records[start : start + _BATCH])


def without_copies(records: list[SourceRecord]) -> Iterator[SourceRecord | Rejected]:
    """The same records, but Rejected where the same content stands elsewhere under another class, split or group."""
    refused = _refused(records)
    for record in records:
        reason = refused.get(record.key)
        yield record if reason is None else Rejected(record.key, reason)


def _layout(folder: Folder, expected: str) -> tuple[tuple[str, Split | None], ...]:
    names = [name for name in folder.subfolders("") if not name.startswith(".")]
    if not names:
        raise SourceError(f"{folder.uri}: holds no folders; {expected}")
    splits = [SPLIT_FOLDERS.get(name.casefold()) for name in names]
    if None in splits:
        return (("", None),)
    if "train" not in splits or len(names) < 2 or len(set(splits)) < len(splits):
        raise SourceError(f"{folder.uri}: holds the split folders{_quoted(names)}; {expected}, each split once")
    if "test" not in splits:
        splits = [None if split == "train" else split for split in splits]
    return tuple(zip(names, splits, strict=True))


def _class_folders(folder: Folder, parent: str) -> dict[str, list[str]]:
    """Class name -> keys of its folders (more than one only where their names differ in Unicode form alone)."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in folder.subfolders(parent):
        if not name.startswith("."):
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise SourceError(f"{folder.uri}: the folder name {name!r} is not UTF-8; rename it") from error
            found[_composed(name)].append(f"{parent}/{name}" if parent else name)
    return found


def _refused(records: list[SourceRecord]) -> dict[str, str]:
    """Key -> reason, for records whose content stands elsewhere under another class, split or group.

    Two classes: nobody knows which is right, so all copies go. Two splits: the test (else the validation) stays whole, and
    the other copies go. Two groups: the first stays, or the groups would share content across a split.
    """
    copies: dict[str, list[SourceRecord]] = defaultdict(list)
    for record in records:
        copies[record.digest].append(record)
    reasons = {}
    for same in copies.values():
        keeper = max(same, key=_rank)
        for record in same:
            other = next((r for r in same if r.label != record.label), None)
            if other is not None:
                reasons[record.key] = f"same content as {other.key}, in another class"
            elif record.split != keeper.split:
                reasons[record.key] = f"same content as {keeper.key}, in the {keeper.split} split"
            elif record.group != keeper.group:
                reasons[record.key] = f"same content as {keeper.key}, in another group"
    return reasons


def _rank(record: SourceRecord) -> int:
    return -1 if record.split is None else SPLITS.index(record.split)


def parted(found: Iterable[SourceRecord | Rejected]) -> tuple[list[Rejected], list[SourceRecord]]:
    """Those set aside, and the others."""
    rejected: list[Rejected] = []
    records: list[SourceRecord] = []
    for item in found:
        if isinstance(item, Rejected):
            rejected.append(item)
        else:
            records.append(item)
    return rejected, records


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _quoted(names: list[str]) -> str:
    return f" ({', '.join(map(repr, itertools.islice(names, 20)))})" if names else ""
