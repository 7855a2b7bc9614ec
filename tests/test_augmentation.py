"""Augmentation: shifts, replicated edges and mirror images, decided by the seed alone."""

from __future__ import annotations

import numpy as np

from helmholtz.training.image_inputs import augment


def _shifted(image: np.ndarray, down: int, right: int, mirrored: bool) -> np.ndarray:
    """The oracle: pad with the edge, crop, mirror."""
    side = len(image)
    padded = np.pad(image, ((side, side), (side, side), (0, 0)), mode="edge")
    crop = padded[side + down : 2 * side + down, side + right : 2 * side + right]
    return crop[:, ::-1] if mirrored else crop


def test_augmentation_shifts_replicates_edges_and_mirrors() -> None:
    images = np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
    found = []
    for image, got in zip(images, augment(images, [1, 2]).numpy(), strict=True):
        matches = [
            (down, right, mirrored)
            for down in range(-3, 4)
            for right in range(-3, 4)
            for mirrored in (False, True)
            if np.array_equal(got, _shifted(image, down, right, mirrored))
        ]
        assert len(matches) == 1
        found += matches
    down, right, mirrored = np.array(found).T
    for shift in (down, right):
        share = np.bincount(shift + 3, minlength=7) / len(shift)
        np.testing.assert_allclose(share, [0.7 / 6.4, *[1 / 6.4] * 5, 0.7 / 6.4], atol=0.06)
    assert 0.4 < mirrored.mean() < 0.6
    assert abs(np.corrcoef(np.array(found).T.astype(float))[np.triu_indices(3, 1)]).max() < 0.2


def test_augmentation_depends_on_its_seed_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    first, again, other = (augment(images, seed).numpy() for seed in ([3, 4], [3, 4], [3, 5]))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    inverse = augment(255 - images, [3, 4]).numpy()  # another level's pixels move the same way
    np.testing.assert_array_equal(inverse, 255 - first)
