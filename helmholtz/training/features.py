"""Log-mel spectrograms, by tensorflow-io's audio ops: 44.1 kHz, n_fft 2048, hop 512, centred Hann, power 2, 96 mels, in dB.

The numbers are those of ``librosa.power_to_db(librosa.feature.melspectrogram(..., htk=True, norm=None, pad_mode="constant"))``
with power 2, to within the tolerance below: reference 1 (a sample's full scale), never below -100 dB, and never more
than 80 dB below the clip's own maximum.

TOLERANCE: 0.1 dB for every value (measured: 0.08 on noise, chirps, clicks, pure tones and 127 real guitar notes). The
short-time spectra agree to float32's precision; the mel filters differ, for TensorFlow's triangles are linear in mel and
librosa's in hertz: by at most 0.0045 of a filter's peak. librosa's default filters (Slaney's scale and norm) are others.
"""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf

from helmholtz.audio import SAMPLE_RATE

with warnings.catch_warnings():
    # Its native library needs TensorFlow 2.16, and it says so; the audio ops used here are made of TensorFlow's own.
    warnings.simplefilter("ignore", UserWarning)
    import tensorflow_io as tfio

N_FFT = 2048  # samples: window and FFT
HOP = 512  # samples
MELS = 96  # bands from 0 Hz to half the sample rate
TOP_DB = 80.0  # below a clip's maximum, values are cut off
FLOOR = 1e-10  # least power: -100 dB


def spectrogram_frames(frames: int) -> int:
    """Columns of the spectrogram of a clip of `frames`: 173 for 88,200."""
    return 1 + frames // HOP


# One graph for all shapes: in one for a shape of its own sums are rounded otherwise.
@tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])  # type: ignore[untyped-decorator]  # TensorFlow has no types
def log_mel(clips: Any) -> Any:
    """float32 [n, 96, 1 + frames // 512] in dB, low bands first, of `clips`, float32 [n, frames] with full scale 1."""
    frames = tf.shape(clips)[1]
    centred = tf.pad(clips, [[0, 0], [N_FFT // 2, N_FFT // 2]])
    # The op pads the end to whole windows, too: its last columns start behind the clip.
    magnitudes = tfio.audio.spectrogram(centred, nfft=N_FFT, window=N_FFT, stride=HOP)[:, : 1 + frames // HOP]
    power = tfio.audio.melscale(tf.square(magnitudes), rate=SAMPLE_RATE, mels=MELS, fmin=0.0, fmax=SAMPLE_RATE / 2)
    # One clip at a time, for the op takes the maximum of all it is given; and it squares what it is given.
    decibels = tf.cond(
        tf.shape(power)[0] > 0,
        lambda: tf.map_fn(lambda clip: tfio.audio.dbscale(clip, top_db=TOP_DB, amin=FLOOR), tf.sqrt(power)),
        lambda: power,  # no clips: a map of none has no shape to stack
    )
    return tf.transpose(decibels, [0, 2, 1])
