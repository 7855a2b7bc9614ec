"""Splits: nothing on two sides, nothing lost, balanced, the same whatever the order of the records."""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helmholtz.errors import ExperimentError, SourceError
from helmholtz.splits import assign_splits

TRAIN, VALIDATION, TEST, UNUSED = 0, 1, 2, -1


def hashes(names):
    """Spread-out group hashes, as the caller makes them."""
    return np.array([(int(n) + 1) * 0x9E3779B97F4A7C15 % 2**64 for n in names], np.uint64)


def split(labels, groups, prescribed=None, *, classes=None, validation=0.1, test=0.2, seed=0, limit=None):
    labels = np.asarray(labels, np.int32)
    prescribed = np.full(len(labels), -1, np.int8) if prescribed is None else np.asarray(prescribed, np.int8)
    names = classes or [f"class {k}" for k in range(int(labels.max(initial=-1)) + 1)]
    return assign_splits(
        labels, hashes(groups), prescribed, classes=names, validation=validation, test=test, seed=seed, limit=limit
    )


def singles(per_class):
    labels = np.repeat(np.arange(len(per_class)), per_class)
    return labels, np.arange(len(labels))


@st.composite
def grouped_sets(draw):
    """(labels, groups): classes with 3 to 20 groups of their own, and some groups that touch several classes."""
    classes = draw(st.integers(1, 5))
    labels, groups, number = [], [], 0
    for label in range(classes):
        for size in draw(st.lists(st.integers(1, 8), min_size=3, max_size=20)):
            labels += [label] * size
            groups += [number] * size
            number += 1
    for members in draw(st.lists(st.lists(st.integers(0, classes - 1), min_size=1, max_size=6), max_size=8)):
        labels += members
        groups += [number] * len(members)
        number += 1
    return np.array(labels), np.array(groups)


@given(grouped_sets(), st.integers(0, 2**70))
@settings(deadline=None, max_examples=150)
def test_every_record_is_assigned_and_no_group_stands_on_two_sides(data, seed):
    labels, groups = data
    result = split(labels, groups, seed=seed)
    assert result.dtype == np.int8
    assert set(result.tolist()) == {TRAIN, VALIDATION, TEST}
    sides = defaultdict(set)
    for group, side in zip(groups, result, strict=True):
        sides[group].add(int(side))
    assert all(len(s) == 1 for s in sides.values())


