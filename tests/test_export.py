"""Exports: what is copied, what is never overwritten, and what stops one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from helmholtz.cli import cli
from helmholtz.errors import HelmholtzError, ShardError, StorageError
from helmholtz.export import Exported, export
from helmholtz.levels import NONE, Level
from helmholtz.manifest import LevelManifest, ShardEntry, level_folder
from helmholtz.report.card import card
from helmholtz.report.reader import reader
from helmholtz.report.stored_report import check_level, read_report
from helmholtz.shards import ShardWriter
from helmholtz.storage import LocalStore, open_store
from tests import synthetic_run as synthetic
from tests.finished_run import finish, plan
from tests.test_cloud import amazon, google, root  # noqa: F401  # fixtures

LEVELS: tuple[Level, ...] = (NONE, 50, 25, 5)
DOCUMENTS = {"README.md", "read.py", "report.html", "manifest.json"}
LEFT = DOCUMENTS | {"export.json"}  # beside the shards


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose recommended level is 25. Tests leave it as it is."""
    folder = tmp_path_factory.mktemp("run")
    assert finish(open_store(str(folder)), synthetic.experiment(levels=LEVELS)).recommendation.level == 25
    return folder


def export_to(run: Path, to: Path, level: Level | None = None) -> Exported:
    return export(open_store(str(run)), open_store(str(to)), level)


def of_level(run: Path, level: Level) -> tuple[Path, LevelManifest]:
    folder = run / level_folder(synthetic.DATASET, "jpeg-420", level)
    return folder, LevelManifest.model_validate_json((folder / "manifest.json").read_bytes())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


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


# The claim


class StoppedError(Exception):
    """Stands for whatever ends an export between two files."""


@pytest.mark.parametrize("after", range(9))
def test_an_export_stopped_anywhere_goes_on(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """However the folders are spelled the second time, and with the report made again since."""
    run, to, real, keys = tmp_path / "run", tmp_path / "set", LocalStore.upload, []
    shutil.copytree(finished, run)

    def upload(self: LocalStore, path: Path, key: str) -> None:
        if self.uri == str(to):
            keys.append(key)
            if len(keys) > after:
                raise StoppedError
        real(self, path, key)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "upload", upload)
        with pytest.raises(StoppedError):
            export_to(run, to)
        for thread in threading.enumerate():  # copies under way, which the error has not waited for
            if thread.name.startswith("ThreadPoolExecutor"):
                thread.join()
    assert not (to / "manifest.json").exists()
    (run / "report" / "report.html").write_bytes(b"<!doctype html><title>made again</title>")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(run)
    done = export(open_store("link/../run/"), open_store("./set/"), None)
    assert (done.kept, done.edited) == (min(after, 4), ())
    assert content(to).keys() >= LEFT
    assert (to / "report.html").read_bytes() == b"<!doctype html><title>made again</title>"


