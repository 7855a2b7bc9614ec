"""The reader that an export holds, run where there is no helmholtz, against Pillow, soundfile and the codec."""

from __future__ import annotations

import ast
import contextlib
import html
import io
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from helmholtz.analysis.level_summary import LevelSummary
from helmholtz.analysis.summary import Report
from helmholtz.codecs.mp3 import Mp3Codec
from helmholtz.errors import StorageError
from helmholtz.export import export
from helmholtz.levels import NONE, Level
from helmholtz.manifest import level_folder
from helmholtz.report.html import page
from helmholtz.report.reader import reader
from helmholtz.shards import read_shard
from helmholtz.storage import open_store
from tests import synthetic_run as synthetic
from tests.finished_run import RECORDS, finish
from tests.pages import HOSTILE

pytestmark = pytest.mark.tensorflow

IMAGES: tuple[Level, ...] = (NONE, 75, 25)
SOUNDS: tuple[Level, ...] = (NONE, 128, 32, 8)
EXPORTS = [*(f"images-{level}" for level in IMAGES), "mixed-none", "large-75", *(f"sounds-{level}" for level in SOUNDS)]

PROGRAM = """
import importlib.util, sys
import numpy as np
assert importlib.util.find_spec("helmholtz") is None
import keras, tensorflow as tf
for folder in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("read", f"{folder}/read.py")
    read = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(read)
    records, labels = (np.concatenate(part) for part in zip(*read.dataset("test", batch_size=7).as_numpy_iterator()))
    model = keras.Sequential([keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(len(read.CLASSES))])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    ((batch, truth),) = read.dataset("train")
    losses = [float(model.train_on_batch(batch, truth)) for _ in range(2)]
    try:
        read.dataset("valid")
    except FileNotFoundError as error:
        said = str(error)
    found = {"records": records, "labels": labels, "classes": read.CLASSES, "trained": len(batch), "losses": losses}
    np.savez(f"{folder}.npz", **found, said=said)
"""


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an export of each name in EXPORTS, and beside it, in an .npz file, what its reader read."""
    folder = tmp_path_factory.mktemp("exports")
    images = {"levels": IMAGES, "training": {"epochs": 2}}
    finish(open_store(str(folder / "run" / "images")), synthetic.experiment(**images))
    plain = synthetic.payload
    with pytest.MonkeyPatch.context() as patch:  # a source of which every other file is a JPEG
        patch.setattr(synthetic, "payload", lambda n, level, size: plain(n, 90 if n % 2 and level == NONE else level, size))
        finish(open_store(str(folder / "run" / "mixed")), synthetic.experiment(**images), source_levels={"none": 6, "90": 6})
    finish(open_store(str(folder / "run" / "large")), synthetic.experiment(**images), size=45)
    finish(open_store(str(folder / "run" / "sounds")), synthetic.audio_experiment(levels=SOUNDS, seeds=2))
    for name in EXPORTS:
        run, _, level = name.partition("-")
        chosen: Level = NONE if level == NONE else int(level)
        export(open_store(str(folder / "run" / run)), open_store(str(folder / name)), chosen)
    # Without .pth files: no editable install is found.
    site = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM, *(str(folder / name) for name in EXPORTS)],
        env=site, cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def records_of(folder: Path) -> list[tuple[str, int, bytes]]:
    return [record for path in sorted(folder.glob("test-*.tfrecord")) for record in read_shard(path)]


@pytest.mark.parametrize("name", EXPORTS)
def test_it_reads_every_record_and_trains(exports: Path, name: str) -> None:
    found = np.load(exports / f"{name}.npz")
    assert found["labels"].tolist() == [label for _, label, _ in records_of(exports / name)]
    assert found["classes"].tolist() == list(synthetic.CLASSES)
    assert int(found["trained"]) == RECORDS["train"]
    assert np.isfinite(found["losses"]).all()
    assert found["losses"][0] != found["losses"][1]
    assert str(found["said"]) == f"no shards of 'valid' in {exports / name}"


@pytest.mark.parametrize("name", [name for name in EXPORTS if "sounds" not in name])
def test_pixels_are_pillows(exports: Path, name: str) -> None:
    found = np.load(exports / f"{name}.npz")["records"]
    assert (found.dtype, found.shape[1:]) == (np.uint8, (32, 32, 3))
    for image, (_, _, payload) in zip(found, records_of(exports / name), strict=True):
        expected = Image.open(io.BytesIO(payload)).convert("RGB")
        if expected.size == (32, 32):
            assert np.array_equal(image, np.asarray(expected))
        else:
            resized = np.asarray(expected.resize((32, 32), Image.Resampling.BILINEAR), int)
            assert np.abs(image - resized).max() <= 2


@pytest.mark.parametrize("level", SOUNDS)
def test_sounds_are_the_codecs(exports: Path, level: Level) -> None:
    found = np.load(exports / f"sounds-{level}.npz")["records"]
    codec = Mp3Codec(seconds=synthetic.SECONDS)
    assert (found.dtype, found.shape[1]) == (np.float32, codec.frames)
    for sound, (_, _, payload) in zip(found, records_of(exports / f"sounds-{level}"), strict=True):
        # The codec cuts before it resamples, which may round a few samples otherwise.
        steps = np.abs(np.rint(sound * 32768) - codec.decode(payload))
        assert steps.max() <= 1
        assert (steps > 0).mean() < 1e-3
        wave, rate = soundfile.read(io.BytesIO(payload))
        if level == NONE:
            assert np.array_equal(sound, wave.astype(np.float32))
        elif rate == 44_100:  # the decoder's delay, found anew
            assert int(np.argmax(np.correlate(wave, sound[:4000], "valid"))) == 1105


def summary(root: Path, **written: object) -> Report:
    return finish(open_store(str(root)), synthetic.experiment(levels=[NONE, 25], seeds=2), **written)


def level_of(report: Report, level: Level) -> LevelSummary:
    return next(found for found in report.levels if found.level == level)


def test_names_from_data_stay_strings(tmp_path: Path) -> None:
    report = summary(tmp_path, classes=(*HOSTILE, "'\n\"\\", "\u202e\x00{{ 7 * 7 }}"))
    tree = ast.parse(reader(report, level_of(report, 25), '/data/it\'s "here"\n{# no #}'))
    found = {node.targets[0].id: ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)}
    assert found["CLASSES"] == list(report.classes)
    assert found["FOLDER"] == '/data/it\'s "here"\n{# no #}'


def statements(source: str) -> str:
    """The program without its constants."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = 0
    return ast.dump(tree)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    sounds = synthetic.audio_experiment(levels=[NONE, 32], seeds=1)
    root = tmp_path_factory.mktemp("small")
    return {"image": summary(root / "images"), "audio": finish(open_store(str(root / "sounds")), sounds)}


