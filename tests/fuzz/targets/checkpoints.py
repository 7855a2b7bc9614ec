"""A trial's checkpoint: damaged ones aren't used, and what is used is what was written. Nothing of it is an error."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from helmholtz.storage import open_store
from helmholtz.training.checkpoint import Checkpoints, State
from helmholtz.trials import Trial, trials
from tests import synthetic_run
from tests.fuzz.engine import empty_folder
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.target import Refused, Target
from tests.fuzz.trees import mutate_json

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7), np.zeros((0, 4), np.float32)]
MADE_BY = {"numpy": "2.4.6"}


def trial() -> Trial:
    run = synthetic_run.experiment(levels=["none", 10], seeds=1)
    return trials(run, synthetic_run.DATASET, "jpeg-420")[0]


def corpus() -> list[bytes]:
    made = []
    with empty_folder() as folder:
        store = open_store(str(folder))
        for epoch in (1, 2):
            state = State(epoch=epoch, points=((0.5, 0.5, 0.5, 0.5),) * epoch, best_epoch=1, best_accuracy=0.5, seconds=2.0)
            Checkpoints(store, trial(), MADE_BY).write(state, ARRAYS)
            made.append(next(folder.glob("trials/*/checkpoint")).read_bytes())
    return made


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    _, _, content = data.partition(b"\n")
    content = _with_another_header(random, content) or mutate_bytes(random, content, corpus)
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content if random.random() < 0.9 else content


def _with_another_header(random: Random, content: bytes) -> bytes | None:
    """The same arrays beside a mutated header; None now and then, and where `content` is no checkpoint."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = mutate_json(random, arrays["header"].tobytes(), [b"{}"])
    except Exception:
        return None
    written = io.BytesIO()
    np.savez(written, allow_pickle=False, **arrays | {"header": np.frombuffer(header, np.uint8)})
    return written.getvalue() if random.random() < 0.6 else None


def check(data: bytes, folder: Path) -> str:
    logging.getLogger("helmholtz.training.checkpoint").disabled = True
    its = trial()
    path = folder / "trials" / its.id / "checkpoint"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    found = Checkpoints(open_store(str(folder)), its, MADE_BY).read(ARRAYS)
    if found is None:
        raise Refused("not used")
    state, arrays = found
    assert len(state.points) == state.epoch, "not as many points as epochs"
    assert np.isfinite(state.points).all(), "a loss that is no number"
    assert np.isfinite([state.best_accuracy, state.seconds]).all(), "a number that is none"
    assert state.epoch >= 0, "fewer than no epochs"
    assert state.best_epoch is None or 1 <= state.best_epoch <= state.epoch, "the best epoch isn't one of the epochs"
    assert [(a.shape, a.dtype) for a in arrays] == [(a.shape, a.dtype) for a in ARRAYS], "arrays of another shape"
    return "used"


TARGET = Target(corpus, check, mutate, speed=2)
