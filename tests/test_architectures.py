"""The networks against the paper's counts (REFERENCE: recomputed) and hand-computed work, and their seeding."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from helmholtz.errors import TrainingError
from helmholtz.training.architectures import build, multiply_accumulates

PARAMETERS = {"A": 701_386, "B": 1_079_562, "C": 1_144_138, "D": 1_276_618, "E": 1_620_298, "F": 1_686_090}

# Output pixels x kernel area x channels in x channels out, layer by layer, for 32x32x3.
STEM = 1024 * 9 * 3 * 32 + 1024 * 9 * 32 * 64 + 256 * 9 * 64 * 128
GROUP_16 = 2 * 256 * 9 * 128 * 128 + 64 * 9 * 128 * 128
GROUP_8 = 2 * 64 * 9 * 128 * 128 + 16 * 9 * 128 * 128
WORK = {
    "A": STEM + GROUP_16 + 64 * 9 * 128 * 128 + 64 * 128 * 128 + 64 * 128 * 10,
    "B": STEM + GROUP_16 + 8 * 8 * 128 * 64 + 64 * 256 + 256 * 10,
    "D": STEM + GROUP_16 + GROUP_8 + 4 * 4 * 128 * 128 + 128 * 256 + 256 * 10,
    "F": STEM + GROUP_16 + 8 * 8 * 128 * 128 + 128 * 256 + 256 * 256 + 256 * 10,
}


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_counts_are_the_papers(name: str, count: int) -> None:
    assert build("image", name, (32, 32, 3), 10).count_params() == count


AUDIO_PARAMETERS = {"A": 101_412, "B": 170_436, "C": 427_492, "D": 808_356, "E": 824_868, "F": 3_715_460}


@pytest.mark.parametrize(("name", "count"), AUDIO_PARAMETERS.items())
def test_audio_parameter_counts_are_the_references(name: str, count: int) -> None:
    model = build("audio", name, (96, 173, 1), 12)
    assert model.count_params() == count
    assert sum(np.prod(weight.shape) for weight in model.non_trainable_weights if weight.ndim == 1) - _seeds(model) == 188


def _seeds(model: object) -> int:
    """Entries of the dropout layers' seed states, which Keras counts among the weights that aren't trained."""
    return sum(int(np.prod(v.shape)) for v in model.non_trainable_variables if v.dtype == "uint32")


@pytest.mark.parametrize("name", AUDIO_PARAMETERS)
def test_the_shortest_clip_is_enough_for_every_audio_architecture(name: str) -> None:
    model = build("audio", name, (96, 1 + round(0.6 * 44_100) // 512, 1), 12)
    logits = model(np.random.default_rng(0).normal(-40, 20, (3, 96, 52, 1)).astype(np.float32))
    assert logits.shape == (3, 12)
    assert np.isfinite(logits).all()


def test_audio_layers_are_the_references() -> None:
    model = build("audio", "C", (96, 173, 1), 12)
    kinds = [type(layer).__name__ for layer in model.layers]
    loop = ["Conv2D", "MaxPooling2D", "Dropout"]
    stem = ["Conv2D", "BatchNormalization", "ReLU"]
    assert kinds == [*stem, *loop * 3, "Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.5, 0.5, 0.5, 0.6, 0.6]
    activations = [layer.activation.__name__ for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    assert activations == ["linear", "elu", "elu", "elu", "elu", "elu", "linear"]
    assert model.layers[1].axis == 1  # a mean and a variance for each frequency band
    assert model.layers[2].output.shape == (None, 94, 171, 32)


@pytest.mark.parametrize(("name", "count"), WORK.items())
def test_multiply_accumulates_by_hand(name: str, count: int) -> None:
    assert multiply_accumulates(build("image", name, (32, 32, 3), 10)) == count


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_logits_are_linear_and_float32(name: str, precision: str) -> None:
    model = build("image", name, (8, 8, 3), 3, seed=5, precision=precision)
    images = np.random.default_rng(0).random((16, 8, 8, 3), np.float32)
    logits = model(images).numpy()
    assert logits.dtype == np.float32
    assert logits.shape == (16, 3)
    *others, kernel, bias = model.get_weights()
    model.set_weights([*others, -kernel, bias])
    np.testing.assert_allclose(model(images), -logits, atol=1e-7)  # neither a ReLU nor a softmax at the end
    assert np.abs(logits).max() > 1e-4
    assert {layer.compute_dtype for layer in model.layers[:-2]} == {precision.removeprefix("mixed_")}
    assert all(weight.dtype == "float32" for weight in model.weights)


def test_precision_does_not_leak_into_other_models() -> None:
    import keras

    build("image", "A", (8, 8, 3), 2, precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"


def test_strided_convolutions_have_no_relu_and_the_others_do() -> None:
    model = build("image", "C", (32, 32, 3), 10)
    convolutions = [layer for layer in model.layers if layer.name.startswith("conv2d")]
    activations = [(layer.strides[0], layer.activation.__name__) for layer in convolutions]
    group = [(1, "relu"), (1, "relu"), (2, "linear")]
    assert activations == [*group, *group, *group, (1, "relu"), (1, "relu"), (1, "linear")]
    assert [layer.kernel_size[0] for layer in convolutions[-3:]] == [3, 1, 1]


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (build("image", "F", (16, 16, 3), 4, seed=seed).get_weights() for seed in (7, 7, 8))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        if a.ndim == 1:
            assert not a.any()  # biases are zero
        else:
            assert not np.array_equal(a, c)


def test_layers_of_equal_shape_start_differently_and_within_glorots_bound() -> None:
    kernels = [
        weight for weight in build("image", "A", (32, 32, 3), 10, seed=0).get_weights() if weight.shape == (3, 3, 128, 128)
    ]
    assert len(kernels) == 4
    assert len({kernel.tobytes() for kernel in kernels}) == 4
    bound = np.sqrt(6 / (9 * 128 + 9 * 128))
    for kernel in kernels:
        assert 0.99 * bound < np.abs(kernel).max() <= bound


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(TrainingError, match=r"'G' is not an architecture for image: use one of A, B, C, D, E, F"):
        build("image", "G", (32, 32, 3), 10)
    with pytest.raises(TrainingError, match=r"'a' is not an architecture for audio"):
        build("audio", "a", (96, 173, 1), 12)


def test_a_trial_is_importable_without_tensorflow() -> None:
    code = "import sys, helmholtz.training.trial; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