WORDS = st.text(max_size=60) | st.sampled_from(
    ['"""', "'''", "\\", "\n", "#", "{{ 7 * 7 }}", "{% raw %}", "import os", "\0", "\u2028", '\r"""']
)
TEXT = st.lists(WORDS, max_size=4).map("".join)


@settings(max_examples=100, deadline=None)
@given(classes=st.lists(TEXT, min_size=4, max_size=4), folder=TEXT, medium=st.sampled_from(["image", "audio"]))
def test_whatever_the_names_it_is_the_same_program(
    small: dict[str, Report], classes: list[str], folder: str, medium: str
) -> None:
    """Only its constants differ, and these are the names."""
    report = small[medium]
    level = report.levels[1]
    source = reader(report.model_copy(update={"classes": tuple(classes)}), level, f"gs://{folder}")
    assert statements(source) == statements(reader(report, level, "gs://x"))
    found = {node.targets[0].id: node.value for node in ast.parse(source).body if isinstance(node, ast.Assign)}
    assert ast.literal_eval(found["CLASSES"]) == classes
    assert ast.literal_eval(found["FOLDER"]) == f"gs://{folder}"


@settings(max_examples=100, deadline=None)
@given(label=TEXT, codec=TEXT, medium=st.sampled_from(["image", "audio"]))
def test_no_label_is_more_than_a_label(small: dict[str, Report], label: str, codec: str, medium: str) -> None:
    report = small[medium]
    forged = report.model_copy(update={"codec": report.codec.model_copy(update={"name": codec})})
    level = report.levels[1]
    with contextlib.suppress(StorageError):
        source = reader(forged, level.model_copy(update={"label": label}), None)
        assert statements(source) == statements(reader(report, level, None))


def test_a_label_of_no_level_is_one_sentence(small: dict[str, Report]) -> None:
    report = small["image"]
    with pytest.raises(StorageError, match="is no label of a level; make the report again"):
        reader(report, report.levels[1].model_copy(update={"label": '"""\nimport os'}), None)


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("gs://bucket/set", "FOLDER = 'gs://bucket/set'"),
        ("s3://bucket/set", "FOLDER = \".\"  # a local copy of 's3://bucket/set': TensorFlow doesn't read s3:// by itself"),
        (None, "FOLDER = os.path.dirname(os.path.abspath(__file__))"),
    ],
)
def test_where_the_shards_are(tmp_path: Path, folder: str | None, line: str) -> None:
    report = summary(tmp_path)
    assert line in reader(report, level_of(report, 25), folder)


def test_it_is_as_short_as_the_level_allows(tmp_path: Path) -> None:
    report = summary(tmp_path / "images")
    assert "decode_png" not in reader(report, level_of(report, 25), None)
    assert "decode_jpeg" not in reader(report, level_of(report, NONE), None)
    sounds = finish(open_store(str(tmp_path / "s")), synthetic.audio_experiment(levels=SOUNDS, seeds=2))
    assert ["soxr" in reader(sounds, level_of(sounds, level), None) for level in SOUNDS] == [False, False, True, True]


def test_the_report_shows_the_same_reader_and_the_command(tmp_path: Path) -> None:
    root = tmp_path / "my runs"
    report = finish(open_store(str(root)), synthetic.experiment(levels=[NONE, 25]))
    text = html.unescape(page(report, (), root=str(root), experiment=""))
    assert f"helmholtz export '{root}' DEST" in text
    folder = root / level_folder(synthetic.DATASET, "jpeg-420", 25)
    assert reader(report, level_of(report, 25), str(folder)) in text
    assert folder.is_dir()
    nothing = page(summary(tmp_path / "few", skip=(("A", NONE, 0),)), (), root="root", experiment="")
    assert "helmholtz export" not in nothing
