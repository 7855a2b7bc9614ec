"""A level's shards, copied out of a run root as a data set of its own: verified, described, and with a reader.

``DEST`` then holds the shards, ``export.json`` (written first: which level the place is for), ``read.py`` (plain tf.data),
``report.html``, ``README.md`` (a card) and, written last, ``manifest.json``: where that stands, the data set is whole. An
export that was stopped goes on when it is repeated; what is there and right is kept. Nothing that isn't of this export is ever
overwritten, nor a document of it that the user has changed since.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from helmholtz.analysis.summary import Report
from helmholtz.dataset import read_index
from helmholtz.errors import StorageError
from helmholtz.export_claim import CLAIM, Claim, check, claim_of, is_edited, note, take
from helmholtz.levels import Level
from helmholtz.manifest import LevelManifest, ShardEntry, level_folder, read_manifest
from helmholtz.report.card import card
from helmholtz.report.reader import reader
from helmholtz.report.stored_report import KEY, check_level, read_report
from helmholtz.shards import check_shard, fetch_shard
from helmholtz.sources.base import Split
from helmholtz.stages import latest_plan
from helmholtz.storage import Store, is_remote

MANIFEST = "manifest.json"
PAGE = "report.html"
_PASSING = (".tmp/", "__pycache__/")  # on its way, or of Python, for which read.py is a module
_COPIES = 8  # at once
_NAMED = 3  # files named in an error

OnCopied = Callable[[int, int], None]
"""Called with the bytes of shards that are done, and those of all."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has left at its destination."""

    uri: str
    level: Level
    label: str  # the level for people
    records: dict[Split, int]
    shards: int
    nbytes: int  # of the shards
    kept: int  # shards that were there before
    edited: tuple[str, ...]  # documents that were changed since they were written, and so are left as they are


def export(root: Store, to: Store, level: Level | None = None, *, on_copied: OnCopied | None = None) -> Exported:
    """Copies the shards of `level` (None: the one the report recommends) from the run root `root` to `to`.

    Raises StorageError where there is no report or no such level, or `to` can't take it, and ShardError, naming the shard,
    where one isn't what the manifest says.
    """
    report = _report(root)
    manifest = _manifest(root, report, report.recommendation.level if level is None else level)
    _check_apart(root, to)
    documents = _documents(root, to, report, manifest)
    claim = _claim(to, manifest)
    kept = _copy_shards(root, to, manifest, on_copied or (lambda *_: None))
    _check_still_ours(to, claim, manifest)
    edited = _write_documents(to, claim, documents)
    if not is_remote(to.uri):
        with contextlib.suppress(OSError):
            Path(to.uri, ".tmp").rmdir()  # where files were on their way
    shards = list(manifest.shards())
    return Exported(
        uri=to.uri,
        level=manifest.level,
        label=next(each.label for each in report.levels if each.level == manifest.level),
        records={name: split.records for name, split in manifest.splits.items()},
        shards=len(shards),
        nbytes=sum(entry.nbytes for entry in shards),
        kept=kept,
        edited=edited,
    )


def _report(root: Store) -> Report:
    planned = latest_plan(root)
    again = f"let the run finish, or make one by `helmholtz report {shlex.quote(root.uri)}`"
    if not root.exists(KEY):
        raise StorageError(f"{root.uri}: no report yet, and so no recommended level; {again}")
    report = read_report(root)
    if report.dataset != planned.dataset:
        raise StorageError(f"{root.uri}: its report is of an earlier data set ({report.dataset}); {again}")
    return report


def _manifest(root: Store, report: Report, level: Level | None) -> LevelManifest:
    written = [str(each.level) for each in report.levels if each.payload_bytes is not None]
    choice = f"its levels are {', '.join(written)}" if written else "no level is written yet"
    if level is None:
        why = report.recommendation.sentence
        raise StorageError(f"{root.uri}: no level is recommended; choose one by --level ({choice}). {why}")
    if str(level) not in written:
        raise StorageError(f"{root.uri}: no level {level} here; {choice}")
    manifest = read_manifest(root, report.dataset, report.codec.identity, level)
    check_level(report, manifest, f"{root.uri}/{KEY}")
    return manifest


