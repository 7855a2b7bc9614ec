"""Audio as networks get it: clips decoded by the codec, as log-mel spectrograms.

They are computed here, once a level and process, and not kept in the shards: `benchmarks/audio_steps.py` shows what that costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf

from helmholtz.audio import SAMPLE_RATE
from helmholtz.training.features import MELS, log_mel, spectrogram_frames

if TYPE_CHECKING:
    from helmholtz.codecs.base import Codec


@dataclass(frozen=True, slots=True)
class AudioInputs:
    """float32 [96, 1 + frames // 512, 1] in memory and for the network: decibels, low bands first."""

    codec: Codec
    frames: int  # of every clip, at 44.1 kHz

    sample_rate: ClassVar[int] = SAMPLE_RATE

    @property
    def shape(self) -> tuple[int, int, int]:
        """(96, 1 + frames // 512, 1): for two seconds (96, 173, 1)."""
        return MELS, spectrogram_frames(self.frames), 1

    @property
    def dtype(self) -> Any:
        """float32."""
        return tf.float32

    def samples(self, count: int) -> Any:
        """int16 [count, frames]."""
        return np.empty((count, self.frames), np.int16)

    def decode(self, payload: bytes, into: Any) -> None:
        """int16 [frames], mono, 44.1 kHz, aligned with the original at every level."""
        into[:] = self.codec.decode(payload)

    def features(self, samples: Any) -> Any:
        """Log-mel spectrograms, float32 [n, *shape]."""
        return log_mel(tf.cast(samples, tf.float32) / 32768)[..., tf.newaxis]

    def augment(self, records: Any, seed: Any) -> Any:  # noqa: ARG002  # the reference has none
        """None: the records as they are."""
        return records

    def scaled(self, records: Any) -> Any:
        """Decibels, as in the reference: the networks' batch normalisation does the rest."""
        return records
