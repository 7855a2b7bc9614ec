"""`Store.create`: of many who want one object at once, one creates it, on disk and on both kinds of bucket."""

from __future__ import annotations

import email
import email.policy
import errno
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helmholtz.cloud import cloud_path
from helmholtz.cloud import create as create_there
from helmholtz.errors import StorageError
from helmholtz.storage import Store, open_store
from tests.object_store import Handler, metadata, remote
from tests.test_cloud import amazon, google, root  # noqa: F401  # fixtures


def in_turn_and_at_once(store: Store) -> None:
    assert store.create("deep/claim", b"first")
    assert not store.create("deep/claim", b"second")
    assert store.read_bytes("deep/claim") == b"first"
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: store.create("claim", b"%d" % n), range(8)))
    assert store.read_bytes("claim") == b"%d" % done.index(True)
    assert done.count(True) == 1


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_created_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not links:  # exFAT, and some mounts of buckets
        monkeypatch.setattr(Path, "hardlink_to", none)
    in_turn_and_at_once(open_store(str(tmp_path)))
    assert not list((tmp_path / ".tmp").iterdir())
    with pytest.raises(StorageError, match="can't write"):
        open_store(str(tmp_path)).create("claim/deeper", b"")


class Preconditions(Handler):
    """Uploads to gs:// as Google documents them: `ifGenerationMatch=0` only where there is no such object."""

    lock = threading.Lock()

    def do_POST(self) -> None:  # noqa: N802  # http.server asks for this name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name, content = multipart(body, self.headers["Content-Type"])
        with self.lock:
            objects = self.server.objects
            if "ifGenerationMatch=0" in self.path and name in objects:
                self.answer(b'{"error": {"code": 412, "message": "conditionNotMet"}}', status=412)
                return
            objects[name] = content
        self.answer(json.dumps(metadata(name, content)).encode())


def multipart(body: bytes, kind: str) -> tuple[str, bytes]:
    """Name and content of an upload."""
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    facts, content = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
    return json.loads(facts.get_content())["name"], content.get_payload(decode=True)


def test_google_creates_an_object_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator of the other tests knows no preconditions."""
    with remote("gs", {}, monkeypatch) as server:
        server.RequestHandlerClass = Preconditions
        in_turn_and_at_once(open_store("gs://bucket/set"))


def test_amazon_creates_an_object_once(amazon: str) -> None:  # noqa: F811  # the fixture
    in_turn_and_at_once(open_store(f"{amazon}/claims"))


def test_a_bucket_that_is_not_there_is_named(root: str) -> None:  # noqa: F811  # the fixture
    with pytest.raises(StorageError, match=r"no-such-bucket.*no such bucket"):
        open_store(root.replace("helmholtz-test", "no-such-bucket")).create("claim", b"")


def test_a_store_without_conditional_writes_does_its_best(amazon: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811  # the fixture
    path: Any = cloud_path(f"{amazon}/claims/one")
    plain = path.client.client.put_object

    def put(**told: Any) -> Any:
        if "IfNoneMatch" in told:
            raise ClientError({"Error": {"Code": "NotImplemented"}}, "PutObject")
        return plain(**told)

    monkeypatch.setattr(path.client.client, "put_object", put)
    assert create_there(path, b"first")
    assert not create_there(path, b"second")
    assert path.read_bytes() == b"first"
