"""What publishing makes of a run of audio, read back as its readers would: TensorBoard, figures, words."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import soundfile

from helmholtz.analysis.summary import Report, report_schema
from helmholtz.analysis.table import rows
from helmholtz.experiment import Experiment
from helmholtz.levels import NONE, Level
from helmholtz.manifest import level_folder, read_manifest
from helmholtz.report.clips import read_clips
from helmholtz.report.network_size import parameters
from helmholtz.report.picture import Picture
from helmholtz.report.publish import publish
from helmholtz.report.quantisation_axis import places
from helmholtz.storage import Store, open_store
from tests import synthetic_run as synthetic
from tests.audio_report import (
    CLASSES,
    CODEC,
    SMALL,
    audio_tags,
    everything,
    found,
    page,
    publish_all,
    sounds,
    summed_up,
    text,
)
from tests.pages import HOSTILE

pytestmark = pytest.mark.tensorflow

SOURCE = {"source_levels": {"137": 11_000, "64": 500, "none": 500}, "double_compressed": 500}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Report]:
    return publish_all(tmp_path_factory.mktemp("run"))


def test_tensorboard_holds_the_clips_as_the_networks_hear_them(published: tuple[Store, Report]) -> None:
    store, _ = published
    waves = sounds(store)
    levels = ["lossless", *(f"{level} kbit/s" for level in synthetic.BITRATES[1:])]
    assert set(waves) == {f"clip {n}, {name}/{level}" for n, name in enumerate(CLASSES, start=1) for level in levels}
    clips = read_clips(store, found(store, synthetic.audio_experiment()))
    for label, row in zip(levels, clips.levels.values(), strict=True):
        for number, (name, clip) in enumerate(zip(CLASSES, row, strict=True), start=1):
            assert clip is not None
            samples, rate = soundfile.read(io.BytesIO(waves[f"clip {number}, {name}/{label}"]), dtype="int16")
            assert rate == 44_100
            assert np.abs(samples.astype(int) - clip.samples).max() <= 1


def test_levels_that_share_a_place_have_scalars_of_their_own(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 320, 128, 8], seeds=2)
    synthetic.write_run(store, run)
    publish(store, run, synthetic.DATASET)
    events = EventAccumulator(f"{store.uri}/tensorboard/summary").Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("accuracy against Q/")]
    assert sorted(tags) == [f"accuracy against Q/A{end}" for end in ("", " at 320 kbit/s", " lossless")]
    assert [event.step for event in events.Tensors("accuracy against Q/A")] == [0, 94]


# Names from data


def test_hostile_class_names_are_only_ever_text(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    names = (*HOSTILE[:3], HOSTILE[3] + "/../x")
    synthetic.write_run(store, run, classes=names)
    publish(store, run, synthetic.DATASET)
    parsed = page(store)
    assert not {"script", "b"} & {tag for tag, _ in parsed.tags}
    assert not [name for _, attributes in parsed.tags for name in attributes if name.startswith("on")]
    for name in names:
        assert any(name in str(tag["aria-label"]) for tag in audio_tags(store))
    assert len(sounds(store)) == 8
    assert {tag.split("/", 1)[1] for tag in sounds(store)} == {"lossless", "8 kbit/s"}


# Figures


def test_levels_that_share_a_quantisation_stand_side_by_side(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 320, 160, 128, 96, 8], seeds=2)
    synthetic.write_run(store, run)
    report = publish(store, run, synthetic.DATASET)
    at = places(report)
    ordered = [at[level] for level in run.levels]
    assert ordered == sorted(ordered)
    assert min(b - a for a, b in itertools.pairwise(ordered)) > 0.05
    assert (at[128], at[96], at[8]) == (0, 0.25, 0.9375)
    assert text(store).count("Left of 0, since their Q is 0 too: 320 kbit/s, 160 kbit/s.") == 3
    assert report.curves[0].levels == 5


def test_with_one_level_at_zero_nothing_moves(published: tuple[Store, Report]) -> None:
    assert places(published[1]) == {NONE: -0.035, 128: 0, 64: 0.5, 32: 0.75, 16: 0.875, 8: 0.9375}
    assert "Left of 0" not in text(published[0])


def test_networks_of_nearly_one_size_do_not_hide_each_other(published: tuple[Store, Report]) -> None:
    store, report = published
    run = everything()
    drawn = parameters(report, rows(found(store, run)))
    assert isinstance(drawn, Picture)
    assert "Drawn right of their place, for they would cover the one before: E." in drawn.caption
    assert "beside lossless" in drawn.caption
    assert "D at 32 kbit/s" in drawn.alt


def test_every_figure_speaks_of_bitrates(published: tuple[Store, Report]) -> None:
    images = {a["alt"]: a for t, a in page(published[0]).tags if t == "img"}
    assert len(images) == 6
    assert all("32" in str(alt) or "Predicted" in str(alt) for alt in images)
    for name in ("accuracy", "convergence", "sizes"):
        svg = published[0].read_bytes(f"report/figures/{name}.svg").decode()
        assert ("MP3 bitrate (kbit/s)" if name != "sizes" else "headers, stuffing") in svg


# Words


def test_nothing_is_said_of_pictures(published: tuple[Store, Report]) -> None:
    words = text(published[0]).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    words = words[words.index("How much of this data set") : words.index("The experiment in full")].lower()
    method = "the paper's theory of bits rests on jpeg's quantisation tables; for mp3 it gives none."
    assert method in words
    for word in ("pixel", "picture", "jpeg", "quantisation tables", "original files", "as printed", "theoretical", "png"):
        assert word not in words.replace(method, ""), word


def test_the_answer_explains_frames_once_and_says_that_there_is_no_theory(published: tuple[Store, Report]) -> None:
    answer = published[1].recommendation
    assert answer.sentence.startswith("MP3 32 kbit/s loses less than 1 point")
    assert "smaller than lossless" in answer.sentence
    (measured,) = (detail for detail in answer.details if detail.startswith("Measured"))
    assert measured.endswith("lossless (a frame is one sample of the one channel, 44,100 a second).")
    assert "Theory: the paper has none of the bits that MP3 leaves; the measured ones stand alone." in answer.details


def test_what_each_level_takes_has_bitrates_and_coded_rates_instead_of_theory(published: tuple[Store, Report]) -> None:
    store, report = published
    words = text(store)
    assert "Bitrate realised, kbit/s" in words
    assert "Bits left" not in words
    assert "32.022.05 kHz" in words  # two cells
    assert "8.08 kHz" in words
    content = json.loads(store.read_bytes("report/report.json"))
    jsonschema.Draft202012Validator(report_schema()).validate(content)
    by_level = {level["level"]: level for level in content["levels"]}
    assert (by_level[16]["bitrate"], by_level[16]["coded_rates"]) == (16.0, {"16000": 12_000})
    assert by_level[16]["theoretical_bits"] == {}
    assert report.codec.medium == "audio"


def test_a_level_larger_than_flac_is_called_larger(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 128, 8], seeds=3)
    synthetic.write_run(store, run, accuracies={("A", 8, seed): 0.3 + 0.001 * seed for seed in range(3)})
    for level, factor in ((NONE, 1), (128, 3.9)):
        manifest = read_manifest(store, synthetic.DATASET, CODEC, level)
        splits = {
            name: split.model_copy(update={"payload_bytes": round(split.payload_bytes * factor)})
            for name, split in manifest.splits.items()
        }
        changed = manifest.model_copy(update={"splits": splits})
        store.write_bytes(f"{level_folder(synthetic.DATASET, CODEC, level)}/manifest.json", changed.model_dump_json().encode())
    report = publish(store, run, synthetic.DATASET)
    ratio = next(level.ratio_to_none for level in report.levels if level.level == 128)
    assert ratio is not None
    assert ratio < 1
    larger = f"{1 / ratio:.1f} times larger"
    assert larger + " than lossless" in report.recommendation.sentence
    assert text(store).count(f"{larger} than lossless") == 2  # the answer and the tile
    assert any(larger in str(a.get("alt")) for _, a in page(store).tags)
    assert f"{ratio:.1f} times smaller" not in text(store)


def test_a_lossy_source_is_decoded_so_none_stays_lossless(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    synthetic.write_run(store, run, **SOURCE)
    report = publish(store, run, synthetic.DATASET)
    assert report.levels[0].label == "lossless"
    (caveat,) = (c for c in report.recommendation.caveats if "already compressed in the source" in c)
    assert caveat.startswith("11,500 records were already compressed in the source (64 kbit/s to 137 kbit/s, in their own")
    assert "none holds what they decode to, without further loss" in caveat
    assert any(c.startswith("Double compression") and "MP3 8 kbit/s" in c for c in report.recommendation.caveats)
    words = text(store)
    assert "untouched" not in words
    assert (
        "lossless files (FLAC) of the clips, as the source\N{RIGHT SINGLE QUOTATION MARK}s own files decode to them." in words
    )


@pytest.mark.parametrize(("source", "keep"), [(SOURCE, "as they are"), ({}, "lossless")])
def test_data_that_are_not_lossless_are_not_told_to_stay_so(tmp_path: Path, source: dict[str, Any], keep: str) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(levels=[NONE, 8], seeds=3)
    low = {("A", 8, seed): 0.3 + 0.001 * seed for seed in range(3)}
    synthetic.write_run(store, run, accuracies=low, **source)
    sentence = summed_up(store, run).recommendation.sentence
    assert sentence.startswith(f"Keep the data {keep}: even MP3 8 kbit/s")


def test_overhead_is_named_as_mp3s(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), synthetic.audio_experiment(**SMALL)
    synthetic.write_run(store, run)
    manifest = read_manifest(store, synthetic.DATASET, CODEC, 8)
    splits = {name: split.model_copy(update={"coded_bits": split.coded_bits // 2}) for name, split in manifest.splits.items()}
    content = manifest.model_copy(update={"splits": splits}).model_dump_json().encode()
    store.write_bytes(f"{level_folder(synthetic.DATASET, CODEC, 8)}/manifest.json", content)
    even = {("A", level, seed): 0.8 + 0.001 * (seed + (level == 8) * (seed == 1)) for level in (NONE, 8) for seed in range(2)}
    synthetic_trials(store, run, even)
    details = summed_up(store, run).recommendation.details
    assert any("are headers, side information and stuffing, not content." in detail for detail in details)


def synthetic_trials(store: Store, run: Experiment, accuracies: dict[tuple[str, Level, int], float]) -> None:
    """Writes the results of a run again, with these accuracies."""
    from helmholtz.results import result_key
    from helmholtz.trials import trials

    for trial in trials(run, synthetic.DATASET, CODEC):
        reached = accuracies[trial.architecture, trial.level, trial.seed]
        result = synthetic.trial_result(trial, reached, medium="audio", classes=4)
        store.write_bytes(result_key(trial.id), result.model_dump_json().encode())


def test_cropped_clips_are_not_held_against_the_whole_source(tmp_path: Path) -> None:
    """A recording of an hour of which two seconds are used has not become 1,800 times smaller by the codec."""
    run = synthetic.audio_experiment()
    for notes, compared in (({"padded": 4}, True), ({"cropped": 1}, False)):
        store = open_store(str(tmp_path / str(compared)))
        synthetic.write_run(store, run, notes=notes)
        report = summed_up(store, run)
        assert ("source's own bytes" in report.recommendation.sentence) is compared
        assert all((level.ratio_to_source is not None) is compared for level in report.levels)
