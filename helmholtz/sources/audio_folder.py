"""A folder with one folder of audio files a class; the layout, and how classes compare, is that of `class_folders`.

Files are handed over as they are, whatever their format, rate, channels or length: what becomes of them, and which are set
aside, `helmholtz.audio` decides, the same way for every source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from helmholtz.sources.class_folders import ClassFolders

# What ffmpeg reads and people have. Also formats without a decoder here: such files are set aside and counted, not overlooked.
EXTENSIONS = frozenset(
    f".{name}"
    for names in (
        ("wav", "wave", "w64", "rf64", "aif", "aiff", "aifc", "au", "snd", "caf"),
        ("flac", "alac", "ape", "wv", "tta"),
        ("mp3", "mp2", "ogg", "oga", "opus", "spx", "m4a", "m4b", "aac", "ac3", "wma", "amr", "mka", "webm", "mp4", "3gp"),
    )
    for name in names
)


@dataclass(frozen=True, slots=True)
class AudioFolder(ClassFolders):
    """The source `audio-folder`. Keys are paths below the folder, e.g. ``train/Chorus/001.wav``."""

    medium: ClassVar[str] = "audio"
    extensions: ClassVar[frozenset[str]] = EXTENSIONS

    @classmethod
    def open(cls, path: str, classes: Sequence[str] | None = None, group: str | None = None) -> Self:
        """Finds the classes below `path`, a local folder, ``gs://`` or ``s3://`` URI.

        `group` is a regular expression on the key: records whose match is equal stay on one side of a split. Without it the
        content of the file is the group. Raises SourceError if there aren't two classes, ExperimentError if `group` is none.
        """
        return cls.find(path, classes, group)
