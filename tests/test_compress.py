"""The compress stage: right content, one read a record, same bytes however it is run, nothing lost."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helmholtz.compress import compress
from helmholtz.dataset import index_dataset, read_records
from helmholtz.errors import HelmholtzError, SourceError, StorageError
from helmholtz.experiment import Experiment
from helmholtz.manifest import LevelManifest
from helmholtz.shards import read_shard
from helmholtz.sources.base import Raw
from helmholtz.sources.image_folder import ImageFolder
from helmholtz.storage import LocalStore, open_store


def experiment(path: Path, **more: Any) -> Experiment:
    dataset = {"kind": "image-folder", "path": str(path), "test": 0.25, "validation": 0.2, "shards": 3} | more.pop(
        "dataset", {}
    )
    return Experiment.model_validate({"dataset": dataset, "levels": ["none", 50, 5]} | more)


def run(root: Path, wanted: Experiment) -> dict[Any, LevelManifest]:
    store = open_store(str(root))
    return compress(store, wanted, index_dataset(store, wanted.dataset))


def shards(root: Path) -> dict[str, str]:
    """Relative name -> digest of every shard and manifest."""
    files = [path for pattern in ("*.tfrecord", "manifest.json") for path in root.glob(f"data/**/{pattern}")]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_level_holds_every_record_once_and_the_manifest_says_so(tmp_path: Path, pictures: Path) -> None:
    import io

    from PIL import Image

    manifests = run(tmp_path, experiment(pictures))
    for level, manifest in manifests.items():
        seen = {}
        for split, entry in manifest.splits.items():
            per_class, payload_bytes = [0, 0], 0
            for shard in entry.shards:
                path = tmp_path / "data" / manifest.dataset / "jpeg-420" / str(level) / shard.name
                assert hashlib.sha256(path.read_bytes()).hexdigest() == shard.sha256
                records = list(read_shard(path))
                assert len(records) == shard.records
                for key, label, payload in records:
                    assert key not in seen
                    seen[key] = split
                    per_class[label] += 1
                    payload_bytes += len(payload)
                    assert manifest.classes[label] == key.split("/")[0]
                    original = np.asarray(Image.open(pictures / key))
                    decoded = np.asarray(Image.open(io.BytesIO(payload)))
                    assert decoded.shape == original.shape
                    assert (level == "none") == np.array_equal(decoded, original)
            assert (entry.per_class, entry.payload_bytes) == (tuple(per_class), payload_bytes)
        assert len(seen) == 24
        assert manifest.splits["test"].records == 6
    splits_of = [{s.name: (s.records) for e in manifest.splits.values() for s in e.shards} for manifest in manifests.values()]
    assert splits_of[0] == splits_of[1] == splits_of[2]
    assert manifests["none"].payload_bytes > manifests[50].payload_bytes > manifests[5].payload_bytes


@pytest.mark.parametrize(("group", "count"), [(None, 24), (r"([0-9])\.png", 10)])
def test_the_manifest_counts_the_groups(tmp_path: Path, pictures: Path, group: str | None, count: int) -> None:
    content = experiment(pictures).model_dump(mode="json")
    grouped = Experiment.model_validate({**content, "dataset": {**content["dataset"], "group": group}})
    for manifest in run(tmp_path, grouped).values():
        assert sum(split.groups for split in manifest.splits.values()) == count
        assert manifest.splits["test"].groups == len({key[-5] if group else key for key in keys(tmp_path, manifest)})


def keys(root: Path, manifest: LevelManifest) -> list[str]:
    folder = root / "data" / manifest.dataset / manifest.codec / str(manifest.level)
    return [key for shard in manifest.splits["test"].shards for key, _, _ in read_shard(folder / shard.name)]


def test_a_record_is_read_once_for_all_levels(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = ImageFolder.load

    def counted(self: ImageFolder, key: str, digest: str | None = None) -> Raw:
        loads.append(key)
        return load(self, key, digest)

    monkeypatch.setattr(ImageFolder, "load", counted)
    run(tmp_path, experiment(pictures, levels=["none", 90, 50, 25, 5, 1]))
    assert sorted(loads) == sorted(set(loads))
    assert len(loads) == 24


def test_a_second_run_reads_nothing_and_a_new_level_makes_only_that_level(tmp_path: Path, pictures: Path) -> None:
    run(tmp_path, experiment(pictures))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/**/*") if path.is_file()}
    run(tmp_path, experiment(pictures))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/**/*") if path.is_file()} == before
    run(tmp_path, experiment(pictures, levels=["none", 50, 20, 5]))
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("data/**/*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.relative_to(tmp_path).parts[3] for path in after.keys() - before.keys()} == {"20"}


def test_a_lost_cut_or_flipped_shard_is_made_again(tmp_path: Path, pictures: Path) -> None:
    run(tmp_path, experiment(pictures))
    whole = shards(tmp_path)
    folder = next(tmp_path.glob("data/*/jpeg-420/50"))
    (folder / "manifest.json").unlink()
    cut, lost, flipped = sorted(folder.glob("*.tfrecord"))[:3]
    cut.write_bytes(cut.read_bytes()[:-1])
    lost.unlink()
    flipped.write_bytes(flipped.read_bytes()[:-9] + b"?" + flipped.read_bytes()[-8:])
    run(tmp_path, experiment(pictures))
    assert shards(tmp_path) == whole


@pytest.mark.parametrize("runner", [{"runner": "multi-processing", "workers": 2}])
def test_the_bytes_do_not_depend_on_the_runner(tmp_path: Path, pictures: Path, runner: dict[str, Any]) -> None:
    run(tmp_path / "local", experiment(pictures))
    run(tmp_path / "other", experiment(pictures, beam=runner))
    assert shards(tmp_path / "local") == shards(tmp_path / "other")


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path: Path, pictures: Path) -> None:
    run(tmp_path / "whole", experiment(pictures))
    whole = shards(tmp_path / "whole")
    wanted = tmp_path / "experiment.json"
    wanted.write_text(experiment(pictures).to_json())
    program = (
        "import sys; from pathlib import Path; from tests.test_compress import run;"
        "from helmholtz.experiment import Experiment;"
        "run(Path(sys.argv[1]), Experiment.model_validate_json(Path(sys.argv[2]).read_text()))"
    )
    root, kills = tmp_path / "killed", 0
    folder = Path(__file__).parents[1]
    for target in (1, 4, 9, 14):  # files of shards and parts that exist when the axe falls
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(root), str(wanted)], cwd=folder, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and len([*root.glob("data/*/jpeg-420/*/*.tfrecord")]) < target:
            time.sleep(0.001)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 2
    run(root, experiment(pictures))
    assert shards(root) == whole


def test_unusable_records_are_set_aside_and_listed_at_every_level(tmp_path: Path, pictures: Path) -> None:
    (pictures / "birds" / "empty.png").write_bytes(b"")
    (pictures / "birds" / "text.jpg").write_text("not a picture")
    (pictures / "fish" / "cut.png").write_bytes((pictures / "fish" / "00.png").read_bytes()[:500])
    manifests = run(tmp_path, experiment(pictures, dataset={"max_rejected": 0.2}))
    for manifest in manifests.values():
        assert {entry.key: entry.reason for entry in manifest.rejected} == {
            "birds/empty.png": "empty file",
            "birds/text.jpg": "not an image",
            "fish/cut.png": "truncated image",
        }
        assert sum(split.records for split in manifest.splits.values()) == 24


def test_past_the_stated_share_of_unusable_records_the_run_stops(tmp_path: Path, pictures: Path) -> None:
    for number in range(3):
        (pictures / "birds" / f"bad{number}.jpg").write_text(f"no picture, {number}")
    with pytest.raises(SourceError, match=r"compressing: 3 of 27 records.*birds/bad0.jpg: not an image.*max_rejected"):
        run(tmp_path, experiment(pictures))
    assert not [*tmp_path.glob("data/**/manifest.json")]
    manifests = run(tmp_path, experiment(pictures, dataset={"max_rejected": 0.2}))
    assert len(manifests["none"].rejected) == 3


def test_a_file_that_changes_after_listing_is_set_aside(tmp_path: Path, pictures: Path) -> None:
    wanted = experiment(pictures, dataset={"max_rejected": 0.2})
    store = open_store(str(tmp_path))
    index = index_dataset(store, wanted.dataset)
    (pictures / "birds" / "03.png").write_bytes((pictures / "fish" / "03.png").read_bytes())
    manifests = compress(store, wanted, index)
    assert [entry.reason for entry in manifests[5].rejected] == ["changed since it was listed"]


def test_the_fingerprint_follows_content_labels_and_splits_not_the_place(tmp_path: Path, pictures: Path) -> None:
    import shutil

    store = open_store(str(tmp_path / "root"))

    def fingerprint(path: Path, **options: Any) -> str:
        return index_dataset(store, experiment(path, dataset=options).dataset).fingerprint

    first = fingerprint(pictures)
    moved = shutil.copytree(pictures, tmp_path / "elsewhere")
    assert fingerprint(moved) == first
    assert fingerprint(moved, split_seed=1) != first
    assert fingerprint(moved, limit=8) != first
    shutil.copy(moved / "fish" / "01.png", moved / "fish" / "00.png")
    assert fingerprint(moved) != first


def test_shard_lists_hold_every_record_once_in_hashed_order(tmp_path: Path, pictures: Path) -> None:
    store = open_store(str(tmp_path))
    index = index_dataset(store, experiment(pictures).dataset)
    keys = [record.key for _, name in index.shard_names() for record in read_records(store, index, name)]
    assert len(keys) == len(set(keys)) == 24
    assert keys != sorted(keys)


def test_double_compression_is_counted(tmp_path: Path, pictures: Path) -> None:
    from PIL import Image

    for path in sorted(pictures.glob("*/*.png")):
        Image.open(path).save(path.with_suffix(".jpg"), quality=40)
        path.unlink()
    manifests = run(tmp_path, experiment(pictures, levels=["none", 60, 40, 10]))
    assert {level: m.double_compressed for level, m in manifests.items()} == {"none": 0, 60: 24, 40: 24, 10: 0}
    assert manifests["none"].source_levels == {"40": 24}
    assert (
        manifests["none"].payload_bytes
        == manifests["none"].source_bytes
        == sum(path.stat().st_size for path in pictures.glob("*/*.jpg"))
    )


def test_damaged_or_shortened_record_lists_are_mended(tmp_path: Path, pictures: Path) -> None:
    run(tmp_path, experiment(pictures))
    lists = sorted(tmp_path.glob("data/*/records/*.jsonl"))
    lists[0].write_bytes(lists[0].read_bytes().split(b"\n", 1)[1])
    lists[1].write_bytes(b'{"key": "x')
    lists[2].unlink()
    more = run(tmp_path, experiment(pictures, levels=["none", 50, 20, 5]))
    assert {sum(split.records for split in manifest.splits.values()) for manifest in more.values()} == {24}


def test_lists_that_change_between_plan_and_compress_stop_the_run(tmp_path: Path, pictures: Path) -> None:
    wanted, store = experiment(pictures), open_store(str(tmp_path))
    index = index_dataset(store, wanted.dataset)
    first = next(tmp_path.glob("data/*/records/train-00000*"))
    first.write_bytes(first.read_bytes().split(b"\n", 1)[1])
    with pytest.raises(StorageError, match=r"train records where the data set has"):
        compress(store, wanted, index)
    assert not [*tmp_path.glob("data/**/manifest.json")]


def test_a_level_without_its_shards_is_not_whole(tmp_path: Path, pictures: Path) -> None:
    run(tmp_path, experiment(pictures))
    whole = shards(tmp_path)
    for path in tmp_path.glob("data/*/jpeg-420/50/*.tfrecord"):
        path.unlink()
    run(tmp_path, experiment(pictures))
    assert shards(tmp_path) == whole


def test_another_levels_manifest_is_refused(tmp_path: Path, pictures: Path) -> None:
    run(tmp_path, experiment(pictures))
    folder = next(tmp_path.glob("data/*/jpeg-420"))
    (folder / "50" / "manifest.json").write_bytes((folder / "5" / "manifest.json").read_bytes())
    with pytest.raises(StorageError, match=r"50/manifest.json: it describes .*/5; delete it"):
        run(tmp_path, experiment(pictures))


@pytest.mark.parametrize("broken", ["one class", "every class"])
def test_a_class_that_loses_all_its_records_stops_the_run(tmp_path: Path, pictures: Path, broken: str) -> None:
    for path in sorted(pictures.glob("fish/*.png" if broken == "one class" else "*/*.png")):
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SourceError, match=r"class '(fish|birds)': no train record of it can be used"):
        run(tmp_path, experiment(pictures, dataset={"max_rejected": 1.0}))
    assert not [*tmp_path.glob("data/**/manifest.json")]


def test_a_part_is_only_written_once_its_shard_is_there(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = LocalStore.upload

    def failing(self: LocalStore, path: Path, key: str) -> None:
        if key.endswith(".tfrecord"):
            raise StorageError(f"{key}: disk full")
        upload(self, path, key)

    monkeypatch.setattr(LocalStore, "upload", failing)
    with pytest.raises(HelmholtzError, match="disk full"):
        run(tmp_path, experiment(pictures))
    assert not [*tmp_path.glob("data/**/parts/*")]


@pytest.mark.parametrize("runner", ["local", "multi-processing"])
def test_a_failing_task_says_why_in_one_sentence(tmp_path: Path, pictures: Path, runner: str) -> None:
    wanted = experiment(pictures, beam={"runner": runner})
    store = open_store(str(tmp_path / "root"))
    index = index_dataset(store, wanted.dataset)
    pictures.rename(tmp_path / "gone")
    with pytest.raises(HelmholtzError) as error:
        compress(store, wanted, index)
    assert str(error.value).startswith(f"{pictures}: no such folder")
    assert "while running" not in str(error.value)


def test_beam_is_not_imported_when_nothing_is_to_do(tmp_path: Path, pictures: Path) -> None:
    run(tmp_path / "root", experiment(pictures))
    (tmp_path / "experiment.json").write_text(experiment(pictures).to_json())
    program = (
        "import sys; from pathlib import Path; from tests.test_compress import run;"
        "from helmholtz.experiment import Experiment;"
        "run(Path(sys.argv[1]), Experiment.model_validate_json(Path(sys.argv[2]).read_text()));"
        "print('apache_beam' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "root"), str(tmp_path / "experiment.json")]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_memory_stays_flat_from_10_000_to_60_000_pictures(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2_000, 3073), dtype=np.uint8)
    program = (
        "import resource, sys; from pathlib import Path; from tests.test_compress import run;"
        "from helmholtz.experiment import Experiment;"
        "wanted = Experiment.model_validate({'dataset': {'kind': 'cifar10', 'path': sys.argv[1]}, 'levels': ['none']});"
        "print(run(Path(sys.argv[1] + '-root'), wanted)['none'].splits['train'].records);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak(records: int) -> float:
        folder = tmp_path / str(records)
        folder.mkdir()
        (folder / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n")
        names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
        for number, name in enumerate(names):
            content = np.tile(pixels, (records // len(names) // len(pixels) + 1, 1))[: records // len(names)]
            content[:, 0] = np.arange(len(content)) % 10
            content[:, 1:9] = np.arange(number * 10**6, number * 10**6 + len(content))[:, None].view(np.uint8)  # no two alike
            content.tofile(folder / name)
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder)],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        train, memory = map(int, done.stdout.split())
        assert train == len(names[:-1]) * (records // len(names)) * 0.9
        return memory

    assert peak(60_000) < 1.1 * peak(12_000)
