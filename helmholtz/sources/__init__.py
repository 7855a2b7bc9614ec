"""Sources: where labelled records come from. A further one is a class with the methods of `base.Source`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helmholtz.sources.base import Source

if TYPE_CHECKING:
    from helmholtz.experiment import Dataset


def _path(dataset: Dataset) -> str:
    return str(dataset.path)  # the experiment has been checked: kinds that need a path have one


def open_source(dataset: Dataset) -> Source:
    """The source that the experiment names. Raises SourceError if it isn't there."""
    if dataset.kind == "cifar10":
        from helmholtz.sources.cifar10 import Cifar10

        return Cifar10.open(dataset)
    if dataset.kind == "image-folder":
        from helmholtz.sources.image_folder import ImageFolder

        return ImageFolder.open(dataset)
    if dataset.kind == "audio-folder":
        from helmholtz.sources.audio_folder import AudioFolder

        return AudioFolder.open(_path(dataset), dataset.classes, dataset.group)
    if dataset.kind == "guitar-effects":
        from helmholtz.sources.guitar_effects import GuitarEffects

        return GuitarEffects.open(_path(dataset), dataset.classes, dataset.effects_seed, dataset.group)
    if dataset.kind == "plucked-strings":
        from helmholtz.sources.plucked_strings import PluckedStrings

        return PluckedStrings.open(dataset.classes, dataset.notes, dataset.effects_seed)
    if dataset.kind == "idmt":
        from helmholtz.sources.idmt import Idmt

        return Idmt.open(_path(dataset), dataset.classes, dataset.part)
    from helmholtz.sources.photographs import Photographs

    return Photographs.open(dataset)
