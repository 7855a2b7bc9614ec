"""What the machine that builds brings along: a container engine, pip's configuration, the revision of the checkout."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

# Where packages come from, and how. find-links and other local paths mean nothing inside a container.
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")


def run(*command: str) -> None:
    """Runs a command, its output on standard error. Ends the process with a sentence if it fails."""
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode != 0:  # noqa: S603  # the engine, by the caller
        raise SystemExit(f"error: `{' '.join(command[:2])}` failed; its output is above")


def _asked(*command: str) -> str | None:
    """What a command prints, or None if it isn't there or fails."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  # fixed commands
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def engine() -> str:
    """docker or podman, whichever is installed and answers. Ends the process with a sentence if neither does."""
    for name in ("docker", "podman"):
        if shutil.which(name) and _asked(name, "info") is not None:
            return name
    raise SystemExit("error: neither docker nor podman answers; install one, or start its service")


def has_image(engine: str, reference: str) -> bool:
    """Whether the engine holds an image of this name."""
    return _asked(engine, "image", "inspect", reference) is not None


def revision(checkout: Path) -> str:
    """The commit of the checkout, with ``-dirty`` where files differ from it; ``unknown`` outside of git."""
    return _asked("git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or "unknown"


def pip_secrets(folder: Path) -> dict[str, Path]:
    """This machine's pip configuration as files for the build, by the names that the Dockerfile gives them.

    Written to `folder`, which should be private: an index's address may hold a password.
    """
    settings = _pip_settings()
    certificates = Path(settings.pop("cert", ""))
    secrets = {}
    if certificates.is_file():
        secrets["ca.pem"] = certificates
        settings["cert"] = "/run/secrets/ca.pem"
    lines = [f"{key} = {value}".replace("\n", "\n    ") for key, value in settings.items()]  # a list is one value a line
    secrets["pip.conf"] = folder / "pip.conf"
    secrets["pip.conf"].write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    return secrets


def _pip_settings() -> dict[str, str]:
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in (_asked(sys.executable, "-m", "pip", "config", "list") or "").splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found and key in (*_PIP_KEYS, "cert"):
            found[section][key] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]
