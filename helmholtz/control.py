"""Controls: what a run must find when it is known. Noise added before compression, and labels that mean nothing.

With noise added, there is more to throw away: the measured noise must grow with it. With labels permuted, nothing can be
learned, and accuracy must be at chance at every level. Both are options of the data set, and part of its fingerprint.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helmholtz.codecs.base import Prepared

if TYPE_CHECKING:
    from helmholtz.codecs.base import Codec
    from helmholtz.sources.base import Raw

NOTE = "noise added"


def prepare(codec: Codec, raw: Raw, key: str, noise: float) -> Prepared:
    """`raw` made ready by the codec, with white Gaussian noise in every sample if `noise`, its deviation, is above 0.

    `noise` is a share of full scale (images 255, audio 32,768); the record's key seeds it, so it is the same at all levels.
    What is clipped stays so. A source's own file is not passed through, for it lacks the noise. Raises BadRecord as
    `codec.prepare` does.
    """
    prepared = codec.prepare(raw)
    if not noise:
        return prepared
    samples = np.asarray(prepared.samples)
    limits = np.iinfo(samples.dtype)
    full_scale = -limits.min if limits.min else limits.max
    seed = int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).digest())
    added = np.random.default_rng(seed).normal(0, noise * full_scale, samples.shape)
    noisy = np.clip(np.rint(samples + added), limits.min, limits.max).astype(samples.dtype)
    return replace(prepared, samples=noisy, passthrough=None, source_level=None, notes=(*prepared.notes, NOTE))


def permuted(labels: NDArray[np.integer], split_of: NDArray[np.integer], seed: int) -> NDArray[np.integer]:
    """`labels` [n], shuffled within each split (`split_of` [n]), so that every split keeps its numbers of each class."""
    shuffled = labels.copy()
    for split in np.unique(split_of):
        rows = np.flatnonzero(split_of == split)
        shuffled[rows] = labels[np.random.default_rng([seed, int(split) + 1]).permutation(rows)]
    return shuffled
