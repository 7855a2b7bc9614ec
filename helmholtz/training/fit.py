"""One network's fit: from its seed's weights, epoch by epoch, to those of the best epoch and one look at the test set."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from helmholtz.results import Curves
from helmholtz.training.checkpoint import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from helmholtz.training.checkpoint import Checkpoints
    from helmholtz.training.data import Records

    Evaluate = Callable[[Records], tuple[float, np.ndarray]]


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """One point of each curve. Losses are mean cross-entropy in nats, accuracies fractions in 0..1.

    The training values are running ones: over the augmented batches, dropout on, while the weights change.
    """

    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit is to do, beside the network and its data.

    `on_epoch` is called with each finished epoch's number, from 1, and metrics. With `checkpoints` it goes on after the last of
    them, and calls `on_epoch` for the epochs before, too.
    """

    seed: int
    on_epoch: Callable[[int, EpochMetrics], None] | None = None
    checkpoints: Checkpoints | None = None


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit leaves behind. If it diverged there is no best epoch, and the test set was not read."""

    status: Literal["complete", "diverged"]
    curves: Curves  # of the epochs with finite losses
    best_epoch: int | None  # counted from 1; the earliest of the epochs with the highest validation accuracy
    validation_accuracy: float | None  # of that epoch
    test_loss: float | None
    test_accuracy: float | None
    test_right: Any  # bool [test records]: which of them it had right, in their order; None if it diverged
    train_seconds: float  # of the training epochs, shared with those side by side: without tracing, validation and test


class Network:
    """A network with its optimiser, and where its present fit is."""

    def __init__(self, model: Any, optimizer: Any, evaluate: Evaluate) -> None:
        """`model` is one of `architectures.build`; `evaluate` gives mean loss and right answers under its present weights."""
        optimizer.build(model.trainable_variables)
        self.model, self.optimizer, self.evaluate = model, optimizer, evaluate
        self._start = [(variable, variable.numpy()) for variable in optimizer.variables]

    def restart(self, like: Any) -> None:
        """Gives it the weights of an untrained network, and its state of dropout's random numbers."""
        for variable, other in zip(self.model.variables, like.variables, strict=True):
            variable.assign(other)

    def begin(self, fit: Fit, epochs: int) -> None:
        """From its present weights, with an optimiser that has seen nothing; or from the last checkpoint."""
        for variable, start in self._start:
            variable.assign(start)
        self._fit, self._epochs = fit, epochs
        self._points: list[EpochMetrics] = []
        self._best_epoch: int | None = None
        self._best_accuracy, self._best_weights = -1.0, self.model.get_weights()
        self._seconds, self._diverged = 0.0, False
        variables = self._variables()
        if fit.checkpoints and (found := fit.checkpoints.read([*(v.numpy() for v in variables), *self._best_weights])):
            state, arrays = found
            for variable, array in zip(variables, arrays, strict=False):
                variable.assign(array)
            self._best_epoch, self._best_accuracy = state.best_epoch, state.best_accuracy
            self._best_weights, self._seconds = arrays[len(variables) :], state.seconds
            self._points = [EpochMetrics(*point) for point in state.points]
            for epoch, point in enumerate(self._points, start=1):
                if fit.on_epoch is not None:
                    fit.on_epoch(epoch, point)

    @property
    def seed(self) -> int:
        """Of the present fit."""
        return self._fit.seed

    @property
    def epoch(self) -> int:
        """The number of the epoch that comes next, from 1."""
        return len(self._points) + 1

    @property
    def ended(self) -> bool:
        """Whether the budget of epochs is used up, or the fit has diverged."""
        return self._diverged or self.epoch > self._epochs

    def take(self, train_loss: float, train_accuracy: float, validation: Records, seconds: float) -> None:
        """Ends an epoch, whose updates took so many seconds. A loss that isn't finite ends the fit, as diverged."""
        self._seconds += seconds
        loss, right = self.evaluate(validation)
        point = EpochMetrics(train_loss, train_accuracy, loss, share(right))
        if not (math.isfinite(point.train_loss) and math.isfinite(point.validation_loss)):
            self._diverged = True
            return
        epoch, fit = self.epoch, self._fit
        if point.validation_accuracy > self._best_accuracy:
            self._best_epoch, self._best_accuracy = epoch, point.validation_accuracy
            self._best_weights = self.model.get_weights()
        self._points.append(point)
        if fit.on_epoch is not None:
            fit.on_epoch(epoch, point)
        if fit.checkpoints and fit.checkpoints.due and not self.ended:
            state = State(
                epoch=epoch, points=tuple(map(astuple, self._points)), best_epoch=self._best_epoch,
                best_accuracy=self._best_accuracy, seconds=self._seconds,
            )  # fmt: skip
            fit.checkpoints.write(state, [*(v.numpy() for v in self._variables()), *self._best_weights])

    def result(self, test: Records) -> FitResult:
        """The result, with a look at the test set unless it diverged. Leaves the network with the weights of the best epoch."""
        curves = _curves(self._points)
        if self._diverged:
            return FitResult("diverged", curves, None, None, None, None, None, self._seconds)
        self.model.set_weights(self._best_weights)
        loss, right = self.evaluate(test)
        return FitResult("complete", curves, self._best_epoch, self._best_accuracy, loss, share(right), right, self._seconds)

    def _variables(self) -> list[Any]:
        """All that further epochs depend on: weights, dropout's random numbers, the optimiser's state."""
        return [*self.model.variables, *(variable for variable, _ in self._start)]


def share(right: np.ndarray) -> float:
    """How much of `right`, bool [n], is true, as a fraction."""
    return int(right.sum()) / len(right)


def _curves(points: list[EpochMetrics]) -> Curves:
    return Curves(
        train_loss=tuple(point.train_loss for point in points),
        train_accuracy=tuple(point.train_accuracy for point in points),
        validation_loss=tuple(point.validation_loss for point in points),
        validation_accuracy=tuple(point.validation_accuracy for point in points),
    )
