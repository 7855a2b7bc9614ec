"""A small object store for what the server emulators of tests/test_cloud.py can't do: pages of two, composite objects without
an MD5, objects that vanish between listing and reading, and a record of every request."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MODIFIED = "2020-11-02T10:00:00Z"


class Handler(BaseHTTPRequestHandler):
    """Serves `server.objects`, name -> content, as the bucket "bucket", in pages of two."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent one by one: each answer would take 40 ms

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: bytes, kind: str = "application/json", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if "/storage/v1/b/bucket/o" in url.path:
            self.google(unquote(url.path.partition("/storage/v1/b/bucket/o")[2].lstrip("/")), query)
        elif url.path == "/storage/v1/b/bucket":  # google-cloud-storage asks for it by itself, in the background
            self.answer(b'{"kind": "storage#bucket", "name": "bucket", "location": "EU", "locationType": "region"}')
        elif url.path.strip("/") == "bucket":
            self.s3_listing(query)
        else:
            self.s3_object(unquote(url.path).removeprefix("/bucket").lstrip("/"))

    do_HEAD = do_GET  # noqa: N815 - http.server asks for this name

    def page(self, query: dict[str, str], start: str | None) -> tuple[list[str], list[str], str | None]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        objects = self.server.objects
        names = sorted(name for name in objects if name.startswith(prefix))
        deeper = [name for name in names if delimiter and delimiter in name[len(prefix) :]]
        prefixes = sorted({prefix + name[len(prefix) :].split(delimiter)[0] + delimiter for name in deeper})
        rest = [name for name in names if name not in deeper and name > (start or "")]
        return rest[:2], [] if start else prefixes, rest[1] if len(rest) > 2 else None

    def google(self, name: str, query: dict[str, str]) -> None:
        objects = self.server.objects
        if not name:
            names, prefixes, token = self.page(query, query.get("pageToken"))
            listing = {"items": [metadata(n, objects[n]) for n in names], "prefixes": prefixes}
            self.answer(json.dumps(listing | ({"nextPageToken": token} if token else {})).encode())
        elif name not in objects:
            self.answer(b'{"error": {"code": 404, "message": "Not Found"}}', status=404)
        elif query.get("alt") == "media":
            self.answer(objects[name], "application/octet-stream")
        else:
            self.answer(json.dumps(metadata(name, objects[name])).encode())

    def s3_listing(self, query: dict[str, str]) -> None:
        names, prefixes, token = self.page(query, query.get("continuation-token"))
        objects = self.server.objects
        entries = "".join(
            f"<Contents><Key>{escape(n)}</Key><Size>{len(objects[n])}</Size><ETag>&quot;{md5(objects[n])}&quot;</ETag></Contents>"
            for n in names
        )
        folders = "".join(f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in prefixes)
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
        self.answer(f"<ListBucketResult>{entries}{folders}{more}</ListBucketResult>".encode(), "application/xml")

    def s3_object(self, name: str) -> None:
        objects = self.server.objects
        if name in objects:
            modified = "Mon, 02 Nov 2020 10:00:00 GMT"
            self.answer(objects[name], "application/octet-stream", ETag=f'"{md5(objects[name])}"', Last_Modified=modified)
        else:
            self.answer(b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", "application/xml", 404)


def metadata(name: str, content: bytes) -> dict[str, str]:
    stored = {
        "kind": "storage#object",
        "bucket": "bucket",
        "name": name,
        "size": str(len(content)),
        "etag": "CAE=",
        "updated": MODIFIED,
    }
    if "composite" not in name:
        stored["md5Hash"] = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    return stored


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def serve(objects: dict[str, bytes]) -> Iterator[ThreadingHTTPServer]:
    """A server of `objects` at ``http://127.0.0.1:<server.server_port>``; `server.requests` lists what it was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.objects, server.requests = objects, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def remote(scheme: str, objects: dict[str, bytes], monkeypatch: object) -> Iterator[ThreadingHTTPServer]:
    """`serve`, with the cloud libraries of `scheme` pointed at it."""
    from helmholtz import cloud_clients

    with serve(objects) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in {
            "STORAGE_EMULATOR_HOST": address,
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            # pragma: allowlist nextline secret
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        cloud_clients.client.cache_clear()
        try:
            yield server
        finally:
            cloud_clients.client.cache_clear()
