"""The answer in a few short paragraphs: what it saves, what it risks, whether inputs must change too, how sure it is."""

from __future__ import annotations

from collections.abc import Callable

from helmholtz.analysis.costs import Costs
from helmholtz.analysis.estimate import Estimate
from helmholtz.analysis.recommendation import MANY_HEADERS
from helmholtz.analysis.summary import Report
from helmholtz.analysis.wording import overhead, points, signed, times_smaller
from helmholtz.levels import NONE
from helmholtz.report.formats import digits, money, size


def answer(report: Report) -> tuple[tuple[str, str], ...]:
    """(heading, text) of each; empty where no level is recommended."""
    if report.recommendation.level is None:
        return ()
    inputs = next((found.sentence for found in report.mismatch if found.sentence), "")
    return (
        ("What it saves", " ".join(_saved(report))),
        ("What it risks", " ".join(_risked(report))),
        *((("In use", inputs),) if inputs else ()),
        ("How sure it is", " ".join(_sure(report))),
    )


def _saved(report: Report) -> list[str]:
    by_level = {level.level: level for level in report.levels}
    level, none = by_level[report.recommendation.level or NONE], by_level[NONE]
    said = []
    if level.ratio_to_none:
        sizes = f"{size(level.payload_bytes)} instead of {size(none.payload_bytes)}"
        said.append(f"The data are {times_smaller(level.ratio_to_none)}: {sizes}.")
    headers = 1 - level.coded_bytes / level.payload_bytes if level.coded_bytes and level.payload_bytes else 0.0
    if headers > MANY_HEADERS:
        kind = overhead(report.codec.medium)
        said.append(f"{headers:.0%} of these bytes are {kind}, which no level makes smaller; the bits count content alone.")
    epochs = report.recommendation.epochs_ratio
    if epochs and epochs.mean is not None:
        said.append(f"Training converges in {epochs.mean:.0%} of the epochs{_span(epochs, '{:.0%}'.format)}.")
    return said + _smaller_network(report) + _money(report.costs)


def _smaller_network(report: Report) -> list[str]:
    found = report.smallest
    sizes = {cell.architecture: cell.parameters for cell in report.cells if cell.parameters}
    if found.smallest is None or found.largest is None:
        return []
    return [
        f"Architecture {found.smallest}, with {sizes[found.smallest]:,} parameters, will do instead of {found.largest} with "
        f"{sizes[found.largest]:,}."
    ]


def _money(costs: Costs | None) -> list[str]:
    said: list[str] = []
    if costs is None:
        return said
    before, after = costs.training_at_none, costs.training_smallest or costs.training_at_level
    if before and after and before.mean is not None and after.mean is not None:
        now = f"{money(after.mean, costs.currency)}{_span(after, digits)}"
        then = f"{money(before.mean, costs.currency)}{_span(before, digits)}"
        said.append(f"Training a network until it has converged costs {now} instead of {then}.")
    if costs.storing_none is not None and costs.storing_level is not None:
        said.append(
            f"Keeping the data for a month costs {money(costs.storing_level, costs.currency)} instead of "
            f"{money(costs.storing_none, costs.currency)}."
        )
    return said


def _risked(report: Report) -> list[str]:
    answer, margin = report.recommendation, points(report.experiment["analysis"]["margin"])
    confidence = f"{100 * report.experiment['analysis']['confidence']:.4g}%"
    walk = next(walk for walk in report.walks if walk.architecture == answer.architecture)
    found = next(c for c in walk.comparisons if c.level == answer.level)
    said = []
    if found.difference is not None and found.low is not None and found.high is not None and found.lower_bound is not None:
        span = f"{confidence} interval {signed(found.low)} to {signed(found.high)}"
        shared = (
            f" (more than the {confidence} of the answer as a whole, for the levels that refinement added share its error)"
            if found.bound_confidence > report.experiment["analysis"]["confidence"]
            else ""
        )
        said.append(
            f"Accuracy changes by {signed(found.difference)} points ({span}){_of(report)}. A loss of {margin}, the margin, or "
            f"more is ruled out at {100 * found.bound_confidence:.4g}% confidence{shared}{_at_most(found.lower_bound)}."
        )
    whole = report.smallest.whole_difference
    if whole and whole.mean is not None:
        said.append(
            f"With architecture {report.smallest.smallest} as well, it differs from that of {report.smallest.largest} without "
            f"compression by {signed(whole.mean)} points{_signed_span(whole)}; the two tolerated losses may add up."
        )
    return said


def _of(report: Report) -> str:
    """What the accuracies themselves are, at none and at the level."""
    mine = [cell for cell in report.cells if cell.architecture == report.recommendation.architecture]
    means = {cell.level: cell.test_accuracy.mean for cell in mine}
    none, level = means.get(NONE), means.get(report.recommendation.level or NONE)
    return "" if none is None or level is None else f", from {none:.1%} right to {level:.1%}"


def _at_most(bound: float) -> str:
    return f", and so is any above {points(-bound)}" if bound < 0 else ", and so is any at all"


def _sure(report: Report) -> list[str]:
    wrong = 1 - report.experiment["analysis"]["confidence"]
    seeds = report.experiment["seeds"]
    on = f" and {report.test_records:,} test records" if report.test_records else ""
    if report.test_groups != report.test_records:
        on += f" in {report.test_groups:,} groups of alike ones, each of which counts as one"
    return [
        f"It rests on {seeds} seeds at each level{on}.",
        f"If all of it were repeated with other seeds and other test records of the same kind, at most {100 * wrong:.3g}% of "
        "such answers would name a level that truly loses that much.",
        _second(report),
    ]


def _second(report: Report) -> str:
    """What the other estimator says, in short: the table and the figure have its reasons."""
    found = next(found for found in report.n_approx if found.architecture == report.recommendation.architecture)
    label = next((level.label for level in report.levels if level.level == found.by_stick), "")
    if found.agree is None:
        return found.sentence
    if found.agree:
        return f"A second way to find the level, a plateau with a drop fitted to all trials, names the same{_drop(report)}."
    return (
        f"A second way to find the level, a plateau with a drop fitted to all trials, names {label}; the report says why, "
        "under N_approx, found twice."
    )


def _drop(report: Report) -> str:
    """How sure that way is of where the drop begins."""
    stick = next(stick for stick in report.sticks if stick.architecture == report.recommendation.architecture)
    if stick.low is None or stick.high is None:
        return ""
    confidence = f"{100 * report.experiment['analysis']['confidence']:.4g}%"
    return (
        f"; it sees the drop begin somewhere in {stick.low:.2f} to {stick.high:.2f} bits a {report.codec.sample} ({confidence})"
    )


def _span(found: Estimate, form: Callable[[float], str]) -> str:
    if found.low is None or found.high is None:
        return ""
    return f" ({form(max(0.0, found.low))} to {form(found.high)})"


def _signed_span(found: Estimate) -> str:
    return "" if found.low is None or found.high is None else f" ({signed(found.low)} to {signed(found.high)})"
