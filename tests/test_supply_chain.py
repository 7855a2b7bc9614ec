"""The audit says what it could not ask and fails on known holes; the bills of materials name every locked package."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

# Stands for pip-audit, whose advisories are on the network: answers as its JSON format says.
STAND_IN = """import json, os, sys
answer = os.environ["ANSWER"]
if answer == "offline":
    sys.exit("ConnectionError")
skipped = {"name": "a", "version": "1", "skip_reason": "not found"}
sound = {"name": "b", "version": "2", "vulns": []}
hole = {"name": "c", "version": "3", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1"], "aliases": [], "description": ""}]}
print(json.dumps({"dependencies": {"none": [skipped], "sound": [skipped, sound], "hole": [sound, hole]}[answer], "fixes": []}))
"""


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "images" / "supply_chain.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        ("offline", 0, "build.txt and what follows NOT AUDITED"),
        ("none", 0, "build.txt and what follows NOT AUDITED"),
        ("sound", 0, "gpu.txt: 1 packages audited, 1 others unknown to the index"),
        ("hole", 1, "gpu.txt: c 3: CVE-1, fixed in 3.1"),
    ],
)
def test_an_audit_never_passes_in_silence(tmp_path: Path, answer: str, status: int, says: str) -> None:
    (tmp_path / "pip_audit.py").write_text(STAND_IN)
    done = call("audit", ANSWER=answer, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (status, "")
    assert says in done.stdout


def test_the_bills_name_every_locked_package(tmp_path: Path) -> None:
    done = call("sbom", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    for lock in LOCKS:
        bill = json.loads((tmp_path / f"{lock.stem}.cdx.json").read_text())
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        named = {(each["name"], each["version"]) for each in bill["components"]}
        assert named == set(re.findall(r"^([^\s=\[]+)(?:\[.*?\])?==([^\s;\\]+)", lock.read_text(), re.MULTILINE))
    installed = {name: importlib.metadata.version(name) for name in ("pillow", "numpy", "kfp")}
    bill = json.loads((tmp_path / "dev.cdx.json").read_text())
    assert {each["name"]: each["version"] for each in bill["components"] if each["name"] in installed} == installed
