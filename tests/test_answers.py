"""The luck of the test set: against a random-effects analysis of variance done by hand, and by simulated coverage and error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from helmholtz.analysis.answers import Answers, in_groups, read_answers, read_sizes, shared_covariance, write_sizes
from helmholtz.analysis.equivalence import equivalence
from helmholtz.analysis.estimate import Luck, estimate, reaches
from helmholtz.analysis.noninferiority import Comparison, compare
from helmholtz.analysis.simulation import Sweep, accuracies, run
from helmholtz.levels import NONE
from helmholtz.results import pack_right, unpack_right

MARGIN, CONFIDENCE = 0.01, 0.95


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_answers_survive_packing(right: list[bool]) -> None:
    assert unpack_right(pack_right(np.array(right)), len(right)).tolist() == right


@pytest.mark.parametrize(("packed", "records"), [("////", 25), ("////", 16), ("not base64!", 8), ("", 1), ("//8", 16)])
def test_what_is_no_answers_is_refused(packed: str, records: int) -> None:
    with pytest.raises(ValueError, match="test_right"):
        unpack_right(packed, records)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=50))
def test_sizes_survive_writing(sizes: list[int]) -> None:
    assert read_sizes(write_sizes(sizes)).tolist() == sizes


def test_sizes_are_written_in_runs() -> None:
    assert write_sizes([1] * 10_000) == "10000*1"
    assert write_sizes([10, 10, 10, 12]) == "3*10 1*12"


def test_records_of_a_group_come_to_lie_side_by_side() -> None:
    right = np.array([True, False, True, True, False])
    ordered = in_groups(right, np.array([2, 0, 2, 1, 0]))
    assert ordered.tolist() == [False, False, True, True, True]
    found = read_answers({7: pack_right(ordered)}, write_sizes([2, 1, 2]))
    assert found.right[7].tolist() == [0, 1, 2]
    assert found.accuracies() == {7: 0.6}
    assert in_groups(right, None) is right


def by_hand(values: np.ndarray) -> tuple[float, float]:
    """Variance of the mean by records, and by single answers, from the mean squares of a two-way table [seeds, records]."""
    seeds, records = values.shape
    of_records = seeds * values.mean(0).var(ddof=1)
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    single = (rest**2).sum() / ((seeds - 1) * (records - 1))
    return (of_records - single) / (seeds * records), single / (seeds * records)


def random_answers(seeds: int, groups: int, sizes: np.ndarray | None = None, seed: int = 0) -> Answers:
    random = np.random.default_rng(seed)
    members = np.ones(groups) if sizes is None else sizes
    ease = random.random(groups)
    right = {k: random.binomial(members.astype(int), np.clip(ease + 0.1 * k, 0, 1)).astype(float) for k in range(seeds)}
    return Answers(right, members)


@pytest.mark.parametrize("seeds", [2, 3, 7])
def test_it_is_the_analysis_of_variance(seeds: int) -> None:
    answers = random_answers(seeds, 400)
    records, single = by_hand(np.array(list(answers.right.values())))
    found = answers.luck()
    assert found is not None
    assert found.variance == pytest.approx(records + 1 / 400**2)
    each = np.mean(list(answers.right.values()), axis=0) / 400  # of a record, in the mean
    third, variance = ((each - each.mean()) ** 3).sum(), 400 * each.var(ddof=1) + 400**-2
    assert found.below == pytest.approx(max(0, 400**-3 - third) / variance)
    assert found.above == pytest.approx(max(0, 400**-3 + third) / variance)
    assert single > 0
    assert shared_covariance([answers])[0, 0] == pytest.approx(records)


def test_alike_records_count_as_their_groups() -> None:
    """Forty groups of ten records that are right or wrong together are forty records."""
    small = random_answers(4, 40)
    repeated = Answers({seed: 10 * right for seed, right in small.right.items()}, np.full(40, 10.0))
    assert repeated.luck() == small.luck()
    assert repeated.accuracies() == small.accuracies()


def test_covariance_of_a_difference_is_that_of_the_differences() -> None:
    one, other = random_answers(5, 300, seed=1), random_answers(5, 300, seed=1)
    other = Answers({k: np.roll(right, 40) for k, right in other.right.items()}, other.sizes)
    matrix = shared_covariance([one, other])
    assert matrix == pytest.approx(matrix.T)
    direct = one.less(other)
    assert matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1] == pytest.approx(shared_covariance([direct])[0, 0])


def test_the_covariance_is_the_one_over_test_sets() -> None:
    random = np.random.default_rng(3)
    sweep = Sweep({NONE: 0.8, 50: 0.7, 10: 0.5}, 3, 400, common=0.5, by_level=0.2, by_seed=0.1)
    runs = [run(sweep, random) for _ in range(1_500)]
    estimated = np.mean([shared_covariance(list(one.values())) for one in runs], axis=0)
    p = np.array([0.8, 0.7, 0.5])
    together = np.minimum(p[:, None], p) - p[:, None] * p  # of a record that all networks share
    expected = (0.5 * together + 0.2 * np.diag(p * (1 - p))) / 400
    assert estimated == pytest.approx(expected, rel=0.1, abs=2e-6)


def test_only_seeds_that_both_have_are_paired() -> None:
    one, other = random_answers(4, 30), random_answers(4, 30, seed=2)
    fewer = Answers({k: right for k, right in other.right.items() if k != 1}, other.sizes)
    assert list(one.less(fewer).right) == [0, 2, 3]


@pytest.mark.parametrize(("seeds", "groups"), [(0, 10), (1, 10)])
def test_too_little_tells_nothing(seeds: int, groups: int) -> None:
    assert random_answers(seeds, groups).luck() is None


def test_one_group_shows_nothing() -> None:
    luck = random_answers(3, 1).luck()
    assert compare(25, [0.0, 0.001, -0.001], 0, MARGIN, CONFIDENCE, luck=luck).verdict == "undecided"


def test_a_group_without_records_is_refused() -> None:
    with pytest.raises(ValueError, match="no records"):
        read_sizes("2*1 1*0")


def test_few_groups_that_lose_everything_are_rarely_overlooked() -> None:
    """A true loss of the margin, made of whole groups that every seed loses, which a small test set may not hold at all."""
    random, runs, passed = np.random.default_rng(4), 600, 0
    groups, each, seeds = 200, 20, 10
    for _ in range(runs):
        lost = random.random(groups) < MARGIN
        noise = random.normal(0, 0.01, seeds)
        right = {k: random.binomial(each, np.clip(0.8 + noise[k], 0, 1), groups).astype(float) for k in range(seeds)}
        again = {
            k: np.where(lost, right[k] - each, random.binomial(each, np.clip(0.8 + noise[k], 0, 1), groups)) for k in right
        }
        difference = Answers(again, np.full(groups, float(each))).less(Answers(right, np.full(groups, float(each))))
        values = list(difference.accuracies().values())
        passed += compare(25, values, 0, MARGIN, CONFIDENCE, luck=difference.luck()).verdict == "non-inferior"
    assert passed / runs <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / runs)


def test_where_no_record_ever_differs_a_few_still_may() -> None:
    """Not one of 300 records lost: by the rule of three up to 1% of all may still be."""
    same = Answers({seed: np.zeros(300) for seed in range(5)}, np.ones(300))
    found = compare(25, [0.0] * 5, 0, MARGIN, CONFIDENCE, luck=same.luck())
    assert -found.lower_bound == pytest.approx(3 / 300, rel=0.25)
    assert estimate([1.0] * 5, CONFIDENCE, same.luck()).low < 1


def test_luck_widens_and_never_narrows() -> None:
    alone = reaches(0.01, 5, 0.975)
    assert alone[0] == alone[1]
    for variance in (0.0, 1e-6, 1e-2):
        plain, skewed = reaches(0.01, 5, 0.975, Luck(variance, 0.0, 0.0)), reaches(0.01, 5, 0.975, Luck(variance, 1e-3, 0.0))
        assert alone[0] <= plain[0] < skewed[0]
        assert 1.959964 * math.sqrt(variance) <= plain[1] == plain[0] == skewed[1]


def test_few_records_that_decide_one_way_lengthen_that_end() -> None:
    """Ten of 1,000 lost with every seed: twelve or fifteen may be; that some are gained is not as likely."""
    lost = np.zeros(1_000)
    lost[:10] = -1
    answers = Answers(dict.fromkeys(range(5), lost), np.ones(1_000))
    found = compare(25, [-0.01] * 5, 0, MARGIN, CONFIDENCE, luck=answers.luck())
    assert found.high + 0.01 < -0.01 - found.low
    exact = stats.chi2.ppf([0.025, 0.975], [2 * 10, 2 * 11]) / 2 / 1_000  # Garwood's, of a Poisson number
    assert (-found.high, -found.low) == pytest.approx(tuple(exact), rel=0.3)


def test_the_bound_lies_within_the_interval() -> None:
    for seed in range(20):
        one, other = random_answers(4, 60, seed=seed), random_answers(4, 60, seed=100 + seed)
        difference = one.less(other)
        found = compare(25, list(difference.accuracies().values()), 0, MARGIN, CONFIDENCE, luck=difference.luck())
        assert found.low <= found.lower_bound


def pair(loss: float, records: int, common: float, by_level: float, sd: float) -> Sweep:
    return Sweep({NONE: 0.8, 25: 0.8 - loss}, 5, records, seed_sd=sd, trial_sd=sd, common=common, by_level=by_level)


def compared(sweep: Sweep, random: np.random.Generator) -> Comparison:
    answers = run(sweep, random)
    difference = answers[25].less(answers[NONE])
    return compare(25, list(difference.accuracies().values()), 0, MARGIN, CONFIDENCE, luck=difference.luck())


@pytest.mark.parametrize(
    ("records", "common", "by_level", "sd"),
    [(2_000, 0.5, 0.2, 0.002), (500, 0.5, 0.1, 0.01), (2_000, 0.9, 0.0, 0.002), (1_000, 0.0, 0.0, 0.005)],
)
def test_a_new_test_set_is_as_likely_to_agree_as_promised(records: int, common: float, by_level: float, sd: float) -> None:
    """Error of the decision at a true loss of the margin, and coverage: over seeds alone the first is 15% in the third case.

    Coverage goes above what is promised where few records decide (the second and third case), for they may all lie on one
    side.
    """
    random, runs = np.random.default_rng(records), 800
    found = [compared(pair(MARGIN, records, common, by_level, sd), random) for _ in range(runs)]
    error = math.sqrt(0.05 * 0.95 / runs)
    assert sum(one.verdict == "non-inferior" for one in found) / runs <= 0.05 + 2.5 * error
    assert sum(equivalence(one, MARGIN).finding == "equivalent" for one in found) / runs <= 0.05 + 2.5 * error
    covered = sum(one.low <= -MARGIN <= one.high for one in found) / runs
    assert 0.95 - 3 * error <= covered <= 0.99


def test_a_cells_interval_holds_another_test_set() -> None:
    random, runs = np.random.default_rng(5), 800
    sweep = Sweep({NONE: 0.8}, 5, 500, seed_sd=0.005, trial_sd=0.005, common=0.6)
    covered = 0
    for _ in range(runs):
        answers = run(sweep, random)[NONE]
        found = estimate(list(answers.accuracies().values()), CONFIDENCE, answers.luck())
        covered += found.low <= 0.8 <= found.high
    assert covered / runs == pytest.approx(0.955, abs=0.025)  # over seeds alone 0.65


def test_power_at_the_detectable_loss_is_what_is_claimed() -> None:
    random, runs = np.random.default_rng(6), 600
    sweep = pair(0.0, 2_000, 0.5, 0.2, 0.005)
    typical = float(np.median([compared(sweep, random).detectable for _ in range(100)]))
    shifted = Sweep({NONE: 0.8, 25: 0.8 - typical}, 5, 2_000, seed_sd=0.005, trial_sd=0.005, common=0.5, by_level=0.2)
    seen = 0
    for _ in range(runs):
        answers = run(shifted, random)
        difference = answers[25].less(answers[NONE])
        values = list(difference.accuracies().values())
        seen += np.mean(values) + reaches(np.std(values, ddof=1) / 5**0.5, 5, CONFIDENCE, difference.luck())[1] < 0
    assert seen / runs == pytest.approx(0.8, abs=0.07)


def test_accuracies_are_those_of_the_answers() -> None:
    answers = run(Sweep({NONE: 0.8, 25: 0.5}, 3, 40), np.random.default_rng(0))
    for level, by_seed in accuracies(answers).items():
        for seed, value in by_seed.items():
            assert value == pytest.approx(answers[level].right[seed].mean())
