"""One claim of the paper and what a run says about it."""

from __future__ import annotations

from typing import Literal, Self

from helmholtz.analysis.estimate import Documented

Verdict = Literal["supported", "contradicted", "not shown", "not tested"]
Unit = Literal["accuracy", "ratio", "R2"]


class Claim(Documented):
    """A claim, tested at the experiment's confidence."""

    number: int
    """1 to 5."""
    claim: str
    """What the paper claims."""
    figure: str
    """Name of the figure that shows it."""
    verdict: Verdict = "not tested"
    """supported, contradicted: shown so by this run; not shown: tested, and neither is shown; not tested: it can't be told from
    this run."""
    sentence: str = ""
    """Why."""
    to_test: str = ""
    """What to run to test it, or to show it; empty where it is settled."""
    measure: str = ""
    """What `effect` is; empty without one."""
    unit: Unit | None = None
    """Of effect, low and high: an accuracy (fraction), a ratio, or an R2."""
    effect: float | None = None
    """Size of the effect; null if it can't be estimated."""
    low: float | None = None
    """Lower end of its two-sided confidence interval; null if it can't be estimated."""
    high: float | None = None
    """Upper end of that interval."""

    def measured(self, measure: str, unit: Unit, effect: float | None, low: float | None, high: float | None) -> Self:
        """The claim with the effect it is judged by."""
        return self.model_copy(update={"measure": measure, "unit": unit, "effect": effect, "low": low, "high": high})

    def judged(self, verdict: Verdict, sentence: str, to_test: str = "") -> Self:
        """The claim with its verdict, and why."""
        return self.model_copy(update={"verdict": verdict, "sentence": sentence, "to_test": to_test})
