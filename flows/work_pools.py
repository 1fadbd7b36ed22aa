"""Where runs run: the work pool by `work_pool.type`, and the job variables that make a process, a container or a Kubernetes job of each run.

Containers and jobs are made from the pipeline's image, which holds the flows: nothing is pulled. No secret reaches Prefect: `{secret:NAME}` goes through
it as it is, and the image's start puts the file of that name in its place.
"""

from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from tidegate.errors import ConfigurationError
from tidegate.settings.work_pool import SECRETS_FOLDER, WorkPool, mount_of

TRAINING: Final = "training"
"""The queue of trainings."""
_USER: Final = 10001
"""Of the pipeline's image."""
_NANO: Final = 1_000_000_000
# What the worker would hand on of its own machine or login, by the names under which it does; None takes a variable out.
_OWN: Final[dict[str, str | None]] = {
    "PREFECT_HOME": "/tmp/prefect",  # noqa: S108  in the container, whose /tmp is its own
    "PREFECT_RESULTS_LOCAL_STORAGE_PATH": "/srv/tidegate/cache/prefect/results",
    "PREFECT_PROFILES_PATH": None,
    "PREFECT_API_KEY": None,
    "PREFECT_API_AUTH_STRING": None,
    "PREFECT_SERVER_API_AUTH_STRING": None,
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": None,
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tidegate",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",
}


def outlives_worker(settings: WorkPool) -> bool:
    """Whether a run goes on when its worker is gone: containers and jobs do."""
    return settings.type != "process"


def working_folder(settings: WorkPool, root: Path) -> str:
    """The folder in which a run finds `flows/`; `root` is the project's on this machine."""
    return str(root) if settings.type == "process" else str(settings.folder)


def job_variables(settings: WorkPool, root: Path) -> dict[str, Any]:
    """What Prefect's worker makes a run from.

    Args:
        settings: where runs run.
        root: the project's folder on this machine.
    """
    if settings.type == "process":
        return {"working_dir": str(root)}
    shared = {
        "env": {**_OWN, "TIDEGATE_ROOT": str(settings.folder), **settings.environment},
        "image": settings.image,
        "image_pull_policy": settings.pull,
    }
    return shared | (_of_docker(settings) if settings.type == "docker" else _of_kubernetes(settings))


def _of_docker(settings: WorkPool) -> dict[str, Any]:
    volumes = list(settings.volumes)
    if settings.secrets is not None:
        volumes.append(f"{settings.secrets}:{SECRETS_FOLDER}:ro")
    on_host = settings.networks == ("host",)
    return {
        "volumes": volumes,
        "networks": [] if on_host else list(settings.networks),
        **({"network_mode": "host"} if on_host else {}),
        # The worker reads how a container ended; of one that is gone it would take a crash for a good end.
        "auto_remove": False,
        "mem_limit": f"{settings.memory_mb}m",
        # As docker/compose.yaml has the worker.
        "container_create_kwargs": {
            "nano_cpus": round(settings.cpus * _NANO),
            "read_only": True,
            "tmpfs": {"/tmp": ""},  # noqa: S108  in the container
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "pids_limit": 500,
            "init": True,
        },
    }


def _of_kubernetes(settings: WorkPool) -> dict[str, Any]:
    mounts = [mount_of(text) for text in settings.volumes]
    claims = {source: f"claim-{number}" for number, source in enumerate(dict.fromkeys(one[0] for one in mounts))}
    volumes: list[dict[str, Any]] = [
        {"name": name, "persistentVolumeClaim": {"claimName": source}} for source, name in claims.items()
    ]
    mounted = [{"name": claims[source], "mountPath": path, "readOnly": fixed} for source, path, fixed in mounts]
    volumes.append({"name": "tmp", "emptyDir": {}})
    mounted.append({"name": "tmp", "mountPath": "/tmp", "readOnly": False})  # noqa: S108  in the container
    if settings.secrets is not None:
        volumes.append({"name": "secrets", "secret": {"secretName": settings.secrets, "defaultMode": 0o440}})
        mounted.append({"name": "secrets", "mountPath": SECRETS_FOLDER, "readOnly": True})
    return {
        "namespace": settings.namespace,
        **({} if settings.service_account is None else {"service_account_name": settings.service_account}),
        # Prefect decides about another try, by the flow's own rules.
        "backoff_limit": 0,
        "finished_job_ttl": 86_400,
        # An image of 2 GB may have to be pulled first.
        "pod_watch_timeout_seconds": 900,
        "cpu_request": f"{settings.cpus:g}",
        "cpu_limit": f"{settings.cpus:g}",
        "memory_request": f"{settings.memory_mb}Mi",
        "memory_limit": f"{settings.memory_mb}Mi",
        "volumes": volumes,
        "volume_mounts": mounted,
    }


def base_template(settings: WorkPool) -> dict[str, Any]:
    """The work pool's template: Prefect's own; for Kubernetes with volumes, and without any right that a run does not need.

    Raises:
        ConfigurationError: the package of that worker is not installed.
    """
    match settings.type:
        case "docker":
            return dict(_worker("prefect_docker.worker", "DockerWorker", "docker").get_default_base_job_template())
        case "kubernetes":
            worker = _worker("prefect_kubernetes.worker", "KubernetesWorker", "kubernetes")
            return _with_volumes(deepcopy(worker.get_default_base_job_template()))
        case _:
            return ProcessWorker.get_default_base_job_template()


def _worker(module: str, name: str, extra: str) -> Any:  # noqa: ANN401  a class of a package that may not be there
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ConfigurationError(
            f"the {extra} worker of Prefect is not installed",
            setting="work_pool.type",
            next_step=f"pip install 'tidegate[{extra}]'",
        ) from error


def _with_volumes(template: dict[str, Any]) -> dict[str, Any]:
    properties = template["variables"]["properties"]
    for name, title in (("volumes", "Volumes of the pod"), ("volume_mounts", "Mounts of the container")):
        properties[name] = {"title": title, "type": "array", "items": {"type": "object"}, "default": []}
    pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    pod["volumes"] = "{{ volumes }}"
    pod["automountServiceAccountToken"] = False
    pod["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = pod["containers"][0]
    container["volumeMounts"] = "{{ volume_mounts }}"
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    return template


def ensure_pool(client: SyncPrefectClient, name: str, settings: WorkPool) -> None:
    """Have the work pool, and in it a queue for trainings, one at a time: two at once would only slow each other.

    Raises:
        ConfigurationError: it exists with another type, which Prefect cannot change, or the worker's package is not installed.
    """
    template = base_template(settings)
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type=settings.type, base_job_template=template))
    else:
        if found.type != settings.type:
            raise ConfigurationError(
                f"work pool {name} exists with another type",
                expected=settings.type,
                actual=found.type,
                next_step=f"name another pool with --pool, or delete it: prefect work-pool delete {name}",
            )
        # A rollback must never wait for a training. A template of processes may be people's own; the others are ours.
        changed = found.base_job_template if settings.type == "process" else template
        if found.concurrency_limit is not None or found.base_job_template != changed:
            client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=None, base_job_template=changed))
    try:
        queue = client.read_work_queue_by_name(TRAINING, work_pool_name=name)
    except ObjectNotFound:
        queue = client.create_work_queue(TRAINING, work_pool_name=name, concurrency_limit=1)
    if queue.concurrency_limit != 1:
        client.update_work_queue(queue.id, concurrency_limit=1)
