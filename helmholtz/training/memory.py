"""What a batch takes in memory, and what is said where there isn't as much."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from helmholtz.errors import TrainingError
from helmholtz.training.data import available_memory


def record_bytes(model: Any) -> int:
    """Bytes of all layers' outputs for one record: what the backward pass needs kept of the forward one, at least."""
    sizes = (
        math.prod(layer.output.shape[1:]) * tf.as_dtype(layer.compute_dtype).size
        for layer in model.layers
        if layer.output.shape[0] is None
    )
    return sum(sizes)


@contextlib.contextmanager
def enough_memory(model: Any, batch_size: int, what: str) -> Iterator[None]:
    """Around training `what` in batches of `batch_size`. Raises TrainingError, with a size that fits, where none is left.

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


def _short(what: str, batch_size: int, fits: int, takes: str) -> TrainingError:
    advice = (
        f"set training.batch_size to {fits} or less (memory goes with it), or lower training.input_size"
        if fits
        else "not even one record fits: lower training.input_size, or take a machine with more memory"
    )
    return TrainingError(f"{what}: a batch of {batch_size} takes {takes}; {advice}")
