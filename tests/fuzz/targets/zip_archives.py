"""Zip archives, as the set of electric guitars comes in: every member is a record or set aside, and nothing is unpacked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from helmholtz.errors import BadRecord
from helmholtz.sources import archive, folders
from helmholtz.sources.base import Rejected, content_digest
from helmholtz.sources.class_folders import has_extension
from helmholtz.sources.idmt import Idmt
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.target import Target
from tests.fuzz.trees import HOSTILE

HALF = "Gitarre monophon"
CLASSES = ("NoFX", "Chorus")
FILES = {
    f"{HALF}/Samples/NoFX/G61-40100-1111-1.wav": b"RIFF one",
    f"{HALF}/Samples/NoFX/G61-41101-1111-2.wav": b"RIFF two" * 20,
    f"{HALF}/Samples/Chorus/G61-40100-1311-3.wav": b"RIFF three",
    f"{HALF}/Samples/Chorus/notes.txt": b"no sound",
}
MAX_FILE_BYTES = 1 << 20  # instead of the source's 256 MiB, so that a bomb is one in no time


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped:
        for key, content in files.items():
            zipped.writestr(zipfile.ZipInfo(key), content, method)
    return file.getvalue()


def corpus() -> list[bytes]:
    bomb = FILES | {f"{HALF}/Samples/NoFX/G61-42102-1111-4.wav": bytes(MAX_FILE_BYTES + 1)}
    return [
        packed(FILES), packed(FILES, zipfile.ZIP_DEFLATED), packed(FILES, zipfile.ZIP_BZIP2), packed(FILES, zipfile.ZIP_LZMA),
        packed({f"{HALF}.zip": packed(FILES)}), packed(bomb, zipfile.ZIP_DEFLATED),
    ]  # fmt: skip


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    chance = random.random()
    if chance < 0.25:  # other members
        files = dict(FILES)
        for _ in range(random.randint(1, 4)):
            name = random.choice((*HOSTILE, "../x.wav", "/x.wav", "a//b.wav", ".hidden.wav", "G61-40100-1111-9.wav", "x.wav"))
            name = name.encode(errors="replace").decode()[:60_000]
            parent = random.choice((f"{HALF}/Samples/NoFX/", f"{HALF}/Samples/", f"{HALF}/Samples/NoFX/../../../", "", "../"))
            files[parent + name + random.choice(("", ".wav", "/"))] = random.choice((b"", b"x", *FILES.values()))
        return packed(files, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    if chance < 0.7:  # the fields of one of the headers
        at = random.choice([at for sign in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for at in _all(data, sign)] or [0])
        return data[:at] + mutate_bytes(random, data[at : at + 46], corpus)[:60] + data[at + 46 :]
    return mutate_bytes(random, data, corpus)


def _all(data: bytes, sign: bytes) -> list[int]:
    return [at for at in range(len(data) - 3) if data.startswith(sign, at)]


def check(data: bytes, folder: Path) -> str:
    path = folder / "set.zip"
    path.write_bytes(data)
    bound, folders.MAX_FILE_BYTES = folders.MAX_FILE_BYTES, MAX_FILE_BYTES
    archive._opened.cache_clear()
    try:
        source = Idmt.open(str(path), CLASSES)
        found = list(source.records())
        keys = [record.key for record in found]
        for record in found:
            if not isinstance(record, Rejected):
                _check_content(source, record.key, record.digest)
        assert [each.name for each in folder.iterdir()] == ["set.zip"], "something was unpacked"
        if source.halves[0][1].uri == str(path):  # the plain layout
            with zipfile.ZipFile(path) as zipped:
                members = [i.filename for i in zipped.infolist() if i.filename.startswith(f"{source.halves[0][2]}/Samples/")]
            wavs = [name for name in members if has_extension(name, frozenset({".wav"})) and not name.endswith("/")]
            others = [name for name in wavs if Path(name).parent.name not in (*CLASSES, "Samples")]
            assert len(keys) >= len(wavs) - len(others), "records got lost"
        return f"{sum(not isinstance(r, Rejected) for r in found)} of {len(found)}"
    finally:
        folders.MAX_FILE_BYTES = bound
        archive._opened.cache_clear()


def _check_content(source: Idmt, key: str, digest: str) -> None:
    try:
        content = source.load(key, digest)
    except BadRecord:
        return
    assert content_digest(content) == digest, "other content than was listed"
    assert len(content) <= MAX_FILE_BYTES, "more content than is allowed"


TARGET = Target(corpus, check, mutate, where=("set.zip",), speed=2)
