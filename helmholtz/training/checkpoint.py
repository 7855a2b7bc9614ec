"""Checkpoints of a trial: all that its further epochs depend on, so that one that was stopped goes on as if it hadn't been.

``trials/<trial id>/checkpoint`` below the run root, written at an epoch's end, at most every `SECONDS`; gone when the result
is written. The file is a line with the SHA-256 of the rest, then NumPy's npz: ``header`` (JSON, as bytes) and the arrays, in
order. Nothing in it is ever unpickled, and its size and every shape is checked against the network before use.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from helmholtz.errors import StorageError
from helmholtz.results import checkpoint_key
from helmholtz.stored import Model, parse_model
from helmholtz.trials import Trial

if TYPE_CHECKING:
    from helmholtz.storage import Store

SECONDS = 300.0  # what a stop costs at most, beside the epoch under way
HEADER_BYTES = 1 << 24  # bound of the JSON and of what npz adds: thousands of epochs take a tenth of it

Arrays = Sequence[NDArray[Any]]

_log = logging.getLogger(__name__)


class State(Model):
    """Where a fit is, beside the arrays."""

    epoch: int  # finished epochs
    points: tuple[tuple[float, float, float, float], ...]  # of every epoch: as `loop.EpochMetrics`
    best_epoch: int | None
    best_accuracy: float
    seconds: float  # of training so far


class _Header(Model):
    format: Literal[1] = 1
    trial: str  # fingerprint
    made_by: dict[str, str]  # versions and device: others may round differently
    state: State


@dataclass
class Checkpoints:
    """Those of one trial. `made_by` is what the numbers depend on beside the trial itself: versions and device."""

    store: Store
    trial: Trial
    made_by: Mapping[str, str]
    seconds: float = SECONDS
    _last: float | None = None

    @property
    def due(self) -> bool:
        """Whether it is time for another."""
        now = time.monotonic()
        if self._last is None:
            self._last = now
        return now - self._last >= self.seconds

    def write(self, state: State, arrays: Arrays) -> None:
        """Replaces the checkpoint. A failure is logged: the trial itself is still well."""
        header = _Header(trial=self.trial.fingerprint, made_by=dict(self.made_by), state=state)
        content = io.BytesIO()
        named = {f"array{number:05}": array for number, array in enumerate(arrays)}
        np.savez(content, allow_pickle=False, header=np.frombuffer(header.model_dump_json().encode(), np.uint8), **named)
        data = content.getvalue()
        try:
            self.store.write_bytes(self._key, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        except StorageError as error:
            _log.warning("no checkpoint written: %s", error)
        self._last = time.monotonic()

    def read(self, like: Arrays) -> tuple[State, list[NDArray[Any]]] | None:
        """The state and arrays of the last one, if there is one of this trial, made by the same, with arrays `like` these.

        One that is damaged, or of another make, is told in the log and not used; the next one replaces it.
        """
        self._last = time.monotonic()
        try:
            nbytes = self.store.size(self._key)
            if nbytes is None:
                return None
            most = sum(array.nbytes for array in like) + HEADER_BYTES
            if nbytes > most:
                raise ValueError(f"{nbytes:,} bytes, more than this network can take")
            found = _parse(self.store.read_bytes(self._key, most), self.trial.fingerprint, self.made_by, like)
        except (StorageError, ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            reason = str(error).partition("\n")[0] or "it ends early"
            _log.warning("%s: its checkpoint isn't used, and it begins anew: %s", self.trial.id, reason)
            return None
        _log.info("%s: goes on after epoch %d", self.trial.id, found[0].epoch)
        return found

    def remove(self) -> None:
        """Removes it, if there is one: the result is there."""
        try:
            self.store.remove(self._key)
        except StorageError as error:
            _log.warning("the checkpoint stays behind: %s", error)

    @property
    def _key(self) -> str:
        return checkpoint_key(self.trial.id)


def _parse(data: bytes, trial: str, made_by: Mapping[str, str], like: Arrays) -> tuple[State, list[NDArray[Any]]]:
    digest, _, content = data.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError("it is damaged (SHA-256)")
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        if sum(member.file_size for member in members.infolist()) > len(content):
            raise ValueError("it says that it holds more than it does")  # NumPy stores arrays as they are, uncompressed
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        header = parse_model(file["header"].tobytes(), "its header", _Header)
        if header.trial != trial:
            raise ValueError("it is another trial's")
        if header.made_by != dict(made_by):
            others = {name: of for name, of in header.made_by.items() if made_by.get(name) != of}
            raise ValueError(f"it was made by {json.dumps(others)}, which may round differently")
        arrays = [file[f"array{number:05}"] for number in range(len(like))]
    for array, model in zip(arrays, like, strict=True):
        if (array.shape, array.dtype) != (model.shape, model.dtype):
            raise ValueError(f"an array of {array.dtype} {array.shape} where the network has {model.dtype} {model.shape}")
    if len(header.state.points) != header.state.epoch:
        raise ValueError("it has not as many points as epochs")
    if header.state.best_epoch is not None and not 1 <= header.state.best_epoch <= header.state.epoch:
        raise ValueError("its best epoch is none of its epochs")
    return header.state, arrays
