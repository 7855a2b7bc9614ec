"""A folder with one folder of images a class: what most labelled image sets come as.

The class folders lie at the top, or below split folders (``train`` and ``test``, ``validation``, ``val`` or ``valid``),
which are then kept as they are. Where such a set has no ``test`` folder, its validation folder stays the validation split
and the test is cut from the training folder. Images may lie at any depth below their class folder.

The order of classes is that of their names. Names compare in Unicode's composed form (NFC), so that a folder copied from
macOS is the same class. Hidden files, and files whose extension is no image format's, are no records.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Self

from helmholtz.errors import BadRecord, ExperimentError, SourceError
from helmholtz.sources.base import SPLITS, Rejected, SourceRecord, Split
from helmholtz.sources.folders import MAX_FILE_BYTES, TOO_LARGE, File, Folder, open_folder
from helmholtz.sources.selection import select_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from helmholtz.experiment import Dataset

# Also those of formats that the codec doesn't read: such files are then set aside and counted, rather than overlooked.
EXTENSIONS = frozenset(
    f".{name}"
    for names in (
        ("bmp", "dib", "gif", "pcx", "png", "tga", "tif", "tiff", "webp"),
        ("jfif", "jpe", "jpeg", "jpg", "j2k", "jp2", "jpx", "jxl", "avif", "heic", "heif"),
        ("pbm", "pgm", "pnm", "ppm"),
    )
    for name in names
)
SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
_EXPECTED = "expected one folder of images a class, or train and test (and validation) folders that hold such folders"
_THREADS = 8
_BATCH = 4096  # files hashed between two looks at the results


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The source `image-folder`. Keys are paths below the folder, e.g. ``train/cat/001.jpg``."""

    folder: Folder
    classes: tuple[str, ...]
    layout: tuple[tuple[str, Split | None], ...]  # folders that hold class folders, and the split they prescribe
    group: str | None  # regular expression on the key

    @classmethod
    def open(cls, dataset: Dataset) -> Self:
        """Finds the classes. Raises SourceError if there aren't two, ExperimentError if `dataset.group` is no expression."""
        try:
            re.compile(dataset.group or "")
        except re.error as error:
            raise ExperimentError(f"dataset.group: {dataset.group!r} is not a regular expression: {error}") from error
        folder = open_folder(str(dataset.path))
        layout = _layout(folder)
        found = sorted({name for parent, _ in layout for name in _class_folders(folder, parent)})
        if len(found) < 2:
            raise SourceError(f"{folder.uri}: holds {len(found)} class folders{_quoted(found)}, at least 2 needed: {_EXPECTED}")
        wanted = None if dataset.classes is None else tuple(map(_composed, dataset.classes))
        return cls(folder, select_classes(found, wanted, folder.uri), layout, dataset.group)

    @property
    def description(self) -> str:
        return f"image files in {len(self.classes)} class folders of {self.folder.uri}"

    def records(self) -> Iterator[SourceRecord | Rejected]:
        rejected, listed = _parted(self._listed())
        failed, hashed = _parted(self._digested(listed))
        refused = _refused(hashed)
        yield from rejected
        yield from failed
        for record in hashed:
            reason = refused.get(record.key)
            yield record if reason is None else Rejected(record.key, reason)

    def load(self, key: str) -> bytes:
        """The bytes of the file."""
        return self.folder.read(key)

    def _listed(self) -> Iterator[SourceRecord | Rejected]:
        """Every image file, with the object store's digest or none yet."""
        for parent, split in self.layout:
            for name, folders in sorted(_class_folders(self.folder, parent).items()):
                if name in self.classes:
                    label = self.classes.index(name)
                    for place in folders:
                        yield from (self._record(file, label, split) for file in _images(self.folder, place))

    def _record(self, file: File | Rejected, label: int, split: Split | None) -> SourceRecord | Rejected:
        if isinstance(file, Rejected):
            return file
        if file.nbytes == 0:
            return Rejected(file.key, "empty file")
        if file.nbytes > MAX_FILE_BYTES:
            return Rejected(file.key, TOO_LARGE)
        return SourceRecord(file.key, label, file.digest or "", file.nbytes, self._group(file.key), split)

    def _group(self, key: str) -> str | None:
        match = None if self.group is None else re.search(self.group, key)
        if match is None:
            return None
        return match[1] if match.re.groups else match[0]

    def _digested(self, records: list[SourceRecord]) -> Iterator[SourceRecord | Rejected]:
        def digested(record: SourceRecord) -> SourceRecord | Rejected:
            try:
                digest = self.folder.digest(File(record.key, record.nbytes, record.digest or None))
            except BadRecord as error:
                return Rejected(record.key, error.reason)
            return replace(record, digest=digest)

        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(records), _BATCH):
                yield from pool.map(digested, records[start : start + _BATCH])


def _layout(folder: Folder) -> tuple[tuple[str, Split | None], ...]:
    names = [name for name in folder.subfolders("") if not name.startswith(".")]
    if not names:
        raise SourceError(f"{folder.uri}: holds no folders; {_EXPECTED}")
    splits = [SPLIT_FOLDERS.get(name.casefold()) for name in names]
    if None in splits:
        return (("", None),)
    if "train" not in splits or len(names) < 2 or len(set(splits)) < len(splits):
        raise SourceError(f"{folder.uri}: holds the split folders{_quoted(names)}; {_EXPECTED}, each split once")
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


def _images(folder: Folder, key: str) -> list[File | Rejected]:
    everything = folder.files(key)
    images = [file for file in everything if _is_image(file.key)]
    if not images:
        raise SourceError(
            f"{folder.uri}/{key}: no image in this class folder ({len(everything)} other files, ignored); remove it, choose "
            f"classes with dataset.classes, or rename its files: images end in {', '.join(sorted(EXTENSIONS))}"
        )
    return images


def _is_image(key: str) -> bool:
    path = PurePosixPath(key)
    return path.suffix.lower() in EXTENSIONS and not any(part.startswith(".") for part in path.parts)


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


def _parted(found: Iterator[SourceRecord | Rejected]) -> tuple[list[Rejected], list[SourceRecord]]:
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