def _documents(root: Store, to: Store, report: Report, manifest: LevelManifest) -> dict[str, bytes]:
    """What lies beside the shards, by name, in the order it is written: the manifest last."""
    level = next(level for level in report.levels if level.level == manifest.level)
    there = root.exists(f"report/{PAGE}")
    source = read_index(root, report.dataset).description
    command = f"helmholtz export {shlex.quote(root.uri)} {shlex.quote(to.uri)} --level {level.level}"
    return {
        **({PAGE: root.read_bytes(f"report/{PAGE}")} if there else {}),
        "read.py": reader(report, level, to.uri if is_remote(to.uri) else None).encode(),
        # A folder's name may hold bytes that are no UTF-8.
        "README.md": card(report, manifest, source=source, command=command, page=there).encode(errors="backslashreplace"),
        MANIFEST: root.read_bytes(f"{_folder(manifest)}/{MANIFEST}"),
    }


def _check_apart(root: Store, to: Store) -> None:
    """Raises StorageError if one place lies inside the other."""
    one, other = ((uri.split("/") if is_remote(uri) else Path(uri).resolve().parts) for uri in (root.uri, to.uri))
    if all(a == b for a, b in zip(one, other, strict=False)):
        raise StorageError(f"{to.uri}: it and the run root {root.uri} lie inside one another; choose a place of its own")


def _claim(to: Store, manifest: LevelManifest) -> Claim:
    """Claims `to` for this export, or finds that it has. Raises StorageError if `to` holds anything else."""
    claim = claim_of(manifest)
    there = {key for key in to.list("") if not key.startswith(_PASSING)}
    if CLAIM in there:
        claim = check(to, claim)
        there -= {CLAIM, MANIFEST, PAGE, "read.py", "README.md", *(entry.name for entry in manifest.shards())}
    if there:
        strange = sorted(there)
        more = f" and {len(strange) - _NAMED} more" if len(strange) > _NAMED else ""
        raise StorageError(f"{to.uri}: not empty, it holds {', '.join(strange[:_NAMED])}{more}; choose an empty place")
    return take(to, claim)


def _check_still_ours(to: Store, claim: Claim, manifest: LevelManifest) -> None:
    """Raises StorageError if what was copied isn't there any more. A store may know no claims, and a user may tidy up."""
    check(to, claim)
    for entry in manifest.shards():
        if to.size(entry.name) != entry.nbytes:
            raise StorageError(f"{to.uri}/{entry.name}: gone or changed while the others were copied; repeat the export")


def _write_documents(to: Store, claim: Claim, documents: dict[str, bytes]) -> tuple[str, ...]:
    """Writes `documents` in their order, but for those that the user has changed since. Returns the names of these."""
    note(to, claim, tuple(documents.values()))
    claim = check(to, claim)
    edited = tuple(name for name in documents if is_edited(to, claim, name))
    for name, content in documents.items():
        if name not in edited:
            to.write_bytes(name, content)
    return edited


def _copy_shards(root: Store, to: Store, manifest: LevelManifest, on_copied: OnCopied) -> int:
    """Copies what isn't there yet. Returns how many shards were."""
    to.tidy()
    shards = list(manifest.shards())
    total = sum(entry.nbytes for entry in shards)
    with ThreadPoolExecutor(_COPIES) as pool:
        try:
            done = kept = 0
            on_copied(done, total)
            for entry, there in zip(shards, pool.map(lambda entry: _copy(root, to, manifest, entry), shards), strict=True):
                done, kept = done + entry.nbytes, kept + there
                on_copied(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return kept


def _copy(root: Store, to: Store, manifest: LevelManifest, entry: ShardEntry) -> bool:
    """Copies one shard, verified. Returns whether it was there already."""
    with to.scratch() as folder:
        path = folder / entry.name
        if to.exists(entry.name):
            to.download(entry.name, path)
            if check_shard(path, entry) is None:
                return True
            if not to.exists(MANIFEST):  # else it is ours, and damaged since
                raise StorageError(f"{to.uri}/{entry.name}: not of this export, so it isn't overwritten; choose an empty place")
        fetch_shard(root, _folder(manifest), entry, path)
        to.upload(path, entry.name)
        return False


def _folder(manifest: LevelManifest) -> str:
    return level_folder(manifest.dataset, manifest.codec, manifest.level)
