"""Experiments: what is accepted, what is refused, and how clearly."""

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from helmholtz.errors import ExperimentError
from helmholtz.experiment import Experiment, as_tree
from helmholtz.experiment_file import bundled, load_experiment, parse_experiment

GOOD = "dataset: {kind: photographs}\nlevels: [none, 25, 1]\n"


@pytest.mark.parametrize("name", sorted(bundled()))
def test_bundled_experiments_are_valid_and_described(name: str) -> None:
    experiment = load_experiment(name)
    assert experiment.name == name
    assert experiment.description


def test_the_papers_image_experiment() -> None:
    experiment = load_experiment("cifar10-jpeg")
    assert experiment.levels == ("none", 100, 75, 50, 25, 20, 15, 10, 5, 1)
    assert {a for a, level in experiment.combinations if level == 25} == set("ABCDEF")
    elsewhere = {(a, level) for a, level in experiment.combinations if level != 25}
    assert elsewhere == {(a, level) for a in "AF" for level in experiment.levels if level != 25}
    assert experiment.seeds == 5
    assert len(experiment.combinations) == 24


AUDIO = "dataset: {kind: plucked-strings}\nlevels: [none, 32, 8]\n"


def test_audio_is_trained_as_in_the_reference() -> None:
    experiment = parse_experiment(AUDIO)
    assert experiment.codec == "mp3"
    training = experiment.training
    assert (training.optimizer, training.learning_rate, training.batch_size, training.augment) == ("adadelta", 1.0, 50, False)
    sgd = parse_experiment(AUDIO + "training: {optimizer: sgd}").training
    assert (sgd.optimizer, sgd.learning_rate, sgd.momentum, sgd.batch_size) == ("sgd", 0.01, 0.9, 50)
    images = parse_experiment(GOOD).training
    assert (images.optimizer, images.learning_rate, images.batch_size, images.augment) == ("sgd", 0.01, 128, True)


@pytest.mark.parametrize("more", ["", "training: {optimizer: sgd}", "mp3: {seconds: 1.5, reference_bitrate: 320}"])
def test_a_resolved_audio_experiment_reads_back_the_same(more: str) -> None:
    experiment = parse_experiment(AUDIO + more)
    assert Experiment.model_validate_json(experiment.to_json()) == experiment
    assert parse_experiment(yaml.safe_dump(as_tree(experiment))) == experiment


