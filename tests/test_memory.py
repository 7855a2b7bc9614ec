"""Memory that doesn't suffice is a sentence with a batch size that does."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from helmholtz.errors import TrainingError
from helmholtz.training import memory
from helmholtz.training.architectures import build
from helmholtz.training.memory import enough_memory, record_bytes


def test_a_record_takes_the_outputs_of_all_layers() -> None:
    """Counted from what the layers really give for a record."""
    model = build("image", "A", (16, 16, 3), 3)
    taken, values = 0, tf.zeros((1, 16, 16, 3))
    for layer in model.layers:
        values = layer(values, training=False) if layer.__class__.__name__ != "InputLayer" else values
        taken += values.numpy().nbytes
    assert record_bytes(model) == taken


def test_half_the_precision_is_half_the_memory() -> None:
    full, half = (build("image", "A", (16, 16, 3), 3, precision=precision) for precision in ("float32", "mixed_bfloat16"))
    assert 0.45 < record_bytes(half) / record_bytes(full) < 0.75  # the logits stay as they are


def test_a_batch_that_cannot_fit_is_refused_before_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("image", "A", (16, 16, 3), 3)
    each = record_bytes(model)
    monkeypatch.setattr(memory, "available_memory", lambda: 20 * each + 5)
    with enough_memory(model, 20, "x"):
        pass
    with (
        pytest.raises(
            TrainingError, match=r"x: a batch of 21 takes [\d,]+ bytes, and [\d,]+ are free; set training.batch_size to 20"
        ),
        enough_memory(model, 21, "x"),
    ):
        pytest.fail("it was tried")  # fmt: skip
    monkeypatch.setattr(memory, "available_memory", lambda: each - 1)
    with pytest.raises(TrainingError, match="not even one record fits"), enough_memory(model, 1, "x"):
        pytest.fail("it was tried")


def test_what_the_device_refuses_is_told() -> None:
    """A petabyte, which TensorFlow's allocator refuses here as a GPU's does what it hasn't."""
    model = build("image", "A", (8, 8, 3), 3)
    told = r"a batch of 64 takes more than there is \(.*OOM.*set training.batch_size to 32"
    with pytest.raises(TrainingError, match=told), enough_memory(model, 64, "x"):
        tf.zeros((1 << 20, 1 << 28))
    with pytest.raises(TrainingError, match="more than there is"), enough_memory(model, 64, "x"):
        np.zeros(1 << 50, np.uint8)


def test_other_errors_stay_what_they_are() -> None:
    model = build("image", "A", (8, 8, 3), 3)
    with pytest.raises(ZeroDivisionError), enough_memory(model, 64, "x"):
        raise ZeroDivisionError
