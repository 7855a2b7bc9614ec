"""What a run asks of a Kubernetes cluster. Not used on a laptop, and nothing that is trained or written depends on it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from helmholtz.credentials import is_credential
from helmholtz.section import Section, Whole


def _text(value: object) -> object:
    """YAML makes a number of ``cpu: 2``; Kubernetes takes quantities as text."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _more_than_nothing(quantity: str) -> str:
    if not re.search("[1-9]", quantity):
        raise ValueError(f"{quantity} is nothing; ask for more than 0")
    return quantity


# As kfp accepts them: a part of what Kubernetes does (no exponents).
Cpu = Annotated[str, BeforeValidator(_text), Field(pattern=r"^([0-9]+\.)?[0-9]+m?$"), AfterValidator(_more_than_nothing)]
Memory = Annotated[str, BeforeValidator(_text), Field(pattern=r"^[0-9]+([EPTGMK]i?)?$"), AfterValidator(_more_than_nothing)]
# Names of Kubernetes objects: DNS subdomains (RFC 1123).
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

_YEAR = 31_536_000  # seconds

# github.com/distribution/reference, its grammar; of digests only SHA-256, which is all that registries use.
_IMAGE = re.compile(
    r"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
    r"(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MAX_IMAGE = 512  # characters

# What pods have there already: the system, our programs and their scratch, and what KFP and Argo mount.
_TAKEN = ["/bin", "/dev", "/etc", "/gcs", "/kfp", "/kfp-launcher", "/lib", "/lib64", "/minio", "/opt/venv", "/proc", "/run"]
_TAKEN += ["/s3", "/sbin", "/sys", "/tmp", "/usr", "/var/run"]  # noqa: S108  # in the pod


def check_image(reference: str) -> str:
    """The image `reference`, if it always means the same image: with a digest, or a tag other than ``latest``.

    kfp's cache and the nodes know images by this text alone. Raises ValueError.
    """
    found = _IMAGE.fullmatch(reference) if len(reference) <= _MAX_IMAGE else None
    if not found:
        raise ValueError(f"{reference[:200]!r} is no image reference, such as registry:5000/cpu:TAG or NAME@sha256:...")
    if not found["digest"] and found["tag"] in (None, "latest"):
        raise ValueError(f"{reference}: needs a tag of its own (not latest) or a digest, or nodes run whatever they have")
    return reference


def _mounted(path: str) -> str:
    path = path.rstrip("/")
    if not path.startswith("/") or path.startswith("//") or posixpath.normpath(path) != path or ":" in path:
        raise ValueError(f"{path or '/'}: an absolute path below /, where the pods mount it, such as /mnt/runs")
    taken = next((other for other in _TAKEN if is_below(path, [other]) or is_below(other, [path])), None)
    if taken:
        raise ValueError(f"{path}: a volume there would hide {taken}, or be hidden by it; mount it elsewhere, as at /mnt/runs")
    return path


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether the absolute `path` lies in one of the `folders`, or is one; not if its ``..`` lead out again."""
    plain = posixpath.normpath(path)
    return path.startswith("/") and any(PurePosixPath(plain).is_relative_to(folder) for folder in folders)


Image = Annotated[str, AfterValidator(check_image)]


class Toleration(Section):
    """A node's taint that train pods put up with, such as that of spot or GPU nodes."""

    key: str | None = None  # None: every taint
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoExecute", "NoSchedule", "PreferNoSchedule"] | None = None  # None: every effect

    @model_validator(mode="after")
    def _as_kubernetes_has_it(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("operator Exists takes no value; remove it, or use operator Equal")
        if self.key is None and self.operator != "Exists":
            raise ValueError("without a key, operator must be Exists")
        return self


class Secret(Section):
    """A Kubernetes secret whose entries the pods get as environment variables."""

    name: Name
    env: Annotated[dict[Variable, str], Field(min_length=1)]  # variable -> key in the secret


class Volume(Section):
    """A persistent volume claim that all pods mount, such as one that holds the run root (access mode ReadWriteMany)."""

    claim: Name
    path: Annotated[str, AfterValidator(_mounted)]  # where the pods see it


class Resources(Section):
    """What one train task asks of the cluster."""

    cpu: Cpu = "2"
    memory: Memory = "8G"
    gpus: Whole = Field(0, ge=0)
    gpu_type: str = "nvidia.com/gpu"
    side_by_side: Annotated[Whole, Field(ge=1, le=64)] | None = None  # seeds at once; None: as a GPU has room, 1 on a CPU
    shared_memory: Memory | None = "1Gi"  # size of /dev/shm, in memory and counted as such; None: the engine's 64 MB
    node_selector: dict[str, str] = Field(default_factory=dict)  # label -> value that a node must have
    tolerations: tuple[Toleration, ...] = ()
    timeout: Whole = Field(86_400, ge=60, le=_YEAR)  # seconds that a pod may take
    retries: Whole = Field(3, ge=0, le=20)  # attempts after the first; a node taken away costs one
    backoff: Whole = Field(60, ge=0, le=3600)  # seconds before the first retry, doubled each time


class Cluster(Section):
    """Where the pipeline's pods come from, and what all of them get."""

    cpu_image: Image | None = None  # of all stages but train; must be given here or to `helmholtz submit`
    gpu_image: Image | None = None  # of the train stage; likewise
    cpu: Cpu = "2"  # of each stage but train
    memory: Memory = "8G"  # likewise
    timeout: Whole = Field(86_400, ge=60, le=_YEAR)  # likewise, in seconds
    retries: Whole = Field(2, ge=0, le=20)  # likewise, of all but publish, which is tried once
    parallelism: Whole = Field(8, ge=1, le=1000)  # train tasks at once
    service_account: Name | None = None  # that the pods run as: how they get access to buckets; None: KFP's own
    secrets: tuple[Secret, ...] = ()  # credentials, by reference; for S3 stores that know no service accounts
    env: dict[Variable, str] = Field(default_factory=dict)  # settings that are no secret, e.g. AWS_ENDPOINT_URL
    volumes: tuple[Volume, ...] = ()
    image_pull_secret: Name | None = None
    run_as_user: Whole | None = Field(None, ge=1)  # None: the image's own user, which must be a number, not root

    @model_validator(mode="after")
    def _credentials_are_references(self) -> Self:
        for name, value in self.env.items():
            if is_credential(name, value):
                raise ValueError(
                    f"env.{name}: credentials are never given by value; put it into a Kubernetes secret, named in secrets"
                )
        return self

    @model_validator(mode="after")
    def _each_volume_once(self) -> Self:
        for key in ("claim", "path"):
            values = [getattr(volume, key) for volume in self.volumes]
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"volumes: {key} {value} stands twice; mount each claim once, each at a path of its own")
        return self

    def holds(self, path: str) -> bool:
        """Whether the pods see the absolute local `path`: it lies on one of the volumes."""
        return is_below(path, [volume.path for volume in self.volumes])