def test_of_two_levels_at_once_one_is_refused(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have found the place empty before either writes."""
    both, listed = threading.Barrier(2), LocalStore.list

    def listing(self: LocalStore, prefix: str) -> Iterator[str]:
        found = list(listed(self, prefix))
        if self.uri == str(tmp_path / "set"):
            both.wait(10)
        return iter(found)

    monkeypatch.setattr(LocalStore, "list", listing)

    def attempt(level: Level) -> Exported | StorageError:
        try:
            return export_to(finished, tmp_path / "set", level)
        except StorageError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(attempt, [25, 50]))
    (done,) = [end for end in ends if isinstance(end, Exported)]
    (refused,) = [end for end in ends if isinstance(end, StorageError)]
    assert f"another data set or level lies here already, level {done.level}" in str(refused)
    for entry in of_level(finished, done.level)[1].shards():
        assert hashlib.sha256((tmp_path / "set" / entry.name).read_bytes()).hexdigest() == entry.sha256


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda to: (to / "export.json").unlink(), r"export\.json: gone"),
        (lambda to: (to / "test-00000-of-00002.tfrecord").unlink(), "tfrecord: gone or changed while"),
        (lambda to: (to / "test-00000-of-00002.tfrecord").write_bytes(b"of another level"), "tfrecord: gone or changed while"),
        (lambda to: _reclaim(to / "export.json", level=50), "another data set or level lies here already, level 50"),
        (lambda to: _reclaim(to / "export.json", shards="f" * 64), "other shards of this level"),
    ],
)
def test_it_looks_again_before_the_manifest(
    finished: Path, tmp_path: Path, change: Callable[[Path], object], says: str
) -> None:
    def meanwhile(copied: int, total: int) -> None:
        if copied == total:
            change(tmp_path)

    with pytest.raises(StorageError, match=says):
        export(open_store(str(finished)), open_store(str(tmp_path)), on_copied=meanwhile)
    assert not DOCUMENTS & content(tmp_path).keys()


def _reclaim(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("claim", [b"", b"[]", b"{", b'{"format": 1}', b" " * (2 << 20), b"\xff"])
def test_a_claim_that_is_none_is_refused(finished: Path, tmp_path: Path, claim: bytes) -> None:
    (tmp_path / "export.json").write_bytes(claim)
    with pytest.raises(StorageError, match=r"export\.json: gone, damaged or of something else; choose an empty place"):
        export_to(finished, tmp_path)
    assert (tmp_path / "export.json").read_bytes() == claim


# What a forged run root may hold


@pytest.fixture
def forged(finished: Path, tmp_path: Path) -> Path:
    """A run root of one's own, to be spoilt."""
    shutil.copytree(finished, tmp_path / "forged")
    return tmp_path / "forged"


def spoil(path: Path, *keys: str | int, **to: object) -> None:
    """Sets what lies at `keys` of a JSON file to `to`, or takes it out."""
    tree = json.loads(path.read_text())
    inner = tree
    for key in keys[:-1]:
        inner = inner[key]
    if to:
        inner[keys[-1]] = to["to"]
    else:
        del inner[keys[-1]]
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize(
    ("keys", "to", "says"),
    [
        (("experiment",), {}, r"experiment\.dataset: Field required"),
        (("experiment", "analysis", "margin"), None, r"experiment\.analysis\.margin"),
        (("experiment", "name"), "x\n# y", r"experiment\.name"),
        (("experiment", "codec"), "mp3", "experiment: "),
        (("classes",), ["a", "b"], "classes at level 25 aren't the manifest's"),
        (("recommendation", "level"), 7, "7 isn't among the levels"),
        (("recommendation", "level"), None, "no level is recommended"),
        (("recommendation", "architecture"), "F", "no walk compares level 25 for architecture F"),
        (("n_approx",), [], "no n_approx of architecture A"),
        (("walks",), [], "no walk compares"),
        (("levels",), [], "each must be there once, and none among them"),
        (("levels", 1, "level"), 300, "300"),
        (("levels", 2, "payload_bytes"), 1, "payload_bytes at level 25 aren't the manifest's"),
        (("levels", 2, "coded_rates"), {"fast": 1}, "coded_rates at level 25"),
        (("levels", 2, "label"), '"""\nimport os', "is no label of a level"),
        (("codec", "name"), '"""\nimport os', "codec: not the experiment's"),
        (("codec", "identity"), "../../x", "codec: not the experiment's"),
        (("test_groups",), None, "one without the other"),
        (("dataset",), "another", "of an earlier data set"),
    ],
)
def test_a_report_that_does_not_fit_together_is_one_sentence(
    forged: Path, tmp_path: Path, keys: tuple[str | int, ...], to: object, says: str
) -> None:
    spoil(forged / "report" / "report.json", *keys, to=to)
    with pytest.raises(StorageError, match=says) as found:
        export_to(forged, tmp_path / "set")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 10_000, '{"format": 2}', "\0", "NaN"])
def test_a_report_that_is_none_is_one_sentence(forged: Path, tmp_path: Path, text: str) -> None:
    (forged / "report" / "report.json").write_text(text)
    with pytest.raises(StorageError, match=r"report\.json: damaged, or of another version .*; delete it and run again"):
        export_to(forged, tmp_path / "set")


