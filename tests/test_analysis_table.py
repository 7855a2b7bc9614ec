"""One row a trial, joined with its level's manifest, and curves.csv."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from helmholtz.analysis.table import curves_csv, read_run, rows
from helmholtz.codecs import open_codec
from helmholtz.errors import HelmholtzError
from helmholtz.levels import NONE
from helmholtz.manifest import level_folder
from helmholtz.results import TrialResult, result_key
from helmholtz.storage import Store, open_store
from helmholtz.trials import trials
from tests import synthetic_run as synthetic

SMALL = {"levels": [NONE, 25, 1], "seeds": 2}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def table(store: Store, run) -> tuple:
    return rows(read_run(store, run, synthetic.DATASET))


def test_one_row_a_trial_with_the_sizes_of_its_level(store: Store) -> None:
    run = synthetic.experiment(**SMALL)
    synthetic.write_run(store, run)
    found = table(store, run)
    assert [(row.level, row.seed) for row in found] == [(NONE, 0), (NONE, 1), (25, 0), (25, 1), (1, 0), (1, 1)]
    manifest = read_run(store, run, synthetic.DATASET).manifests[25]
    assert {row.payload_bytes for row in found if row.level == 25} == {sum(s.payload_bytes for s in manifest.splits.values())}
    coded, pixels = sum(s.coded_bits for s in manifest.splits.values()), sum(s.samples for s in manifest.splits.values())
    assert {row.payload_bits_per_sample for row in found if row.level == 25} == {coded / pixels}
    assert found[2].test_accuracy == synthetic.accuracy("A", 25, 0)
    assert found[2].Q == 0.75


def test_missing_and_diverged_trials_have_rows_too(store: Store) -> None:
    run = synthetic.experiment(**SMALL)
    synthetic.write_run(store, run, skip=(("A", 25, 1),), diverged=(("A", 1, 0),))
    found = {(row.level, row.seed): row for row in table(store, run)}
    assert found[25, 1].status == "missing"
    assert found[25, 1].parameters is None
    assert found[25, 1].payload_bytes is not None
    assert found[1, 0].status == "diverged"
    assert found[1, 0].test_accuracy is None


def test_csv_has_the_promised_columns_and_empty_cells(store: Store) -> None:
    run = synthetic.experiment(**SMALL)
    synthetic.write_run(store, run, skip=(("A", 25, 1),))
    found = list(csv.DictReader(io.StringIO(curves_csv(table(store, run)))))
    promised = (
        "codec level Q architecture parameters seed test_accuracy epochs_to_converge payload_bits_per_sample payload_bytes"
    )
    assert set(promised.split()) | {"train_seconds", "trial", "status"} <= set(found[0])
    assert [row["level"] for row in found] == ["none", "none", "25", "25", "1", "1"]
    assert found[3]["test_accuracy"] == ""
    assert float(found[2]["test_accuracy"]) == synthetic.accuracy("A", 25, 0)
    assert found[0]["codec"] == "jpeg-420"


def test_an_empty_root_is_all_missing(store: Store) -> None:
    found = table(store, synthetic.experiment(**SMALL))
    assert len(found) == 6
    assert {row.status for row in found} == {"missing"}
    assert {row.payload_bytes for row in found} == {None}


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1}', b"\xff\x00", b"[" * 100_000])
def test_a_damaged_result_or_manifest_is_named(store: Store, content: bytes) -> None:
    run = synthetic.experiment(**SMALL)
    synthetic.write_run(store, run)
    codec = open_codec(run).identity
    result = result_key(trials(run, synthetic.DATASET, codec)[3].id)
    for key in (result, f"{level_folder(synthetic.DATASET, codec, 25)}/manifest.json"):
        kept = store.read_bytes(key)
        store.write_bytes(key, content)
        with pytest.raises(HelmholtzError, match=key):
            table(store, run)
        store.write_bytes(key, kept)


def test_a_result_of_another_budget_under_the_same_name_is_not_taken(store: Store) -> None:
    run = synthetic.experiment(**SMALL)
    synthetic.write_run(store, run)
    trial = trials(run, synthetic.DATASET, open_codec(run).identity)[0]
    other = TrialResult.model_validate_json(store.read_bytes(result_key(trial.id))).model_copy(update={"fingerprint": "0" * 64})
    store.write_bytes(result_key(trial.id), other.model_dump_json().encode())
    assert table(store, run)[0].status == "missing"