def test_the_papers_audio_experiment() -> None:
    experiment = load_experiment("guitar-mp3", ["dataset.path=notes"])
    assert experiment.levels == ("none", 128, 96, 64, 32, 16, 8)
    at_32 = {a for a, level in experiment.combinations if level == 32}
    assert at_32 == set("ABCDEF")
    elsewhere = {(a, level) for a, level in experiment.combinations if level != 32}
    assert elsewhere == {(a, level) for a in "AC" for level in experiment.levels if level != 32}
    assert (experiment.seeds, experiment.training.epochs, experiment.training.batch_size) == (5, 200, 50)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (AUDIO + "codec: jpeg", ["codec: jpeg is not for audio", "use mp3"]),
        (GOOD + "codec: mp3", ["codec: mp3 is not for images", "use jpeg"]),
        (AUDIO + "jpeg: {subsampling: '4:4:4'}", ["jpeg: codec is mp3"]),
        (GOOD + "jpeg: {subsampling: 4:4:4}", ["jpeg.subsampling: it must be in quotes"]),
        ("dataset: {kind: plucked-strings, max_pixels: 5}\nlevels: [none, 8]", ["max_pixels: kind plucked-strings takes none"]),
        (GOOD + "mp3: {seconds: 1}", ["mp3: codec is jpeg"]),
        (AUDIO + "mp3: {seconds: 0.5}", ["mp3.seconds", "0.6", "0.5"]),
        (AUDIO + "mp3: {seconds: .nan}", ["mp3.seconds"]),
        (AUDIO + "mp3: {reference_bitrate: 0}", ["mp3.reference_bitrate", "8"]),
        (AUDIO + "training: {augment: true}", ["training.augment: there is none for audio"]),
        (AUDIO + "training: {input_size: 32}", ["training.input_size: spectrograms aren't resized"]),
        (GOOD + "training: {input_size: null}", ["training.input_size: images need one"]),
        (AUDIO + "training: {momentum: 0.9}", ["momentum: optimizer adadelta has none"]),
        ("dataset: {kind: plucked-strings}\nlevels: [none, 144]", ["levels: 144 is not an MP3 bitrate", "128, 160"]),
        ("dataset: {kind: idmt}\nlevels: [none, 8]", ["idmt needs path"]),
        ("dataset: {kind: idmt, path: x, part: drums}\nlevels: [none, 8]", ["dataset.part", "'guitar'", "'drums'"]),
        ("dataset: {kind: idmt, path: x, group: x}\nlevels: [none, 8]", ["group: kind idmt takes none", "audio-folder"]),
        ("dataset: {kind: cifar10, path: x, group: x}\nlevels: [none, 8]", ["group: kind cifar10 takes none"]),
        ("dataset: {kind: photographs, path: x}\nlevels: [none, 8]", ["path: kind photographs takes none"]),
        ("dataset: {kind: photographs, notes: 9}\nlevels: [none, 8]", ["notes: kind photographs takes none"]),
        ("dataset: {kind: plucked-strings, notes: 2}\nlevels: [none, 8]", ["dataset.notes", "3"]),
        (GOOD + "analysis: {margin: 5}", ["analysis.margin", "0.05 is 5 points", "got 5"]),
        (GOOD + "name: Ä b", ["name: must match ^[a-z0-9]", "'Ä b'"]),
        ("dataset: {kind: photographs, classes: [coffee]}\nlevels: [none, 8]", ["classes: give at least 2 values"]),
    ],
)
def test_what_has_no_meaning_for_the_medium_is_refused(text: str, says: list[str]) -> None:
    with pytest.raises(ExperimentError) as error:
        parse_experiment(text)
    for part in says:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("levels: [none, 25]", ["dataset: missing"]),
        ("dataset: {kind: photographs}\nlevels: []", ["levels", "at least 1"]),
        ("dataset: {kind: photographs}\nlevels: [none, 101]", ["levels: 101", "none or 1 to 100"]),
        ("dataset: {kind: photographs}\nlevels: [none, 0]", ["levels: 0", "none or 1 to 100"]),
        ("dataset: {kind: photographs}\nlevels: [none, 25, 25]", ["levels", "25 is listed twice"]),
        ("dataset: {kind: photographs}\nlevels: [none, 25, '25']", ["levels", "25 is listed twice"]),
        ("dataset: {kind: photographs}\nlevels: [none, high]", ["levels[1]", "'high'", "whole number"]),
        ("dataset: {kind: photographs}\nlevels: [none, true]", ["levels[1]", "True"]),
        ("dataset: {kind: photographs}\nlevels: [none, 2.5]", ["levels[1]", "2.5"]),
        ("dataset: {kind: photographs}\nlevels: [25, 1]", ["levels: must contain none"]),
        (GOOD + "architectures: []", ["architectures", "at least 1"]),
        (GOOD + "architectures: [A, G]", ["architectures[1]", "'G'", "'F'"]),
        (GOOD + "codec: gif", ["codec", "'jpeg'", "'gif'"]),
        (GOOD + "seeds: 0", ["seeds", "greater than or equal to 1", "0"]),
        (GOOD + "seed: 3", ["seed: unknown key", "did you mean seeds?"]),
        (GOOD + "training: {epoch: 3}", ["training.epoch: unknown key", "did you mean epochs?", "batch_size"]),
        (GOOD + "analysis: {margin: 1}", ["analysis.margin", "0.5"]),
        (GOOD + "analysis: {confidence: 95}", ["analysis.confidence", "less than 1"]),
        ("dataset: {kind: image-folder}\nlevels: [none, 1]", ["image-folder needs path"]),
        ("dataset: {kind: pictures}\nlevels: [none, 1]", ["dataset.kind", "'image-folder'", "'pictures'"]),
        (GOOD + "name: ../../etc", ["name", "../../etc"]),
        (GOOD + "seeds: true", ["seeds", "True is not a whole number"]),
        (GOOD + "seeds: '2'", ["seeds", "'2' is not a whole number"]),
        (GOOD + "training: {batch_size: 1000000000000000000000}", ["training.batch_size"]),
        (GOOD + "training: {learning_rate: .inf}", ["training.learning_rate", "finite"]),
        (GOOD + "training: {decay: .nan}", ["training.decay"]),
        (GOOD + 'description: "\\ud800"', ["not valid"]),
        ("dataset: {kind: photographs}\nlevels: [none, 1_0x]", ["levels[1]"]),
        ("dataset: {kind: photographs}\nlevels: [none, '١٠']", ["levels[1]"]),  # noqa: RUF001  # Arabic digits: int() would take them
        ("- a\n- b", ["mapping"]),
        ("", ["mapping"]),
        ("levels: [none", ["not valid YAML"]),
        ("a: &x [1]\nb: *x", ["aliases"]),
        (GOOD + "levels: [none]", ["levels stands twice"]),
        ("!!python/object/apply:os.system ['true']", ["not valid YAML"]),
    ],
)
def test_a_bad_experiment_is_refused_by_file_key_and_what_is_allowed(tmp_path: Path, text: str, says: list[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ExperimentError) as error:
        load_experiment(str(path))
    assert str(path) in str(error.value)
    for part in says:
        assert part in str(error.value)


def test_all_mistakes_are_listed_at_once() -> None:
    with pytest.raises(ExperimentError) as error:
        parse_experiment(GOOD + "seeds: 0\ncolour: red\ntraining: {epochs: -1}")
    assert {"seeds", "colour", "training.epochs"} <= {line.split(": ")[1] for line in str(error.value).splitlines()}


def test_overrides() -> None:
    experiment = load_experiment("quickstart", ["levels=[none,25,1]", "seeds=2", "training.epochs=1", "analysis.margin=0.05"])
    assert experiment.levels == ("none", 25, 1)
    assert (experiment.seeds, experiment.training.epochs, experiment.analysis.margin) == (2, 1, 0.05)


def test_another_kind_leaves_out_what_is_said_of_the_files_data_set() -> None:
    experiment = load_experiment("quickstart-audio", ["dataset.kind=audio-folder", "dataset.path=sounds"])
    assert (experiment.dataset.path, experiment.dataset.classes, experiment.dataset.notes) == ("sounds", None, 60)
    kept = load_experiment("quickstart-audio")
    assert (experiment.dataset.test, experiment.mp3) == (kept.dataset.test, kept.mp3)
    chosen = load_experiment("guitar-mp3", ["dataset.kind=idmt", "dataset.path=x.zip", "dataset.classes=[EQ, NoFX]"])
    assert chosen.dataset.classes == ("EQ", "NoFX")
    assert chosen.dataset.group is None
    assert load_experiment("guitar-mp3", ["dataset.kind=plucked-strings"]).dataset.path is None
    pictures = ["dataset.kind=photographs", "levels=[none,50]", "training.input_size=16"]
    assert load_experiment("quickstart-audio", pictures).codec == "jpeg"
    mine = ["dataset.kind=image-folder", "dataset.path=pictures"]
    assert (load_experiment("quickstart", mine).dataset.limit, load_experiment("quickstart", mine).description) == (None, "")
    assert load_experiment("quickstart", [*mine, "dataset.limit=90", "description=Mine"]).dataset.limit == 90
    assert load_experiment("quickstart", ["seeds=2"]).dataset.limit == 1800


def test_another_optimizer_leaves_out_the_files_rate() -> None:
    training = load_experiment("quickstart", ["training.optimizer=adadelta"]).training
    assert (training.learning_rate, training.momentum, training.decay) == (1.0, 0.0, 0.0)
    assert load_experiment("quickstart", ["training.optimizer=adadelta", "training.decay=0.1"]).training.decay == 0.1


def test_a_grid_given_by_hand_is_the_whole_grid() -> None:
    experiment = load_experiment("cifar10-jpeg", ["architectures=[A]", "levels=[none,75]"])
    assert experiment.combinations == (("A", "none"), ("A", 75))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seeds", "key=value"),
        ("=3", "key=value"),
        ("levels=[none", "not valid YAML"),
        ("seeds.more=3", "seeds is a value"),
        ("seeds=many", "--set: seeds"),
        ("dataset.colour=red", "--set: dataset.colour: unknown key"),
        ("trainig.epochs=5", "--set: trainig: unknown key; did you mean training"),
        ("architectures=A", r"in brackets, for instance \[A\]"),
    ],
)
def test_a_bad_override_is_refused(override: str, says: str) -> None:
    with pytest.raises(ExperimentError, match=says):
        load_experiment("quickstart", [override])


