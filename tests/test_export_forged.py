"""What a forged run root may hold when a level is exported from it: one sentence, and nothing of it written."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from helmholtz.errors import HelmholtzError, StorageError
from helmholtz.manifest import ShardEntry
from helmholtz.report.card import card
from helmholtz.report.reader import reader
from helmholtz.report.stored_report import check_level, read_report
from helmholtz.storage import LocalStore, open_store
from tests import synthetic_run as synthetic
from tests.exporting import export_to, of_level


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
