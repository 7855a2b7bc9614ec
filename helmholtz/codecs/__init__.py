"""Codecs: JPEG for images, MP3 for audio. A further one is a class with the methods of `codecs.base.Codec`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helmholtz.codecs.base import Codec

if TYPE_CHECKING:
    from helmholtz.experiment import Experiment


def open_codec(experiment: Experiment) -> Codec:
    """The codec that the experiment names, with its settings."""
    if experiment.codec == "mp3":
        from helmholtz.codecs.mp3 import Mp3Codec

        return Mp3Codec(reference_bitrate=experiment.mp3.reference_bitrate, seconds=experiment.mp3.seconds)
    from helmholtz.codecs.jpeg import JpegCodec

    return JpegCodec(subsampling=experiment.jpeg.subsampling, max_pixels=experiment.dataset.max_pixels)
