"""What looks like a credential given by value. An experiment is kept and shown in many places; a secret belongs in none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_NAME = re.compile(
    r"SECRET|PASSW(OR)?D|_PWD$|PASSPHRASE|TOKEN(?!IZ)|(ACCESS|ACCOUNT|API|PRIVATE|AWS)_?KEY|CREDENTIAL|AUTHORI[SZ]ATION"
    r"|CONNECTION_?STRING",
    re.IGNORECASE,
)
# As who issues them documents: GitHub, GitLab, AWS, Google, Slack; HTTP (RFC 9110, 11.4); signed addresses; JWT (RFC 7519).
_VALUE = re.compile(
    r"\b(gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|(AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{30,}|xox[abprs]-[\w-]{10,})"
    r"|\b(Bearer|Basic)\s+[\w.~+/=-]{8,}|\bAccountKey=|[?&](sig|X-Amz-Signature|X-Goog-Signature)=|\beyJ[\w-]{10,}\.eyJ"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
)
_PATH_NAME = re.compile(r"_(FILE|PATH|DIR)$|^GOOGLE_APPLICATION_CREDENTIALS$", re.IGNORECASE)
# Secret keys of S3 hold slashes, so this is wider than userinfo is (RFC 3986, section 3.2.1); HOST:PORT/PATH@VERSION isn't it.
_USERINFO = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s@:]*:(?!\d+/)[^\s@]+@", re.IGNORECASE)
_OPTION = re.compile(r"--([A-Za-z0-9_-]+)(?:[= ]\s*(.*))?", re.DOTALL)


def is_credential(name: str, value: str) -> bool:
    """Whether a setting of this name and value is a credential: not where it says in which file of the pod one is."""
    if _PATH_NAME.search(name) and value.startswith("/"):
        return False
    return bool(_NAME.search(name) or _VALUE.search(value)) or holds_userinfo(value)


def holds_userinfo(text: str) -> bool:
    """Whether `text` holds an address with a user and password in it (RFC 3986, 3.2.1)."""
    return bool(_USERINFO.search(text))


def credential_options(options: tuple[str, ...]) -> Iterator[str]:
    """Names of those command line options that give a credential by value, as ``--NAME=VALUE`` or as two words."""
    for option, following in zip(options, (*options, "")[1:], strict=True):
        found = _OPTION.fullmatch(option)
        if not found:
            continue
        value = found[2] if found[2] is not None else "" if following.startswith("--") else following
        if value and is_credential(found[1].replace("-", "_"), value):
            yield f"--{found[1]}"


def userinfo_places(tree: Any, place: str = "") -> Iterator[str]:
    """Where in a tree of dictionaries and lists a text holds a password in an address: keys with dots between."""
    if isinstance(tree, str):
        if holds_userinfo(tree):
            yield place
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from userinfo_places(value, f"{place}.{key}" if place else str(key))
    elif isinstance(tree, (list, tuple)):
        for number, value in enumerate(tree):
            yield from userinfo_places(value, f"{place}[{number}]")
