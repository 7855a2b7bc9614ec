"""Every kind of bad picture at once: each is used, or set aside and listed, as docs/images.md says; none gives a traceback."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helmholtz.shards import read_shard
from tests.conftest import picture
from tests.test_compress import experiment, run


def png_bomb(side: int) -> bytes:
    """A valid PNG header and a little data of a black picture of side x side, whole only to who doesn't look."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


@pytest.fixture
def odd(pictures: Path) -> Path:
    """The pictures of two good classes, and among them one of each odd kind."""
    rgb = Image.fromarray(picture(7))
    odd = {
        "grey.png": rgb.convert("L"),
        "palette.png": rgb.convert("P"),
        "cmyk.jpg": rgb.convert("CMYK"),
        "sixteen.png": Image.fromarray((picture(8)[:, :, 0].astype(np.uint16) << 8) + 7),
        "one.png": Image.fromarray(picture(9, 1, 1)),
        "alpha.png": rgb.convert("RGBA"),
        "ünïcode name.png": Image.fromarray(picture(10)),
    }
    for name, image in odd.items():
        image.save(pictures / "birds" / name)
    whole = (pictures / "birds" / "00.png").read_bytes()
    (pictures / "birds" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (pictures / "birds" / "empty.jpg").write_bytes(b"")
    (pictures / "birds" / "text.jpg").write_text("not a picture")
    (pictures / "birds" / "bomb.png").write_bytes(png_bomb(20_000))
    shutil.copy(pictures / "birds" / "01.png", pictures / "fish" / "stolen.png")
    shutil.copy(pictures / "birds" / "02.png", pictures / "birds" / "copy.png")
    (pictures / "birds" / "notes.txt").write_text("no picture, and not named as one")
    (pictures / "birds" / ".DS_Store").write_bytes(b"\0")
    return pictures


def test_each_odd_picture_gets_its_documented_treatment(odd: Path, tmp_path: Path) -> None:
    manifests = run(tmp_path / "root", experiment(odd, dataset={"max_rejected": 0.5}))
    wanted = {
        "birds/cut.png": "truncated image",
        "birds/empty.jpg": "empty file",
        "birds/text.jpg": "not an image",
        "birds/bomb.png": "more than 64000000 pixels",
        "birds/01.png": "same content as fish/stolen.png, in another class",
        "fish/stolen.png": "same content as birds/01.png, in another class",
    }
    for level, manifest in manifests.items():
        assert {entry.key: entry.reason for entry in manifest.rejected} == wanted
        assert sum(split.records for split in manifest.splits.values()) == 24 - 1 + 7 + 1
        for note in ("greyscale", "palette", "cmyk", "16-bit", "alpha"):
            assert manifest.notes[note] >= 1
        keys: dict[str, str] = {}
        for split, entry in manifest.splits.items():
            for shard in entry.shards:
                path = tmp_path / "root" / "data" / manifest.dataset / manifest.codec / str(level) / shard.name
                keys |= dict.fromkeys((key for key, _, _ in read_shard(path)), split)
        assert keys["birds/copy.png"] == keys["birds/02.png"]
        assert not {"birds/notes.txt", "birds/.DS_Store"} & keys.keys()
        assert "birds/ünïcode name.png" in keys


def helmholtz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "helmholtz", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_whole_command_stops_clearly_past_the_share(odd: Path, tmp_path: Path) -> None:
    where = ["--set", "dataset.kind=image-folder", "--set", f"dataset.path={odd}", "--set", "dataset.limit=null"]
    ran = helmholtz("run", "quickstart", "--root", str(tmp_path / "root"), *where)
    assert ran.returncode == 1
    assert "can't be used, more than dataset.max_rejected=0.05 allows" in ran.stderr
    assert "once that is mended, the same command goes on from here" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_class_of_one_picture_stops_clearly(pictures: Path, tmp_path: Path, command: str) -> None:
    (pictures / "lonely").mkdir()
    Image.fromarray(picture(99)).save(pictures / "lonely" / "one.png")
    where = ["--set", "dataset.kind=image-folder", "--set", f"dataset.path={pictures}", "--set", "dataset.limit=null"]
    root = ["--root", str(tmp_path / "root")] if command == "run" else []
    ran = helmholtz(command, "quickstart", *root, *where)
    assert ran.returncode == 1
    assert "class 'lonely'" in ran.stderr
    assert "at least 3" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("content", ["nothing", "no classes", "one class"])
def test_a_folder_that_is_no_class_folder_stops_clearly(tmp_path: Path, content: str, command: str) -> None:
    path, root = tmp_path / "data", tmp_path / "root"
    if content != "nothing":
        path.mkdir()
    if content == "one class":
        (path / "only").mkdir()
        Image.fromarray(picture(1)).save(path / "only" / "1.png")
    where = ["--set", "dataset.kind=image-folder", "--set", f"dataset.path={path}"]
    ran = helmholtz(command, "quickstart", *(["--root", str(root)] if command == "run" else []), *where)
    assert ran.returncode == 1
    assert str(path) in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not root.exists()
