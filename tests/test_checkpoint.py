"""Checkpoints: a trial that is stopped anywhere goes on as if it hadn't been; one that can't be trusted is not used."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import tensorflow as tf

from helmholtz.errors import StorageError
from helmholtz.experiment import Training
from helmholtz.results import TrialResult, checkpoint_key
from helmholtz.storage import MAX_BYTES, LocalStore, read_bounded
from helmholtz.training import checkpoint
from helmholtz.training.architectures import build
from helmholtz.training.checkpoint import Checkpoints, State
from helmholtz.training.fit import EpochMetrics, Fit, FitResult
from helmholtz.training.trial import run_cell
from helmholtz.training.trial_log import event_key
from helmholtz.trials import Trial
from tests.tiny_training import CLASSES, SIDE, TINY, alone, experiment, make_level

LONG = TINY.model_copy(update={"epochs": 5})
MADE_BY = {"tensorflow": tf.__version__, "device": "CPU"}


@pytest.fixture(autouse=True, scope="module")
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


class Stop(Exception):  # noqa: N818  # no error
    """Stands for a kill."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path))


def of(store: LocalStore, training: Training = LONG, made_by: dict[str, str] = MADE_BY, seed: int = 0) -> Checkpoints:
    return Checkpoints(store, Trial("d", "jpeg-420", 25, "A", seed, training), made_by, seconds=0)


def run(
    training: Training = LONG, checkpoints: Checkpoints | None = None, stop_at: int = 0, seed: int = 0
) -> tuple[FitResult, list[np.ndarray], list[int]]:
    """The fit, its weights, and the epochs of which it told; stopped at the end of one, before that one is kept."""
    model = build("image", "A", (SIDE, SIDE, 3), CLASSES, seed=seed, precision=training.precision)
    told: list[int] = []

    def on_epoch(epoch: int, _: EpochMetrics) -> None:
        told.append(epoch)
        if epoch == stop_at:
            raise Stop

    result = alone(model, training, Fit(seed, on_epoch, checkpoints))
    return result, model.get_weights(), told


def same(one: tuple[FitResult, list[np.ndarray], list[int]], other: tuple[FitResult, list[np.ndarray], list[int]]) -> bool:
    (a, weights, told), (b, others, told_again) = one, other
    assert a.curves == b.curves
    assert (a.best_epoch, a.validation_accuracy, a.test_loss) == (b.best_epoch, b.validation_accuracy, b.test_loss)
    assert told == told_again
    return np.array_equal(a.test_right, b.test_right) and all(map(np.array_equal, weights, others))


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adadelta", "learning_rate": 1.0, "precision": "mixed_bfloat16"}],
    ids=["sgd", "adadelta and bfloat16"],
)
def test_a_trial_that_was_stopped_is_the_same_to_the_bit(store: LocalStore, changes: dict[str, object]) -> None:
    """Weights, dropout's random numbers, momentum, decay, order of the data, best epoch: all of them go on."""
    training = LONG.model_copy(update=changes)
    for epoch in (3, 5):
        with pytest.raises(Stop):
            run(training, of(store, training), stop_at=epoch)
    assert store.exists(checkpoint_key(of(store, training).trial.id))
    assert same(run(training, of(store, training)), run(training))


def test_time_adds_up(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 10_000, 10))
    monkeypatch.setattr("helmholtz.training.loop.time.perf_counter", lambda: float(next(times)))
    with pytest.raises(Stop):
        run(checkpoints=of(store), stop_at=4)
    assert run(checkpoints=of(store))[0].train_seconds == 5 * 10


def test_before_its_time_none_is_written(store: LocalStore) -> None:
    checkpoints = of(store)
    checkpoints.seconds = checkpoint.SECONDS
    run(checkpoints=checkpoints)
    assert not list(store.list("trials"))


def _rewritten(data: bytes, change: Callable[[dict[str, np.ndarray]], None]) -> bytes:
    arrays = dict(np.load(io.BytesIO(data.partition(b"\n")[2])))
    change(arrays)
    content = io.BytesIO()
    np.savez(content, **arrays)
    return hashlib.sha256(content.getvalue()).hexdigest().encode() + b"\n" + content.getvalue()


def _header(data: bytes, **changes: object) -> bytes:
    def change(arrays: dict[str, np.ndarray]) -> None:
        header = json.loads(arrays["header"].tobytes()) | changes
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    return _rewritten(data, change)


def _pickled(data: bytes) -> bytes:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return (pytest.fail, ("something was unpickled",))

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["array00000"] = np.array([Evil()], dtype=object)

    return _rewritten(data, change)


