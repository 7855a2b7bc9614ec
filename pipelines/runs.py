"""A run on a Kubeflow Pipelines host: its tasks, their states and their log."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kfp

from helmholtz.attempts import ERROR
from helmholtz.errors import HelmholtzError
from helmholtz_pipelines.host import Access, connect, explained, is_missing, known, namespace_of

FINISHED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED", "ERROR"})
_UNDER_WAY = frozenset({"RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "CANCELING"})
STAGES = ("plan", "compress", "train", "refine", "analyse", "publish")
_STAGE = re.compile(rf"^({'|'.join(STAGES)})(-\d+)?$")  # kfp numbers a component's second use, as in train-2
_LONG = 120  # seconds after which what hasn't started needs a word
_DOCUMENTED_LOGS = ("v1beta1", "v1alpha1")  # where the API server has served logs, newest first; it has no v2beta1 of it

# What Kubernetes calls it, as found in a task's error -> what it means and what to do.
_REASONS = {
    "ErrImagePull|ImagePullBackOff|InvalidImageName|ErrImageNeverPull": "its image can't be pulled: check the reference, "
    "that it was pushed, and cluster.image_pull_secret for a private registry",
    "Insufficient nvidia.com/gpu|Insufficient amd.com/gpu|Insufficient gpu": "no node has a free GPU of that type: add a GPU "
    "node pool, or set resources.gpus=0",
    "Unschedulable|nodes are available|FailedScheduling": "no node fits what it asks for: lower resources.cpu and "
    "resources.memory, or check resources.node_selector and resources.tolerations",
    "OOMKilled": "it ran out of memory: raise resources.memory (of train), cluster.memory (of the other stages)",
    "DeadlineExceeded": "it ran out of time: raise resources.timeout (of train), cluster.timeout (of the other stages)",
    "CreateContainerConfigError|secret .* not found": "a secret or key that cluster.secrets names isn't in the namespace",
    "persistentvolumeclaim .* not found": "a claim that cluster.volumes names isn't in the namespace",
    "serviceaccount .* not found": "the service account isn't in the namespace: create it, or name another",
    "runAsNonRoot": "its image runs as root or as a user by name: set cluster.run_as_user to a number",
}


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a run, in the state it is in."""

    name: str
    state: str  # of kfp_server_api.V2beta1RuntimeState
    started: datetime | None
    ended: datetime | None
    error: str  # empty where the host gives none
    node: str | None  # what the orchestrator calls its pod; its log goes by it

    @property
    def seconds(self) -> float | None:
        """How long it has taken so far."""
        if self.started is None:
            return None
        return ((self.ended or datetime.now(UTC)) - self.started).total_seconds()


