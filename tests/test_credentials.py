"""What is taken for a credential given by value, and what isn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helmholtz.credentials import credential_options, holds_userinfo, is_credential, userinfo_places

SECRET = st.text("abcXYZ019+/=_-", min_size=1).filter(lambda text: not text.split("/")[0].isdigit())
WORD = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


@given(WORD, WORD, SECRET, WORD)
def test_an_address_with_a_password_is_seen_wherever_it_stands(scheme: str, user: str, secret: str, host: str) -> None:
    address = f"{scheme}://{user}:{secret}@{host}/path"
    assert holds_userinfo(address)
    assert holds_userinfo(f"--endpoint={address}")
    tree = {"a": [{"b": address}, 7, None], "c": {"d": "none"}}
    assert list(userinfo_places(tree)) == ["a[0].b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s3://bucket/a@b:c",
        "http://host:8080/path@v1",
        "gs://bucket/a:b/c@d"[:16],
        "registry:5000/cpu@sha256:00",
        "abfss://container@account.dfs.core.windows.net/path",
        "me:you@example.org",
        "https://host/?q=a:b@c",
    ],
)
def test_an_address_without_one_is_none(text: str) -> None:
    assert not holds_userinfo(text)


@pytest.mark.parametrize(
    ("name", "value", "is_one"),
    [
        ("AWS_SECRET_ACCESS_KEY", "x", True),
        ("aws_session_token", "x", True),
        ("DB_PASSWD", "x", True),
        ("SSH_PRIVATE_KEY", "x", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", '{"private_key": "x"}', True),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/var/secrets/key.json", False),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token", False),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", True),
        ("HTTPS_PROXY", "http://me:x@proxy:3128", True),
        ("HTTPS_PROXY", "http://proxy:3128", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("AWS_DEFAULT_REGION", "eu-central-1", False),
        ("GITHUB", "ghp_" + "a1B2" * 9, True),
        ("KEY_OF_AWS", "AKIA" + "ABCDEFGH12345678", True),
        ("HEADER", "Bearer eyJhbGciOi.eyJzdWIi.x", True),
        ("MYSQL_PWD", "x", True),
        ("AWS_KEY", "x", True),
        ("HTTP_AUTHORIZATION", "x", True),
        ("STORE", "DefaultEndpointsProtocol=https;AccountKey=x", True),
        ("SOURCE", "https://host/blob?sv=1&sig=x", True),
        ("OLDPWD", "/home/me", False),
        ("KEYBOARD", "qwerty", False),
        ("NOTE", "bearer of bad news", False),
    ],
)
def test_a_setting(name: str, value: str, is_one: bool) -> None:
    assert is_credential(name, value) == is_one


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), []),
        (("--s3_secret_access_key=x", "--region=here"), ["--s3_secret_access_key"]),
        (("--aws-secret-access-key", "x"), ["--aws-secret-access-key"]),
        (("--password x",), ["--password"]),
        (("--token", "--streaming"), []),  # a switch: no value
        (("--token=",), []),
        (("--credentials_file=/var/key.json", "--staging=s3://me:x@b"), ["--staging"]),
        (("--job_endpoint=jobs:8099", "x", "=", "--", ""), []),
    ],
)
def test_options(options: tuple[str, ...], found: list[str]) -> None:
    assert list(credential_options(options)) == found
