"""Codecs: JPEG for images. A further one is a class with the methods of `helmholtz.codecs.base.Codec`, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helmholtz.codecs.base import Codec

if TYPE_CHECKING:
    from helmholtz.experiment import Experiment


def open_codec(experiment: Experiment) -> Codec:
    """The codec that the experiment names, with its settings."""
    from helmholtz.codecs.jpeg import JpegCodec

    return JpegCodec(subsampling=experiment.jpeg.subsampling, max_pixels=experiment.dataset.max_pixels)
