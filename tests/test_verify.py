"""`helmholtz verify`: a whole root is clean, and each way of breaking one is told, by name, without hiding the next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from helmholtz import stages
from helmholtz.cli import cli
from helmholtz.experiment import Experiment
from helmholtz.report.publish import analyse
from helmholtz.shards import ShardWriter, read_shard
from helmholtz.storage import open_store
from helmholtz.verify import Verified, verify
from tests.conftest import picture


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of real networks on two levels, with its analysis."""
    folder = tmp_path_factory.mktemp("verify")
    for label, name in enumerate(("birds", "Fische ü <b>")):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(picture(100 * label + number, 8, 8)).save(folder / "pictures" / name / f"{number:02d}.png")
    experiment = Experiment.model_validate(
        {
            "name": "verify",
            "dataset": {"kind": "image-folder", "path": str(folder / "pictures"), "shards": 2, "test": 0.3},
            "levels": ["none", 25],
            "architectures": ["A"],
            "seeds": 2,
            "training": {"epochs": 1, "batch_size": 8, "input_size": 8, "mismatch": True},
            "beam": {"workers": 1},
        }
    )
    root = str(folder / "root")
    plan_id = stages.plan(root, experiment)
    for cell in stages.compress(root, plan_id):
        stages.train(root, plan_id, cell["architecture"], cell["level"])
    analyse(open_store(root), experiment, stages.latest_plan(open_store(root)).dataset)
    return Path(root)


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "root"))


def check(root: Path) -> Verified:
    return verify(open_store(str(root)))


def only(root: Path, pattern: str) -> Path:
    """The first file of that pattern."""
    return sorted(root.glob(pattern))[0]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_a_whole_root_is_clean(root: Path) -> None:
    read: list[tuple[int, int]] = []
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found = verify(open_store(str(root)), on_checked=lambda done, total: read.append((done, total)))
    assert found.problems == ()
    assert found.checked == {"data sets": 1, "records": 40, "levels": 2, "shards": 8, "results": 4, "reports": 1}
    assert (found.trials, found.missing, found.foreign, found.unfinished) == (4, 0, (), ())
    assert read == sorted(read)
    assert read[-1] == (sum(path.stat().st_size for path in root.rglob("*.tfrecord")),) * 2
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _swap(root: Path) -> None:
    one, other = sorted(root.glob("data/*/*/25/train-*.tfrecord"))[:2]
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def _rewrite(root: Path, change: Callable[[list[tuple[str, int, bytes]]], list[tuple[str, int, bytes]]]) -> None:
    """A shard of other records, with a manifest and a part that agree with it."""
    path = only(root, "data/*/*/25/test-*.tfrecord")
    records = change(list(read_shard(path)))
    with ShardWriter(path) as writer:
        for record in records:
            writer.add(*record)
    entry = writer.entry().model_dump()
    part = path.parent / "parts" / f"{path.stem}.json"
    edit(part, shard=entry)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    shards = manifest["splits"]["test"]["shards"]
    manifest["splits"]["test"]["shards"] = [entry if shard["name"] == path.name else shard for shard in shards]
    (path.parent / "manifest.json").write_text(json.dumps(manifest))


def _split(root: Path, **changes: Any) -> None:
    path = only(root, "data/*/*/25/manifest.json")
    manifest = json.loads(path.read_text())
    manifest["splits"]["train"] |= changes
    path.write_text(json.dumps(manifest))


def _line(root: Path, at: int, **changes: Any) -> None:
    path = only(root, "data/*/records/test-*.jsonl")
    lines = path.read_text().splitlines()
    lines[at] = json.dumps(json.loads(lines[at]) | changes)
    path.write_text("\n".join(lines) + "\n")


def _trained(root: Path) -> dict[str, Any]:
    """The first record of the training split."""
    found: dict[str, Any] = json.loads(only(root, "data/*/records/train-*.jsonl").read_text().splitlines()[0])
    return found


def _result(root: Path, **changes: Any) -> None:
    edit(only(root, "trials/*/result.json"), **changes)


