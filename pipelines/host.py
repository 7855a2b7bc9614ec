"""A Kubeflow Pipelines host through the kfp client, with everything that can be wrong with it as one sentence."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import kfp
import kfp_server_api  # type: ignore[import-untyped]  # has no types

from helmholtz.errors import HelmholtzError
from helmholtz_pipelines.rest import bound

_LOGIN = (
    "answers with a web page where the API should be, a login page most likely: give a token (--token-env), or forward "
    "the port past it with `kubectl port-forward svc/ml-pipeline-ui 8080:80 -n kubeflow`"
)
_UNREACHABLE = (
    "can't be reached: check the address, or forward the port with "
    "`kubectl port-forward svc/ml-pipeline-ui 8080:80 -n kubeflow`"
)
_SILENT = "takes requests and doesn't answer in time: look at its pods (`kubectl get pods -n kubeflow`), or try again later"


@dataclass(frozen=True, slots=True)
class Access:
    """Where a host is, and how to be let in. The token stays out of every message and of ``repr``."""

    host: str  # http:// or https://
    namespace: str | None = None  # where the host serves several users
    token: str | None = field(default=None, repr=False)  # bearer
    ca_cert: str | None = None  # file of certificates to trust, PEM
    allow_http: bool = False  # credentials may go unencrypted to another machine

    @property
    def ui(self) -> str:
        """Address of the user interface, for links."""
        return (os.environ.get("KF_PIPELINES_UI_ENDPOINT") or self.host).rstrip("/")


def connect(access: Access) -> kfp.Client:
    """A client of the host, which has answered once. Raises HelmholtzError with the likely fix."""
    if "@" in urlsplit(access.host).netloc:
        raise HelmholtzError("--host: no user or password in the address, which is shown and kept; give a token (--token-env)")
    if not access.host.startswith(("http://", "https://")):
        raise HelmholtzError(f"{access.host}: a host starts with http:// or https://, as in http://localhost:8080")
    if access.ca_cert and not os.path.isfile(access.ca_cert):  # noqa: PTH113  # as urllib3 will open it
        raise HelmholtzError(f"{access.ca_cert}: no such file; --ca-cert takes one with the certificates to trust (PEM)")
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # each retry would be a line
    with explained(access):
        client = _Client(
            host=access.host,
            namespace=access.namespace or "kubeflow",
            existing_token=access.token,
            ssl_ca_cert=access.ca_cert,
        )
        bound(client)
        _keep_credentials_private(client, access)
        _greet(client, access)
    return client


def namespace_of(client: kfp.Client, access: Access) -> str | None:
    """Whose runs: as `access` says, else as kfp's context file does; None where neither does."""
    return access.namespace or client.get_user_namespace() or None


class _Client(kfp.Client):  # type: ignore[misc]  # kfp has no types
    def get_kfp_healthz(self, sleep_duration: int = 5) -> Any:  # noqa: ARG002  # as in kfp
        """What the constructor asks for: kfp's own tries five times over 25 seconds, and hides the reason. See `_greet`."""
        return kfp_server_api.V2beta1GetHealthzResponse(multi_user=False)


class _NoApiError(Exception):
    """Something answers, but not the API."""


def _keep_credentials_private(client: kfp.Client, access: Access) -> None:
    """kfp finds credentials by itself, too: tokens by Google's variables, cookies and headers in its context file."""
    held = client._context_setting
    credentials = [
        client._existing_config.api_key,
        *(held.get(f"client_authentication_{k}") for k in ("cookie", "header_value")),
    ]
    if any(credentials) and access.host.startswith("http://") and not access.allow_http and not _is_here(access.host):
        raise HelmholtzError(
            f"{access.host}: plain http to another machine, on the way to which anybody could read the token; use https, or "
            "forward the port (`kubectl port-forward svc/ml-pipeline-ui 8080:80 -n kubeflow`), or accept it with --allow-http"
        )


def _is_here(host: str) -> bool:
    name = urlsplit(host).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _greet(client: kfp.Client, access: Access) -> None:
    answer = client._healthz_api.healthz_service_get_healthz(_preload_content=False)
    try:
        healthz = json.loads(answer.data)
    except ValueError as error:
        raise _NoApiError from error
    if isinstance(healthz, dict) and healthz.get("multi_user") and not client.get_user_namespace():
        raise HelmholtzError(f"{access.host}: serves several users; say whose runs, with --namespace (your profile's name)")


@contextlib.contextmanager
def explained(access: Access) -> Iterator[None]:
    """Turns whatever the client raises into a HelmholtzError that names the host, and keeps its prints and warnings back."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            yield
    except HelmholtzError:
        raise
    except Exception as error:
        raise HelmholtzError(f"{access.host}: {_sentence(error, access)}") from error


def known(value: str | None) -> str:
    """An id that an answer must have: the client makes an empty model of a web page, and thinks nothing of it."""
    if not value:
        raise _NoApiError
    return value


def is_refusal(error: BaseException | None, status: int) -> bool:
    """Whether `error` is the host's answer with this HTTP status."""
    return getattr(error, "status", None) == status


def is_missing(error: BaseException | None) -> bool:
    """Whether the API says that there is no such thing: not a gateway that lacks its way to the API, which has other words."""
    return is_refusal(error, 404) and bool(_said(getattr(error, "body", None)))


def _sentence(error: Exception, access: Access) -> str:
    status, said = getattr(error, "status", None), _said(getattr(error, "body", None))
    if isinstance(error, (_NoApiError, json.JSONDecodeError)) or status in range(300, 400):
        return _LOGIN
    if status == 401:
        return "refused (401): the token is missing or has expired; get a new one, and name its variable with --token-env"
    if status == 403 and not said:
        return "refused (403), not by Kubeflow but by what stands before it: the token may be for another host (--token-env)"
    if status == 403:
        where = f"in namespace {access.namespace}, or there is none" if access.namespace else "for this"
        return f"refused (403){said}; the account has no permission {where}: ask for access, or check --namespace and the token"
    if status == 404 and not said:
        return "no Kubeflow Pipelines API here (404): give the address of the ml-pipeline service or its UI"
    if status == 409:
        return f"refuses this (409){said}; something of that name was made at the same time: try again"
    if status in (400, 404):
        return f"refuses this ({status}){said or ', without saying why'}"
    if status:
        return f"answered {status} {getattr(error, 'reason', '') or ''}{said}".rstrip()
    text = str(error)
    if isinstance(error, TimeoutError) or "Read timed out" in text:
        return _SILENT
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate isn't trusted: name the file of your authority's with --ca-cert"
    if "Max retries" in text or isinstance(error, OSError):
        return _UNREACHABLE
    return f"{type(error).__name__}: {next(iter(text.strip().splitlines()), 'no detail')}"


def _said(body: Any) -> str:
    """What an error of the API says of itself: ``{"error": ..., "message": ..., "code": ..., "details": ...}``."""
    try:
        content = json.loads(body)
        text = content.get("message") or content.get("error")
    except (TypeError, ValueError, AttributeError):
        return ""
    return f": {' '.join(str(text).split())[:600]}" if text else ""
