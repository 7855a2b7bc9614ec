"""Everything that publishing leaves in a run root, read back as its readers would."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from helmholtz.analysis.summary import Report, report_schema
from helmholtz.analysis.table import read_run, rows
from helmholtz.errors import HelmholtzError
from helmholtz.levels import NONE
from helmholtz.manifest import level_folder
from helmholtz.report import figures
from helmholtz.report.contact_sheet import PICTURES, contact_sheet
from helmholtz.report.picks import pick
from helmholtz.report.picture import Picture, Undrawn
from helmholtz.report.publish import analyse, publish
from helmholtz.shards import ShardWriter
from helmholtz.storage import LocalStore, Store, open_store
from tests import synthetic_run as synthetic
from tests.pages import HOSTILE, Page

pytestmark = pytest.mark.tensorflow

ALSO = [{"architectures": ["B", "F"], "levels": [NONE, 25]}]
FIGURES = {"prediction", "accuracy", "convergence", "parameters", "operations", "bits", "sizes", "contact-sheet"}


def schema() -> dict[str, Any]:
    return json.loads(resources.files("helmholtz.report").joinpath("report.schema.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Report]:
    store = open_store(str(tmp_path_factory.mktemp("run")))
    run = synthetic.experiment(also=ALSO, description="Cats & dogs")
    synthetic.write_run(store, run, skip=(("A", 5, 0),), not_converged=(("A", 100, 1),))
    return store, publish(store, run, synthetic.DATASET)


def test_the_shipped_schema_is_the_models() -> None:
    regenerate = "from helmholtz.analysis.summary import report_schema; print(json.dumps(report_schema(), indent=1))"
    assert schema() == report_schema(), f'python -c "import json; {regenerate}" > helmholtz/report/report.schema.json'


def test_the_schema_explains_every_field() -> None:
    for name, definition in schema()["$defs"].items():
        for field, content in definition["properties"].items():
            assert "description" in content or name in ("RejectedEntry",), f"{name}.{field}"


def test_report_json_is_valid_and_complete(published: tuple[Store, Report]) -> None:
    store, report = published
    content = json.loads(store.read_bytes("report/report.json"))
    jsonschema.Draft202012Validator(schema()).validate(content)
    assert Report.model_validate_json(store.read_bytes("report/report.json")) == report
    assert (content["recommendation"]["level"], content["experiment"]["seeds"]) == (25, 5)
    assert len(list(csv.DictReader(io.StringIO(store.read_bytes("report/curves.csv").decode())))) == 60


def test_publishing_again_changes_nothing(published: tuple[Store, Report]) -> None:
    store, _ = published
    before = {key: store.read_bytes(key) for key in store.list("report")}
    events = list(store.list("tensorboard"))
    publish(store, synthetic.experiment(also=ALSO, description="Cats & dogs"), synthetic.DATASET)
    assert {key: store.read_bytes(key) for key in store.list("report")} == before
    assert list(store.list("tensorboard")) == events


def test_only_if_changed_it_leaves_an_up_to_date_report_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.experiment(levels=[NONE, 25], seeds=2)
    synthetic.write_run(store, run)
    publish(store, run, synthetic.DATASET)
    page = tmp_path / "report" / "report.html"
    before = page.stat().st_mtime_ns
    publish(store, run, synthetic.DATASET, only_if_changed=True)
    assert page.stat().st_mtime_ns == before
    more = synthetic.experiment(levels=[NONE, 25], seeds=3)
    synthetic.write_run(store, more)
    publish(store, more, synthetic.DATASET, only_if_changed=True)
    assert (changed := page.stat().st_mtime_ns) > before
    publish(store, more, synthetic.DATASET)
    assert page.stat().st_mtime_ns > changed


@pytest.mark.parametrize("file", ["report.html", "experiment.yaml", "figures/accuracy.png"])
@pytest.mark.parametrize("damage", ["gone", "overwritten"])
def test_only_if_changed_it_still_mends_what_is_damaged(tmp_path: Path, file: str, damage: str) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.experiment(levels=[NONE, 25], seeds=2)
    synthetic.write_run(store, run)
    publish(store, run, synthetic.DATASET)
    path = tmp_path / "report" / file
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"garbage")
    publish(store, run, synthetic.DATASET, only_if_changed=True)
    assert path.read_bytes() == whole


def test_a_publication_stopped_half_way_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path))
    ours = synthetic.experiment(levels=[NONE, 25], seeds=2)
    theirs = synthetic.experiment(levels=[NONE, 25], seeds=2, analysis={"margin": 0.4})
    synthetic.write_run(store, ours)
    publish(store, ours, synthetic.DATASET)
    page = tmp_path / "report" / "report.html"
    whole = page.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("helmholtz.report.publish._digest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            publish(store, theirs, synthetic.DATASET)
    assert page.read_bytes() != whole
    publish(store, ours, synthetic.DATASET, only_if_changed=True)
    assert page.read_bytes() == whole


def test_the_page_needs_nothing_but_itself(published: tuple[Store, Report]) -> None:
    store, _ = published
    text = store.read_bytes("report/report.html").decode()
    page = Page(text)
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href", "srcset")]
    assert links
    figures = {f"#{attributes['id']}" for tag, attributes in page.tags if tag == "figure"}
    assert all(link.startswith("data:image/") or link in figures for link in links)
    assert "@import" not in text
    assert "url(" not in text
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 8


def test_the_page_answers_first_after_saying_what_is_missing(published: tuple[Store, Report]) -> None:
    store, report = published
    text = Page(store.read_bytes("report/report.html").decode()).text
    assert text.index("Preliminary") < text.index(report.recommendation.sentence) < text.index("Figures")
    assert "59 of 60 trials are complete" in " ".join(text.split())
    assert "Cats & dogs" in text


def test_the_experiment_beside_the_page_runs_again(published: tuple[Store, Report]) -> None:
    from helmholtz.experiment_file import parse_experiment

    store, _ = published
    again = parse_experiment(store.read_bytes("report/experiment.yaml").decode(), [], where="experiment.yaml")
    assert again == synthetic.experiment(also=ALSO, description="Cats & dogs")


def test_figures_are_pictures_of_the_promised_size(published: tuple[Store, Report]) -> None:
    store, _ = published
    for name in FIGURES:
        image = Image.open(io.BytesIO(store.read_bytes(f"report/figures/{name}.png")))
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert image.width >= 800
        assert store.read_bytes(f"report/figures/{name}.svg").startswith(b"<?xml")


def test_names_from_data_are_only_ever_text(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path / "<b>root"))
    run = synthetic.experiment(levels=[NONE, 25], seeds=2, description="<img src=x onerror=alert(1)>")
    bad = synthetic.rejected(*((f"<script>{i}</script>/\u202e.png", "<b>truncated</b>") for i in range(25)))
    synthetic.write_run(store, run, classes=HOSTILE, rejected=bad)
    report = publish(store, run, synthetic.DATASET)
    page = Page(store.read_bytes("report/report.html").decode())
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert all(name in page.text for name in HOSTILE)
    assert "<img src=x onerror=alert(1)>" in page.text
    assert (report.rejected.records, len(report.rejected.first), report.rejected.by_reason) == (
        25,
        20,
        {"<b>truncated</b>": 25},
    )


def test_a_root_without_anything_gives_a_clear_report(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    report = publish(store, synthetic.experiment(), synthetic.DATASET)
    assert report.recommendation.outcome == "no-results"
    jsonschema.validate(json.loads(store.read_bytes("report/report.json")), schema())
    text = Page(store.read_bytes("report/report.html").decode()).text
    assert "0 of 40 trials are complete" in " ".join(text.split())
    assert "No trial is complete yet." in text


def test_levels_without_trials_and_trials_without_levels(tmp_path: Path) -> None:
    run = synthetic.experiment(levels=[NONE, 25], seeds=2)
    for name, keep in (("levels", "data"), ("trials", "trials")):
        store = open_store(str(tmp_path / name))
        synthetic.write_run(store, run)
        for key in list(store.list("")):
            if not key.startswith(keep):
                Path(store.uri, key).unlink()
        publish(store, run, synthetic.DATASET)
        jsonschema.validate(json.loads(store.read_bytes("report/report.json")), schema())


def test_one_architecture_has_no_size_figure_and_the_page_says_so(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.experiment(levels=[NONE, 25], seeds=1)
    synthetic.write_run(store, run)
    publish(store, run, synthetic.DATASET)
    text = Page(store.read_bytes("report/report.html").decode()).text
    assert "No compressed level has results of two architectures" in text
    assert not store.exists("report/figures/parameters.png")
    assert "One seed a level" in text


def test_a_damaged_result_stops_with_its_name(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.experiment(levels=[NONE, 25], seeds=1)
    synthetic.write_run(store, run)
    (key, *_) = store.list("trials")
    store.write_bytes(key, b"{}")
    with pytest.raises(HelmholtzError, match=key):
        analyse(store, run, synthetic.DATASET)


# The contact sheet


def sheet(store: Store, run: Any) -> Picture | Undrawn:
    return contact_sheet(store, read_run(store, run, synthetic.DATASET))


def test_pictures_are_spread_over_the_classes_and_picked_by_seed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    manifest = synthetic.write_level(store, synthetic.experiment(), NONE)
    picks = pick(store, manifest, 0, PICTURES)
    assert sorted(p.label for p in picks) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert pick(store, manifest, 0, PICTURES) == picks
    assert pick(store, manifest, 1, PICTURES) != picks


def test_fewer_pictures_than_places_and_none_at_all(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.experiment(levels=[NONE])
    manifest = synthetic.write_level(store, run, NONE)
    folder = level_folder(synthetic.DATASET, "jpeg-420", NONE)
    payload = synthetic.payload(0, NONE)
    for count in (1, 0):
        for entry in manifest.splits["test"].shards:
            with ShardWriter(tmp_path / "shard") as shard:
                if count and entry.name.startswith("test-00000"):
                    shard.add("only.png", 2, payload)
            store.upload(tmp_path / "shard", f"{folder}/{entry.name}")
        drawn = sheet(store, run)
        assert isinstance(drawn, Picture if count else Undrawn)


def test_an_undecodable_picture_leaves_its_place_empty(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.experiment(levels=[NONE, 25])
    manifest = synthetic.write_level(store, run, NONE)
    synthetic.write_level(store, run, 25)
    for entry in manifest.splits["test"].shards:
        with ShardWriter(tmp_path / "shard") as shard:
            for number in range(20):
                shard.add(f"{int(entry.name[5:10])}/{number:02d}.png", number % 4, b"not a picture")
        store.upload(tmp_path / "shard", f"{level_folder(synthetic.DATASET, 'jpeg-420', 25)}/{entry.name}")
    assert isinstance(sheet(store, run), Picture)


def test_of_large_pictures_the_centre_is_shown(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    run = synthetic.experiment(levels=[NONE])
    synthetic.write_level(store, run, NONE, size=160)
    assert "only the centre is shown" in sheet(store, run).caption


# TensorBoard


def test_tensorboard_reads_it_all_back(published: tuple[Store, Report]) -> None:
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    store, report = published
    runs = EventMultiplexer({}).AddRunsFromDirectory(f"{store.uri}/tensorboard").Reload()
    summary = runs.GetAccumulator("summary")
    tensors = summary.Tags()["tensors"]
    assert {"recommendation", *FIGURES} <= set(tensors)
    assert report.recommendation.sentence in summary.Tensors("recommendation")[0].tensor_proto.string_val[0].decode()
    assert [event.step for event in summary.Tensors("accuracy against Q/A")] == [0, 25, 50, 75, 90, 95, 99]
    assert len([name for name in runs.Runs() if name.startswith("trials/")]) == 59


def test_tensorboard_serves_a_table_of_all_trials_beside_their_curves(published: tuple[Store, Report]) -> None:
    import tensorflow as tf
    from tensorboard import program
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store, _ = published
    trial = "A-25-0"
    (folder,) = Path(store.uri, "tensorboard", "trials").glob(f"{trial}-*")
    writer = tf.summary.create_file_writer(str(folder / "new"))
    with writer.as_default(step=3):
        tf.summary.scalar("accuracy/validation", 0.7)
    writer.close()
    (written,) = (folder / "new").glob("*")
    written.rename(folder / "events.out.tfevents.helmholtz")  # where the trainer puts it
    (folder / "new").rmdir()
    assert {"accuracy/validation", "hparams/test_accuracy"} <= set(EventAccumulator(str(folder)).Reload().Tags()["tensors"])

    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", f"{store.uri}/tensorboard", "--load_fast=false", "--port=0", "--host=localhost"])
    url = board.launch()
    query = {"experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_RUNNING"], "sliceSize": 200}
    deadline, groups = time.monotonic() + 60, []
    while len(groups) < 59 and time.monotonic() < deadline:
        body = json.dumps(query | {"startIndex": 0, "colParams": []}).encode()
        request = urllib.request.Request(
            urllib.parse.urljoin(url, "data/plugin/hparams/session_groups"), body, {"Content-Type": "application/json"}
        )
        with contextlib.suppress(urllib.error.HTTPError):  # until it has read the first run
            groups = json.loads(urllib.request.urlopen(request, timeout=10).read())["sessionGroups"]
        time.sleep(0.3)
    assert len(groups) == 59
    found = {(g["hparams"]["architecture"], g["hparams"]["level"], g["hparams"]["seed"]): g for g in groups}
    metrics = {m["name"]["tag"]: m["value"] for m in found["A", "25", 0]["metricValues"]}
    assert metrics["hparams/test_accuracy"] == pytest.approx(synthetic.accuracy("A", 25, 0))
    tags = json.loads(urllib.request.urlopen(urllib.parse.urljoin(url, "data/plugin/images/tags"), timeout=10).read())
    assert set(tags["summary"]) == FIGURES


@pytest.mark.parametrize(("reached", "drawn"), [(0.25, False), (0.6, True)])
def test_the_papers_curve_is_spoken_of_only_where_it_is_drawn(tmp_path: Path, reached: float, drawn: bool) -> None:
    store, run = open_store(str(tmp_path)), synthetic.experiment(levels=(NONE, 50, 1), seeds=3)
    cells = itertools.product(run.architectures, run.levels, range(3))
    synthetic.write_run(store, run, accuracies={cell: reached + 0.001 * (n % 5) for n, cell in enumerate(cells)})
    report = analyse(store, run, synthetic.DATASET)
    assert (report.recommendation.outcome == "chance") != drawn
    picture = figures.accuracy(report, rows(read_run(store, run, synthetic.DATASET)))
    assert isinstance(picture, Picture)
    assert ("Dotted" in picture.caption) == (b"paper: c" in picture.svg) == drawn
