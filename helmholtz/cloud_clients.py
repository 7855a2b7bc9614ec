"""The clients behind `helmholtz.cloud`: one a scheme and process, which give up on a store that doesn't answer.

By themselves google-cloud-storage tries for two minutes to reach an address where nothing is, and boto3 for five.
"""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING, Any

from helmholtz.errors import StorageError

if TYPE_CHECKING:
    from cloudpathlib.client import Client

CONNECT_SECONDS = 10.0  # for a connection
READ_SECONDS = 30.0  # between two pieces of an answer
SILENCE_SECONDS = 10.0  # in which an address has to answer for the first time
OUTAGE_SECONDS = 90.0  # without an answer, of a store that has answered before


class Unreachable(Exception):  # noqa: N818  # `cloud.explained` shows its name only where it has no words for it
    """No connection to the store, again and again."""


@functools.cache
def client(scheme: str, process: int) -> Client[Any]:  # noqa: ARG001  # part of the key: HTTP sessions don't survive a fork
    """The client for ``gs`` or ``s3`` of the process of that number.

    Raises StorageError where the extra for s3 isn't installed, and google.auth's errors where there are no credentials.
    """
    return _google() if scheme == "gs" else _amazon()


def _google() -> Client[Any]:
    from cloudpathlib import GSClient
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    emulated = bool(os.environ.get("STORAGE_EMULATOR_HOST"))
    made = storage.Client(project="local", credentials=AnonymousCredentials()) if emulated else storage.Client()
    adapter = _impatient()
    for prefix in ("http://", "https://"):
        made._http.mount(prefix, adapter)  # its session, which it has no public name for
    return GSClient(storage_client=made)


def _impatient() -> Any:
    from requests.adapters import HTTPAdapter
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import Timeout

    class Impatient(HTTPAdapter):  # type: ignore[misc]  # it has no types
        """Ends what google-cloud-storage would try again: it waits longer and longer, and for two minutes."""

        silent_since: float | None = None
        patience = SILENCE_SECONDS

        def send(self, request: Any, **options: Any) -> Any:
            options["timeout"] = (CONNECT_SECONDS, READ_SECONDS)
            try:
                answer = super().send(request, **options)
            except (NoConnection, Timeout) as error:
                now = time.monotonic()
                self.silent_since = self.silent_since or now
                if now - self.silent_since > self.patience:
                    raise Unreachable(str(error)) from error
                raise
            self.silent_since, self.patience = None, OUTAGE_SECONDS
            return answer

    return Impatient()


def _amazon() -> Client[Any]:
    try:
        import botocore.session  # type: ignore[import-untyped]  # it has no types
        from botocore.config import Config  # type: ignore[import-untyped]  # it has no types
        from cloudpathlib import S3Client

        session = botocore.session.get_session()
        session.set_default_client_config(Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS))
        return S3Client(botocore_session=session, endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
    except ImportError as error:
        raise StorageError("s3:// needs the extra: pip install 'helmholtz[s3]'") from error
