"""Splits: which record is trained on, which validates, which tests; decided once, before any compression.

Seeded, stratified and grouped. Groups (same photo, same note, same content) are dealt whole. Those with the same set of
classes form a stratum; in each, groups are ordered by a keyed hash, so that neither the order of the records nor a few
added ones move the others; the first go to the test, the next to validation, the rest to training.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from helmholtz.errors import ExperimentError, SourceError
from helmholtz.sources.base import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

TRAIN, VALIDATION, TEST, UNUSED = 0, 1, 2, -1  # the first three index SPLITS

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]


def assign_splits(
    labels: NDArray[np.integer],
    groups: Hashes,
    prescribed: NDArray[np.integer],
    *,
    classes: Sequence[str],
    validation: float,
    test: float,
    seed: int,
    limit: int | None,
) -> NDArray[np.int8]:
    """The split of each of n records: int8 [n], an index into `SPLITS`, or -1 for records left out.

    `labels` [n] index `classes`, `groups` [n] are hashes, `prescribed` [n] is the source's own split or -1. `test` is the
    share of all records, `validation` the share of what remains; each is met within one group's size a stratum, except
    that every stratum of at least three groups gives each side one. Strata too small for that are dealt together.

    A prescribed test or validation split is kept and none is cut beside it; records prescribed for training may validate,
    never test. Where a group touches a prescribed test (else validation) record, its other records are left out.

    `limit` keeps exactly that many training records (or all, if there are fewer), balanced over the classes, chosen in
    hash order, so that a smaller limit's records are among a larger one's. Validation shrinks in proportion, to
    limit * validation / (1 - validation), but not below one a class; the test stays whole.

    Raises SourceError if a class ends with no training, validation or test record, ExperimentError if `limit` is less
    than one a class.
    """
    hashes, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    order = _splitmix64(hashes ^ _splitmix64(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], np.uint64)))
    signature = _signatures(labels, group, len(hashes), len(classes))
    claim = np.full(len(hashes), UNUSED, np.int8)
    np.maximum.at(claim, group, prescribed.astype(np.int8))  # test outranks validation outranks training outranks none

    side = np.maximum(claim, TRAIN)
    cut_validation = not np.any(claim == VALIDATION)
    if not np.any(claim == TEST):
        free = np.flatnonzero(claim == UNUSED)
        side[_dealt(free, size, signature, order, test, reserve=1 + cut_validation)] = TEST
    if cut_validation:
        free = np.flatnonzero(side == TRAIN)
        side[_dealt(free, size, signature, order, validation, reserve=1)] = VALIDATION

    splits: NDArray[np.int8] = side[group]
    claim_of = claim[group]
    splits[(claim_of > TRAIN) & (prescribed != claim_of)] = UNUSED
    _check(splits, labels, group, classes)
    if limit is not None:
        _limit(splits, labels, order[group], len(classes), validation, limit)
    return splits


def _splitmix64(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that scatters nearby values."""
    z = values + np.uint64(0x9E37_79B9_7F4A_7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return z ^ (z >> np.uint64(31))


def _signatures(labels: NDArray[np.integer], group: Ints, groups: int, classes: int) -> Hashes:
    """A hash of each group's set of classes: the sum, modulo 2**64, of its classes' hashes."""
    pairs = np.unique(group * classes + labels)
    signatures = np.zeros(groups, np.uint64)
    np.add.at(signatures, pairs // max(classes, 1), _splitmix64((pairs % max(classes, 1)).astype(np.uint64)))
    return signatures


def _dealt(free: Ints, size: Ints, signature: Hashes, order: Hashes, share: float, reserve: int) -> Ints:
    """The groups among `free` that make up `share` of each stratum's records, leaving at least `reserve` groups behind."""
    size, signature, order = size[free], signature[free], order[free]
    _, stratum, count = np.unique(signature, return_inverse=True, return_counts=True)
    pooled = np.where(count[stratum] > reserve, signature, np.uint64(0))
    _, stratum, count = np.unique(pooled, return_inverse=True, return_counts=True)

    target = share * np.bincount(stratum, weights=size, minlength=len(count))
    # A group larger than the whole share comes last, so that it stays in training if it can.
    rows = np.lexsort((order, size > target[stratum], stratum))
    stratum = stratum[rows]
    first = np.cumsum(count) - count
    rank = np.arange(len(rows)) - first[stratum]
    before = np.cumsum(size[rows]) - size[rows]
    before -= before[first[stratum]]
    wanted = (before + size[rows] / 2 <= target[stratum]) | (rank == 0)
    chosen: Ints = free[rows[wanted & (rank < count[stratum] - reserve)]]
    return chosen


def _check(splits: NDArray[np.int8], labels: NDArray[np.integer], group: Ints, classes: Sequence[str]) -> None:
    counts = np.stack([np.bincount(labels[splits == split], minlength=len(classes)) for split in range(len(SPLITS))])
    lacking = np.flatnonzero((counts == 0).any(axis=0))
    if not len(lacking):
        return
    label = int(lacking[0])
    split = SPLITS[int(np.argmin(counts[:, label]))]
    mine = labels == label
    more = f" ({len(lacking) - 1} more classes lack records too.)" if len(lacking) > 1 else ""
    raise SourceError(
        f"class {classes[label]!r} has no {split} record: its {np.count_nonzero(mine)} records form "
        f"{len(np.unique(group[mine]))} groups that stay together, and it needs at least 3, one each for "
        f"{', '.join(SPLITS)}, where the source prescribes no splits. Add records, leave the class out with dataset.classes, "
        f"or try another dataset.split_seed.{more}"
    )


def _limit(
    splits: NDArray[np.int8], labels: NDArray[np.integer], order: Hashes, classes: int, validation: float, limit: int
) -> None:
    """Sets the records over the limit to UNUSED, in place."""
    if limit < classes:
        raise ExperimentError(
            f"dataset.limit is {limit}, less than one training record for each of {classes} classes; raise it"
        )
    if limit >= np.count_nonzero(splits == TRAIN):
        return
    for split, total in ((TRAIN, limit), (VALIDATION, max(classes, round(limit * validation / (1 - validation))))):
        rows = np.flatnonzero(splits == split)
        available = np.bincount(labels[rows], minlength=classes)
        rows = rows[np.lexsort((order[rows], labels[rows]))]
        rank = np.arange(len(rows)) - (np.cumsum(available) - available)[labels[rows]]
        splits[rows[rank >= _quotas(available, total)[labels[rows]]]] = UNUSED


def _quotas(available: Ints, total: int) -> Ints:
    """How many records each class gives to `total`: equal shares within one, where a class has that many."""
    ceilings = range(int(available.max()) + 1)
    ceiling = bisect.bisect_right(ceilings, total, key=lambda c: int(np.minimum(available, c).sum())) - 1
    quotas: Ints = np.minimum(available, ceiling)
    spare = np.flatnonzero(available > ceiling)
    quotas[spare[: total - int(quotas.sum())]] += 1
    return quotas