def test_a_list_of_wrong_values_is_not_too_short_as_well() -> None:
    with pytest.raises(ExperimentError, match=r"architectures\[0\]") as found:
        load_experiment("quickstart", ["architectures=[G]"])
    assert "\n" not in str(found.value)


def test_a_folder_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r"a folder; for its data: quickstart --set dataset\.kind=image-folder"):
        load_experiment(str(tmp_path))


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ExperimentError, match="did you mean quickstart"):
        load_experiment("quickstrat")


def test_a_huge_or_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b" " * 2_000_000)
    with pytest.raises(ExperimentError, match="over"):
        load_experiment(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExperimentError, match="UTF-8"):
        load_experiment(str(path))


def test_levels_are_sorted_from_least_to_most_compressed() -> None:
    assert parse_experiment("dataset: {kind: photographs}\nlevels: [5, none, 100, 25]").levels == ("none", 100, 25, 5)


@given(
    st.lists(st.integers(1, 100), unique=True, max_size=8),
    st.integers(1, 100),
    st.floats(0.001, 0.499),
    st.sampled_from(["A", "B", "F"]),
)
def test_json_and_yaml_round_trip(levels: list[int], seeds: int, margin: float, architecture: str) -> None:
    experiment = Experiment.model_validate(
        {
            "dataset": {"kind": "photographs"},
            "levels": ["none", *levels],
            "seeds": seeds,
            "analysis": {"margin": margin},
            "architectures": [architecture],
        }
    )
    assert Experiment.model_validate_json(experiment.to_json()) == experiment
    assert parse_experiment(yaml.safe_dump(as_tree(experiment))) == experiment


@given(st.text(max_size=200))
def test_any_text_is_an_experiment_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(ExperimentError):  # anything else fails the test
        parse_experiment(text)
