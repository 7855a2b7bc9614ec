"""What networks and object stores do to requests, by a proxy before a server: nothing wrong is ever read."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from helmholtz import cloud, cloud_clients
from helmholtz.errors import StorageError
from helmholtz.storage import Store, open_store
from tests.fault_proxy import FAULTS, Proxy, before
from tests.test_cloud import amazon, google  # noqa: F401  # fixtures

DATA = bytes(range(256)) * 400


@pytest.fixture(params=["google", "amazon"])
def behind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, Proxy]]:
    uri: str = request.getfixturevalue(request.param)
    variable = "STORAGE_EMULATOR_HOST" if request.param == "google" else "AWS_ENDPOINT_URL"
    with before(os.environ[variable]) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        cloud_clients.client.cache_clear()
        store = open_store(f"{uri}/faults")
        store.write_bytes("a", DATA)
        yield store, proxy
    cloud_clients.client.cache_clear()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_time_and_nothing_else(behind: tuple[Store, Proxy], fault: str) -> None:
    store, proxy = behind
    proxy.faults = [fault]
    assert store.read_bytes("a") == DATA
    assert proxy.met == 1
    if fault != "flipped":  # a listing has no checksum
        proxy.faults = [fault]
        assert list(store.list("")) == ["a"]
    proxy.faults = [fault]
    store.write_bytes("b", DATA[::-1])
    proxy.faults = []
    assert store.read_bytes("b") == DATA[::-1]
    store.remove("b")


@pytest.mark.parametrize(("fault", "said"), [("expired", "have expired: renew them"), ("forbidden", "no permission: grant")])
def test_a_refusal_within_a_run_is_one_sentence_at_once(behind: tuple[Store, Proxy], fault: str, said: str) -> None:
    store, proxy = behind
    proxy.faults = [fault] * 20
    start = time.monotonic()
    for attempt in (lambda: store.read_bytes("a"), lambda: store.write_bytes("b", DATA), lambda: list(store.list(""))):
        with pytest.raises(StorageError, match=said):
            attempt()
    assert time.monotonic() - start < 5  # nothing is tried again
    proxy.faults = []
    assert store.read_bytes("a") == DATA


@pytest.mark.parametrize("kind", ["closed", "silent"])
@pytest.mark.parametrize("scheme", ["gs", "s3"])
def test_an_address_where_no_store_is(scheme: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_clients, "SILENCE_SECONDS", 0.5)  # google-cloud-storage by itself tries for two minutes
    monkeypatch.setattr(cloud_clients, "READ_SECONDS", 0.2)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == "silent":
            listening.listen(20)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for name in ("STORAGE_EMULATOR_HOST", "AWS_ENDPOINT_URL"):
            monkeypatch.setenv(name, address)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        cloud_clients.client.cache_clear()
        start = time.monotonic()
        with pytest.raises(StorageError, match="can't be reached: check"):
            open_store(f"{scheme}://bucket/root").read_bytes("a")
        assert time.monotonic() - start < 20
    cloud_clients.client.cache_clear()


def test_what_stays_damaged_is_named(behind: tuple[Store, Proxy]) -> None:
    store, proxy = behind
    proxy.faults = ["flipped"] * cloud.READS
    with pytest.raises(StorageError, match=r"/faults/a: its content isn't that of its checksum.*delete it and run again"):
        store.read_bytes("a")
    assert proxy.met == cloud.READS


def test_every_flip_is_seen(behind: tuple[Store, Proxy]) -> None:
    """Of a dozen objects, each read with one bit wrong the first time: what comes is right."""
    store, proxy = behind
    for number in range(12):
        data = os.urandom(1_000 + 997 * number)
        store.write_bytes("c", data)
        proxy.faults = ["flipped"]
        assert store.read_bytes("c") == data
        assert proxy.faults == []
