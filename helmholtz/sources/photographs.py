"""Patches of the photographs that ship inside scikit-image: a labelled image set that needs no network.

The class is the photograph. Each photograph is cut into blocks of 64x64 pixels, and 32x32 patches are taken inside blocks
only; the block is the group, so training and test patches come from disjoint regions. Patches overlap inside a block where
the photograph is small, so that classes are of similar size. Nearly constant patches (the black border of the retina, the
sky behind the rocket) are no part of the set: there is no content in them to compress.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from helmholtz.errors import BadRecord, SourceError
from helmholtz.sources.base import Rejected, SourceRecord, check_unchanged, content_digest
from helmholtz.sources.selection import select_classes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from helmholtz.experiment import Dataset

BLOCK = 64  # pixels
PATCH = 32  # pixels
MIN_STD = 4  # of 255, in the liveliest channel; patches below are left out

# File, and the step between patches inside a block in pixels.
PHOTOGRAPHS: dict[str, tuple[str, int]] = {
    "astronaut": ("astronaut.png", 16),
    "chelsea": ("chelsea.png", 8),
    "coffee": ("coffee.png", 16),
    "hubble": ("hubble_deep_field.jpg", 32),
    "retina": ("retina.jpg", 32),
    "rocket": ("rocket.jpg", 8),
}


@dataclass(frozen=True, slots=True)
class Photographs:
    """The source `photographs`. Keys are ``<photograph>/<y>-<x>``, the patch's top left corner in pixels."""

    classes: tuple[str, ...]

    @classmethod
    def open(cls, dataset: Dataset) -> Self:
        """Raises SourceError if scikit-image isn't installed whole."""
        classes = select_classes(tuple(PHOTOGRAPHS), dataset.classes, "photographs")
        for name in classes:
            _file(name)
        return cls(classes)

    @property
    def description(self) -> str:
        return (
            "32x32 patches of photographs shipped with scikit-image: astronaut (NASA), hubble (NASA), rocket (SpaceX), public "
            "domain; chelsea (S. van der Walt), coffee (R. Michetti), retina (M. Häggström), CC0"
        )

    def records(self) -> Iterator[SourceRecord | Rejected]:
        for label, name in enumerate(self.classes):
            photograph = _photograph(name)
            for y, x in _corners(photograph.shape, PHOTOGRAPHS[name][1]):
                patch = np.ascontiguousarray(photograph[y : y + PATCH, x : x + PATCH])
                if _is_lively(patch):
                    digest = content_digest(patch)
                    group = f"{name}/block-{y // BLOCK}-{x // BLOCK}"
                    yield SourceRecord(f"{name}/{y}-{x}", label, digest, patch.nbytes, group)

    def load(self, key: str, digest: str | None = None) -> NDArray[np.uint8]:
        """uint8 [32, 32, 3]."""
        match = re.fullmatch(r"(\w+)/([0-9]{1,5})-([0-9]{1,5})", key)
        if match is None or match[1] not in self.classes:
            raise BadRecord("not a key of this source")
        y, x = int(match[2]), int(match[3])
        patch = np.ascontiguousarray(_photograph(match[1])[y : y + PATCH, x : x + PATCH])
        if patch.shape != (PATCH, PATCH, 3):
            raise BadRecord("outside the photograph")
        check_unchanged(patch, digest)
        return patch


def _corners(shape: tuple[int, ...], step: int) -> Iterator[tuple[int, int]]:
    inside = range(0, BLOCK - PATCH + 1, step)
    rows, columns = ([block + offset for block in range(0, side - BLOCK + 1, BLOCK) for offset in inside] for side in shape[:2])
    return ((y, x) for y in rows for x in columns)


def _is_lively(patch: NDArray[np.uint8]) -> bool:
    # In integers, so that no processor's rounding decides what belongs to the set: n * sum(x^2) - sum(x)^2 = (n * std)^2.
    values = patch.reshape(-1, 3).astype(np.int64)
    n = len(values)
    return bool(np.any(n * (values**2).sum(axis=0) - values.sum(axis=0) ** 2 >= (n * MIN_STD) ** 2))


def _file(name: str) -> Path:
    # find_spec imports nothing; skimage.data would, and might reach for the network.
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("kind photographs needs scikit-image: pip install 'helmholtz[compress]'")
    path = Path(spec.submodule_search_locations[0], "data", PHOTOGRAPHS[name][0])
    if not path.is_file():
        raise SourceError(f"{path}: missing; reinstall scikit-image")
    return path


@functools.cache
def _photograph(name: str) -> NDArray[np.uint8]:
    """The whole photograph, uint8 [height, width, 3], decoded once a process."""
    from PIL import Image, UnidentifiedImageError

    path = _file(name)
    try:
        with Image.open(path, formats=["PNG", "JPEG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise SourceError(f"{path}: can't be decoded ({error}); reinstall scikit-image") from error
