"""CIFAR-10's archive: the seven files and nothing else come out of it, and every record is used or set aside."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from helmholtz.errors import BadRecord
from helmholtz.experiment import Dataset
from helmholtz.sources import cifar10, cifar10_archive
from helmholtz.sources.base import Rejected
from helmholtz.sources.cifar10 import FILES, FOLDER, META, Cifar10
from tests.fuzz.mutations import mutate_bytes
from tests.fuzz.target import Target

MAX_ARCHIVE_BYTES = 4 << 20  # instead of 256 MiB, so that a bomb is one in no time
NAMES = b"airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"
ODD_NAMES = ("/etc/x", "../x", f"{FOLDER}/../../x", "data_batch_6.pkl", f"./{FOLDER}/{META}", META, "data_batch_1.bin")
ODD_NAMES += ("a" * 300,)
TYPES = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
TYPES += (tarfile.GNUTYPE_SPARSE,)


def members() -> list[tuple[tarfile.TarInfo, bytes]]:
    random, made = np.random.default_rng(3), []
    for name in FILES:
        rows = random.integers(0, 4, (3, 3073), dtype=np.uint8)  # few values, which pack well
        content = NAMES if name == META else rows.tobytes()
        member = tarfile.TarInfo(f"{FOLDER}/{name}")
        member.size = len(content)
        made.append((member, content))
    return made


def packed(content: Sequence[tuple[tarfile.TarInfo, bytes]], layout: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=layout) as tar:
        for member, data in content:
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(file.getvalue(), 1, mtime=0)


def corpus() -> list[bytes]:
    return [packed(members()), packed(members(), tarfile.PAX_FORMAT), packed(members(), tarfile.USTAR_FORMAT)]


def mutate(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    chance = random.random()
    if chance < 0.3:
        return mutate_bytes(random, data, corpus)
    if chance < 0.6:
        content = members()
        for _ in range(random.randint(1, 3)):
            _change_member(random, content)
        return packed(content, random.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))
    try:
        tar = gzip.decompress(data)
    except Exception:
        return mutate_bytes(random, data, corpus)
    start = 512 * random.randrange(max(1, len(tar) // 512))
    block = mutate_bytes(random, tar[start : start + 512], [tar[:512]])[:512].ljust(512, b"\0")
    if random.random() < 0.8:  # with its checksum made right
        total = sum(block[:148]) + 256 + sum(block[156:])
        block = block[:148] + b"%06o\0 " % total + block[156:]
    return gzip.compress(tar[:start] + block + tar[start + 512 :], 1, mtime=0)


def _change_member(random: Random, content: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    if not content:
        return
    at = random.randrange(len(content))
    member, data = content[at]
    change = random.randrange(6)
    if change == 0:
        del content[at]
    elif change == 1:
        member.name = random.choice(ODD_NAMES)
    elif change == 2:
        member.type, member.linkname = random.choice(TYPES), random.choice(ODD_NAMES)
        member.size = 0
        content[at] = (member, b"")
    elif change == 3:
        data = mutate_bytes(random, data, [NAMES])
        member.size = len(data)
        content[at] = (member, data)
    elif change == 4:
        data = bytes(random.choice((0, 3073, 1 << 20, MAX_ARCHIVE_BYTES)))
        member.size = len(data)
        content[at] = (member, data)
    else:
        again = tarfile.TarInfo(member.name)
        again.size = len(data)
        content.append((again, data))


def check(data: bytes, folder: Path) -> str:
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(data)
    bound, cifar10_archive.MAX_ARCHIVE_BYTES = cifar10_archive.MAX_ARCHIVE_BYTES, MAX_ARCHIVE_BYTES
    try:
        cifar10_archive.unpack(path, folder / "unpacked" / FOLDER)
    finally:
        cifar10_archive.MAX_ARCHIVE_BYTES = bound
        there = {each.relative_to(folder).as_posix() for each in folder.rglob("*")}
        allowed = {path.name, "unpacked", f"unpacked/{FOLDER}", *(f"unpacked/{FOLDER}/{name}" for name in FILES)}
        assert there <= allowed, f"unpacked something else: {sorted(there - allowed)[:1]}"
    assert all((folder / "unpacked" / FOLDER / name).is_file() for name in FILES), "not whole"
    assert not any(each.is_symlink() for each in folder.rglob("*")), "a link"
    return _read(folder / "unpacked" / FOLDER)


def _read(folder: Path) -> str:
    try:
        source = Cifar10.open(Dataset(kind="cifar10", path=str(folder)))
        found = list(source.records())
        expected = sum((folder / name).stat().st_size // 3073 for name in FILES if name != META)
        assert len(found) == expected, "records got lost"
        for record in found:
            if not isinstance(record, Rejected):
                assert source.load(record.key, record.digest).shape == (32, 32, 3), "not a picture of 32x32"
        try:
            source.load("data_batch_1.bin#999999")
        except BadRecord:
            return f"{min(1, sum(isinstance(record, Rejected) for record in found))} set aside"
        raise AssertionError("loaded a record that isn't there")
    finally:
        cifar10._opened.cache_clear()
        cifar10._path.cache_clear()


TARGET = Target(corpus, check, mutate, where=("cifar-10-binary.tar.gz", *FILES), speed=1)
