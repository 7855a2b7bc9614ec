"""What the images and this checkout are made of: an audit against known holes, and a bill of materials (SBOM).

    python images/supply_chain.py audit           # of every locked package; ends with 1 where one has a known hole
    python images/supply_chain.py sbom build/sbom # CycloneDX 1.6 JSON, one file for each of requirements/*.txt

Both read the locks, which name every package by version and hash, and install nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

LOCKS = Path(__file__).parents[1] / "requirements"
PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
PATIENCE = 120.0  # seconds for one lock


def packages(lock: Path) -> Iterator[tuple[str, str, list[str]]]:
    """(name, version, SHA-256 of each of its files) of every package in a lock."""
    name, version, hashes = "", "", list[str]()
    for line in lock.read_text("utf-8").splitlines():
        if found := PACKAGE.match(line):
            if name:
                yield name, version, hashes
            name, version, hashes = found[1], found[2], []
        hashes += HASH.findall(line)
    if name:
        yield name, version, hashes


def audit() -> int:
    """Prints what is known against the locked packages. Returns 1 if something is; says where it couldn't be asked."""
    status = 0
    for lock in sorted(LOCKS.glob("*.txt")):
        command = [
            sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip", "--no-deps",
            "--progress-spinner", "off", "--format", "json", "--timeout", "15",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)  # noqa: S603  # ours
            answers = json.loads(done.stdout)["dependencies"]
        except (subprocess.TimeoutExpired, ValueError, KeyError):
            answers = []
        asked = [each for each in answers if "skip_reason" not in each]
        if not asked:
            print(f"{lock.name} and what follows NOT AUDITED: no advisories could be had; repeat it where PyPI can be reached")
            return status
        for each in asked:
            for hole in each["vulns"]:
                status = 1
                fixed = ", ".join(hole["fix_versions"]) or "no version yet"
                print(f"{lock.name}: {each['name']} {each['version']}: {hole['id']}, fixed in {fixed}")
        left = f", {len(answers) - len(asked)} others unknown to the index" if len(asked) < len(answers) else ""
        print(f"{lock.name}: {len(asked)} packages audited{left}")
    return status


def sbom(folder: Path) -> None:
    """Writes a bill of materials for each lock."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    warnings.filterwarnings("ignore", message="The Component this BOM is describing")  # a lock has no graph of dependencies
    folder.mkdir(parents=True, exist_ok=True)
    for lock in sorted(LOCKS.glob("*.txt")):
        bom = Bom()
        bom.metadata.component = Component(name=f"helmholtz-{lock.stem}", type=ComponentType.APPLICATION)
        for name, version, hashes in packages(lock):
            component = Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                purl=PackageURL("pypi", None, name.lower().replace("_", "-"), version),
                # CycloneDX holds one file's hash of a kind: a package of several wheels has none that is everybody's.
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in hashes] if len(hashes) == 1 else [],
            )
            bom.components.add(component)
        path = folder / f"{lock.stem}.cdx.json"
        path.write_text(JsonV1Dot6(bom).output_as_string(indent=1), "utf-8")
        print(f"{path}: {len(bom.components)} packages")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("audit", help="known holes in the locked packages")
    commands.add_parser("sbom", help="bills of materials").add_argument("folder", type=Path)
    told = parser.parse_args()
    if told.command == "audit":
        sys.exit(audit())
    sbom(told.folder)


if __name__ == "__main__":
    main()
