"""The networks: A to F for images (paper, Table 1) and for audio (Table 2); layers and parameter counts are the reference's.

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
    from collections.abc import Callable, Mapping

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


@dataclass(frozen=True, slots=True)
class AudioArchitecture:
    """What tells one audio architecture from another."""

    loops: int  # of convolution, ELU, pooling and dropout, after the stem
    dense: tuple[int, ...]  # widths of the hidden dense layers


AUDIO = {
    "A": AudioArchitecture(loops=3, dense=()),
    "B": AudioArchitecture(loops=4, dense=(128,)),
    "C": AudioArchitecture(loops=3, dense=(64, 128)),
    "D": AudioArchitecture(loops=3, dense=(128,)),
    "E": AudioArchitecture(loops=3, dense=(128, 128)),
    "F": AudioArchitecture(loops=2, dense=(128,)),
}

# Of the running statistics that take the place of a batch's at test time. Keras' 0.99 needs some 500 updates to forget its
# start, and a small set has fewer; on a large one a batch's statistics, over all columns and filters of a band, hardly vary.
NORMALISATION_MOMENTUM = 0.9


class _Layers:
    """Makes the layers of one network: each with its own seed, derived from the trial's, and the same precision."""

    def __init__(self, seed: int, precision: str) -> None:
        self._sequence = np.random.SeedSequence(seed)
        self._precision = precision

    def _seed(self) -> int:
        return int(self._sequence.spawn(1)[0].generate_state(1)[0])

    def convolution(
        self,
        filters: int,
        size: int = 3,
        *,
        strides: int = 1,
        padding: str = "same",
        activation: str | None = "relu",
        dtype: Any = None,
    ) -> Any:
        return keras.layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding=padding,
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

    def audio(self, architecture: AudioArchitecture, classes: int) -> list[Any]:
        """Stem, convolution loops and dense loops of an audio architecture. The stem normalises each frequency band."""
        layers = [
            self.convolution(32, padding="valid", activation=None),
            keras.layers.BatchNormalization(axis=1, momentum=NORMALISATION_MOMENTUM, dtype=self._precision),
            keras.layers.ReLU(dtype=self._precision),
        ]
        for _ in range(architecture.loops):
            layers += [self.convolution(32, padding="valid", activation="elu")]
            layers += [keras.layers.MaxPooling2D(dtype=self._precision), self.dropout()]
        layers.append(keras.layers.Flatten(dtype=self._precision))
        for units in architecture.dense:
            layers += [self.dense(units, activation="elu"), self.dropout(0.6)]
        return [*layers, self.dense(classes, activation=None, dtype="float32")]


_BUILDERS: dict[Medium, tuple[Mapping[str, Any], Callable[[_Layers, Any, int], list[Any]]]] = {
    "image": (IMAGE, _Layers.image),
    "audio": (AUDIO, _Layers.audio),
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
    """The untrained network `name`: float32 [n, *input_shape], as `training.inputs` scales it -> float32 logits [n, classes].

    `seed` decides the weights (Glorot uniform; biases are zero) and the dropout. `precision` is a Keras dtype policy, set
    on this model's layers only. Raises TrainingError if the medium has no architecture of this name.
    """
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
