"""N_approx by both its estimators, where they differ and why; and how many bits of a sample are noise there.

The first is the test (`helmholtz.analysis.noninferiority`): the most compressed level that is shown to lose less than the
margin. The second is the broken stick (`helmholtz.analysis.broken_stick`): the most compressed level still on the plateau. They
answer different questions, so they may differ with both being right: the test tolerates the margin and asks for proof, the
stick tolerates nothing and takes the likeliest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from helmholtz.analysis.broken_stick import BrokenStick
from helmholtz.analysis.estimate import Documented
from helmholtz.analysis.noninferiority import Walk
from helmholtz.analysis.table import Run
from helmholtz.analysis.wording import level_label, original, points
from helmholtz.levels import NONE, Level, sort_key

BITS_OF_THE_PAPER = 16  # a sample, before compression (section 4.1)


class NoiseAndContent(Documented):
    """The bits of one sample at N_approx, by one accounting."""

    accounting: Literal["measured", "standard", "paper"]
    """measured: entropy-coded bits at none and at N_approx; standard, paper: the paper's section 4.1, of 16 bits."""
    total: float
    """Bits a sample without loss."""
    noise: float
    """Of these, bits that compression to N_approx removes: total less content."""
    content: float
    """Bits left at N_approx. As printed in the paper, the formula falls below 0 at the lowest qualities."""


class NApprox(Documented):
    """N_approx of one architecture."""

    architecture: str
    """The architecture."""
    by_test: Level | None
    """The most compressed level shown to lose less than the margin: what is recommended; null if there is none."""
    by_stick: Level | None
    """The most compressed level on the plateau of the broken stick; null unless a drop and a plateau are both shown."""
    agree: bool | None
    """Whether both name the same level; null where one of them names none."""
    sentence: str
    """How they compare, and why they differ."""
    bits: tuple[NoiseAndContent, ...]
    """Noise and content at `by_test`; empty where that is null. Theory is for JPEG alone."""


def n_approx(run: Run, walk: Walk, stick: BrokenStick, bits: Mapping[Level, float]) -> NApprox:
    """Both estimates of one architecture; `bits` are the measured bits a sample of the levels that are written."""
    by_test = walk.n_approx
    shown = stick.low is not None and stick.high is not None and walk.above_chance is not False
    by_stick = stick.above if shown else None
    return NApprox(
        architecture=walk.architecture,
        by_test=by_test,
        by_stick=by_stick,
        agree=None if by_test is None or by_stick is None else by_test == by_stick,
        sentence=_sentence(run, walk, stick, by_stick, bits),
        bits=() if by_test is None else _noise_and_content(run, by_test, bits),
    )


def _noise_and_content(run: Run, level: Level, bits: Mapping[Level, float]) -> tuple[NoiseAndContent, ...]:
    found = []
    if level in bits and NONE in bits:
        total, content = bits[NONE], bits[level]
        found.append(NoiseAndContent(accounting="measured", total=total, noise=total - content, content=content))
    accountings: tuple[Literal["standard", "paper"], ...] = ("standard", "paper")
    theory = run.codec.bits(level)
    for name in accountings:
        if name in theory:
            lost, left = theory[name].lost, theory[name].left
            found.append(NoiseAndContent(accounting=name, total=BITS_OF_THE_PAPER, noise=lost, content=left))
    return tuple(found)


def _sentence(run: Run, walk: Walk, stick: BrokenStick, by_stick: Level | None, bits: Mapping[Level, float]) -> str:
    if by_stick is None:
        why = "nothing is shown to be learned at none" if walk.above_chance is False else stick.reason
        return f"The broken stick gives no second estimate: {why}."
    drop = f"the broken stick sees accuracy begin to fall {_where(run, stick)}"
    plateau = f"so that {level_label(run, by_stick)} is the last level on the plateau"
    if walk.n_approx is None:
        return f"No level passes the test; {drop}, {plateau}. That is an estimate, which the test doesn't confirm."
    if walk.n_approx == by_stick:
        return f"Both estimators name {level_label(run, by_stick)}: {drop}."
    deeper = sort_key(walk.n_approx) > sort_key(by_stick)
    why = _why_deeper(run, walk.n_approx, stick, bits) if deeper else _why_shallower(run, walk)
    there = bits.get(walk.n_approx, 0.0)
    luck = f" The interval holds {level_label(run, walk.n_approx)}, too, so the two don't contradict each other."
    within = stick.low is not None and stick.high is not None and stick.low <= there <= stick.high
    said = f"The estimators differ: {drop}, {plateau}; the test goes {'down' if deeper else 'only'} to {why}"
    return said + (luck if within else "")


def _where(run: Run, stick: BrokenStick) -> str:
    span = f"{100 * run.experiment.analysis.confidence:.4g}% interval {stick.low:.2f} to {stick.high:.2f}"
    if stick.breakpoint is None:
        return f"somewhere in {stick.low:.2f} to {stick.high:.2f} bits a {run.codec.sample}"
    return f"at {stick.breakpoint:.2f} bits a {run.codec.sample} ({span})"


def _why_deeper(run: Run, level: Level, stick: BrokenStick, bits: Mapping[Level, float]) -> str:
    margin, name = run.experiment.analysis.margin, level_label(run, level)
    there = bits.get(level)
    if there is None or stick.slope is None or stick.breakpoint is None:
        return f"{name}, since it tolerates a loss of up to {points(margin)}."
    loss = stick.slope * (math.log(stick.breakpoint) - math.log(there))
    if loss < margin:
        return f"{name}, since it tolerates {points(margin)}, and by the stick only {points(loss)} are lost there."
    return f"{name}, though by the stick {points(loss)} should be lost there: a plateau and a line fit these levels badly."


def _why_shallower(run: Run, walk: Walk) -> str:
    name = level_label(run, walk.n_approx or NONE)
    stop = next((c for c in walk.comparisons if c.level == walk.stopped_at), None)
    if stop is None:  # all levels pass, and yet the stick's is more compressed: it can't be, but for levels of equal bits
        return f"{name}, the most compressed level tested."
    stopped = level_label(run, stop.level)
    if stop.verdict == "inferior":
        return (
            f"{name}, since {stopped} is shown to lose more than {points(run.experiment.analysis.margin)} against "
            f"{original(run)}: what is lost before the drop is no plateau."
        )
    if stop.verdict == "untestable" or stop.detectable is None:
        return f"{name}, since {stopped} can't be tested: {stop.reason}."
    more = f" About {stop.seeds_needed} seeds would show it." if stop.seeds_needed and stop.seeds_needed > stop.pairs else ""
    return (
        f"{name}, since it asks for proof, and {stopped} is not shown to lose less than the margin: with this spread only a "
        f"loss of {points(stop.detectable)} or more would be seen.{more}"
    )