def _move(root: Path) -> None:
    one, other = sorted(root.glob("trials/*/result.json"))[:2]
    other.write_bytes(one.read_bytes())


def _report(root: Path) -> None:
    path = root / "report" / "report.json"
    report = json.loads(path.read_text())
    report["cells"][0]["test_accuracy"]["mean"] += 0.01
    path.write_text(json.dumps(report))


def _validation(root: Path) -> None:
    path = only(root, "trials/*/result.json")
    accuracy = json.loads(path.read_text())["validation_accuracy"]
    edit(path, validation_accuracy=1 - accuracy / 2)


BROKEN: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "a byte of a shard": (lambda root: flip(only(root, "data/*/*/25/train-*.tfrecord")), "25/train-00000", "SHA-256"),
    "a shard cut off": (
        lambda root: only(root, "data/*/*/none/test-*.tfrecord").write_bytes(b"short"), "none/test-00000", "5 bytes instead of",
    ),
    "a shard gone": (lambda root: only(root, "data/*/*/25/test-*.tfrecord").unlink(), "25/test-00000", "the shard is gone"),
    "two shards swapped": (_swap, "25/train-00001", "instead of"),
    "a record left out": (lambda root: _rewrite(root, lambda r: r[:-1]), "25/test-00000", "records instead of"),
    "a record doubled": (lambda root: _rewrite(root, lambda r: [r[0], *r]), "25/test-00000", "isn't the one that is listed"),
    "a label changed": (
        lambda root: _rewrite(root, lambda r: [(r[0][0], 1 - r[0][1], r[0][2]), *r[1:]]), "25/test-00000", "isn't the one",
    ),
    "a payload changed": (
        lambda root: _rewrite(root, lambda r: [(*r[0][:2], r[0][2] + b"x"), *r[1:]]), "25/manifest.json", "bytes of payload",
    ),
    "a manifest that is none": (lambda root: flip(only(root, "data/*/*/25/manifest.json"), 0), "25/manifest.json", "damaged"),
    "a manifest of another level": (
        lambda root: edit(only(root, "data/*/*/25/manifest.json"), level=50), "25/manifest.json", "it describes",
    ),
    "a count": (lambda root: _split(root, records=3, per_class=[1, 2]), "25/manifest.json", "train records"),
    "a class count": (lambda root: _split(root, records=3, per_class=[1, 2]), "25/manifest.json", "records a class"),
    "bits": (
        lambda root: edit(only(root, "data/*/*/25/manifest.json"), payload_bits_per_sample=0.5),
        "25/manifest.json", "0.5 bits a",
    ),
    "records set aside at one level alone": (
        lambda root: edit(only(root, "data/*/*/25/manifest.json"), rejected=[{"key": "x", "reason": "y"}]),
        "manifest.json", "other records",
    ),
    "a part gone": (lambda root: only(root, "data/*/*/25/parts/*.json").unlink(), "25/parts/test-00000", "gone"),
    "a list that is none": (lambda root: flip(only(root, "data/*/records/test-*.jsonl"), 0), "records/test-00000", "damaged"),
    "a record in two splits": (
        lambda root: _line(root, 0, key=_trained(root)["key"]),
        "records/test-00000", "listed twice, in train and test",
    ),
    "a content in two splits": (
        lambda root: _line(root, 0, digest=_trained(root)["digest"]), "records/test-00000", "is in the train split, too"),
    "a listed label": (lambda root: _line(root, 0, label=7), "records/test-00000", "label 7 of 2 classes"),
    "lists of other data": (lambda root: _line(root, 0, nbytes=1), "records", "the lists are those of data set"),
    "groups": (
        lambda root: only(root, "data/*/test-groups.json").write_text('{"groups": [0, 0]}'), "test-groups.json", "instead of",
    ),
    "the data set's description": (lambda root: only(root, "data/*/dataset.json").unlink(), "dataset.json", "can't be read"),
    "a result that is none": (lambda root: flip(only(root, "trials/*/result.json"), 0), "result.json", "damaged"),
    "a result of another trial": (_move, "result.json", "it is the result of"),
    "a result of other conditions": (
        lambda root: _result(root, fingerprint=only(root, "trials/*/result.json").parent.name[-8:] + "0" * 56),
        "result.json", "other conditions",
    ),
    "a result of other data": (lambda root: _result(root, dataset="0" * 16), "result.json", "doesn't have"),
    "a test accuracy": (lambda root: _result(root, test_accuracy=0.123), "result.json", "right answers"),
    "a validation accuracy": (_validation, "result.json", "isn't of validation accuracy"),
    "a curve": (lambda root: _result(root, epochs=7), "result.json", "7 epochs"),
    "a number of the report": (_report, "report/report.json", "cells.0.test_accuracy.mean is"),
    "the table": (lambda root: flip(root / "report" / "curves.csv", -5), "report/curves.csv", "isn't the table"),
    "a plan": (lambda root: flip(only(root, "plans/*.json"), 0), "plans/", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "where", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_told(root: Path, spoil: Callable[[Path], Any], where: str, says: str) -> None:
    spoil(root)
    found = check(root)
    assert any(where in problem.split(": ")[0] + problem and says in problem for problem in found.problems), found.problems
    assert all(len(problem) < 1_000 and "\n" not in problem for problem in found.problems)


def test_one_problem_hides_no_other(root: Path) -> None:
    flip(only(root, "data/*/*/25/train-*.tfrecord"))
    only(root, "data/*/*/none/test-*.tfrecord").unlink()
    _result(root, epochs=7)
    _report(root)
    told = " ".join(check(root).problems)
    assert all(part in told for part in ("25/train-00000", "none/test-00000", "7 epochs", "report/report.json"))


def test_what_is_not_ours_is_listed_and_left_alone(root: Path) -> None:
    (root / "Notizen für später.txt").write_text("mine")
    only(root, "data/*/*/25/manifest.json").unlink()
    (root / ".tmp" / "host-1-x").mkdir(parents=True)
    (root / ".tmp" / "host-1-x" / "data").write_text("half")
    found = check(root)
    assert found.foreign == ("Notizen für später.txt",)
    assert found.unfinished[-1] == ".tmp/host-1-x/data"
    assert sum(key.endswith(".tfrecord") for key in found.unfinished) == 4
    assert (root / "Notizen für später.txt").read_text() == "mine"


def test_a_trial_that_is_missing_is_no_problem(root: Path) -> None:
    only(root, "trials/*/result.json").unlink()
    (root / "report" / "report.json").unlink()
    found = check(root)
    assert (found.problems, found.trials, found.missing) == ((), 4, 1)


def test_of_many_problems_the_rest_is_counted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helmholtz.verify.findings.MOST", 2)
    for path in root.glob("data/*/*/25/*.tfrecord"):
        flip(path)
    found = check(root)
    assert (len(found.problems), found.unlisted) == (2, 2)


def test_the_command(root: Path, tmp_path: Path) -> None:
    clean = CliRunner().invoke(cli, ["verify", str(root)])
    assert (clean.exit_code, clean.stdout.splitlines()[-1]) == (0, "Nothing is wrong.")
    flip(only(root, "data/*/*/25/train-*.tfrecord"))
    wrong = CliRunner().invoke(cli, ["verify", str(root)])
    assert wrong.exit_code == 1
    assert wrong.stdout.splitlines()[-1] == "1 problem."
    told = CliRunner().invoke(cli, ["verify", str(root), "--json"])
    assert (told.exit_code, len(json.loads(told.stdout)["problems"])) == (1, 1)
    nothing = CliRunner().invoke(cli, ["verify", str(tmp_path)])
    assert (nothing.exit_code, nothing.stderr.count("no run here")) == (1, 1)


def test_a_report_of_rounded_numbers_is_right(root: Path) -> None:
    """The same numbers up to what another version of a library may round otherwise."""
    path = root / "report" / "report.json"
    report = json.loads(path.read_text())
    mean = report["cells"][0]["test_accuracy"]["mean"]
    report["cells"][0]["test_accuracy"]["mean"] = float(np.nextafter(mean, 1))
    path.write_text(json.dumps(report))
    assert check(root).problems == ()
