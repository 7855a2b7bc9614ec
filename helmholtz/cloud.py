"""Access to gs:// and s3:// objects, and their errors as sentences.

cloudpathlib gives one path type over google-cloud-storage and boto3. Credentials come from the environment as those
libraries document (service account, workload identity, `AWS_*`); none are ever passed by value. `STORAGE_EMULATOR_HOST`
and `AWS_ENDPOINT_URL` point them at another server, such as an emulator or the S3-compatible store that KFP ships with.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from helmholtz.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from cloudpathlib import CloudPath

_NO_PERMISSION = "no permission: grant this account read and write on the bucket"
_EXPIRED = "credentials that are wrong or have expired: renew them (pods: their secret or service account)"
_UNREACHABLE = "can't be reached: check AWS_ENDPOINT_URL or STORAGE_EMULATOR_HOST, if set, and the network"
_DAMAGED = "its content isn't that of its checksum, each time it was read: delete it and run again"
_FIXES = {
    "403": _NO_PERMISSION,  # what S3 answers to a question after an object's size is a status without words
    "AccessDenied": _NO_PERMISSION,
    "CloudPathNotExistsError": "no such object",
    "DataCorruption": _DAMAGED,
    "ConnectionError": _UNREACHABLE,
    "ConnectTimeoutError": _UNREACHABLE,
    "DefaultCredentialsError": "no credentials: run `gcloud auth application-default login`, or give the pod a service account",
    "EndpointConnectionError": _UNREACHABLE,
    "ExpiredToken": _EXPIRED,
    "FlexibleChecksumError": _DAMAGED,
    "Forbidden": _NO_PERMISSION,
    "InvalidOperation": _EXPIRED,  # of credentials that can't be renewed
    "InvalidAccessKeyId": _EXPIRED,
    "NoCredentialsError": "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod a role",
    "NoSuchBucket": "no such bucket",
    "NoSuchKey": "no such object",
    "NotFound": "no such bucket or object",
    "ReadTimeoutError": _UNREACHABLE,
    "RefreshError": _EXPIRED,
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "RetryError": _UNREACHABLE,
    "SignatureDoesNotMatch": _EXPIRED,
    "Unauthorized": _EXPIRED,
    "Unreachable": _UNREACHABLE,
}


_CHECKSUM_FAILED = ("DataCorruption", "FlexibleChecksumError")
READS = 3  # of an object whose checksum fails: bytes may be damaged on their way


def cloud_path(uri: str) -> CloudPath:
    """The cloud path at `uri` (``gs://`` or ``s3://``)."""
    from cloudpathlib import CloudPath

    from helmholtz.cloud_clients import client

    scheme = uri.split("://", 1)[0]
    with explained(uri):
        return CloudPath(uri, client=client(scheme, os.getpid()))  # type: ignore[abstract]  # its metaclass picks the class


def download(path: CloudPath, to: Path) -> None:
    """Writes the object at `path` to the local file `to`. Its client checks it against the store's checksum."""
    for left in reversed(range(READS)):
        try:
            path.download_to(to)
            return
        except Exception as error:
            if not left or type(error).__name__ not in _CHECKSUM_FAILED:  # by name: one store's library may not be there
                raise


def create(path: CloudPath, data: bytes) -> bool:
    """Puts `data` at `path` unless an object is there, which the store itself decides. Returns whether it did."""
    from cloudpathlib import GSPath

    client: Any = path.client
    if isinstance(path, GSPath):
        from google.api_core.exceptions import PreconditionFailed

        try:
            client.client.bucket(path.bucket).blob(path.blob).upload_from_string(data, if_generation_match=0)
        except PreconditionFailed:
            return False
        return True
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # it has no types
    from cloudpathlib import S3Path

    assert isinstance(path, S3Path)  # noqa: S101  # the only other scheme there is
    try:
        client.client.put_object(Bucket=path.bucket, Key=path.key, Body=data, IfNoneMatch="*")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NotImplemented":  # a store without conditional writes: the best it can do
            if path.exists():
                return False
            path.write_bytes(data)
            return True
        if code not in ("PreconditionFailed", "ConditionalRequestConflict"):  # a conflict is another's request under way
            raise
        return False
    return True


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turns any error of the cloud libraries into a StorageError that names `uri` and the likely fix."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        response = getattr(error, "response", None)
        code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None  # boto3 has one class for all
        name = str(code or type(error).__name__)
        raise StorageError(f"{uri}: {_FIXES.get(name, name)} ({text})") from error
