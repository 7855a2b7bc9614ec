"""The networks: six image architectures, A to F (paper, Table 1; layers and parameter counts as in the reference code).

All end in logits, not probabilities, computed in float32 whatever the precision of the rest. Strided convolutions have no
ReLU, and the head's last layer is linear in all of them (the reference puts a ReLU on the logits of B, D, E and F, which
can kill a run). A further medium is a builder of layers, and a line in `_BUILDERS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from helmholtz.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from helmholtz.codecs.base import Medium


@dataclass(frozen=True, slots=True)
class ImageArchitecture:
    """What tells one image architecture from another."""

    groups: int  # blocks of three convolutions after the stem, the last of them with stride 2
    dense: tuple[int, ...] | None  # widths of the hidden dense layers; None: 1x1 convolutions and global average pooling


IMAGE = {
    "A": ImageArchitecture(groups=1, dense=None),
    "B": ImageArchitecture(groups=1, dense=(64, 256)),
    "C": ImageArchitecture(groups=2, dense=None),
    "D": ImageArchitecture(groups=2, dense=(128, 256)),
    "E": ImageArchitecture(groups=1, dense=(128, 256)),
    "F": ImageArchitecture(groups=1, dense=(128, 256, 256)),
}


class _Layers:
    """Makes the layers of one network: each with its own seed, derived from the trial's, and the same precision."""

    def __init__(self, seed: int, precision: str) -> None:
        self._sequence = np.random.SeedSequence(seed)
        self._precision = precision

    def _seed(self) -> int:
        return int(self._sequence.spawn(1)[0].generate_state(1)[0])

    def convolution(
        self, filters: int, size: int = 3, *, strides: int = 1, activation: str | None = "relu", dtype: Any = None
    ) -> Any:
        return keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(self._seed()),
            dtype=dtype or self._precision,
        )

    def dense(self, units: int, *, activation: str | None = "relu", dtype: Any = None) -> Any:
        initializer = keras.initializers.GlorotUniform(self._seed())
        return keras.layers.Dense(units, activation, kernel_initializer=initializer, dtype=dtype or self._precision)

    def dropout(self, rate: float = 0.5) -> Any:
        return keras.layers.Dropout(rate, seed=self._seed(), dtype=self._precision)

    def image(self, architecture: ImageArchitecture, classes: int) -> list[Any]:
        """Stem, groups and head of an image architecture."""
        layers = [self.convolution(32), self.convolution(64), self.convolution(128, strides=2, activation=None), self.dropout()]
        for _ in range(architecture.groups):
            layers += [self.convolution(128), self.convolution(128)]
            layers += [self.convolution(128, strides=2, activation=None), self.dropout()]
        if architecture.dense is None:
            layers += [self.convolution(128), self.convolution(128, 1)]
            logits = self.convolution(classes, 1, activation=None, dtype="float32")
            return [*layers, logits, keras.layers.GlobalAveragePooling2D(dtype="float32")]
        layers.append(keras.layers.Flatten(dtype=self._precision))
        for units in architecture.dense:
            layers += [self.dense(units), self.dropout()]
        return [*layers, self.dense(classes, activation=None, dtype="float32")]


_BUILDERS: dict[Medium, tuple[dict[str, ImageArchitecture], Callable[[_Layers, Any, int], list[Any]]]] = {
    "image": (IMAGE, _Layers.image),
}


def build(
    medium: Medium,
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    seed: int = 0,
    precision: str = "float32",
) -> Any:
    """The untrained network `name`: float32 [n, *input_shape] in 0..1 -> float32 logits [n, classes].

    `seed` decides the weights (Glorot uniform; biases are zero) and the dropout. `precision` is a Keras dtype policy, set
    on this model's layers only. Raises TrainingError if the medium has no architecture of this name.
    """
    if medium not in _BUILDERS:
        raise TrainingError(f"no architectures for {medium}; there are some for {', '.join(_BUILDERS)}")
    architectures, layers = _BUILDERS[medium]
    if name not in architectures:
        raise TrainingError(f"{name!r} is not an architecture for {medium}: use one of {', '.join(architectures)}")
    return keras.Sequential(
        [keras.Input(input_shape, dtype="float32"), *layers(_Layers(seed, precision), architectures[name], classes)],
        name=f"{medium}_{name}",
    )


def multiply_accumulates(model: Any) -> int:
    """Multiply-accumulate operations of one forward pass over one record, in convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            height, width = layer.output.shape[1:3]
            total += height * width * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return int(total)
