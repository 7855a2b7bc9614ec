"""Exports: what is copied, what is never overwritten, and what stops one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from helmholtz.cli import cli
from helmholtz.errors import HelmholtzError, ShardError, StorageError
from helmholtz.export import export
from helmholtz.levels import NONE, Level
from helmholtz.shards import ShardWriter
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic
from tests.exporting import DOCUMENTS, LEFT, content, export_to, of_level
from tests.finished_run import finish, plan
from tests.test_cloud import amazon, google, root  # noqa: F401  # fixtures


@pytest.mark.parametrize("level", [None, NONE, 50])
def test_a_level_is_copied_whole(finished: Path, tmp_path: Path, level: Level | None) -> None:
    done = export_to(finished, tmp_path / "set", level)
    source, manifest = of_level(finished, 25 if level is None else level)
    found = content(tmp_path / "set")
    shards = {entry.name: entry for split in manifest.splits.values() for entry in split.shards}
    assert found.keys() == shards.keys() | LEFT
    assert all(hashlib.sha256(found[name]).hexdigest() == entry.sha256 for name, entry in shards.items())
    assert found["manifest.json"] == (source / "manifest.json").read_bytes()
    assert found["report.html"] == (finished / "report" / "report.html").read_bytes()
    assert b"pictures of \\<discs\\> \\| made up" in found["README.md"]
    assert (done.level, done.shards, done.kept, done.edited) == (manifest.level, 4, 0, ())
    assert done.nbytes == sum(len(found[name]) for name in shards)
    assert done.records == synthetic.RECORDS


def test_repeated_it_keeps_what_is_there(finished: Path, tmp_path: Path) -> None:
    export_to(finished, tmp_path)
    before = {path.name: path.stat().st_ino for path in tmp_path.glob("*.tfrecord")}
    whole = content(tmp_path)
    assert export_to(finished, tmp_path).kept == 4
    assert {path.name: path.stat().st_ino for path in tmp_path.glob("*.tfrecord")} == before
    assert content(tmp_path) == whole


@pytest.mark.parametrize("missing", [["manifest.json"], ["manifest.json", "README.md", "test-00001-of-00002.tfrecord"]])
def test_a_stopped_one_goes_on(finished: Path, tmp_path: Path, missing: list[str]) -> None:
    export_to(finished, tmp_path)
    whole = content(tmp_path)
    for name in missing:
        (tmp_path / name).unlink()
    assert export_to(finished, tmp_path).kept == 4 - sum(name.endswith("tfrecord") for name in missing)
    assert content(tmp_path) == whole


def test_a_shard_damaged_since_is_mended(finished: Path, tmp_path: Path) -> None:
    export_to(finished, tmp_path)
    whole = content(tmp_path)
    shard = tmp_path / "test-00000-of-00002.tfrecord"
    shard.write_bytes(whole[shard.name][:-1] + b"\0")
    assert export_to(finished, tmp_path).kept == 3
    assert content(tmp_path) == whole


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"), "SHA-256"),
        (lambda path: path.unlink(), "the shard is gone"),
    ],
)
def test_a_damaged_source_is_named_and_nothing_looks_finished(
    tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    store = open_store(str(tmp_path / "run"))
    finish(store, synthetic.experiment(levels=[NONE, 25], seeds=3))
    shard = of_level(tmp_path / "run", 25)[0] / "validation-00000-of-00001.tfrecord"
    whole = shard.read_bytes()
    damage(shard)
    with pytest.raises(ShardError, match=f"25/validation-00000-of-00001.tfrecord: .*{says}"):
        export_to(tmp_path / "run", tmp_path / "set", 25)
    assert not DOCUMENTS & content(tmp_path / "set").keys()
    shard.write_bytes(whole)
    assert export_to(tmp_path / "run", tmp_path / "set", 25).shards == 4


@pytest.mark.parametrize(
    "there", ["photo.jpg", "README.md", "report.html", "manifest.json", "test-00000-of-00002.tfrecord", "deep/er/note"]
)
def test_what_is_not_of_this_export_is_never_overwritten(finished: Path, tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(StorageError, match="choose an empty place"):
        export_to(finished, tmp_path)
    assert (tmp_path / there).read_bytes() == b"mine"
    assert not (tmp_path / "manifest.json").exists() or there == "manifest.json"


@pytest.mark.parametrize("there", ["photo.jpg", "report.html.bak", "train-00001-of-00002.tfrecord"])
def test_a_file_that_came_later_is_named(finished: Path, tmp_path: Path, there: str) -> None:
    export_to(finished, tmp_path)
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(StorageError, match=f"not empty, it holds {there}; choose an empty place"):
        export_to(finished, tmp_path)


def test_what_python_leaves_beside_the_reader_is_no_strange_file(finished: Path, tmp_path: Path) -> None:
    export_to(finished, tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "read.cpython-312.pyc").write_bytes(b"")
    assert export_to(finished, tmp_path).kept == 4


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_that_was_changed_is_kept_and_named(finished: Path, tmp_path: Path, name: str) -> None:
    export_to(finished, tmp_path)
    (tmp_path / name).write_bytes(b"my own words")
    said = call(finished, tmp_path)
    assert f"Changed since they were written, and so left as they are: {name}." in said.output
    assert export_to(finished, tmp_path).edited == (name,)
    assert (tmp_path / name).read_bytes() == b"my own words"
    (tmp_path / name).unlink()
    assert export_to(finished, tmp_path).edited == ()
    assert (tmp_path / name).read_bytes() != b"my own words"


def test_another_level_is_not_mixed_in(finished: Path, tmp_path: Path) -> None:
    export_to(finished, tmp_path)
    whole = content(tmp_path)
    with pytest.raises(
        StorageError, match="another data set or level lies here already, level 25 of data set 0123456789abcdef"
    ):
        export_to(finished, tmp_path, 50)
    assert content(tmp_path) == whole


def test_it_does_not_go_into_the_run_nor_around_it(finished: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(finished)
    for place in (finished, finished / "set", finished.parent, link / "set"):
        with pytest.raises(StorageError, match="lie inside one another"):
            export_to(finished, place)
    export_to(finished, finished.parent / f"{finished.name}-set")


def test_a_report_that_recommends_nothing_asks_for_a_level(tmp_path: Path) -> None:
    finish(open_store(str(tmp_path / "run")), synthetic.experiment(levels=[NONE, 25], seeds=1))
    with pytest.raises(StorageError, match=r"choose one by --level \(its levels are none, 25\)"):
        export_to(tmp_path / "run", tmp_path / "set")
    assert export_to(tmp_path / "run", tmp_path / "set", 25).level == 25


def test_without_a_run_or_a_report_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no run here"):
        export_to(tmp_path / "nothing", tmp_path / "set")
    store = open_store(str(tmp_path / "run"))
    plan(store, synthetic.experiment())
    with pytest.raises(StorageError, match=r"no report yet.*helmholtz report"):
        export_to(tmp_path / "run", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_report_of_earlier_data_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    finish(store, synthetic.experiment(levels=[NONE, 25]))
    store.write_bytes("experiment.json", store.read_bytes("experiment.json").replace(synthetic.DATASET.encode(), b"f" * 16))
    with pytest.raises(StorageError, match="earlier data set"):
        export_to(tmp_path / "run", tmp_path / "set")


def test_a_manifest_cannot_lead_out_of_the_destination(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "run"))
    finish(store, synthetic.experiment(levels=[NONE, 25], seeds=2))
    folder, _ = of_level(tmp_path / "run", 25)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("train-00000-of-00001.tfrecord", "../../out.tfrecord"))
    with ShardWriter(folder.parent.parent / "out.tfrecord"):
        pass
    with pytest.raises(HelmholtzError, match=r"shards\.0\.name: String should match"):
        export_to(tmp_path / "run", tmp_path / "deep" / "er" / "set", 25)
    assert not (tmp_path / "deep" / "out.tfrecord").exists()


# The command


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)])


def test_the_command_says_what_it_did(finished: Path, tmp_path: Path) -> None:
    said = call(finished, tmp_path / "set")
    assert said.exit_code == 0
    assert "quality 25, 9,000 train, 1,000 validation, 2,000 test records in 4 shards" in said.output
    again = call(finished, tmp_path / "set", "--level", "25", "--json")
    facts = json.loads(again.stdout)
    assert facts == asdict(export_to(finished, tmp_path / "set", 25)) | {"edited": []}
    assert (facts["level"], facts["kept"], facts["uri"]) == (25, 4, str(tmp_path / "set"))


@pytest.mark.parametrize(
    ("level", "status", "says"),
    [("10", 1, "no level 10 here; its levels are none, 50, 25, 5"), ("high", 2, "--level high"), ("2.5", 2, "--level 2.5")],
)
def test_a_level_that_is_none_is_one_sentence(finished: Path, tmp_path: Path, level: str, status: int, says: str) -> None:
    said = call(finished, tmp_path / "set", "--level", level)
    assert said.exit_code == status
    assert says in said.output
    assert not (tmp_path / "set").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = call(finished, tmp_path / "file" / "set")
    assert (said.exit_code, len(said.output.splitlines())) == (1, 1)
    assert "can't write here" in said.output


# Object stores


def test_to_and_from_an_object_store(tmp_path: Path, root: str) -> None:  # noqa: F811  # the fixture
    run, remote = open_store(f"{root}/run"), open_store(f"{root}/set")
    finish(run, synthetic.experiment(levels=[NONE, 25], seeds=3))
    assert (export(run, remote, 25).kept, export(run, remote, 25).kept) == (0, 4)
    export(run, open_store(str(tmp_path)), 25)
    whole = content(tmp_path)
    assert set(remote.list("")) == whole.keys()
    assert all(remote.read_bytes(name) == whole[name] for name in whole.keys() - {"read.py", "README.md", "export.json"})
    remote.write_bytes("README.md", b"my own words")
    assert (export(run, remote, 25).edited, remote.read_bytes("README.md")) == (("README.md",), b"my own words")
    with pytest.raises(StorageError, match="another data set or level"):
        export(run, remote, NONE)
    place = f"FOLDER = '{root}/set'" if root.startswith("gs://") else "TensorFlow doesn't read s3://"
    assert place in remote.read_bytes("read.py").decode()
    for inside in (root, f"{root}/run", f"{root}/run/set"):
        with pytest.raises(StorageError, match="lie inside one another"):
            export(run, open_store(inside), 25)
