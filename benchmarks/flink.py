"""The compress stage on a Flink cluster on this machine: shards as by the local run, byte for byte, and 1 worker against 2.

It starts a session cluster (a job manager, a task manager), Beam's job server and a pool of external Python
workers. `--flink` is the folder with Flink's own jars, deps/lib in the PyPI package apache-flink-libraries (1.19);
`--beam` one with Maven's org.apache.beam:beam-runners-flink-1.19 and all that it needs (mvn dependency:copy-dependencies):

    python benchmarks/flink.py --flink flink/deps/lib --beam beam/lib
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compress import LEVELS, pictures
from timing import seconds, tell

from helmholtz.compress import compress
from helmholtz.dataset import index_dataset
from helmholtz.experiment import Experiment
from helmholtz.storage import open_store

RUNTIME = "org.apache.flink.runtime"
RPC, REST, JOBS, ARTIFACTS, WORKERS = 6123, 8081, 8099, 8098, 50_000  # ports
_PACKAGES = ("lang", "lang.invoke", "lang.reflect", "net", "io", "nio", "text", "time", "util", "util.concurrent")
OPENED = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _PACKAGES]
SETTINGS = """
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
jobmanager.memory.process.size: 1g
rest.port: {rest}
taskmanager.numberOfTaskSlots: {workers}
taskmanager.cpu.cores: {workers}
taskmanager.memory.process.size: 1g
"""


@contextlib.contextmanager
def running(*command: str, log: Path, port: int | None = None) -> Iterator[None]:
    """A process for as long as the block runs, which begins when it listens."""
    here = str(Path(sys.executable).parent)  # the pool starts its workers as "python"
    environment = os.environ | {"PATH": f"{here}:{os.environ['PATH']}"}
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env=environment)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended:\n{log.read_text()[-3000:]}")
            if port is None or _listens(port):
                break
            time.sleep(0.1)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("localhost", port)) == 0


@contextlib.contextmanager
def cluster(flink: Path, beam: Path, workers: int, folder: Path) -> Iterator[None]:
    """Job manager, a task manager with as many slots, job server and pool.

    Not as many task managers: their workers would have the same name to the pool, which stops both when one is done. In
    `manifests/` every task manager has a pool beside it.
    """
    folder.mkdir()
    (folder / "config.yaml").write_text(SETTINGS.format(rpc=RPC, rest=REST, workers=workers))
    jars = f"{flink}/*"
    sizes = ["java", "-cp", f"{jars}:{flink.parent}/bin/bash-java-utils.jar", f"{RUNTIME}.util.bash.BashJavaUtils"]
    sizes += ["GET_TM_RESOURCE_PARAMS", "--configDir", str(folder)]
    resources = subprocess.run(sizes, check=True, capture_output=True, text=True).stdout
    found = [line.partition("BASH_JAVA_UTILS_EXEC_RESULT:")[2] for line in resources.splitlines() if "EXEC_RESULT" in line]
    memory, dynamic = found[0].split(), found[1].split()
    with contextlib.ExitStack() as stack:
        manager = ["java", *OPENED, "-cp", jars, f"{RUNTIME}.entrypoint.StandaloneSessionClusterEntrypoint"]
        stack.enter_context(running(*manager, "--configDir", str(folder), log=folder / "manager.log", port=REST))
        tasks = ["java", *OPENED, *memory, "-cp", jars, f"{RUNTIME}.taskexecutor.TaskManagerRunner"]
        stack.enter_context(running(*tasks, "--configDir", str(folder), *dynamic, log=folder / "tasks.log"))
        server = ["java", *OPENED, "-cp", f"{beam}/*", "org.apache.beam.runners.flink.FlinkJobServerDriver"]
        server += [f"--flink-master=localhost:{REST}", f"--job-port={JOBS}", f"--artifact-port={ARTIFACTS}"]
        server += ["--expansion-port=0", f"--artifacts-dir={folder}/artifacts"]
        stack.enter_context(running(*server, log=folder / "server.log", port=JOBS))
        pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={WORKERS}"]
        stack.enter_context(running(*pool, log=folder / "pool.log", port=WORKERS))
        while _slots() < workers:
            time.sleep(0.2)
        yield


def _slots() -> int:
    return int(_told("overview")["slots-total"])


def _told(what: str) -> dict[str, Any]:
    """What Flink's REST API answers."""
    with urllib.request.urlopen(f"http://localhost:{REST}/{what}") as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def job_seconds() -> float:
    """How long the only job of the cluster ran, by Flink's clock: without the submission, which takes some 15 s of any job."""
    (job,) = _told("jobs/overview")["jobs"]
    return float(job["duration"]) / 1000


def experiment(data: Path, workers: int = 0) -> Experiment:
    """On Flink with so many workers; on this process alone with none."""
    options = ["--job_endpoint=localhost:8099", "--artifact_endpoint=localhost:8098", "--environment_type=EXTERNAL",
               f"--environment_config=localhost:{WORKERS}", f"--parallelism={workers}",
               f"--sdk_worker_parallelism={workers}"]  # fmt: skip
    beam = {"runner": "flink", "options": options} if workers else {"runner": "local"}
    dataset = {"kind": "cifar10", "path": str(data), "shards": 32}
    return Experiment.model_validate({"dataset": dataset, "levels": ["none", *LEVELS], "beam": beam})


def compressed(data: Path, root: Path, workers: int = 0) -> float:
    """Seconds of the stage, into an empty root."""
    shutil.rmtree(root, ignore_errors=True)
    store, wanted = open_store(str(root)), experiment(data, workers)
    index = index_dataset(store, wanted.dataset)
    return seconds(lambda: compress(store, wanted, index))


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of all shards and manifests."""
    paths = [*root.rglob("*.tfrecord"), *root.rglob("manifest.json")]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    """Prints a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flink", type=Path, required=True)
    parser.add_argument("--beam", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=240_000)
    parser.add_argument("--runs", type=int, default=3)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder / "data", told.pictures)
        compressed(folder / "data", folder / "local")
        wanted = digests(folder / "local")
        times: dict[tuple[int, int], float] = {}
        jobs: dict[tuple[int, int], float] = {}
        for run in range(told.runs):
            for workers in (1, 2):
                with cluster(told.flink, told.beam, workers, folder / f"cluster{run}-{workers}"):
                    times[run, workers] = compressed(folder / "data", folder / "flink", workers)
                    jobs[run, workers] = job_seconds()
                if digests(folder / "flink") != wanted:
                    raise SystemExit(f"{workers} workers on Flink: other bytes than by the local run")
        for what, taken in (("the stage", times), ("Flink's job", jobs)):
            seconds_of = {workers: [round(taken[run, workers], 1) for run in range(told.runs)] for workers in (1, 2)}
            print(json.dumps({"seconds of": what, "with 1": seconds_of[1], "with 2": seconds_of[2]}))
        print(json.dumps({"identical files": len(wanted)}))
        tell(
            f"compress {told.pictures:,} pictures of 32x32 on Flink, its job with 2 workers / with 1",
            [jobs[run, 1] / jobs[run, 2] for run in range(told.runs)],
        )


if __name__ == "__main__":
    main()
