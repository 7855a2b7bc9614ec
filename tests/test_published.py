"""Which report is a run's."""

from __future__ import annotations

from pathlib import Path

import pytest

from helmholtz.errors import StorageError
from helmholtz.published import note_published, read_published
from helmholtz.storage import open_store


def test_a_runs_report_is_found_until_another_run_publishes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    first, second = "<p>ä</p>".encode(), b""
    with pytest.raises(StorageError, match="run one has published no report"):
        read_published(store, "one")
    store.write_bytes("report/report.html", first)
    note_published(store, "one", first)
    note_published(store, "same", first)  # of the same experiment, over again
    assert read_published(store, "one") == read_published(store, "same") == first
    store.write_bytes("report/report.html", second)
    note_published(store, "two", second)
    assert read_published(store, "two") == second
    with pytest.raises(StorageError, match="another run has published there since run one"):
        read_published(store, "one")


@pytest.mark.parametrize("damage", [b"", b"{}", b"no", b'{"format": 2, "page": "0"}'])
def test_a_damaged_note_is_named(tmp_path: Path, damage: bytes) -> None:
    store = open_store(str(tmp_path))
    store.write_bytes("report/report.html", b"page")
    store.write_bytes("runs/one.json", damage)
    with pytest.raises(StorageError, match=r"runs/one\.json: damaged"):
        read_published(store, "one")
