"""What the pipeline's pods ask of Kubernetes: resources, nodes, volumes, secrets, retries and time-outs.

Security: kfp (2.17) can set a task's user and `runAsNonRoot`, no more. Capabilities (all dropped), seccomp
(`RuntimeDefault`) and `allowPrivilegeEscalation: false` are set by KFP's own compiler, in backends that have it (2.16 on);
before that, and for a read-only root file system, which no pipeline can ask for, it takes a policy of the namespace.
Our images run with a read-only root and any user, so such a policy (Pod Security "restricted") doesn't stop them.
A service account isn't a task's but the whole run's: it is given when the run is created.
"""

from __future__ import annotations

import json

from kfp import dsl, kubernetes

from helmholtz.cluster import Cluster, Resources
from helmholtz.task import VOLUMES

POD_NAME = "helmholtz-pipeline"  # the label app.kubernetes.io/name of every pod; app.kubernetes.io/component is its stage
_SPARE_STARTS = 3  # of a train task: for pods that die before they can count their attempt
_DAY = 86_400  # seconds: that all back-offs of a task may take together, and that one start may wait for its node


def request_stage(task: dsl.PipelineTask, cluster: Cluster) -> None:
    """Gives a stage other than train what `cluster` says, but for its retries."""
    task.set_cpu_limit(cluster.cpu).set_memory_limit(cluster.memory)
    kubernetes.set_timeout(task, cluster.timeout)
    _every_pod(task, cluster)


def request_train(task: dsl.PipelineTask, resources: Resources, cluster: Cluster) -> None:
    """Gives the train stage its `resources`, and what `cluster` says of every pod.

    It is retried more often than `resources.retries`, since the task counts its attempts itself: the last start only notes
    that the others were killed, and a few more make up for pods that die before they can count.
    """
    task.set_cpu_limit(resources.cpu).set_memory_limit(resources.memory)
    if resources.gpus:
        task.set_accelerator_type(resources.gpu_type).set_accelerator_limit(resources.gpus)
    if resources.shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=resources.shared_memory)  # noqa: S108  # in the pod
    for label, value in resources.node_selector.items():
        kubernetes.add_node_selector(task, label, value)
    for toleration in resources.tolerations:
        kubernetes.add_toleration(task, toleration.key, toleration.operator, toleration.value, toleration.effect)
    kubernetes.set_timeout(task, resources.timeout)
    retry(task, resources.retries + 1 + _SPARE_STARTS, resources.backoff, resources.timeout)
    _every_pod(task, cluster)


def retry(task: dsl.PipelineTask, retries: int, backoff: int, timeout: int) -> None:
    """Has a failed `task` started again `retries` times, after `backoff` seconds that double each time.

    Where doubling would take more than a day in all, they stay the same. What kfp calls the back-off's longest duration is
    Argo's `backoff.maxDuration`: counted from the first start, it ends retries, and kills a retried pod. So it is made to
    admit every start, with its `timeout` (seconds), a day of waiting for a node, and the back-offs.
    """
    doubled = backoff * (2**retries - 1)
    factor, pauses = (2.0, doubled) if doubled <= _DAY else (1.0, backoff * retries)
    window = (retries + 1) * (timeout + _DAY) + pauses
    task.set_retry(retries, backoff_duration=f"{backoff}s", backoff_factor=factor, backoff_max_duration=f"{window}s")


def _every_pod(task: dsl.PipelineTask, cluster: Cluster) -> None:
    # By these the network policies of manifests/ know our pods from those of other pipelines, and who may use Flink.
    kubernetes.add_pod_label(task, "app.kubernetes.io/name", POD_NAME)
    kubernetes.add_pod_label(task, "app.kubernetes.io/component", task.component_spec.name)
    kubernetes.set_security_context(task, run_as_user=cluster.run_as_user, run_as_non_root=True)
    for volume in cluster.volumes:
        kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=volume.path)
    for secret in cluster.secrets:
        for variable, key in secret.env.items():  # one by one: kfp takes key -> variable, and a key may serve two
            kubernetes.use_secret_as_env(task, secret.name, {key: variable})
    for variable, value in cluster.env.items():
        task.set_env_variable(variable, value)
    task.set_env_variable(VOLUMES, json.dumps([volume.path for volume in cluster.volumes]))
    if cluster.image_pull_secret:
        kubernetes.set_image_pull_secrets(task, [cluster.image_pull_secret])
