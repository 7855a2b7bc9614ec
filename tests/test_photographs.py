"""Patches of scikit-image's photographs: what they are, balanced, in disjoint groups, without a network."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3
from PIL import Image

from helmholtz.errors import BadRecord, SourceError
from helmholtz.experiment import Dataset
from helmholtz.sources import photographs
from helmholtz.sources.photographs import Photographs

FILES = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "hubble": "hubble_deep_field.jpg",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
}


def opened(**options) -> Photographs:
    return Photographs.open(Dataset(kind="photographs", **options))


@pytest.fixture(scope="module")
def records():
    return list(opened().records())


def test_classes_are_the_photographs(records):
    source = opened()
    assert source.classes == tuple(FILES)
    counts = Counter(record.label for record in records)
    assert len(counts) == 6
    assert 400 <= min(counts.values()) <= max(counts.values()) <= 2.5 * min(counts.values())
    assert "CC0" in source.description
    assert "public domain" in source.description


def test_keys_and_contents_are_unique_and_stable(records):
    assert len({record.key for record in records}) == len({record.digest for record in records}) == len(records)
    assert records == list(opened().records())


def test_patches_are_cut_from_the_photographs(records):
    source = opened()
    folder = Path(importlib.util.find_spec("skimage").submodule_search_locations[0], "data")
    for record in records[::97]:
        name, _, corner = record.key.partition("/")
        y, x = map(int, corner.split("-"))
        with Image.open(folder / FILES[name]) as image:
            expected = np.asarray(image.convert("RGB").crop((x, y, x + 32, y + 32)))
        patch = source.load(record.key)
        assert patch.dtype == np.uint8
        assert patch.flags.c_contiguous
        assert np.array_equal(patch, expected)
        assert record.nbytes == 3072
        assert record.digest == blake3(patch.tobytes()).hexdigest(length=16)


def test_groups_are_disjoint_regions(records):
    """Pixels are painted by group: no pixel may belong to two."""
    owner = defaultdict(lambda: np.full((1411, 1411), -1))
    number = {group: n for n, group in enumerate(sorted({record.group for record in records}))}
    for record in records:
        name, _, corner = record.key.partition("/")
        y, x = map(int, corner.split("-"))
        region = owner[name][y : y + 32, x : x + 32]
        assert np.all((region == -1) | (region == number[record.group]))
        region[:] = number[record.group]
        assert record.group.startswith(f"{name}/")
    assert min(Counter(record.group.split("/")[0] for record in records if record.group).values()) > 0
    assert len({record.group for record in records if record.key.startswith("chelsea/")}) == 28


def test_nearly_constant_patches_are_no_part_of_the_set(records):
    source = opened()
    assert all(source.load(record.key).std(axis=(0, 1)).max() >= 4 for record in records[::13])
    keys = {record.key for record in records}
    assert "retina/0-0" not in keys  # its black border
    assert "retina/704-704" in keys
    assert source.load("retina/0-0").std() < 4


def test_classes_picks_photographs():
    source = opened(classes=("rocket", "coffee"))
    assert source.classes == ("coffee", "rocket")
    assert {(record.label, record.key.split("/")[0]) for record in source.records()} == {(0, "coffee"), (1, "rocket")}
    with pytest.raises(BadRecord, match="not a key"):
        source.load("chelsea/0-0")
    with pytest.raises(SourceError, match=r"photographs: no class 'moon'.*'astronaut'"):
        opened(classes=("rocket", "moon"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "astronaut",
        "astronaut/0",
        "moon/0-0",
        "astronaut/-1-0",
        "astronaut/0-0/1",
        "../x/0-0",
        "astronaut/481-0",
        "retina/0-99999",
    ],
)
def test_keys_that_name_no_patch(key):
    with pytest.raises(BadRecord):
        opened().load(key)


def test_a_pickled_source_carries_no_pixels():
    source = opened()
    source.load("retina/704-704")
    assert len(pickle.dumps(source)) < 500
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 - our own


def test_loaded_patches_can_be_changed_without_harm():
    source = opened()
    patch = source.load("coffee/64-64")
    patch[:] = 0
    assert source.load("coffee/64-64").any()


def test_neither_scikit_image_nor_pooch_is_imported():
    code = (
        "import sys; from helmholtz.experiment import Dataset; from helmholtz.sources import open_source;"
        "next(open_source(Dataset(kind='photographs')).records());"
        "sys.exit(any(name.split('.')[0] in ('skimage', 'pooch', 'requests') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_scikit_image_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SourceError, match="pip install"):
        opened()
    spec = importlib.machinery.ModuleSpec("skimage", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(photographs.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(SourceError, match=r"astronaut\.png: missing; reinstall"):
        opened()
    (tmp_path / "data").mkdir()
    for name in FILES.values():
        (tmp_path / "data" / name).write_bytes(b"no image")
    photographs._photograph.cache_clear()
    with pytest.raises(SourceError, match=r"astronaut\.png: can't be decoded"):
        list(opened().records())
