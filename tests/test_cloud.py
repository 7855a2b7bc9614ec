"""Object stores over HTTP by the real clients: google-cloud-storage and boto3 against server emulators."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helmholtz import cloud_clients
from helmholtz.errors import StorageError
from helmholtz.storage import open_store

BUCKET = "helmholtz-test"


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def google() -> Iterator[str]:
    from gcp_storage_emulator.server import create_server

    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        cloud_clients.client.cache_clear()  # a client made before, by another module's tests, keeps to another address
        yield f"gs://{BUCKET}/runs"
    cloud_clients.client.cache_clear()
    server.stop()


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    import boto3
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        cloud_clients.client.cache_clear()
        yield f"s3://{BUCKET}/runs"
    cloud_clients.client.cache_clear()
    server.stop()


@pytest.fixture(params=["google", "amazon"])
def root(request: pytest.FixtureRequest) -> str:
    uri: str = request.getfixturevalue(request.param)
    return f"{uri}/{request.node.name.replace('[', '-').rstrip(']')}"


def test_what_is_written_is_read(root: str, tmp_path: Path) -> None:
    store = open_store(root)
    assert not store.exists("a/b.json")
    assert store.size("a/b.json") is None
    store.write_bytes("a/b.json", b"one")
    store.write_bytes("a/b.json", b"two!")
    assert (store.read_bytes("a/b.json"), store.size("a/b.json")) == (b"two!", 4)
    assert not store.exists("a")
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    store.upload(tmp_path / "big", "a/c/big ä.bin")
    store.download("a/c/big ä.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(3_000_000)
    assert list(store.list("a")) == ["a/b.json", "a/c/big ä.bin"]
    store.remove("a/b.json")
    store.remove("a/b.json")
    assert list(store.list("a")) == ["a/c/big ä.bin"]


def test_of_two_runs_in_a_bucket_one_works_there(root: str) -> None:
    from helmholtz.lease import HeldError, held, release

    store = open_store(root)
    with held(store, "one"), pytest.raises(HeldError, match="one"), held(store, "two"):
        pytest.fail("both are in")
    release(store, "one")
    with held(store, "two"), pytest.raises(HeldError, match="two"), held(store, "one"):
        pytest.fail("both are in")
    assert list(store.list("lease")) == ["lease/000001.json", "lease/000002.json"]


def test_a_missing_object_and_a_missing_bucket_are_named(root: str) -> None:
    with pytest.raises(StorageError, match=r"nothing\.json: no such"):
        open_store(root).read_bytes("nothing.json")
    elsewhere = root.replace(BUCKET, "no-such-bucket")
    with pytest.raises(StorageError, match=r"no-such-bucket.*no such bucket"):
        open_store(elsewhere).write_bytes("x", b"x")


def test_compress_writes_the_same_bytes_to_a_bucket_as_to_a_folder(root: str, tmp_path: Path, pictures: Path) -> None:
    from helmholtz.compress import compress
    from helmholtz.dataset import index_dataset
    from tests.test_compress import experiment

    wanted = experiment(pictures)

    def content(uri: str) -> dict[str, bytes]:
        store = open_store(uri)
        index = index_dataset(store, wanted.dataset)
        compress(store, wanted, index)
        return {key: store.read_bytes(key) for key in store.list(index.folder)}

    local: dict[str, Any] = content(str(tmp_path / "root"))
    assert content(root) == local
    assert sum(key.endswith(".tfrecord") for key in local) == 18


def test_pictures_in_a_bucket_give_the_payloads_that_pictures_in_a_folder_give(
    root: str, tmp_path: Path, pictures: Path
) -> None:
    from helmholtz.shards import read_shard
    from tests.test_compress import experiment, run

    store = open_store(root)
    for path in pictures.glob("*/*.png"):
        store.write_bytes(f"pictures/{path.relative_to(pictures)}", path.read_bytes())

    def payloads(folder: Path, source: str) -> dict[tuple[str, str], tuple[int, bytes]]:
        run(folder, experiment(Path("unused"), dataset={"path": source}))
        return {
            (path.parent.name, key): (label, payload)
            for path in folder.glob("data/*/jpeg-420/*/*.tfrecord")
            for key, label, payload in read_shard(path)
        }

    assert payloads(tmp_path / "far", f"{root}/pictures") == payloads(tmp_path / "near", str(pictures))


def test_cifar10_in_a_bucket(root: str, tmp_path: Path) -> None:
    import numpy as np

    from helmholtz.experiment import Dataset
    from helmholtz.sources import open_source
    from helmholtz.sources.base import SourceRecord

    records = np.random.default_rng(0).integers(0, 256, (20, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(20) % 10
    store = open_store(root)
    for name in [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]:
        store.write_bytes(f"cifar/{name}", records.tobytes())
    store.write_bytes("cifar/batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n")
    source = open_source(Dataset(kind="cifar10", path=f"{root}/cifar"))
    listed = [record for record in source.records() if isinstance(record, SourceRecord)]
    pixels = source.load("test_batch.bin#3")
    assert {record.split for record in listed} <= {"train", "test"}
    assert np.array_equal(np.asarray(pixels), records[3, 1:].reshape(3, 32, 32).transpose(1, 2, 0))


class RefreshError(Exception):
    """As google-auth names a token that can't be renewed."""


class EndpointConnectionError(Exception):
    """As boto3 names a store that doesn't answer."""


class ClientError(Exception):
    """As boto3 has it: one class for all, with the store's own code inside."""

    def __init__(self, code: str) -> None:
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ClientError("403"), "no permission: grant this account read and write on the bucket"),
        (ClientError("AccessDenied"), "no permission"),
        (ClientError("NoSuchBucket"), "no such bucket"),
        (ClientError("ExpiredToken"), "have expired"),
        (ClientError("SignatureDoesNotMatch"), "credentials that are wrong"),
        (RefreshError("invalid_grant"), "have expired"),
        (EndpointConnectionError("http://seaweedfs.kubeflow:9000"), "AWS_ENDPOINT_URL"),
    ],
)
def test_what_a_store_refuses_is_one_sentence_with_the_fix(error: Exception, says: str) -> None:
    from helmholtz.cloud import explained

    with pytest.raises(StorageError, match=says) as raised, explained("s3://bucket/key"):
        raise error
    assert str(raised.value).startswith("s3://bucket/key: ")
