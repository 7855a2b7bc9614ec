"""What a trial leaves behind: ``trials/<trial id>/result.json`` below the run root, written once, at the trial's end."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from helmholtz.errors import StorageError
from helmholtz.levels import Level, parse_level
from helmholtz.manifest import Amount, Count
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model
from helmholtz.trials import Trial


class Curves(Model):
    """One value an epoch, in order. Losses are cross-entropy in nats, accuracies fractions in 0..1."""

    train_loss: tuple[float, ...]
    train_accuracy: tuple[float, ...]
    validation_loss: tuple[float, ...]
    validation_accuracy: tuple[float, ...]


class TrialResult(Model):
    """One (architecture, level, seed), trained and tested.

    Validation accuracy chose the epoch (`best_epoch`, the earliest of equals); the test set was read once, with the
    weights of that epoch. A diverged trial has no test accuracy.
    """

    format: Literal[1] = 1
    trial: str  # id: folder name below trials/
    fingerprint: str  # of everything that decides the outcome
    status: Literal["complete", "diverged"]
    dataset: str
    codec: str
    level: Level
    architecture: str
    seed: Count
    parameters: Count  # trainable and not
    multiply_accumulates: Count  # of one forward pass over one record
    classes: Count
    epochs: Count  # epochs trained
    best_epoch: Count | None  # counted from 1
    validation_accuracy: float | None = Field(ge=0, le=1)
    test_accuracy: float | None = Field(ge=0, le=1)
    test_loss: float | None
    test_records: Count
    test_right: str | None  # which of them it had right, in the order of the shards: `pack_right`
    right_at: dict[str, str] = Field(default_factory=dict)  # with `training.mismatch`: other level -> as test_right, there
    epochs_to_converge: Count | None  # robust measure, see helmholtz.training.convergence
    converged: bool  # False: epochs_to_converge is only a lower bound (helmholtz.training.convergence)
    epochs_to_converge_reference: Count | None  # the reference code's measure; None where it is undefined
    curves: Curves
    train_seconds: Amount  # training alone, without reading data and testing; of seeds side by side, an equal share
    records_per_second: Amount
    precision: str
    device: str
    versions: dict[str, str]

    @model_validator(mode="after")
    def _accuracy_is_that_of_the_answers(self) -> Self:
        if (self.test_accuracy is None) != (self.test_right is None):
            raise ValueError("test_right and test_accuracy: one without the other")
        if self.test_right is not None and self.test_accuracy is not None:
            right = int(unpack_right(self.test_right, self.test_records).sum())
            if abs(right - self.test_accuracy * self.test_records) > 0.01:
                raise ValueError(f"test_right has {right} right answers, but test_accuracy is {self.test_accuracy}")
        for level, packed in self.right_at.items():
            parse_level(level)
            unpack_right(packed, self.test_records)
        return self


def pack_right(right: NDArray[np.bool_]) -> str:
    """Right (True) and wrong answers, shape [records], as text: eight to a byte, the first in the highest bit, in base64."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpack_right(packed: str, records: int) -> NDArray[np.bool_]:
    """The answers in what `pack_right` made of so many. Raises ValueError if it isn't of so many."""
    try:
        data = np.frombuffer(base64.b64decode(packed, validate=True), np.uint8)
    except binascii.Error as error:
        raise ValueError("test_right isn't base64") from error
    if len(data) != -(-records // 8):
        raise ValueError(f"test_right holds {len(data)} bytes, which isn't {records} answers")
    answers: NDArray[Any] = np.unpackbits(data, count=records)
    return answers.astype(np.bool_)


def result_key(trial: str) -> str:
    """Key of a trial's result below the run root."""
    return f"trials/{trial}/result.json"


def progress_key(trial: str) -> str:
    """Key of a running trial's progress below the run root."""
    return f"trials/{trial}/progress.json"


def checkpoint_key(trial: str) -> str:
    """Key of a running trial's checkpoint below the run root (see `helmholtz.training.checkpoint`)."""
    return f"trials/{trial}/checkpoint"


def finished_result(store: Store, trial: Trial) -> TrialResult | None:
    """The result of `trial`, if it has one made under the same conditions (fingerprint).

    Raises StorageError if what is there isn't a result, or is another trial's.
    """
    found = read_result(store, trial.id)
    if found is None or found.fingerprint != trial.fingerprint:
        return None
    for name in ("dataset", "codec", "level", "architecture", "seed"):
        if (said := getattr(found, name)) != (wanted := getattr(trial, name)):
            where = f"{store.uri}/{result_key(trial.id)}"
            raise StorageError(f"{where}: {name} is {said!r}, which isn't the trial's ({wanted!r}); delete it and run again")
    return found


def read_result(store: Store, trial: str) -> TrialResult | None:
    """The result of a trial, or None if it has none yet. Raises StorageError if what is there isn't a result."""
    key = result_key(trial)
    if not store.exists(key):
        return None
    return read_model(store, key, TrialResult)
