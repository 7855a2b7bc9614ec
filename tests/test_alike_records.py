"""Which test records are alike, from the source to the report, with some of them set aside on the way."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helmholtz.analysis.answers import read_answers
from helmholtz.analysis.table import Row, read_run, rows
from helmholtz.codecs import open_codec
from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.errors import StorageError
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE
from helmholtz.manifest import level_folder, read_manifest
from helmholtz.report.publish import analyse
from helmholtz.results import pack_right, result_key
from helmholtz.shards import read_shard
from helmholtz.storage import Store, open_store
from helmholtz.trials import trials
from tests.conftest import picture
from tests.synthetic_run import trial_result

SIZES = (1, 1, 2, 5, 3, 1, 4, 2, 6, 1)  # test pictures of each scene
CORRUPT = {"3-1", "3-2", "5-0", "8-5"}  # scene 5 loses its only picture
LEFT = Counter({0: 1, 1: 1, 2: 2, 3: 3, 4: 3, 6: 4, 7: 2, 8: 5, 9: 1})


@dataclass(frozen=True)
class Made:
    """A compressed data set with answers at random to its test records."""

    root: Path
    experiment: Experiment
    dataset: str
    right: dict[str, dict[tuple, bool]]  # key of a test record -> (level, seed) -> right

    @property
    def store(self) -> Store:
        return open_store(str(self.root))

    def rows(self) -> tuple[Row, ...]:
        return rows(read_run(self.store, self.experiment, self.dataset))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    for split, sizes in (("train", (1,) * 24), ("test", SIZES)):
        for scene, size in enumerate(sizes):
            for number in range(size):
                label = "dog" if (scene + number) % 2 else "cat"
                path = tmp_path / "pictures" / split / label / f"{split}{scene}-{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture(1_000 * (split == "test") + 10 * scene + number)).save(path)
                if split == "test" and f"{scene}-{number}" in CORRUPT:
                    path.write_bytes(path.read_bytes()[:400])  # its header still says that it is a picture
    dataset = {
        "kind": "image-folder", "path": str(tmp_path / "pictures"), "group": "(t[a-z]+[0-9]+)-", "max_rejected": 0.2,
        "shards": 3,
    }  # fmt: skip
    experiment = Experiment.model_validate({"name": "scenes", "dataset": dataset, "levels": [NONE, 50], "seeds": 3})
    store = open_store(str(tmp_path / "root"))
    index = index_dataset(store, experiment.dataset)
    manifests = compress(store, experiment, index)
    codec = open_codec(experiment).identity
    tested = [
        key
        for entry in manifests[50].splits["test"].shards
        for key, _, _ in read_shard(tmp_path / "root" / level_folder(index.fingerprint, codec, 50) / entry.name)
    ]
    random = np.random.default_rng(5)
    right: dict[str, dict[tuple, bool]] = {key: {} for key in tested}
    for trial in trials(experiment, index.fingerprint, codec):
        answers = random.random(len(tested)) < 0.6
        for key, answer in zip(tested, answers, strict=True):
            right[key][trial.level, trial.seed] = bool(answer)
        result = trial_result(trial, float(answers.mean()), medium="image", classes=2, records=len(tested))
        result = result.model_copy(update={"test_right": pack_right(answers), "test_accuracy": float(answers.mean())})
        store.write_bytes(result_key(trial.id), result.model_dump_json().encode())
    return Made(tmp_path / "root", experiment, index.fingerprint, right)


def scene(key: str) -> int:
    return int(key.rsplit("test", 1)[1].split("-")[0])


def test_answers_come_by_the_groups_of_the_records_that_are_left(made: Made) -> None:
    assert Counter(scene(key) for key in made.right) == LEFT
    found = made.rows()
    trained = [(row.level, row.seed) for row in found]
    answers = [read_answers({row.seed: row.test_right}, row.test_groups) for row in found]
    # A group is known by its size and by how many of its records each trial has right.
    counted = Counter(
        (int(size), *(int(one.right[row.seed][group]) for row, one in zip(found, answers, strict=True)))
        for group, size in enumerate(answers[0].sizes)
    )
    expected = Counter(
        (size, *(sum(by_trial[at] for key, by_trial in made.right.items() if scene(key) == each) for at in trained))
        for each, size in LEFT.items()
    )
    assert counted == expected


def test_the_report_judges_by_the_groups(made: Made) -> None:
    report = analyse(made.store, made.experiment, made.dataset)
    assert (report.test_records, report.test_groups) == (22, 9)
    (found,) = report.walks[0].comparisons
    low, high = interval(made)
    assert -1 < low < high < 1
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-5)


def interval(made: Made) -> tuple[float, float]:
    """Of the difference of both levels, from the keys of the records and what they say of the scene."""
    by_scene = np.array(
        [[sum(a[50, n] * 1 - a[NONE, n] for k, a in made.right.items() if scene(k) == each) for each in LEFT] for n in range(3)]
    )
    sizes = np.array(list(LEFT.values()))
    beside = by_scene - np.outer(by_scene.sum(1) / 22, sizes)  # what a group has beyond its share
    common, rest = beside.mean(0) / 22, (beside - beside.mean(0)) / 22
    unit = (sizes**2).sum() / 22**2
    known = max(9 / 8 * ((common**2).sum() - (rest**2).sum() / 6), 0) + unit**2
    ends = []
    for sign in (-1, 1):
        heavier = max(unit**3 + sign * (common**3).sum(), 0) / (9 / 8 * (common**2).sum() + unit**2)
        tail = 1.959964**2 * heavier / 2
        of_groups = (tail + np.hypot(tail, 1.959964 * known**0.5)) / 1.959964
        seeds = by_scene.sum(1).std(ddof=1) / 22 / 3**0.5
        share = seeds**2 / (seeds**2 + of_groups**2)  # of the seeds, whose quantile has two degrees of freedom
        quantile = 1.959964 + (4.302653 - 1.959964) * share**1.25
        ends.append(by_scene.sum() / 66 + sign * quantile * np.hypot(seeds, of_groups))
    return ends[0], ends[1]


def test_groups_of_one_record_each_are_none(made: Made) -> None:
    alone = made.experiment.model_copy(update={"dataset": made.experiment.dataset.model_copy(update={"group": None})})
    index = index_dataset(made.store, alone.dataset)
    assert index.groups["test"] == index.records["test"]
    compress(made.store, alone, index)
    run = read_run(made.store, alone, index.fingerprint)
    assert run.test_groups is None


def test_levels_that_set_aside_other_records_are_not_compared(made: Made) -> None:
    folder = level_folder(made.dataset, "jpeg-420", 50)
    manifest = read_manifest(made.store, made.dataset, "jpeg-420", 50)
    fewer = manifest.model_copy(update={"rejected": manifest.rejected[1:]})
    made.store.write_bytes(f"{folder}/manifest.json", fewer.model_dump_json().encode())
    other = r"set aside other records \(3\) than level none \(4\)"
    with pytest.raises(StorageError, match=other):
        made.rows()
    index = index_dataset(made.store, made.experiment.dataset)
    with pytest.raises(StorageError, match=other):
        compress(made.store, made.experiment, index)


def test_results_of_another_number_of_records_are_refused(made: Made) -> None:
    key = next(path for path in made.root.glob("trials/*/result.json"))
    stored = json.loads(key.read_bytes())
    key.write_text(json.dumps(stored | {"test_records": 18, "test_right": pack_right(np.ones(18, bool)), "test_accuracy": 1.0}))
    with pytest.raises(StorageError, match="tested on 18 records"):
        made.rows()
