"""Options that name a Kubeflow Pipelines host and let one in, shared by the commands that talk to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from helmholtz.errors import ExperimentError

if TYPE_CHECKING:
    from helmholtz_pipelines.host import Access

F = TypeVar("F", bound=Callable[..., Any])
TOKEN = "KFP_TOKEN"  # noqa: S105  # a variable's name


def access_options(function: F) -> F:
    """--host, --namespace, --token-env, --ca-cert and --allow-http."""
    for option in (
        click.option(
            "--allow-http",
            is_flag=True,
            envvar="HELMHOLTZ_ALLOW_HTTP",
            help="Send credentials to another machine without encryption.  [env: HELMHOLTZ_ALLOW_HTTP]",
        ),
        click.option(
            "--ca-cert", metavar="FILE", help="Certificates to trust, for an https host with an authority of its own."
        ),
        click.option(
            "--token-env",
            metavar="NAME",
            help=f"Environment variable that holds a bearer token.  [default: {TOKEN}; where that isn't set, what kfp finds "
            "by KF_PIPELINES_IAP_OAUTH2_CLIENT_ID, and cookie and header in ~/.config/kfp/context.json]",
        ),
        click.option(
            "--namespace",
            metavar="NAME",
            help="Kubernetes namespace, where the host serves several users.  [default: that in ~/.config/kfp/context.json]",
        ),
        click.option(
            "--host",
            required=True,
            envvar=["KFP_HOST", "KF_PIPELINES_ENDPOINT"],
            metavar="URL",
            help="Kubeflow Pipelines API or UI, e.g. http://localhost:8080.  [env: KFP_HOST, else KF_PIPELINES_ENDPOINT]",
        ),
    ):
        function = option(function)
    return function


def access(host: str, namespace: str | None, token_env: str | None, ca_cert: str | None, allow_http: bool) -> Access:
    """What the options say, with the token out of the environment. Raises ExperimentError where that has none."""
    from helmholtz_pipelines.host import Access

    token = os.environ.get(token_env or TOKEN, "").strip()
    if token_env and not token:
        raise ExperimentError(f"--token-env {token_env}: no such environment variable, or it is empty; put the token there")
    return Access(host.rstrip("/"), namespace, token or None, ca_cert, allow_http)
