"""Images as networks get them: decoded by the codec, resized to one square size, augmented in the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from helmholtz.plain_images import unfilled

if TYPE_CHECKING:
    from helmholtz.codecs.base import Codec

SHIFT = 0.1  # largest shift, as a share of the image's side


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """uint8 [side, side, 3] in memory; 0..1 for the network."""

    codec: Codec
    side: int  # pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(side, side, 3)."""
        return self.side, self.side, 3

    @property
    def dtype(self) -> Any:
        """uint8."""
        return tf.uint8

    def samples(self, count: int) -> Any:
        """uint8 [count, side, side, 3]."""
        return unfilled(count, *self.shape)

    def decode(self, payload: bytes, into: Any) -> None:
        """uint8 [side, side, 3]; an image of another size is resized."""
        image = self.codec.decode(payload, into)
        if image is not into:
            into[:] = image if image.shape == self.shape else resized(image, self.side)

    def features(self, samples: Any) -> Any:
        """The pixels themselves."""
        return samples

    def augment(self, records: Any, seed: Any) -> Any:
        """Shifts and mirror images, see `augment`."""
        return augment(records, seed)

    def scaled(self, records: Any) -> Any:
        """Pixels / 255, as in the reference."""
        return tf.cast(records, tf.float32) / 255


@tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int32)])  # type: ignore[untyped-decorator]  # no types
def resized(image: Any, side: Any) -> Any:
    """uint8 [side, side, 3]: bilinear, antialiased."""
    return tf.saturate_cast(tf.round(tf.image.resize(image, [side, side], antialias=True)), tf.uint8)


def augment(images: Any, seed: Any) -> Any:
    """`images` [n, side, side, channels], each shifted along both axes and, with probability 1/2, mirrored left to right.

    Shifts are uniform in +-10% of the side, rounded to whole pixels; edges are replicated. That is Keras's
    ImageDataGenerator (shift range 0.1, fill mode "nearest") with nearest-neighbour resampling; later versions of it
    interpolate linearly, which blurs, and blur is what this method measures. `seed` (int32 [2]) alone decides.
    """
    count, side = tf.shape(images)[0], images.shape[1]
    draws = tf.random.stateless_uniform([3, count], seed, alg="philox")
    shifts = tf.cast(tf.round((2 * draws[:2] - 1) * SHIFT * side), tf.int32)
    pixels = tf.range(side)[tf.newaxis]
    rows = tf.clip_by_value(pixels + shifts[0][:, tf.newaxis], 0, side - 1)
    columns = tf.clip_by_value(pixels + shifts[1][:, tf.newaxis], 0, side - 1)
    columns = tf.where(draws[2][:, tf.newaxis] < 0.5, side - 1 - columns, columns)
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