@dataclass(frozen=True, slots=True)
class Run:
    """A run and its tasks, in the order they began."""

    id: str
    name: str
    state: str
    error: str
    url: str
    created: datetime | None
    namespace: str
    root: str | None  # the run root it was given
    experiment: str | None  # the experiment it was given, as text
    tasks: tuple[Task, ...]

    @property
    def finished(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in FINISHED

    @property
    def failed(self) -> tuple[Task, ...]:
        """The tasks that failed."""
        return tuple(task for task in self.tasks if task.state == "FAILED")

    @property
    def succeeded(self) -> bool:
        """Whether all went well. Backends before 2.5 call a run with a failed task SUCCEEDED if its exit handler did."""
        return self.state == "SUCCEEDED" and not self.failed

    def summary(self) -> str:
        """One line, such as ``plan done, compress done, train 3 of 12 done, 1 failed``."""
        parts = []
        for stage in STAGES:
            states = Counter(task.state for task in self.tasks if task.name.split("-")[0] == stage)
            if states:
                parts.append(_counted(stage, states))
        return ", ".join(parts) or self.state.lower()

    @property
    def trouble(self) -> str:
        """What keeps the run as a whole from going on; empty where there is nothing to say."""
        waited = (datetime.now(UTC) - self.created).total_seconds() if self.created else 0
        if self.state == "PAUSED":
            return "it is paused, and goes on only when somebody resumes it"
        if not self.finished and self.state not in _UNDER_WAY:
            return f"its state is {self.state}, which this version of helmholtz doesn't know"
        if not self.finished and not self.tasks and waited > _LONG:
            return (
                f"nothing of it has begun in {waited / 60:.0f} minutes; why, says `kubectl describe workflow {self.selector}`"
            )
        return ""

    def advice(self, task: Task) -> str:
        """What to do about a task that failed or won't start; empty where there is nothing to say."""
        for reason, fix in _REASONS.items():
            if re.search(reason, task.error):
                return fix
        if task.state == "PENDING" and (task.seconds or 0) > _LONG:
            return f"its pod hasn't started yet; why, says `kubectl describe pod {self.selector}`"
        return ""

    @property
    def selector(self) -> str:
        """Arguments with which kubectl finds the run's pods and its workflow."""
        return f"-n {self.namespace} -l pipeline/runid={self.id}"


def _counted(stage: str, states: Counter[str]) -> str:
    total, done = states.total(), states["SUCCEEDED"] + states["SKIPPED"]
    words = {"RUNNING": "running", "PENDING": "waiting", "FAILED": "failed", "CANCELED": "canceled"}
    if total == 1:
        return f"{stage} {'done' if done else words.get(next(iter(states)), next(iter(states)).lower())}"
    others = [f"{states[state]} {word}" for state, word in words.items() if states[state]]
    return ", ".join([f"{stage} {done} of {total} done", *others])


def read_run(client: kfp.Client, access: Access, run_id: str) -> Run:
    """The run as the host has it now. Raises HelmholtzError, also if there is none of that id."""
    with explained(access):
        try:
            found = client.get_run(run_id)
            known(found.run_id)
        except Exception as error:
            if is_missing(error):
                raise HelmholtzError(
                    f"{access.host}: no run {run_id}: it was deleted, or that isn't its id, which ends its address in the UI"
                ) from error
            raise
    with explained(access):
        if found.run_id != run_id:
            raise HelmholtzError(f"{access.host}: asked for run {run_id}, and answered with run {found.run_id}")
        return _run(found, client, access)


def _run(found: Any, client: kfp.Client, access: Access) -> Run:
    parameters = (found.runtime_config.parameters or {}) if found.runtime_config else {}
    details = (found.run_details.task_details or []) if found.run_details else []
    return Run(
        id=found.run_id,
        name=found.display_name or "",
        state=str(found.state or "PENDING"),
        error=_message(found.error),
        url=f"{access.ui}/#/runs/details/{found.run_id}",
        created=_aware(found.created_at),
        namespace=namespace_of(client, access) or "kubeflow",
        root=parameters.get("root"),
        experiment=parameters.get("experiment"),
        tasks=_tasks(details),
    )


def _tasks(details: list[Any]) -> tuple[Task, ...]:
    """The stages' tasks, and what failed before one of them could begin (its driver); not the groups they are in."""
    beginning = datetime.min.replace(tzinfo=UTC)
    made = sorted((_task(detail) for detail in details if detail), key=lambda task: task.started or beginning)
    drivers = [task for task in made if task.name.endswith("-driver") and task.state == "FAILED"]
    return tuple(task for task in made if _STAGE.match(task.name) or task in drivers)


def _task(detail: Any) -> Task:
    pods = [child.pod_name for child in detail.child_tasks or [] if child and child.pod_name]
    state = str(detail.state or "PENDING")
    history = [status for status in detail.state_history or [] if status]
    return Task(
        name=detail.display_name or detail.task_id or "",
        state=state,
        started=_aware(detail.start_time or detail.create_time),
        ended=_aware(detail.end_time) if state in FINISHED else None,  # the host has 1970 where it has none
        error=_message(detail.error) or next((_message(status.error) for status in reversed(history) if status.error), ""),
        node=detail.pod_name or (pods[0] if pods else None),
    )


def _aware(time: datetime | None) -> datetime | None:
    """A time with its zone: UTC where the host names none."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _message(status: Any) -> str:
    return " ".join((status.message or "").split()) if status else ""


def read_log(client: kfp.Client, access: Access, run: Run, task: Task) -> str:
    """The whole log of a task. Raises HelmholtzError, with the kubectl command to type, where the host serves none."""
    for version in _DOCUMENTED_LOGS if task.node else ():
        path = f"/apis/{version}/runs/{run.id}/nodes/{task.node}/log"
        try:
            with explained(access):
                answer = client._run_api.api_client.call_api(
                    path, "GET", auth_settings=["Bearer"], _preload_content=False, response_type="str"
                )
        except HelmholtzError:
            continue  # not served here, or the pod is gone: the sentence below says what is left to do
        text = bytes(answer.data).decode(errors="replace")
        if not text.lstrip().lower().startswith(("<!doctype", "<html")):
            return text
    raise HelmholtzError(
        f"{access.host}: serves no log of {task.name}; type `kubectl logs {run.selector} -c main --tail=-1 --prefix`"
    )


def last_line(log: str) -> str:
    """The line that says why a stage failed: the last that a stage explained, or just the last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    explained_lines = [line.split(ERROR, 1)[1] for line in lines if ERROR in line]
    return (explained_lines or lines or ["the log is empty"])[-1]


def open_run(access: Access, run_id: str) -> tuple[kfp.Client, Run]:
    """A client of the host, and the run."""
    client = connect(access)
    return client, read_run(client, access, run_id)
