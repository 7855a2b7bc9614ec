"""Trials: what each is called, and the fingerprint of everything that decides its outcome."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from helmholtz.experiment import Experiment, Training
from helmholtz.levels import Level

TRAINER = 4  # raise when the trainer changes so that the same trial gives another result


@dataclass(frozen=True, slots=True)
class Trial:
    """One network, trained once: an architecture at a level, from a seed, on one data set, with one budget."""

    dataset: str  # fingerprint
    codec: str  # identity
    level: Level
    architecture: str
    seed: int
    training: Training

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of all the above."""
        content = {
            "trainer": TRAINER,
            "dataset": self.dataset,
            "codec": self.codec,
            "level": str(self.level),
            "architecture": self.architecture,
            "seed": self.seed,
            "training": self.training.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def id(self) -> str:
        """Folder name below ``trials/``: readable, and different whenever the fingerprint is, e.g. ``A-25-0-1f3c9a2b``."""
        return f"{self.architecture}-{self.level}-{self.seed}-{self.fingerprint[:8]}"


def trials(experiment: Experiment, dataset: str, codec: str) -> tuple[Trial, ...]:
    """Every trial of the experiment on the data set with this fingerprint, in the order they are trained."""
    return tuple(
        Trial(dataset, codec, level, architecture, seed, experiment.training)
        for architecture, level in experiment.combinations
        for seed in range(experiment.seeds)
    )
