"""The rest of a run root: what was published is still as it was, and its small documents are what they are named."""

from __future__ import annotations

import hashlib
import re

from pydantic import Field

from helmholtz.attempts import Start
from helmholtz.lease import Lease
from helmholtz.published import Published
from helmholtz.report.publish import MARK
from helmholtz.report.stored_report import KEY
from helmholtz.storage import Store
from helmholtz.stored import Model, read_model
from helmholtz.verify.findings import Findings

KINDS: dict[str, type[Model]] = {
    r"lease/\d{6}\.json": Lease,
    r"attempts/.+\.json": Start,
    r"runs/[^/]+\.json": Published,
}


class _Mark(Model):
    """`MARK`, empty while a publication is under way."""

    analysis: str | None = None
    files: dict[str, str] = Field(default_factory=dict)


def check_documents(store: Store, keys: list[str], found: Findings) -> None:
    """Checks what was published against its mark, and reads every lease, attempt and note of a run."""
    for key in keys:
        kind = next((kind for pattern, kind in KINDS.items() if re.fullmatch(pattern, key)), None)
        if kind is not None:
            with found.catching():
                read_model(store, key, kind)
    if MARK in keys:
        with found.catching():
            _check_published(store, keys, read_model(store, MARK, _Mark), found)


def _check_published(store: Store, keys: list[str], mark: _Mark, found: Findings) -> None:
    fix = f"publish it again: helmholtz report {store.uri}"
    if mark.files and KEY not in keys:
        found.add(KEY, "gone, though its page was published", fix)
    for key, digest in mark.files.items():
        if key not in keys:
            found.add(key, "gone, though it was published", fix)
            continue
        with found.catching():
            if hashlib.sha256(store.read_bytes(key)).hexdigest() != digest:
                found.add(key, "isn't what was published", fix)