@given(grouped_sets(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_the_order_of_the_records_changes_nothing(data, random):
    labels, groups = data
    order = list(range(len(labels)))
    random.shuffle(order)
    assert np.array_equal(split(labels, groups)[order], split(labels[order], groups[order]))


def test_the_order_of_the_records_changes_nothing_under_a_limit():
    labels, groups = singles((80, 50, 30))
    order = np.random.default_rng(0).permutation(160)
    assert np.array_equal(split(labels, groups, limit=40)[order], split(labels[order], groups[order], limit=40))


@given(st.lists(st.integers(1, 9), min_size=3, max_size=60), st.floats(0.05, 0.5), st.floats(0.05, 0.5), st.integers(0, 99))
@settings(deadline=None, max_examples=200)
def test_shares_are_met_within_one_group(sizes, validation, test, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    result = split(np.zeros(len(groups), int), groups, validation=validation, test=test, seed=seed)
    tested = np.count_nonzero(result == TEST)
    validated = np.count_nonzero(result == VALIDATION)
    assert abs(tested - test * len(groups)) <= max(sizes)
    assert abs(validated - validation * (len(groups) - tested)) <= max(sizes)


@pytest.mark.parametrize("per_class", [(100, 100), (1000, 50, 3), (10, 10, 10, 11)])
def test_each_class_is_split_in_the_same_shares(per_class):
    labels, groups = singles(per_class)
    result = split(labels, groups)
    for label, count in enumerate(per_class):
        sides = Counter(result[labels == label].tolist())
        assert sides[TEST] == pytest.approx(0.2 * count, abs=1)
        assert sides[VALIDATION] == pytest.approx(0.1 * (count - sides[TEST]), abs=1)


def test_a_note_behind_every_class_stays_together_and_is_split_in_shares():
    labels, groups = np.tile(np.arange(12), 100), np.repeat(np.arange(100), 12)
    result = split(labels, groups, test=0.25, validation=0.2)
    assert Counter(result.tolist()) == {TEST: 300, VALIDATION: 180, TRAIN: 720}


def test_groups_that_all_have_other_classes_are_still_dealt_in_shares():
    labels = [a for a in range(12) for b in range(a) for _ in (a, b)]
    labels[1::2] = [b for a in range(12) for b in range(a)]
    result = split(labels, np.repeat(np.arange(66), 2), validation=0.25, test=0.25, seed=1)
    assert Counter(result.tolist())[TEST] == pytest.approx(33, abs=2)


def test_the_seed_decides():
    labels, groups = singles((200, 200))
    results = [split(labels, groups, seed=seed) for seed in (0, 0, 1, 2**64 - 1)]
    assert np.array_equal(results[0], results[1])
    for other in results[2:]:
        moved = np.mean(results[0] != other)
        assert 0.3 < moved < 0.6  # of independent 72/8/20 splits, 1 - (0.72^2 + 0.08^2 + 0.2^2) = 0.435 differ


def test_consecutive_group_numbers_are_scattered():
    """A hash that mixed the seed in too late would only swap neighbours."""
    labels = np.zeros(1000, int)
    raw = np.arange(1000, dtype=np.uint64)
    chosen = []
    for seed in (0, 1):
        result = assign_splits(
            labels, raw, np.full(1000, -1, np.int8), classes=["x"], validation=0.1, test=0.5, seed=seed, limit=None
        )
        chosen.append({int(g) // 2 for g in raw[result == TEST]})
    assert len(chosen[0] & chosen[1]) < 350  # of about 375 pairs touched: a pair swap alone would give the very same pairs


def test_adding_records_moves_few_others():
    labels, groups = singles((1000, 1000))
    before = split(labels, groups)
    after = split(np.append(labels, [0] * 20), np.append(groups, np.arange(5000, 5020)))
    assert np.mean(before != after[: len(before)]) < 0.02


def test_a_group_larger_than_its_share_stays_in_training():
    for seed in range(20):
        result = split([0] * 110, [0] * 100 + [1] * 5 + [2] * 5, seed=seed)
        assert np.all(result[:100] == TRAIN)
        assert sorted(result[[100, 105]]) == [VALIDATION, TEST]


@pytest.mark.parametrize("count", [3, 4, 5])
def test_three_groups_suffice(count):
    labels, groups = singles((count, 50))
    assert set(split(labels, groups)[:count].tolist()) == {TRAIN, VALIDATION, TEST}


@pytest.mark.parametrize(
    ("labels", "groups", "found"),
    [
        ([0] * 30 + [1], range(31), "'rare' has no test record: its 1 records form 1 groups|'rare' has no validation"),
        ([0] * 30 + [1, 1], range(32), "'rare' has no .* record: its 2 records form 2 groups"),
        ([0] * 30 + [1] * 9, [*range(30), *[99] * 9], "'rare' has no .* record: its 9 records form 1 groups"),
        ([0] * 30, range(30), "'rare' has no train record: its 0 records form 0 groups"),
        ([], [], "'common' has no train record.*1 more classes"),
    ],
)
def test_a_class_that_lacks_a_side_is_an_error_that_says_what_to_do(labels, groups, found):
    with pytest.raises(SourceError, match=found) as error:
        split(labels, list(groups), classes=["common", "rare"])
    assert "at least 3" in str(error.value)
    assert "dataset.classes" in str(error.value)


def test_prescribed_splits_are_kept_and_validation_is_cut_from_training():
    labels = np.tile([0, 1], 300)
    prescribed = np.repeat([TRAIN, TEST], [500, 100])
    result = split(labels, np.arange(600), prescribed)
    assert np.all((result == TEST) == (prescribed == TEST))
    assert Counter(result[:500].tolist()) == {VALIDATION: 50, TRAIN: 450}


def test_nothing_is_cut_beside_a_prescribed_validation():
    prescribed = np.repeat([TRAIN, VALIDATION, TEST], 50)
    assert np.array_equal(split(np.zeros(150, int), np.arange(150), prescribed), prescribed)


def test_the_test_is_cut_where_only_validation_is_prescribed():
    prescribed = np.repeat([-1, VALIDATION], [100, 20])
    result = split(np.zeros(120, int), np.arange(120), prescribed)
    assert Counter(result[:100].tolist()) == {TEST: 20, TRAIN: 80}
    assert np.all(result[100:] == VALIDATION)


def test_records_prescribed_for_training_never_test():
    prescribed = np.repeat([-1, TRAIN], [50, 50])
    result = split(np.zeros(100, int), np.arange(100), prescribed)
    assert not np.any(result[50:] == TEST)
    assert np.any(result[:50] == TEST)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([-1, TRAIN, VALIDATION, TEST])), min_size=1, max_size=120))
@settings(deadline=None, max_examples=200)
def test_a_group_that_touches_a_prescribed_side_lends_nothing_to_another(members):
    members = [*members, *((100 + k, side) for k, side in enumerate([TRAIN, TRAIN, TRAIN, -1, -1, -1, -1, TEST, VALIDATION]))]
    groups, prescribed = map(np.array, zip(*members, strict=True))
    result = split(np.zeros(len(groups), int), groups, prescribed)
    sides = defaultdict(set)
    for group, side in zip(groups, result, strict=True):
        sides[group].add(int(side))
    assert all(len(s - {UNUSED}) == 1 for s in sides.values())
    assert np.array_equal(result == TEST, prescribed == TEST)
    assert not np.any((result == VALIDATION) & (prescribed != VALIDATION))
    for group in set(groups):
        mine = set(prescribed[groups == group].tolist())
        if TEST not in mine and VALIDATION not in mine:
            assert UNUSED not in sides[group]


@given(st.lists(st.integers(10, 60), min_size=1, max_size=6), st.data())
@settings(deadline=None, max_examples=200)
def test_the_limit_is_met_exactly_and_balanced(per_class, data):
    labels, groups = singles(per_class)
    whole = split(labels, groups)
    limit = data.draw(st.integers(len(per_class), len(labels)))
    result = split(labels, groups, limit=limit)
    available = np.bincount(labels[whole == TRAIN], minlength=len(per_class))
    kept = np.bincount(labels[result == TRAIN], minlength=len(per_class))
    assert kept.sum() == min(limit, available.sum())
    assert kept.max() - np.where(kept < available, kept, kept.max()).min() <= 1  # only an exhausted class has fewer
    assert np.array_equal(result == TEST, whole == TEST)
    assert np.all((result == whole) | (result == UNUSED))
    validated = np.bincount(labels[result == VALIDATION], minlength=len(per_class))
    assert validated.min() >= 1
    if limit < available.sum():
        expected = max(len(per_class), round(limit * 0.1 / 0.9))
        assert validated.sum() == min(expected, np.count_nonzero(whole == VALIDATION))


def test_a_smaller_limit_is_part_of_a_larger_one():
    labels, groups = singles((300, 200, 100))
    kept = [set(np.flatnonzero(split(labels, groups, limit=limit) == TRAIN)) for limit in (10, 100, 290, 400)]
    assert all(small < large for small, large in itertools.pairwise(kept))


def test_a_limit_below_one_a_class_is_an_error():
    labels, groups = singles((30, 30, 30))
    with pytest.raises(ExperimentError, match=r"dataset\.limit is 2.*3 classes"):
        split(labels, groups, limit=2)


def test_arguments_are_left_alone():
    labels, groups = singles((30, 30))
    arrays = labels.astype(np.int32), hashes(groups), np.full(60, -1, np.int8)
    for array in arrays:
        array.setflags(write=False)
    assign_splits(*arrays, classes=["a", "b"], validation=0.1, test=0.2, seed=0, limit=20)


def test_a_million_records_take_seconds():
    random = np.random.default_rng(0)
    labels = random.integers(0, 100, 1_000_000)
    start = time.perf_counter()
    result = split(labels, range(1_000_000), limit=500_000)
    assert time.perf_counter() - start < 20
    assert np.count_nonzero(result == TRAIN) == 500_000
    assert np.ptp(np.bincount(labels[result == TRAIN])) <= 1
