"""Error rate and power of every decision, on simulated sweeps; benchmarks/intervals.py puts the tables on a page."""

from __future__ import annotations

from rates import CONFIDENCE, MARGIN, SEEDS, TEN, Random, Table, fresh, header, pair_sweep, percent, points, rates, row

from helmholtz.analysis.equivalence import equivalence
from helmholtz.analysis.noninferiority import above_chance, compare, detectable, walk
from helmholtz.analysis.simulation import Sweep, accuracies, run, stick_accuracies
from helmholtz.levels import NONE, Level

SHOWN = {  # true loss -> verdicts and findings
    -MARGIN: ("equivalent",),
    0.0: ("non-inferior", "equivalent", "none found", "blind"),
    MARGIN / 2: ("non-inferior", "equivalent"),
    MARGIN: ("non-inferior", "non-inferior, without", "inferior", "equivalent", "none found", "blind"),
    2 * MARGIN: ("inferior",),
}


TEST_SETS = (
    # noise, test records, common, by level
    (0.002, 10_000, 0.5, 0.0),
    (0.005, 2_000, 0.5, 0.0),
    (0.002, 10_000, 0.5, 0.1),
    (0.002, 2_000, 0.5, 0.2),
    (0.002, 2_000, 0.9, 0.0),
    (0.010, 500, 0.5, 0.1),
)


def decision_table(runs: int) -> Table:
    yield f"\n## Non-inferiority and equivalence at a margin of {points(MARGIN)} point\n"
    yield (
        "How often each verdict is given. Wrong ones, to be 5% at most: non-inferior and inferior at a true loss of 1 point,\n"
        "equivalent at a true loss or gain of 1 point. With luck of the level (by level above 0) the test set itself may\n"
        "flatter a level, which more seeds don't help. Without: what is wrong where only the seeds' scatter is known, which\n"
        "isn't used.\n"
    )
    yield header("true loss (points)", "noise (points)", "test records", "common", "by level", "verdict")
    for sd, records, common, by_level in TEST_SETS:
        for loss, shown in SHOWN.items():
            found = [verdicts(pair_sweep(sd, records, by_level, loss, common=common), runs, n) for n in SEEDS]
            for verdict in shown:
                cells = [percent([verdict in given for given in one]) for one in found]
                yield row(points(loss), points(sd), records, common, by_level, verdict, *cells)


def verdicts(sweep: Sweep, runs: int, seeds: int) -> list[tuple[str, str, str]]:
    """Of each simulated pair of levels, the verdict, the finding, and whether the seeds alone would have let it pass."""
    random, given = fresh(), []
    for _ in range(runs):
        answers = run(sweep, random, seeds=seeds)
        difference = answers[25].less(answers[NONE])
        values = list(difference.accuracies().values())
        found = compare(25, values, 0, MARGIN, CONFIDENCE, luck=difference.luck())
        alone = compare(25, values, 0, MARGIN, CONFIDENCE)
        given.append((found.verdict, equivalence(found, MARGIN).finding, f"{alone.verdict}, without"))
    return given


def detectable_table(runs: int) -> Table:
    yield "\n## Detectable loss: power of the paired one-sided t test at that loss\n"
    yield "Claimed: 80%. Differences are normal with a deviation of 0.3 points.\n"
    yield header("", seeds=(2, *SEEDS))
    losses = [detectable(n, 0.003, CONFIDENCE) for n in (2, *SEEDS)]
    yield row("detectable (points)", *(f"{100 * loss:.2f}" for loss in losses))

    def found(n: int, random: Random) -> bool:
        values = random.normal(-detectable(n, 0.003, CONFIDENCE), 0.003, n).tolist()
        return compare(25, values, 0, 0.0, CONFIDENCE).verdict == "inferior"

    yield row("power (%)", *rates(runs, found, (2, *SEEDS)))