def _bomb(data: bytes) -> bytes:
    """A header of 256 megabytes of zeros, in a quarter of one."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file, file.open("header.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False, "shape": (1 << 28,)})
        for _ in range(1 << 8):
            member.write(bytes(1 << 20))
    return hashlib.sha256(content.getvalue()).hexdigest().encode() + b"\n" + content.getvalue()


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a flipped byte": (lambda data: data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:], "damaged"),
    "cut off": (lambda data: data[: len(data) // 2], "damaged"),
    "empty": (lambda data: b"", "damaged"),
    "huge": (lambda data: data + bytes(1 << 26), "more than this network can take"),
    "a pickle": (_pickled, "pickle"),
    "a bomb": (_bomb, "holds more than it does"),
    "of another trial": (lambda data: _header(data, trial="0" * 64), "another trial's"),
    "of another version": (lambda data: _header(data, made_by={"tensorflow": "1.0", "device": "CPU"}), "round differently"),
    "of another format": (lambda data: _header(data, format=2), "format"),
    "of another network": (
        lambda data: _rewritten(data, lambda arrays: arrays.update(array00000=np.zeros(3))), "where the network has",
    ),
    "with an array too few": (lambda data: _rewritten(data, lambda arrays: arrays.pop("array00001")), "array00001"),
    "points that are missing": (
        lambda data: _header(data, state={"epoch": 3, "points": [], "best_epoch": 1, "best_accuracy": 0.5, "seconds": 1}),
        "as many points",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT.keys())
def test_one_that_cannot_be_trusted_is_told_and_not_used(
    store: LocalStore, caplog: pytest.LogCaptureFixture, spoil: Callable[[bytes], bytes], says: str
) -> None:
    like = [np.zeros((2, 3), np.float32), np.arange(4_000, dtype=np.int64)]
    checkpoints = of(store)
    point = (0.1, 0.2, 0.3, 0.4)
    state = checkpoint.State(epoch=3, points=(point,) * 3, best_epoch=2, best_accuracy=0.4, seconds=1.5)
    checkpoints.write(state, like)
    found = checkpoints.read(like)
    assert found is not None
    assert found[0] == state
    assert all(map(np.array_equal, found[1], like))
    key = checkpoint_key(checkpoints.trial.id)
    store.write_bytes(key, spoil(store.read_bytes(key)))
    with caplog.at_level(logging.WARNING):
        assert checkpoints.read(like) is None
    assert says in caplog.text
    assert "begins anew" in caplog.text


def test_a_store_that_takes_none_stops_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StorageError("no space left on device")

    monkeypatch.setattr(LocalStore, "write_bytes", full)
    assert same(run(checkpoints=of(store)), run())
    assert "no space left" in caplog.text


# A cell


def _cell(store: LocalStore, stop_at: int = 0) -> list[TrialResult]:
    def on_progress(trial: str, epoch: int, _: int) -> None:
        if "-1-" in trial and epoch == stop_at:
            raise Stop

    return run_cell(store, experiment(epochs=4), "d", "A", "none", on_progress=on_progress)


def _steps(events: Path) -> list[tuple[int, str]]:
    read = tf.compat.v1.train.summary_iterator(str(events))
    return [(event.step, value.tag) for event in read for value in event.summary.value]


def test_a_cell_that_was_stopped_leaves_what_an_undisturbed_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(Checkpoints, "due", True)
    stopped, undisturbed = LocalStore(str(tmp_path / "one")), LocalStore(str(tmp_path / "other"))
    for store in (stopped, undisturbed):
        make_level(store, "none", 30)
    for epoch in (2, 4):
        with pytest.raises(Stop):
            _cell(stopped, stop_at=epoch)
    timed = ("train_seconds", "records_per_second")
    results = [[result.model_dump(exclude=set(timed)) for result in _cell(store)] for store in (stopped, undisturbed)]
    assert results[0] == results[1]
    assert not [key for key in stopped.list("trials") if key.endswith("checkpoint")]
    for result in results[0]:
        steps = [_steps(Path(store.uri, event_key(result["trial"]))) for store in (stopped, undisturbed)]
        assert steps[0] == steps[1]


def test_what_was_pickled_is_refused_by_numpy_itself() -> None:
    """The guard of the test above: the same bytes do run code where pickles are allowed."""
    content = io.BytesIO()
    np.save(content, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert pickle.PROTO in content.getvalue()
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(io.BytesIO(content.getvalue()), allow_pickle=False)


def test_a_network_larger_than_what_is_read_at_once_has_checkpoints_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F at 224x224 takes 600 MB, more than any document may: its checkpoints were written, and never read."""
    monkeypatch.setattr("helmholtz.storage.read_bounded", partial(_bounded, read_bounded))
    arrays = [np.arange(50_000, dtype=np.float32)]
    state = State(epoch=1, points=((0.5, 0.5, 0.5, 0.5),), best_epoch=1, best_accuracy=0.5, seconds=1.0)
    checkpoints = Checkpoints(LocalStore(str(tmp_path)), Trial("d", "jpeg-420", 25, "A", 0, LONG), {}, seconds=0)
    checkpoints.write(state, arrays)
    found = checkpoints.read(arrays)
    assert found is not None
    assert np.array_equal(found[1][0], arrays[0])


def _bounded(real: Callable[..., bytes], file: BinaryIO, where: str, most: int = 0) -> bytes:
    """As `read_bounded` where nothing larger than 100 kB is a document."""
    return real(file, where, 100_000 if most == MAX_BYTES else most)
