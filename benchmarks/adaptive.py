"""Refinement against training at every level there is, on simulated sweeps: how often wrong, how often the same, at what cost.

Run: python benchmarks/adaptive.py [--runs N] [--write docs/refinement.md]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from rates import CONFIDENCE, MARGIN, SEEDS, Table, fresh, header, percent, points, row

from helmholtz.analysis.answers import Answers
from helmholtz.analysis.noninferiority import Walk, walk
from helmholtz.analysis.refine import Rounds, confidences, follow, with_rounds
from helmholtz.analysis.simulation import Sweep, accuracies, run
from helmholtz.codecs.base import Codec
from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.experiment import Refine
from helmholtz.levels import NONE, Level

OFF = Refine()
RECORDS, NOISE = 5_000, 0.002  # of the test set; of a seed, and of a trial
SETTINGS = (Refine(rounds=2, levels=4), Refine(rounds=5, levels=1), Refine(rounds=1, levels=25))
BITS = {100: 7.5, 75: 3.1, 50: 2.1, 25: 1.5, 20: 1.3, 15: 1.1, 10: 0.9, 5: 0.6, 1: 0.3}  # a pixel, by JPEG quality

Measured = dict[Level, Answers]


@dataclass(frozen=True, slots=True)
class Truth:
    """A codec, the levels of the sweep, and what every level of the codec truly loses (fractions of accuracy)."""

    name: str
    codec: Codec
    coarse: tuple[Level, ...]
    losses: dict[Level, float]  # least compressed first, none included

    @property
    def lowest(self) -> Level:
        """The most compressed level that truly loses less than the margin."""
        return [level for level, loss in self.losses.items() if loss < MARGIN - 1e-12][-1]


def truths() -> tuple[Truth, ...]:
    jpeg, mp3 = JpegCodec(subsampling="4:2:0", max_pixels=1), Mp3Codec()
    qualities: tuple[Level, ...] = (NONE, *jpeg.between(NONE, 1), 1)
    bitrates: tuple[Level, ...] = (NONE, *mp3.between(NONE, 8), 8)
    nine: tuple[Level, ...] = (NONE, 100, 75, 50, 25, 20, 15, 10, 5, 1)
    six: tuple[Level, ...] = (NONE, 128, 96, 64, 32, 16, 8)

    def step(levels: Sequence[Level], first: int, loss: float = MARGIN) -> dict[Level, float]:
        return {level: loss if level != NONE and level <= first else 0.0 for level in levels}

    stick = {level: max(0.0, 0.1 * math.log(1.8 / bits(level))) for level in qualities}
    return (
        Truth("1 point lost from quality 49", jpeg, nine, step(qualities, 49)),
        Truth("1 point lost from quality 33", jpeg, nine, step(qualities, 33)),
        Truth("3 points lost from quality 33", jpeg, nine, step(qualities, 33, 3 * MARGIN)),
        Truth("stick of slope 0.1, knee 1.8", jpeg, nine, stick),
        Truth("1 point lost from 56 kbit/s", mp3, six, step(bitrates, 56)),
        Truth("3 points lost from 40 kbit/s", mp3, six, step(bitrates, 40, 3 * MARGIN)),
    )


def bits(level: Level) -> float:
    """Bits a pixel at a JPEG quality, interpolated in the quality."""
    if level == NONE:
        return 17.0
    high, low = min(q for q in BITS if q >= level), max(q for q in BITS if q <= level)
    return BITS[low] + (BITS[high] - BITS[low]) * (level - low) / max(1, high - low)


def simulate(truth: Truth, seeds: int, runs: int, *, common: float = 0.5, by_level: float = 0.0) -> Iterator[Measured]:
    """Answers at every level of the codec, of so many runs; `common` of the records are easy or hard for all."""
    sweep = Sweep(
        {level: 0.8 - loss for level, loss in truth.losses.items()}, seeds, RECORDS,
        seed_sd=NOISE, trial_sd=NOISE, common=common, by_level=by_level, by_seed=0.1,
    )  # fmt: skip
    random = fresh()
    return (run(sweep, random) for _ in range(runs))


def answer(
    truth: Truth, measured: Measured, settings: Refine = OFF, *, spend: bool = True, full: bool = False
) -> tuple[int, int]:
    """Place of N_approx among the codec's levels (0: none passed), and how many levels were trained."""
    levels = tuple(truth.losses) if full else truth.coarse
    required = confidences(truth.codec, settings, levels, CONFIDENCE) if spend else None
    by_level = accuracies(measured)

    def tested(asked: Rounds) -> Walk:
        return walk(
            "A", by_level, with_rounds(levels, asked), seeds=len(by_level[NONE]), chance=0.1, margin=MARGIN,
            confidence=CONFIDENCE, required=required, test_records=RECORDS, answers=measured,
        )  # fmt: skip

    asked = follow(truth.codec, settings, tested)
    return list(truth.losses).index(tested(asked).n_approx or NONE), len(with_rounds(levels, asked))


