"""A folder with one folder of images a class; the layout, and how classes compare, is that of `class_folders`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from helmholtz.sources.class_folders import ClassFolders

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True)
class ImageFolder(ClassFolders):
    """The source `image-folder`. Keys are paths below the folder, e.g. ``train/cat/001.jpg``."""

    medium: ClassVar[str] = "image"
    extensions: ClassVar[frozenset[str]] = EXTENSIONS

    @classmethod
    def open(cls, dataset: Dataset) -> Self:
        """Finds the classes. Raises SourceError if there aren't two, ExperimentError if `dataset.group` is no expression."""
        return cls.find(str(dataset.path), dataset.classes, dataset.group)
