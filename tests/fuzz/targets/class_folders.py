"""Class folders of files of any name and kind: every file of the medium is a record or set aside, and each can be loaded.

A case is a JSON list of pairs: a path, and what lies there.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from PIL import Image

from helmholtz.codecs.jpeg import JpegCodec
from helmholtz.dataset import preview
from helmholtz.errors import BadRecord
from helmholtz.experiment import Dataset
from helmholtz.sources.base import Rejected
from helmholtz.sources.class_folders import has_extension
from helmholtz.sources.image_folder import ImageFolder
from tests.conftest import picture
from tests.fuzz.target import Refused, Target
from tests.fuzz.trees import mutate_json

CODEC = JpegCodec("4:2:0", 1 << 20)
KINDS = ("picture", "empty", "text", "loop", "pipe", "dangling", "folder", "cut", "secret")


def corpus() -> list[bytes]:
    plain = [[f"{name}/{n}.png", "picture"] for name in ("birds", "fish") for n in range(6)]
    odd = [[f"birds/{kind}.png", kind] for kind in KINDS]
    split = [[f"{part}/{path}", kind] for part in ("train", "test") for path, kind in plain]
    named = [[f"{name}/{n}.jpg", "picture"] for name in ("e\u0301", "\u202egnp") for n in range(4)]
    return [json.dumps(case).encode() for case in (plain, plain + odd, split, plain + named)]


def check(data: bytes, folder: Path) -> str:
    root = folder / "pictures"
    root.mkdir()
    try:
        _build(root, json.loads(data))
    except (ValueError, TypeError, AttributeError, OSError, RecursionError) as error:  # no pairs, or no name for a file
        raise Refused("the case is no folder") from error
    dataset = Dataset(kind="image-folder", path=str(root), max_rejected=1.0)
    source = ImageFolder.open(dataset)
    found = list(source.records())
    keys = [record.key for record in found]
    assert len(set(keys)) == len(keys), "a key twice"
    assert len(keys) == len(_pictures(root)), "files got lost"
    good = [record for record in found if not isinstance(record, Rejected)]
    assert all(0 <= record.label < len(source.classes) for record in good), "no such class"
    for record in good:
        try:
            CODEC.prepare(source.load(record.key, record.digest))
        except BadRecord as error:
            assert len(error.reason) < 100, "a long reason"  # noqa: PT017  # what is to be proven of each that is refused
    index, _ = preview(dataset, 3)
    assert sum(index.records.values()) + index.unused + index.rejected == len(found), "records got lost between list and splits"
    return f"{len(source.classes)} classes"


def _build(root: Path, case: list[list[str]]) -> None:
    for number, (name, kind) in enumerate(case[:60]):
        raw = os.fsencode(name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"))
        path = Path(os.fsdecode(os.path.normpath(os.fsencode(root) + b"/" + raw)))
        if not path.is_relative_to(root) or path == root or os.path.lexists(path):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "loop":
            path.symlink_to(path)
        elif kind == "dangling":
            path.symlink_to("nowhere")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(_content(kind, number))
            path.chmod(0 if kind == "secret" else 0o644)


def _content(kind: str, number: int) -> bytes:
    if kind == "empty":
        return b""
    if kind == "text":
        return b"not a picture %d" % number
    file = io.BytesIO()
    Image.fromarray(picture(number, 5, 7)).save(file, "PNG")
    return file.getvalue()[:60] if kind == "cut" else file.getvalue()


def _pictures(root: Path) -> list[str]:
    """Every path below that is no folder, not hidden, and named as a picture."""
    found = [Path(folder, name) for folder, _, names in os.walk(root, followlinks=True) for name in names]
    relative = [str(path.relative_to(root)) for path in found if not path.is_dir()]
    return [path for path in relative if has_extension(path, ImageFolder.extensions)]


TARGET = Target(corpus, check, mutate_json, where=("pictures", "classes", "class '", 'class "'), speed=0.3)
