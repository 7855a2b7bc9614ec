"""What a check of a run root has found so far: problems, each one sentence, and how much was looked at."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from helmholtz.errors import HelmholtzError

MOST = 1_000  # problems kept as text; more are only counted


@dataclass
class Findings:
    """Filled while checking. One problem never hides the next."""

    problems: list[str] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)  # what -> how many
    total: int = 0  # problems, those beyond MOST included

    def add(self, where: str, what: str, fix: str) -> None:
        """A problem: `where` is a key, `what` is wrong with it, and `fix` what to do, as an imperative."""
        self._keep(f"{where}: {what}; {fix}")

    @contextlib.contextmanager
    def catching(self) -> Iterator[None]:
        """Takes an error that is meant for the user for a problem, and goes on behind the block."""
        try:
            yield
        except HelmholtzError as error:
            self._keep(str(error))

    def _keep(self, sentence: str) -> None:
        self.total += 1
        if len(self.problems) < MOST:
            self.problems.append(sentence)