def test_a_huge_report_is_not_read(forged: Path, tmp_path: Path) -> None:
    with (forged / "report" / "report.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(StorageError, match=r"1,099,511,627,776 bytes, which is no report"):
        export_to(forged, tmp_path / "set")


@pytest.mark.parametrize("bare", [None, [], {}, "", "x\n# y", -1, 1e999, True])
def test_no_part_of_a_report_brings_a_traceback(finished: Path, bare: Any) -> None:
    """Every part of it in turn stands for `bare`: it is refused, or there are a card and a reader."""
    store, tree = open_store(str(finished)), json.loads((finished / "report" / "report.json").read_text())
    _, manifest = of_level(finished, 25)
    for path in parts(tree)[:: 2 if bare is None else 7]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                LocalStore, "read_bytes", lambda _self, _key, path=path: json.dumps(replaced(tree, path, bare)).encode()
            )
            with contextlib.suppress(HelmholtzError):
                report = read_report(store)
                check_level(report, manifest, "report.json")
                level = next(level for level in report.levels if level.level == 25)
                assert card(report, manifest, source="", command="", page=True)
                compile(reader(report, level, None), "read.py", "exec")


def parts(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where every part of a JSON tree lies; of a list only the first and the third."""
    inner = tree.items() if isinstance(tree, dict) else [*enumerate(tree)][:3:2] if isinstance(tree, list) else ()
    return [path, *(found for key, value in inner for found in parts(value, (*path, key)))]


def replaced(tree: Any, path: tuple[str | int, ...], bare: Any) -> Any:
    if not path:
        return bare
    copy = tree.copy()
    copy[path[0]] = replaced(tree[path[0]], path[1:], bare)
    return copy


@pytest.mark.parametrize(
    "name",
    [
        *("read.py", "README.md", "manifest.json", "export.json", "../x", "/etc/passwd", "a\0b", "", "x" * 300),
        *("train-00000-of-00001.tfrecord\n", "train-00000-of-00001.tfrecord.py", "train-0-of-1.tfrecord"),
        "train-\u0660\u0660\u0660\u0660\u0660-of-00001.tfrecord",
    ],
)
def test_a_shard_has_a_shards_name(forged: Path, tmp_path: Path, name: str) -> None:
    spoil(of_level(forged, 25)[0] / "manifest.json", "splits", "train", "shards", 0, "name", to=name)
    with pytest.raises(StorageError, match=r"splits\.train\.shards\.0\.name"):
        export_to(forged, tmp_path / "set")
    assert not (tmp_path / "set").exists()


@given(name=st.text(max_size=60) | st.from_regex(r"\A(train|test|.{1,5})-\d{4,6}-of-\d{5}(\.tfrecord|\n)?\Z"))
def test_a_shards_name_is_a_split_and_two_numbers(name: str) -> None:
    split, dash, rest = name.partition("-")
    numbers = rest.removesuffix(".tfrecord").split("-of-")
    digits = all(len(n) == 5 and set(n) <= set("0123456789") for n in numbers) and len(numbers) == 2
    good = split in synthetic.RECORDS and dash == "-" and digits and rest.endswith(".tfrecord")
    try:
        ShardEntry(name=name, records=1, nbytes=1, sha256="0" * 64)
    except ValidationError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize(
    ("keys", "to", "says"),
    [
        (("splits", "test", "shards", 1, "name"), "test-00000-of-00002.tfrecord", "is listed 2 times"),
        (("splits", "test", "shards", 1, "name"), "train-00001-of-00002.tfrecord", "lists a shard of another split"),
        (("splits", "test", "per_class"), [1, 2], "counts 2 classes, but there are 4"),
        (("splits", "test", "shards", 1, "sha256"), "../x", "sha256"),
        (("splits", "test", "records"), -1, "records"),
        (("splits", "test", "payload_bytes"), 10**400, "payload_bytes"),
        (("coded_rates",), {"fast": 1}, "coded_rates"),
    ],
)
def test_a_manifest_that_does_not_fit_together_is_one_sentence(
    forged: Path, tmp_path: Path, keys: tuple[str | int, ...], to: object, says: str
) -> None:
    spoil(of_level(forged, 25)[0] / "manifest.json", *keys, to=to)
    with pytest.raises(StorageError, match=says):
        export_to(forged, tmp_path / "set")


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
