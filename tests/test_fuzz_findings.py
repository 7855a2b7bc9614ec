"""What fuzzing has found, each once: the input that was a traceback, a hang or a wrong number, and the sentence it is now."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helmholtz.audio import Content
from helmholtz.dataset import read_index, read_test_groups
from helmholtz.errors import BadRecord, ExperimentError, StorageError
from helmholtz.experiment_file import load_experiment, parse_experiment
from helmholtz.lease import Lease
from helmholtz.manifest import read_manifest
from helmholtz.results import finished_result, result_key
from helmholtz.sources.archive import ZipFolder
from helmholtz.stages import find_refinement
from helmholtz.storage import open_store
from helmholtz.stored import parse_model
from helmholtz.training.checkpoint import Checkpoints
from helmholtz.trials import trials
from tests.fuzz.targets import checkpoints, documents
from tests.fuzz.targets.documents import CODEC, DATASET, FOLDER, PLAN, RUN


@pytest.mark.parametrize("value", ["!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!omap x"])
def test_a_yaml_tag_that_its_value_belies(value: str) -> None:
    with pytest.raises(ExperimentError, match=r"x\.yaml.*not valid YAML"):
        parse_experiment(f"seeds: {value}", where="x.yaml")


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-of-this-name/x.yaml", "a\0b"])
def test_the_name_of_a_file_that_there_can_not_be(name: str) -> None:
    with pytest.raises(ExperimentError, match="no such file"):
        load_experiment(name)


@pytest.mark.parametrize(
    "text", ["\n".join(f"k{n}: 0" for n in range(9_000)), f"levels: [none, {', '.join(map(str, range(1, 20_000)))}]"]
)
def test_many_keys_or_levels_take_no_time_by_their_square(text: str) -> None:
    start = time.process_time()
    with pytest.raises(ExperimentError) as told:
        parse_experiment(text, where="x.yaml")
    assert time.process_time() - start < 10  # two minutes, for the levels, before
    assert len(str(told.value)) <= 1_000


def test_a_file_of_a_hundred_mistakes_names_the_first_and_counts_the_rest() -> None:
    with pytest.raises(ExperimentError, match=r"\nand \d+ more$") as told:
        parse_experiment(
            "dataset: {kind: photographs}\nlevels: [" + ", ".join(f"{'x' * 90}{n}" for n in range(100)) + "]", where="x.yaml"
        )
    assert str(told.value).startswith("x.yaml: levels[0]")


def _zip(folder: Path, content: bytes) -> ZipFolder:
    (folder / "set.zip").write_bytes(content)
    return ZipFolder(str(folder / "set.zip"))


def test_a_zip_member_without_a_name_is_listed_like_any_other(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("a", b"x")
    content = file.getvalue()
    entry, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    nameless = content[: entry + 28] + b"\0\0" + content[entry + 30 : entry + 46] + content[entry + 47 : end]
    size = (end - entry - 1).to_bytes(4, "little")
    nameless += content[end : end + 12] + size + content[end + 16 :]
    assert [found.key for found in _zip(tmp_path, nameless).files("")] == [""]  # was an IndexError


def test_a_damaged_lzma_member_is_set_aside(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("a", b"sound" * 100)
    content = bytearray(file.getvalue())
    content[35] = 0xFF  # LZMA's properties, behind the name and their version and size: an LZMAError
    archive = _zip(tmp_path, bytes(content))
    with pytest.raises(BadRecord, match="damaged archive member"):
        archive.read("a")


def root(tmp_path: Path, key: str = "", change: Callable[[Any], None] = lambda content: None) -> Any:
    """A run root with one of its documents changed."""
    for name, content in documents.root().items():
        if name == key:
            tree = json.loads(content)
            change(tree)
            content = json.dumps(tree).encode()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return open_store(str(tmp_path))


def test_groups_of_the_test_split_that_there_can_not_be(tmp_path: Path) -> None:
    key = f"data/{DATASET}/test-groups.json"
    huge = root(tmp_path, key, lambda tree: tree.update(groups=[0, 0, 1 << 40]))  # took as much memory as the number says
    with pytest.raises(StorageError, match=r"test-groups.json.*3 records can't be in group"):
        read_test_groups(huge, DATASET, ())
    fewer = root(tmp_path, key, lambda tree: tree.update(groups=[0, 0]))  # an IndexError
    with pytest.raises(StorageError, match=r"test-groups.json: 2 groups for 3 listed records; delete it"):
        read_test_groups(fewer, DATASET, {"a/1.png"})


def test_a_data_set_without_one_of_its_splits(tmp_path: Path) -> None:
    store = root(tmp_path, f"data/{DATASET}/dataset.json", lambda tree: tree["shards"].pop("test"))
    with pytest.raises(StorageError, match=r"dataset.json.*each must tell of train, validation, test"):
        read_index(store, DATASET)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tree: tree.update(payload_bits_per_sample=float("inf")), "payload_bits_per_sample"),
        (lambda tree: tree.update(payload_bits_per_sample=1e300), "payload_bits_per_sample"),
        (lambda tree: tree.update(quantisation=-1), "quantisation"),
        (lambda tree: tree.update(source_levels={"<b>": 1}), "source_levels"),
        (lambda tree: tree["splits"]["train"].update(per_class=[0, 0, 0, 0]), "in its classes"),
    ],
)
def test_a_manifest_of_numbers_that_are_none(change: Callable[[Any], None], said: str, tmp_path: Path) -> None:
    store = root(tmp_path, f"{FOLDER}/manifest.json", change)
    with pytest.raises(StorageError, match=f"manifest.json.*{said}"):
        read_manifest(store, DATASET, CODEC, 10)


@pytest.mark.parametrize("key", ["architecture", "level", "seed", "codec", "dataset"])
def test_a_result_that_says_it_is_another_trials(key: str, tmp_path: Path) -> None:
    trial = trials(RUN, DATASET, CODEC)[0]
    other = {"architecture": "B", "level": 10, "seed": 7, "codec": "other", "dataset": "other"}[key]
    store = root(tmp_path, result_key(trial.id), lambda tree: tree.update({key: other}))
    with pytest.raises(StorageError, match=rf"result.json: {key} is .* which isn't the trial's"):
        finished_result(store, trial)


@pytest.mark.parametrize("rounds", [[[]], [[5], [5]], [[0]], [[101]]])
def test_a_refinement_that_can_not_be_trained(rounds: list[list[int]], tmp_path: Path) -> None:
    key = next(name for name in documents.root() if name.endswith("-refinement.json"))
    with pytest.raises(StorageError, match=r"refinement\.json.*rounds"):
        find_refinement(root(tmp_path, key, lambda tree: tree.update(rounds=rounds)), PLAN)


@pytest.mark.parametrize("change", [{"process": 0}, {"process": 1 << 40}, {"beat": 1e300}, {"beat": float("nan")}])
def test_a_lease_of_a_process_that_there_can_not_be(change: dict[str, float]) -> None:
    known = {"run": "r", "machine": "m", "process": 7, "beat": 0.0}
    assert parse_model(json.dumps(known).encode(), "lease.json", Lease)
    with pytest.raises(StorageError, match=r"lease\.json"):
        parse_model(json.dumps(known | change).encode(), "lease.json", Lease)


@pytest.mark.parametrize("place", [(-1, io.SEEK_SET), (1 << 80, io.SEEK_SET)])
def test_a_place_before_the_beginning_of_a_sound_file(place: tuple[int, int]) -> None:
    content = Content(b"RIFF")
    content.seek(2)
    assert content.seek(*place) == 2  # an error here was printed as a traceback, by the callback it came from


def test_a_checkpoint_whose_compressed_part_is_damaged(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(60))  # which doesn't pack: no bomb
        packed.writestr("header.npy", noise)
    content = bytearray(file.getvalue())
    content[40:44] = b"\xff\xff\xff\xff"  # in the deflated data: a zlib.error, though the digest is right
    path = tmp_path / "trials" / checkpoints.trial().id / "checkpoint"
    path.parent.mkdir(parents=True)
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    found = Checkpoints(open_store(str(tmp_path)), checkpoints.trial(), checkpoints.MADE_BY).read(checkpoints.ARRAYS)
    assert found is None
