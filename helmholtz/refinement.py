"""What refinement has asked for in a run: further levels for one architecture, round by round.

The analysis works it out anew from the trials (`helmholtz.analysis.refined_run`), so nothing can go stale. The refine stage
leaves it in the run root all the same, for those who only want to see how far a run is.
"""

from __future__ import annotations

import typing
from typing import Annotated, Self

from pydantic import Field, model_validator

from helmholtz.experiment import Architecture, Experiment
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model


class Refinement(Model):
    """``plans/<hash of the experiment>-refinement.json``. Rounds hold levels, least compressed first."""

    dataset: str  # fingerprint
    architecture: str
    rounds: tuple[Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)], ...] = ()
    last: bool = False  # no further round follows

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        if self.architecture not in typing.get_args(Architecture):
            raise ValueError(f"architecture: there is no {self.architecture!r:.50}")
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("rounds: a level is asked for twice")
        return self

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels of all rounds, in the order they were asked for."""
        return tuple(level for asked in self.rounds for level in asked)

    def round_of(self, level: object) -> int | None:
        """Number of the round that asked for `level`, from 1; None for a level of the experiment."""
        return next((number for number, asked in enumerate(self.rounds, start=1) if level in asked), None)

    def extend(self, experiment: Experiment) -> Experiment:
        """`experiment` with what was asked for."""
        return experiment.with_levels(self.architecture, self.levels) if self.rounds else experiment


def read_refinement(store: Store, key: str, dataset: str) -> Refinement | None:
    """The refinement at `key`, or None if there is none of this data set."""
    found = read_model(store, key, Refinement) if store.exists(key) else None
    return found if found is not None and found.dataset == dataset else None
