"""What the pipeline's pods ask of Kubernetes: resources, nodes, volumes, secrets, retries and time-outs.

Security: kfp (2.17) can set a task's user and `runAsNonRoot`, no more. Capabilities (all dropped), seccomp
(`RuntimeDefault`) and `allowPrivilegeEscalation: false` are set by KFP's own compiler, in backends that have it (2.16 on);
before that, and for a read-only root file system, which no pipeline can ask for, it takes a policy of the namespace.
Our images run with a read-only root and any user, so such a policy (Pod Security "restricted") doesn't stop them.
A service account isn't a task's but the whole run's: it is given when the run is created.
"""

from __future__ import annotations

from kfp import dsl, kubernetes

from helmholtz.cluster import Cluster, Resources

_LONGEST_BACKOFF = "3600s"


def request_stage(task: dsl.PipelineTask, cluster: Cluster) -> None:
    """Gives a stage other than train what `cluster` says."""
    task.set_cpu_limit(cluster.cpu).set_memory_limit(cluster.memory)
    kubernetes.set_timeout(task, cluster.timeout)
    _every_pod(task, cluster)


def request_train(task: dsl.PipelineTask, resources: Resources, cluster: Cluster) -> None:
    """Gives the train stage its `resources`, and what `cluster` says of every pod.

    It is retried once more than `resources.retries`: the last start only notes that the others were killed.
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
    retry(task, resources.retries + 1, resources.backoff)
    _every_pod(task, cluster)


def retry(task: dsl.PipelineTask, retries: int, backoff: int) -> None:
    """Has a failed `task` tried again, after `backoff` seconds that double each time."""
    task.set_retry(retries, backoff_duration=f"{backoff}s", backoff_factor=2.0, backoff_max_duration=_LONGEST_BACKOFF)


def _every_pod(task: dsl.PipelineTask, cluster: Cluster) -> None:
    kubernetes.set_security_context(task, run_as_user=cluster.run_as_user, run_as_non_root=True)
    for volume in cluster.volumes:
        kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=volume.path)
    for secret in cluster.secrets:
        kubernetes.use_secret_as_env(task, secret.name, {key: variable for variable, key in secret.env.items()})
    for variable, value in cluster.env.items():
        task.set_env_variable(variable, value)
    if cluster.image_pull_secret:
        kubernetes.set_image_pull_secrets(task, [cluster.image_pull_secret])
