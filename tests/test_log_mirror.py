"""The sidecar that brings TensorBoard's logs from an object store to a folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from helmholtz.storage import open_store

MIRROR = Path(__file__).parents[1] / "manifests" / "base" / "mirror.py"


@pytest.fixture
def mirror() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mirror", MIRROR)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_mirror_follows_logs_that_grow_are_rewritten_and_go(mirror: ModuleType, tmp_path: Path) -> None:
    store, folder, copies = open_store(str(tmp_path / "root")), tmp_path / "logs", dict[str, Path]()

    def held() -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert mirror.mirror(store, folder, copies) == 0
    store.write_bytes("report/report.html", b"no log")
    store.write_bytes("tensorboard/trials/A-10-0/events.out.tfevents.x", b"one")
    store.write_bytes("tensorboard/ä b/events.out.tfevents.y", b"")
    assert mirror.mirror(store, folder, copies) == 2
    assert mirror.mirror(store, folder, copies) == 0
    grown = folder / "tensorboard/trials/A-10-0/events.out.tfevents.x.0"
    before = grown.stat().st_ino
    store.write_bytes("tensorboard/trials/A-10-0/events.out.tfevents.x", b"one, two")
    assert mirror.mirror(store, folder, copies) == 1
    assert (grown.read_bytes(), grown.stat().st_ino) == (b"one, two", before)
    store.write_bytes("tensorboard/trials/A-10-0/events.out.tfevents.x", b"won, two")  # as long, and not the same
    assert mirror.mirror(store, folder, copies) == 1
    assert held() == {
        "tensorboard/trials/A-10-0/events.out.tfevents.x.1": b"won, two",
        "tensorboard/ä b/events.out.tfevents.y.0": b"",
    }
    shutil.rmtree(tmp_path / "root" / "tensorboard")
    assert mirror.mirror(store, folder, copies) == 2
    assert held() == {}


@pytest.mark.parametrize(("root", "says"), [("unset://", "can't store to unset://"), ("{}", ": 1 log files")])
def test_the_mirror_says_what_it_does_and_clears_what_another_left(root: str, says: str, tmp_path: Path) -> None:
    open_store(str(tmp_path)).write_bytes("tensorboard/events.out.tfevents.x", b"one")
    left = tmp_path / "logs" / "tensorboard" / "events.out.tfevents.x.7"
    left.parent.mkdir(parents=True)
    left.touch()
    process = subprocess.Popen(
        [sys.executable, MIRROR, tmp_path / "logs"],
        env=os.environ | {"RUN_ROOT": root.format(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert says in process.stdout.readline()
        assert not left.exists()
    finally:
        process.kill()
        process.wait()