def walk_table(runs: int) -> Table:
    yield f"\n## The whole walk at a margin of {points(MARGIN)} point\n"
    yield (
        "Wrong: N_approx is a level that truly loses the margin or more, to be 5% at most. Right: it is the very lowest that\n"
        "loses less. Ten levels; a stick of 80% with slope 0.1, or a step of exactly the margin between quality 25 and 20.\n"
    )
    yield header("truth", "noise (points)", "test records", "by level", "answer")
    step = {level: 0.8 - MARGIN * (level != NONE and level < 25) for level in TEN}
    truths = {"stick, knee 1.1": stick_accuracies(TEN, plateau=0.8, slope=0.1, knee=1.1), "step": step}
    for name, truth in truths.items():
        lowest = min((level for level in TEN if level != NONE and truth[NONE] - truth[level] < MARGIN - 1e-12), default=None)
        for sd, records, by_level in ((0.002, 10_000, 0.0), (0.005, 10_000, 0.0), (0.002, 2_000, 0.0), (0.002, 10_000, 0.1)):
            sweep = Sweep(truth, 0, records, seed_sd=sd, trial_sd=sd, common=0.5, by_level=by_level, by_seed=0.1)

            def answer(n: int, random: Random, sweep: Sweep = sweep) -> Level | None:
                answers = run(sweep, random, seeds=n)
                return walk(
                    "A", accuracies(answers), list(TEN), seeds=n, chance=0.1, margin=MARGIN, confidence=CONFIDENCE,
                    test_records=sweep.test_records, answers=answers,
                ).n_approx  # fmt: skip

            answers = [[answer(n, random) for random in [fresh()] for _ in range(runs // 2)] for n in SEEDS]
            wrong = [percent([a is not None and a != NONE and a < lowest for a in one]) for one in answers]
            right = [percent([a == lowest for a in one]) for one in answers]
            yield row(name, points(sd), records, by_level, "wrong", *wrong)
            yield row(name, points(sd), records, by_level, "right", *right)


CHANCES = [
    # what, chance, accuracy, seed sd, test records, common
    ("nothing learned, each network guesses", 0.1, 0.1, 0.0, 10_000, 0.0),
    ("nothing learned, half the answers the same", 0.1, 0.1, 0.0, 10_000, 0.5),
    ("nothing learned, all answers the same", 0.1, 0.1, 0.0, 10_000, 1.0),
    ("nothing learned, all answers the same", 0.5, 0.5, 0.0, 500, 1.0),
    ("nothing learned, all answers the same", 0.01, 0.01, 0.0, 500, 1.0),
    ("accuracies scatter about chance by 1 point", 0.1, 0.1, 0.01, 10_000, 0.5),
    ("1 point learned", 0.1, 0.11, 0.002, 10_000, 0.5),
    ("5 points learned, 3 points of scatter", 0.1, 0.15, 0.03, 10_000, 0.5),
    ("10 points learned, 3 points of scatter", 0.25, 0.35, 0.03, 500, 0.5),
    ("30 points learned, 10 points of scatter", 0.25, 0.55, 0.10, 2_000, 0.5),
]


def chance_table(runs: int) -> Table:
    yield "\n## Above chance: how often it is said that something is learned\n"
    yield (
        "t: the test over seeds alone, which is used only where the size of the test set isn't known. It is wrong wherever\n"
        "networks share the luck of the test set. Of networks that have learned nothing, the test that is used is wrong in\n"
        "at most about 5%. Networks that have learned nothing don't scatter about chance by more than their test set's\n"
        "luck; where some were better and some worse than chance all the same, it would be wrong as often as the row says.\n"
    )
    yield header("truth", "chance (%)", "test records", "test", seeds=(2, *SEEDS))
    for what, chance, accuracy, sd, records, common in CHANCES:
        sweep = Sweep({NONE: accuracy}, 0, records, seed_sd=sd, common=common)
        for test, known in (("used", records), ("t", None)):

            def said(n: int, random: Random, sweep: Sweep = sweep, chance: float = chance, known: int | None = known) -> bool:
                values = list(run(sweep, random, seeds=n)[NONE].accuracies().values())
                return bool(above_chance(values, chance, CONFIDENCE, known))

            yield row(what, points(chance), records, test, *rates(runs, said, (2, *SEEDS)))


TABLES = (decision_table, detectable_table, walk_table, chance_table)
