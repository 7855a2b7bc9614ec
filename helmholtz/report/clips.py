"""The test clips that an audio report shows and plays: as stored, as decoded, and as the networks get them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from helmholtz.analysis.table import Run
from helmholtz.audio import SAMPLE_RATE, Samples
from helmholtz.report.picks import Shown, read_picks
from helmholtz.storage import Store

CLIPS = 4
SECONDS = 10.0  # of a longer clip only the beginning is drawn, and put into TensorBoard


@dataclass(frozen=True, slots=True)
class PickedClip:
    """One clip at one level."""

    payload: bytes  # an MP3 or FLAC file, whole
    samples: Samples  # int16 [frames], mono, 44.1 kHz: the first SECONDS
    decibels: np.ndarray  # float32 [96, columns], low bands first: the log-mel spectrogram's first SECONDS


def read_clips(store: Store, run: Run) -> Shown[PickedClip]:
    """Four test clips, spread over the classes, at every level that is written. Imports TensorFlow."""

    def clip(payload: bytes) -> PickedClip:
        samples = run.codec.decode(payload)
        return PickedClip(payload, samples[: round(SECONDS * SAMPLE_RATE)], _spectrogram(samples))

    return read_picks(store, run, CLIPS, clip)


def _spectrogram(samples: Samples) -> Any:
    from helmholtz.training.features import log_mel, spectrogram_frames

    # Of the whole clip, as in training: its loudest part sets the floor.
    decibels = log_mel(samples[np.newaxis].astype(np.float32) / 32768)[0].numpy()
    return decibels[:, : spectrogram_frames(round(SECONDS * SAMPLE_RATE))]