def label(settings: Refine) -> str:
    return f"{settings.rounds} x {settings.levels}"


def error_table(runs: int) -> Table:
    yield f"\n## How often the answer is wrong, at a margin of {points(MARGIN)} point\n"
    yield (
        "Wrong: N_approx truly loses the margin or more, to be 5% at most. The worst case is a loss of exactly the margin\n"
        "over a whole bracket of the sweep: each test there has its own chance to err. Error shared: as `refine` does it.\n"
        f"Not shared: every test at 95%, which isn't used. Noise 0.2 points, {RECORDS:,} test records, drawn anew for every\n"
        "trial. In the last rows half of the records are easy or hard for all, and a tenth belong to their level (by level\n"
        "0.1), so that the test set itself may flatter a level.\n"
    )
    yield header("truth", "by level", "trained", "error")
    for truth, by_level in [*((t, 0.0) for t in truths()), (truths()[0], 0.1)]:
        ways = {("every level", ""): partial(answer, truth, full=True), ("the sweep", ""): partial(answer, truth)}
        for settings in SETTINGS:
            for spend, name in ((True, "shared"), (False, "not shared")):
                ways[label(settings), name] = partial(answer, truth, settings=settings, spend=spend)
        common = 0.5 if by_level else 0.0
        found = [
            [[way(one) for way in ways.values()] for one in simulate(truth, n, runs, common=common, by_level=by_level)]
            for n in SEEDS
        ]
        for number, names in enumerate(ways):
            yield row(truth.name, by_level, *names, *(wrong(truth, [given[number] for given in one]) for one in found))


def wrong(truth: Truth, answers: Sequence[tuple[int, int]]) -> str:
    lowest = list(truth.losses).index(truth.lowest)
    return percent([place > lowest for place, _ in answers])


def agreement_table(runs: int) -> Table:
    yield "\n## Against training at every level: the same answer, for how much less?\n"
    yield (
        "Both on the same simulated trials, where they share them. Repeated: how often training every level twice, with\n"
        "other seeds and test records, names the same level both times, the yardstick for that. Apart:\n"
        "levels of the codec between refinement's answer and that of every level; short: between an answer and the lowest\n"
        "level that truly loses less than the margin. Medians, and in brackets where 90% of runs lie; above 0 is less\n"
        "compressed. Cost: trials, in percent of those of every level. Noise 0.2 points,\n"
        f"{RECORDS:,} test records, half of them easy or hard for all. With few seeds training everywhere falls far short:\n"
        "all its tests down to the drop have to pass, and there are dozens.\n"
    )
    yield row(
        "truth", "rounds x levels", "seeds", "same (%)", "repeated (%)", "apart", "short, every level", "short, refinement",
        "cost (%)",
    )  # fmt: skip
    yield row(*["---"] * 9)
    for truth in truths():
        lowest = list(truth.losses).index(truth.lowest)
        for seeds in SEEDS:
            found = [
                (answer(truth, one, full=True)[0], *(answer(truth, one, settings) for settings in SETTINGS[:2]))
                for one in simulate(truth, seeds, runs)
            ]
            every = [full for full, *_ in found]
            for number, settings in enumerate(SETTINGS[:2], start=1):
                refined = [given[number] for given in found]
                apart = [full - mine for full, (mine, _) in zip(every, refined, strict=True)]
                short = [spread([lowest - place for place in places]) for places in (every, [place for place, _ in refined])]
                cost = 100 * statistics.fmean(count for _, count in refined) / len(truth.losses)
                same = percent([n == 0 for n in apart])
                repeated = percent([one == other for one, other in pairwise(every)])
                yield row(truth.name, label(settings), seeds, same, repeated, spread(apart), *short, f"{cost:.0f}")


def spread(values: Sequence[int]) -> str:
    ordered = sorted(values)
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.95))
    return f"{statistics.median(ordered):g} ({low} to {high})"


def page(runs: int) -> Table:
    yield "# Refinement, checked by simulation\n"
    yield (
        f"Written by `python benchmarks/adaptive.py --runs {runs} --write docs/refinement.md`. Shares are percent of\n"
        f"{runs:,} simulated sweeps, with their Monte Carlo standard error. [method.md](method.md#refinement) says what is\n"
        "done and why, and [statistics.md](statistics.md) how a sweep is simulated. JPEG: the ten levels none, 100, 75,\n"
        "50, 25, 20, 15, 10, 5 and 1 of 101; MP3: the seven levels none, 128, 96, 64, 32, 16 and 8 of 17. Settings are\n"
        "rounds x levels in each."
    )
    yield from error_table(runs)
    yield from agreement_table(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300, help="simulated sweeps for a figure")
    parser.add_argument("--write", type=Path, help="file to write instead of printing")
    told = parser.parse_args()
    text = "\n".join(page(told.runs)) + "\n"
    if told.write:
        told.write.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
