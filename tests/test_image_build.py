"""images/build.py without an engine: names that change with content and nothing else, and what of the machine goes along."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("LICENSE", "README.md", "pyproject.toml", "components", "helmholtz", "images", "pipelines", "requirements")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def checkout(original: Path, tmp_path: Path) -> Path:
    """A checkout that a test may change."""
    return shutil.copytree(original, tmp_path / "checkout")


def call(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("BASE", "REGISTRY", "ENGINE")}
    command = [sys.executable, "-B", str(checkout / "images" / "build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**clean, **environment})


def tags(checkout: Path, *arguments: str, **environment: str) -> list[str]:
    done = call(checkout, "tag", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_references_are_names_that_registries_take(checkout: Path) -> None:
    cpu, gpu = tags(checkout, "--registry", "ghcr.io/someone")
    assert cpu.startswith("ghcr.io/someone/helmholtz-cpu:")
    assert gpu.startswith("ghcr.io/someone/helmholtz-gpu:")
    assert len({cpu.split(":")[1], gpu.split(":")[1]}) == 2
    assert all(len(each.split(":")[1]) == 16 for each in (cpu, gpu))


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("helmholtz/levels.py", [True, True]),
        ("helmholtz/report/report.html", [True, True]),
        ("components/train/component.py", [True, True]),
        ("pipelines/sweep.py", [True, True]),
        ("pyproject.toml", [True, True]),
        ("images/Dockerfile", [True, True]),
        ("requirements/build.txt", [True, True]),
        ("requirements/cpu.txt", [True, False]),
        ("requirements/gpu.txt", [False, True]),
        ("requirements/dev.txt", [False, False]),
        ("images/README.md", [False, False]),
    ],
)
def test_a_tag_changes_with_what_is_inside(checkout: Path, path: str, changed: list[bool]) -> None:
    before = tags(checkout)
    with (checkout / path).open("a") as file:
        file.write("\n")
    assert [old != new for old, new in zip(before, tags(checkout), strict=True)] == changed


def test_a_tag_does_not_change_with_place_time_and_what_is_left_lying_about(original: Path, checkout: Path) -> None:
    for path in checkout.rglob("*.py"):
        os.utime(path, (0, 0))
    for name in ("helmholtz/__pycache__/levels.cpython-311.pyc", "helmholtz/.levels.py.swp", "tests/test_new.py", "notes.txt"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("left")
    assert tags(checkout) == tags(original)


def test_a_file_moved_or_added_changes_the_tag(checkout: Path) -> None:
    first = tags(checkout)  # the new name keeps its place in the order
    (checkout / "helmholtz" / "levels.py").rename(checkout / "helmholtz" / "levels2.py")
    second = tags(checkout)
    (checkout / "helmholtz" / "empty.py").touch()
    assert len({first[0], second[0], tags(checkout)[0]}) == 3


def test_the_base_and_cuda_decide_too(checkout: Path) -> None:
    cpu, gpu = tags(checkout)
    assert tags(checkout, BASE="registry/base@sha256:00") == tags(checkout, "--base", "registry/base@sha256:00")
    assert cpu not in tags(checkout, BASE="registry/base@sha256:00")
    without = tags(checkout, "--without-cuda")
    assert without[0] == cpu
    assert without[1] != gpu


def test_pushing_needs_a_registry_and_building_an_engine(checkout: Path, tmp_path: Path) -> None:
    pushed = call(checkout, "push")
    assert pushed.returncode == 2
    assert "--registry: say where to push to" in pushed.stderr
    built = call(checkout, "build", PATH=str(tmp_path))
    assert built.returncode == 1
    assert built.stderr == "error: neither docker nor podman answers; install one, or start its service\n"


ENGINE = """#!{python}
import json, pathlib, sys
arguments = sys.argv[1:]
if arguments[:1] == ["info"]:
    sys.exit(0)
if arguments[:2] == ["image", "inspect"]:
    sys.exit(not pathlib.Path("there").exists())
secrets = dict(part.removeprefix("--secret=id=").split(",src=") for part in arguments if part.startswith("--secret"))
context = pathlib.Path(arguments[-1])
files = [path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()]
seen = dict(arguments=arguments, files=files, secrets=dict((k, pathlib.Path(v).read_text()) for k, v in secrets.items()))
with open("seen", "a") as file:
    file.write(json.dumps(seen) + "\\n")
sys.exit(pathlib.Path("fails").exists())
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a docker that notes what it is asked for. A file "there": it has all images; "fails": it fails."""
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "docker").write_text(ENGINE.format(python=sys.executable))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(folder)
    return folder


def seen(engine: Path) -> list[dict[str, object]]:
    import json

    return [json.loads(line) for line in (engine / "seen").read_text().splitlines()] if (engine / "seen").exists() else []


def test_it_sends_the_package_and_its_own_locks_and_nothing_else(checkout: Path, engine: Path) -> None:
    (checkout / "secret.txt").write_text("mine")
    (checkout / "helmholtz" / ".env").write_text("mine")
    done = call(checkout, "build", "--without-cuda")
    assert done.stdout.split() == tags(checkout, "--without-cuda")
    (cpu, gpu) = seen(engine)
    assert {"requirements/cpu.txt", "requirements/build.txt", "pyproject.toml", "helmholtz/__init__.py"} <= set(cpu["files"])
    assert not {"requirements/gpu.txt", "requirements/dev.txt", "secret.txt", "helmholtz/.env"} & set(cpu["files"])
    assert "--build-arg=REQUIREMENTS=gpu-without-cuda" in gpu["arguments"]


def test_what_is_there_is_not_built_again(checkout: Path, engine: Path) -> None:
    (engine / "there").touch()
    assert call(checkout, "build").stdout.split() == tags(checkout)
    assert not seen(engine)


def test_a_build_that_fails_ends_in_a_sentence(checkout: Path, engine: Path) -> None:
    (engine / "fails").touch()
    done = call(checkout, "build")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == "error: `docker build` failed; its output is above"


def test_pips_configuration_goes_along_as_a_secret_and_the_environment_wins(
    checkout: Path, engine: Path, tmp_path: Path
) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_text("CERTIFICATE")
    (tmp_path / "pip.conf").write_text(
        # pragma: allowlist nextline secret
        "[global]\nindex-url = https://user:pa%%ss@one.example/simple\ntimeout = 7\nfind-links = /here\n"
        "[install]\nextra-index-url =\n    https://two.example/simple\n    https://three.example/simple\n"
    )
    environment = {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_TIMEOUT": "9",
        "PIP_CERT": str(certificate),
        "PIP_DEFAULT_TIMEOUT": "11",
    }
    assert call(checkout, "build", **environment).returncode == 0
    first = seen(engine)[0]
    given = configparser.RawConfigParser()
    given.read_string(first["secrets"]["pip.conf"])
    assert dict(given["global"]) == {
        # pragma: allowlist nextline secret
        "index-url": "https://user:pa%%ss@one.example/simple",
        "extra-index-url": "\nhttps://two.example/simple\nhttps://three.example/simple",
        "timeout": "9",
        "default-timeout": "11",
        "cert": "/run/secrets/ca.pem",
    }
    assert first["secrets"]["ca.pem"] == "CERTIFICATE"
    assert "one.example" not in str(first["arguments"])
