"""podman, a base image, and the project's own images built on it. Run by ``make containers-test`` (`-m containers`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("containers.conf")
PRIVATE = "trusted.helmholtz-secret.example"  # a word in the build machine's pip configuration that must not get into an image
LOCKED_DOWN = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp", "--user=12345:0")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "containers: builds and runs the container images (minutes; needs podman, root)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = "containers" in str(config.getoption("-m"))
    for item in items:
        if "containers" in item.keywords and not asked:
            item.add_marker(pytest.mark.skip(reason="builds images, which takes minutes: make containers-test"))


@dataclass(frozen=True)
class Podman:
    """podman, set up for the tests, with the references of the images built by them."""

    cpu: str
    gpu: str
    build_seconds: float

    def __call__(self, *arguments: str, timeout: float = 120) -> str:
        """What ``podman ARGUMENTS`` prints. A test fails where podman does."""
        done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"podman {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout

    def run(self, image: str, *command: str, options: tuple[str, ...] = LOCKED_DOWN) -> str:
        """What `command` prints in a new container of `image`."""
        return self("run", "--rm", *options, image, *command)


def build_images(*arguments: str) -> list[str]:
    """The references that images/build.py prints."""
    command = [sys.executable, str(ROOT / "images" / "build.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.split()


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """podman with both images, the trainer's with TensorFlow's CPU part. BASE names a base image that is there already."""
    base = os.environ.get("BASE")
    needed = ("podman", "runc") if base else ("podman", "runc", "debootstrap")
    lacking = [program for program in needed if not shutil.which(program)]
    if lacking or os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(lacking)}" if lacking else "needs root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(CONFIGURATION))
        patch.setenv("ENGINE", "podman")
        patch.setenv("PIP_TRUSTED_HOST", PRIVATE)
        if not base:
            base = subprocess.run(
                [ROOT / "images" / "local_base.sh"], stdout=subprocess.PIPE, text=True, check=True
            ).stdout.strip()
        patch.setenv("BASE", base)
        started = time.monotonic()
        cpu, gpu = build_images("build", "--without-cuda")
        yield Podman(cpu, gpu, time.monotonic() - started)


@pytest.fixture(scope="session")
def docker_host(podman: Podman) -> Iterator[str]:
    """The Docker API, served by podman: what DOCKER_HOST is to be."""
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: a socket's name may have no more than 108 characters
        socket = Path(folder, "podman.sock")
        service = subprocess.Popen(["podman", "system", "service", "--time=0", f"unix://{socket}"])
        try:
            deadline = time.monotonic() + 20
            while not socket.exists():
                assert service.poll() is None, "podman system service ended at once"
                assert time.monotonic() < deadline, "podman system service made no socket"
                time.sleep(0.05)
            yield f"unix://{socket}"
        finally:
            service.terminate()
            service.wait()
