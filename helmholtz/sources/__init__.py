"""Sources: where labelled records come from. A further one is a class with the methods of `base.Source`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helmholtz.sources.base import Source

if TYPE_CHECKING:
    from helmholtz.experiment import Dataset


def open_source(dataset: Dataset) -> Source:
    """The source that the experiment names. Raises SourceError if it isn't there."""
    if dataset.kind == "cifar10":
        from helmholtz.sources.cifar10 import Cifar10

        return Cifar10.open(dataset)
    if dataset.kind == "image-folder":
        from helmholtz.sources.image_folder import ImageFolder

        return ImageFolder.open(dataset)
    from helmholtz.sources.photographs import Photographs

    return Photographs.open(dataset)
