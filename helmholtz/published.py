"""Which report a run of the pipeline has published: ``runs/<run id>.json``, for who waits for that run.

A run root has one report, of whichever run was last. This says whose it is.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from helmholtz.errors import StorageError
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model

PAGE = "report/report.html"


class Published(Model):
    """That a run has published this report."""

    format: Literal[1] = 1
    page: str  # SHA-256 (hexadecimal) of report/report.html


def _key(run_id: str) -> str:
    return f"runs/{run_id}.json"


def note_published(store: Store, run_id: str, page: bytes) -> None:
    """Notes that `page` is the report of the run `run_id`."""
    made = Published(page=hashlib.sha256(page).hexdigest())
    store.write_bytes(_key(run_id), made.model_dump_json().encode())


def read_published(store: Store, run_id: str) -> bytes:
    """The report (HTML) of the run `run_id`. Raises StorageError if it has published none, or another run has since."""
    key = _key(run_id)
    if not store.exists(key):
        raise StorageError(f"{store.uri}: run {run_id} has published no report; what lies there is of an earlier run, if any")
    page = store.read_bytes(PAGE)
    if hashlib.sha256(page).hexdigest() != read_model(store, key, Published).page:
        raise StorageError(f"{store.uri}: another run has published there since run {run_id}; give each its own root")
    return page
