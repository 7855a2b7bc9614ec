"""What a batch takes in memory, and what is said where there isn't as much."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from helmholtz.errors import TrainingError
from helmholtz.training.data import available_memory

MOST_SEATS = 8  # networks side by side: XLA takes longer with each to compile their step
_WORKING = 4  # outputs of the forward pass, their gradients, and what convolutions need besides


class TooLittleMemoryError(TrainingError):
    """A batch takes more memory than there is."""


def record_bytes(model: Any) -> int:
    """Bytes of all layers' outputs for one record: what the backward pass needs kept of the forward one, at least."""
    sizes = (
        math.prod(layer.output.shape[1:]) * tf.as_dtype(layer.compute_dtype).size
        for layer in model.layers
        if layer.output.shape[0] is None
    )
    return sum(sizes)


def gpu_memory() -> int | None:
    """Bytes of the first GPU that TensorFlow may still take; None if there is none."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    from tensorflow.python.client import device_lib  # the one place that tells TensorFlow's share of the memory

    limits = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    return int(limits[0] - tf.config.experimental.get_memory_info("GPU:0")["current"])


def seats(model: Any, batch_size: int, free: int) -> int:
    """How many networks like `model` can be trained side by side in `free` bytes: at least 1, at most `MOST_SEATS`.

    An estimate, with room left: `_WORKING` times the layers' outputs, and four times the weights (gradients, two of an
    optimiser).
    """
    each = _WORKING * record_bytes(model) * batch_size + 4 * sum(4 * math.prod(variable.shape) for variable in model.variables)
    return int(max(1, min(MOST_SEATS, free // each)))


@contextlib.contextmanager
def enough_memory(model: Any, batch_size: int, what: str) -> Iterator[None]:
    """Around training `what` in batches of `batch_size`. Raises TooLittleMemoryError, with a size that fits.

    Before it begins if a batch takes more than a CPU's whole free memory, for the kernel would kill the process without a
    word; a GPU says by itself when it has none left.
    """
    each = record_bytes(model)
    free = None if tf.config.list_physical_devices("GPU") else available_memory()
    if free is not None and each * batch_size > free:
        raise _short(what, batch_size, free // each, f"{each * batch_size:,} bytes, and {free:,} are free")
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        detail = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise _short(what, batch_size, batch_size // 2, f"more than there is ({detail})") from error


def _short(what: str, batch_size: int, fits: int, takes: str) -> TooLittleMemoryError:
    advice = (
        f"set training.batch_size to {fits} or less (memory goes with it), or lower training.input_size"
        if fits
        else "not even one record fits: lower training.input_size, or take a machine with more memory"
    )
    return TooLittleMemoryError(f"{what}: a batch of {batch_size} takes {takes}; {advice}")
