"""What a network is fed: how a payload becomes a record in memory, and that the network's input. A medium is one class here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from helmholtz.experiment import Experiment


class Inputs(Protocol):
    """The way from a level's payloads to a network's input, for one medium. `augment` and `scaled` run inside graphs."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one record in memory, and of the network's input: (height, width, channels)."""

    @property
    def dtype(self) -> Any:
        """TensorFlow's type of the records in memory."""

    def samples(self, count: int) -> Any:
        """An array, not filled, for the samples of `count` payloads."""

    def decode(self, payload: bytes, into: Any) -> None:
        """Writes the samples of a payload to `into`, a row of `samples`. Raises BadRecord if it is damaged. Thread-safe."""

    def features(self, samples: Any) -> Any:
        """[n, *shape] of `dtype`, kept in memory, of n rows of `samples`."""

    def augment(self, records: Any, seed: Any) -> Any:
        """`records` [n, *shape], each changed at random as its class isn't; `seed` (int32 [2]) alone decides."""

    def scaled(self, records: Any) -> Any:
        """float32 [n, *shape], what the network reads, of `records` of `dtype`."""


def open_inputs(experiment: Experiment) -> Inputs:
    """Inputs for the experiment's medium."""
    from helmholtz.codecs import open_codec

    codec = open_codec(experiment)
    if codec.medium == "audio":
        from helmholtz.training.audio_inputs import AudioInputs

        return AudioInputs(codec, round(experiment.mp3.seconds * AudioInputs.sample_rate))
    from helmholtz.training.image_inputs import ImageInputs

    if experiment.training.input_size is None:
        raise ValueError("an experiment with images has an input size")
    return ImageInputs(codec, experiment.training.input_size)
