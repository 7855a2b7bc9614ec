"""The claim on an export's destination: written before all else, by one exporter alone, so that two never mix their shards.

``export.json`` says by its content, not by where that came from, which level the place is for: so a stopped export goes on
however its folders are spelled, and when the report was made again. It also lists the documents that were written here, so
that those the user has changed since are told from ours.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import ValidationError

from helmholtz.errors import StorageError
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest
from helmholtz.storage import Store
from helmholtz.stored import Model

CLAIM = "export.json"
_MAX_BYTES = 1 << 20  # a larger file is no claim, and isn't read


class Claim(Model):
    """What a destination is for, and what was written there beside the shards."""

    format: Literal[1] = 1
    dataset: str  # fingerprint
    codec: str  # identity
    level: Level
    shards: str  # SHA-256 of their names, sizes and SHA-256
    written: tuple[str, ...]  # SHA-256 of every document that was ever written here, or was about to be

    def is_for(self, other: Claim) -> bool:
        """Whether both are of the same shards."""
        return self.model_copy(update={"written": other.written}) == other


def claim_of(manifest: LevelManifest) -> Claim:
    """The claim of an export of that level, which has written nothing yet."""
    shards = sorted((entry.name, entry.nbytes, entry.sha256) for entry in manifest.shards())
    return Claim(
        dataset=manifest.dataset,
        codec=manifest.codec,
        level=manifest.level,
        shards=hashlib.sha256(json.dumps(shards).encode()).hexdigest(),
        written=(),
    )


def take(to: Store, claim: Claim) -> Claim:
    """Claims `to`, or finds it claimed by an export of the same shards. Returns the claim that stands there.

    Raises StorageError if it is another's. Whether it was empty before is the caller's to know.
    """
    return claim if to.create(CLAIM, _content(claim)) else check(to, claim)


def check(to: Store, claim: Claim) -> Claim:
    """The claim that stands at `to`. Raises StorageError if it isn't of the same shards as `claim`."""
    where = f"{to.uri}/{CLAIM}"
    size = to.size(CLAIM)
    try:
        found = Claim.model_validate_json(to.read_bytes(CLAIM)) if size is not None and size <= _MAX_BYTES else None
    except ValidationError:
        found = None
    if found is None:
        raise StorageError(f"{where}: gone, damaged or of something else; choose an empty place")
    if (found.dataset, found.codec, found.level) != (claim.dataset, claim.codec, claim.level):
        what = f"level {found.level} of data set {found.dataset} ({found.codec})"
        raise StorageError(f"{to.uri}: another data set or level lies here already, {what}; choose an empty place")
    if not found.is_for(claim):
        raise StorageError(f"{to.uri}: other shards of this level lie here already; choose an empty place")
    return found


def note(to: Store, claim: Claim, documents: tuple[bytes, ...]) -> None:
    """Adds `documents` to those that were written at `to`, before they are."""
    written = tuple(sorted({*claim.written, *(hashlib.sha256(content).hexdigest() for content in documents)}))
    if written != claim.written:
        to.write_bytes(CLAIM, _content(claim.model_copy(update={"written": written})))


def is_edited(to: Store, claim: Claim, name: str) -> bool:
    """Whether the document `name` lies at `to` otherwise than it was ever written."""
    if not to.exists(name):
        return False
    with to.scratch() as folder:
        to.download(name, folder / "document")
        with (folder / "document").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() not in claim.written


def _content(claim: Claim) -> bytes:
    return (claim.model_dump_json(indent=1) + "\n").encode()
