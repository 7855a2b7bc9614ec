"""Builds and pushes the container images, or says what they are called.

    python images/build.py tag      # one reference a line: CPU, then GPU
    python images/build.py build    # those that aren't there yet
    python images/build.py push --registry REGISTRY/PROJECT

A tag is a hash of all that decides an image's content: recipe, lock file, package and base. So a changed image has another
name, and Kubeflow's cache, which compares names, can't take the one for the other. Needs only the standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import machine  # beside this file, which is a script and in no package

ROOT = Path(__file__).resolve().parents[1]
BASE = "docker.io/library/python:3.12-slim-bookworm"
DOCKERFILE = Path("images", "Dockerfile")
PACKAGE = ("LICENSE", "README.md", "pyproject.toml", "helmholtz", "components", "pipelines")


@dataclass(frozen=True, slots=True)
class Image:
    """One image: what it is called, what its layers hold, and the build arguments that decide on the rest."""

    reference: str  # what to pull: registry/name:tag
    arguments: Mapping[str, str]
    files: Mapping[Path, bytes]  # by path below the checkout's root: what was hashed is what it is built from


def describe(name: str, lock: str, *, base: str, registry: str) -> Image:
    """The image `name` of the packages in ``requirements/<lock>.txt`` on `base`, as the checkout is now."""
    locks = (Path("requirements", f"{each}.txt") for each in ("build", lock))
    files = {path: (ROOT / path).read_bytes() for path in sorted((DOCKERFILE, *locks, *_package()))}
    version = re.search(r'__version__ = "(.+)"', files[Path("helmholtz", "__init__.py")].decode())
    arguments = {"BASE": base, "REQUIREMENTS": lock, "TITLE": name, "VERSION": version[1] if version else "unknown"}
    inputs = {key: value.encode() for key, value in arguments.items()} | {path.as_posix(): data for path, data in files.items()}
    digest = hashlib.sha256()
    for key, data in inputs.items():
        digest.update(hashlib.sha256(key.encode()).digest() + hashlib.sha256(data).digest())  # fixed lengths: none run together
    return Image(f"{registry}/{name}:{digest.hexdigest()[:16]}", arguments, files)


def images(*, base: str, registry: str, cuda: bool = True) -> tuple[Image, Image]:
    """The CPU stages' image and the trainer's, which without `cuda` has TensorFlow's CPU part alone."""
    return (
        describe("helmholtz-cpu", "cpu", base=base, registry=registry),
        describe("helmholtz-gpu", "gpu" if cuda else "gpu-without-cuda", base=base, registry=registry),
    )


def _package() -> Iterator[Path]:
    for name in PACKAGE:
        found = [ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*")
        for path in found:
            relative = path.relative_to(ROOT)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in relative.parts)
            if path.is_file() and not hidden:
                yield relative


def build(image: Image, engine: str) -> None:
    """Builds `image`, from nothing but its files, unless it is there already."""
    if machine.has_image(engine, image.reference):
        return
    with tempfile.TemporaryDirectory(prefix="helmholtz-image-") as folder:
        context = Path(folder, "context")
        for path, content in image.files.items():
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            (context / path).write_bytes(content)
        command = [engine, "build", "--file", str(context / DOCKERFILE), "--tag", image.reference]
        named = image.reference.rsplit("/", 1)[-1]  # without the registry, which decides nothing
        arguments = {**image.arguments, "REVISION": machine.revision(ROOT), "IMAGE": named}
        command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        command += [f"--secret=id={name},src={path}" for name, path in machine.pip_secrets(Path(folder)).items()]
        machine.run(*command, str(context))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("tag", "build", "push"))
    parser.add_argument("--base", default=os.environ.get("BASE") or BASE, help="with Python 3.11 or 3.12 and its venv")
    parser.add_argument("--registry", default=os.environ.get("REGISTRY") or "localhost", help="prefix of the references")
    parser.add_argument("--engine", default=os.environ.get("ENGINE"), help="docker or podman, whichever is there")
    parser.add_argument("--without-cuda", action="store_true", help="the GPU image, without a GPU's libraries")
    options = parser.parse_args()
    if options.action == "push" and options.registry == "localhost":
        parser.error("--registry: say where to push to, e.g. ghcr.io/you")
    for image in images(base=options.base, registry=options.registry, cuda=not options.without_cuda):
        if options.action != "tag":
            engine = options.engine or machine.engine()
            build(image, engine)
            if options.action == "push":
                machine.run(engine, "push", image.reference)
        print(image.reference)


if __name__ == "__main__":
    main()
