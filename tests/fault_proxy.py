"""A proxy before an object store that breaks a few of the answers: what networks and stores do to a run."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("429", "500", "503", "reset", "reset in the body", "cut off", "flipped", "dripping")
IN_THE_BODY = ("reset in the body", "cut off", "flipped")
DRIPS = 25  # pieces of an answer, with a pause before each
REFUSALS = {"expired": (400, "ExpiredToken"), "forbidden": (403, "AccessDenied")}  # S3's; Google's 401 and 403 have no words
OF_THE_HOP = ("transfer-encoding", "content-length", "connection", "date", "server")


@dataclass
class Proxy:
    """Passes requests on to `target`. The next ones meet the `faults` that are left, one each."""

    target: str  # host:port
    url: str = ""
    faults: list[str] = field(default_factory=list)
    met: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self) -> str | None:
        """What this request meets."""
        with self._lock:
            if not self.faults:
                return None
            self.met += 1
            return self.faults.pop(0)

    def put_back(self, fault: str) -> None:
        """For another request to meet."""
        with self._lock:
            self.met -= 1
            self.faults.insert(0, fault)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent one by one: each answer would take 40 ms
    proxy: Proxy

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        chunked = "chunked" in (self.headers.get("Transfer-Encoding") or "")
        body = b"".join(self._chunks()) if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.next_fault()
        if fault == "reset":
            self._reset()
            return
        if fault in ("429", "500", "503"):
            self._send(int(fault), {"Content-Type": "text/plain"}, b"not now")
            return
        if fault in REFUSALS:
            status, code = REFUSALS[fault]
            answer = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            google = "/storage/v1/" in self.path and fault == "expired"
            self._send(401 if google else status, {"Content-Type": "application/xml"}, answer)
            return
        upstream = http.client.HTTPConnection(self.proxy.target, timeout=30)
        upstream.request(self.command, self.path, body, _passed(self.headers.items()))
        response = upstream.getresponse()
        content, half = response.read(), 0
        length = int(response.getheader("Content-Length") or 0) if self.command == "HEAD" else len(content)
        half = len(content) // 2
        if fault in IN_THE_BODY and len(content) < 1_000:  # nothing much to break: the next answer's turn
            self.proxy.put_back(fault)
            fault = None
        if fault == "flipped":
            content = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        if fault in ("cut off", "reset in the body"):
            self._send(response.status, _passed(response.getheaders()), content[:half], length)
            self._reset() if fault == "reset in the body" else self._end()
            return
        self._send(response.status, _passed(response.getheaders()), content, length, dripping=fault == "dripping")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815  # http.server's names

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(
        self, status: int, headers: dict[str, str], content: bytes, length: int | None = None, *, dripping: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            piece = len(content) // DRIPS + 1 if dripping else len(content) or 1
            for start in range(0, len(content), piece):
                time.sleep(0.02 * dripping)
                self.wfile.write(content[start : start + piece])
                self.wfile.flush()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end()

    def _end(self) -> None:
        self.close_connection = True
        self.connection.close()


def _passed(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in OF_THE_HOP}


@contextmanager
def before(target: str) -> Iterator[Proxy]:
    """A proxy before the store at the URL `target`, which listens until the block ends."""
    proxy = Proxy(urlsplit(target).netloc)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a connection that was broken on purpose
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
