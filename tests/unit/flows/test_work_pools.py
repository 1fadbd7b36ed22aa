"""What Prefect's own workers make of a deployment's job variables: a container and a Kubernetes job, by the workers' own code."""

import asyncio
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_PROFILES_PATH,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)
from prefect_docker.worker import DockerWorkerJobConfiguration
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from flows import work_pools
from flows.work_pools import base_template, job_variables, outlives_worker, working_folder
from tidegate.errors import ConfigurationError
from tidegate.settings.work_pool import TRACKING, WorkPool

ROOT = Path("/home/ann/project")
GIVEN: dict[str, Any] = {
    "image": "registry.example/tidegate-pipeline:1.2",
    "environment": {
        TRACKING: "http://mlflow:5000",
        "PREFECT_API_URL": "http://prefect:4200/api",
        "PREFECT_API_AUTH_STRING": "{secret:prefect-login}",
        "MLFLOW_TRACKING_PASSWORD": "{secret:mlflow-pipeline-password}",
    },
    "memory_mb": 2048,
    "cpus": 1.5,
}
DOCKER = WorkPool.model_validate(
    {
        **GIVEN,
        "type": "docker",
        "networks": "registry,flows",
        "volumes": "pipeline:/srv/tidegate,/srv/configs:/etc/tidegate/configs:ro",
        "secrets": "/srv/secrets",
    }
)
KUBERNETES = WorkPool.model_validate(
    {
        **GIVEN,
        "type": "kubernetes",
        "volumes": "pipeline:/srv/tidegate,settings:/etc/tidegate/configs:ro",
        "secrets": "tidegate-secrets",
        "namespace": "trading",
        "service_account": "tidegate",
    }
)
SECRETS = ("worker-key", "worker-login:1", "postgresql+asyncpg://prefect:hunter2@postgres/prefect")


def made(kind: Any, settings: WorkPool, **changes: Any) -> Any:  # noqa: ANN401  a worker's own configuration
    """As a worker makes it, which is logged in itself and keeps results in a folder of its own machine."""
    values = job_variables(settings, ROOT) | changes
    with temporary_settings(
        {
            PREFECT_API_URL: "http://127.0.0.1:4200/api",
            PREFECT_API_KEY: SECRETS[0],
            PREFECT_API_AUTH_STRING: SECRETS[1],
            PREFECT_SERVER_API_AUTH_STRING: SECRETS[1],
            PREFECT_SERVER_DATABASE_CONNECTION_URL: SECRETS[2],
            PREFECT_HOME: Path("/home/ann/prefect"),
            PREFECT_PROFILES_PATH: Path("/home/ann/profiles"),
            PREFECT_LOCAL_STORAGE_PATH: Path("/home/ann/results"),
        }
    ):
        found = asyncio.run(kind.from_template_and_values(base_template(settings), values, client=object()))
        run = FlowRun(id=uuid4(), name="ingest small", flow_id=uuid4())
        found.prepare_for_flow_run(run, flow=Flow(id=run.flow_id, name="ingest", labels={}))
    return found


def test_a_process_runs_in_the_projects_folder() -> None:
    assert job_variables(WorkPool(), ROOT) == {"working_dir": "/home/ann/project"}
    assert working_folder(WorkPool(), ROOT) == "/home/ann/project"
    assert not outlives_worker(WorkPool())


@pytest.mark.parametrize("settings", [DOCKER, KUBERNETES], ids=lambda one: str(one.type))
def test_others_run_in_the_images_folder_and_know_nothing_of_this_machine(settings: WorkPool) -> None:
    assert working_folder(settings, ROOT) == "/etc/tidegate"
    assert outlives_worker(settings)
    assert "/home/ann" not in str(job_variables(settings, ROOT))


def test_a_container_is_what_the_settings_say() -> None:
    found = made(DockerWorkerJobConfiguration, DOCKER)
    assert (found.image, found.image_pull_policy) == ("registry.example/tidegate-pipeline:1.2", "IfNotPresent")
    # No entry point of its own: that of the image fills secrets in, and becomes this.
    assert found.command == "prefect flow-run execute"
    assert found.networks == ["registry", "flows"]
    assert found.get_network_mode() is None
    assert found.volumes == [
        "pipeline:/srv/tidegate",
        "/srv/configs:/etc/tidegate/configs:ro",
        "/srv/secrets:/run/secrets:ro",
    ]
    assert (found.mem_limit, found.auto_remove, found.privileged) == ("2048m", False, False)
    assert found.container_create_kwargs["nano_cpus"] == 1_500_000_000
    assert found.container_create_kwargs["read_only"] is True
    assert found.container_create_kwargs["cap_drop"] == ["ALL"]


def test_a_container_on_the_machines_own_network_reaches_what_listens_there() -> None:
    settings = DOCKER.model_copy(update={"networks": ("host",), "environment": {TRACKING: "http://127.0.0.1:5000"}})
    found = made(DockerWorkerJobConfiguration, settings)
    assert (found.networks, found.get_network_mode()) == ([], "host")
    assert found.env["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"


def test_what_the_worker_is_logged_in_with_is_handed_on_to_none() -> None:
    docker = made(DockerWorkerJobConfiguration, DOCKER)
    job = made(KubernetesWorkerJobConfiguration, KUBERNETES)
    environments = docker.env, {one["name"]: one["value"] for one in container(job.job_manifest)["env"]}
    for environment in environments:
        assert environment["PREFECT_API_URL"] == "http://prefect:4200/api"
        assert environment["PREFECT_API_AUTH_STRING"] == "{secret:prefect-login}"
        assert environment["TIDEGATE_ROOT"] == "/etc/tidegate"
        assert environment["PREFECT_RESULTS_LOCAL_STORAGE_PATH"] == "/srv/tidegate/cache/prefect/results"
        assert "PREFECT_API_KEY" not in environment
        assert not [value for value in environment.values() if value in SECRETS or "/home/ann" in value]


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def for_kubernetes(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest without two lines of Prefect's own template, which belong one level higher; Kubernetes passes them over, and their values are its defaults."""
    found = deepcopy(manifest)
    pod = found["spec"]["template"]["spec"]
    assert (pod.pop("parallelism"), pod.pop("completions")) == (1, 1)
    return found


@pytest.mark.parametrize("version", ["1.29", "1.33", kubernetes_validate.latest_version()])
def test_a_job_is_one_by_kubernetes_own_schema(version: str) -> None:
    manifest = for_kubernetes(made(KubernetesWorkerJobConfiguration, KUBERNETES).job_manifest)
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [("volumeMounts", [{"name": "tmp", "path": "/tmp"}]), ("memory", "1Gi"), ("imagePullPolicy", ["Always"])],
)
def test_what_is_none_is_noticed(key: str, value: object) -> None:
    manifest = for_kubernetes(made(KubernetesWorkerJobConfiguration, KUBERNETES).job_manifest)
    container(manifest)[key] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_a_job_is_what_the_settings_say() -> None:
    manifest = made(KubernetesWorkerJobConfiguration, KUBERNETES).job_manifest
    pod, only = manifest["spec"]["template"]["spec"], container(manifest)
    assert (manifest["metadata"]["namespace"], pod["serviceAccountName"]) == ("trading", "tidegate")
    assert (manifest["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert (only["image"], only["imagePullPolicy"]) == (KUBERNETES.image, "IfNotPresent")
    # `command` would take the place of the image's entry point, which fills secrets in.
    assert (only["args"], "command" in only) == (["prefect", "flow-run", "execute"], False)
    assert only["resources"]["limits"] == only["resources"]["requests"] == {"cpu": "1.5", "memory": "2048Mi"}
    assert only["securityContext"]["readOnlyRootFilesystem"] is True
    assert (pod["securityContext"]["runAsUser"], pod["automountServiceAccountToken"]) == (10001, False)
    sources = {one["name"]: one for one in pod["volumes"]}
    places = {one["mountPath"]: (sources[one["name"]], one["readOnly"]) for one in only["volumeMounts"]}
    assert places == {
        "/srv/tidegate": ({"name": "claim-0", "persistentVolumeClaim": {"claimName": "pipeline"}}, False),
        "/etc/tidegate/configs": ({"name": "claim-1", "persistentVolumeClaim": {"claimName": "settings"}}, True),
        "/tmp": ({"name": "tmp", "emptyDir": {}}, False),
        "/run/secrets": (
            {"name": "secrets", "secret": {"secretName": "tidegate-secrets", "defaultMode": 0o440}},
            True,
        ),
    }


def test_a_worker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(work_pools, "import_module", missing)
    with pytest.raises(ConfigurationError, match="the kubernetes worker of Prefect is not installed") as caught:
        base_template(KUBERNETES)
    assert "tidegate[kubernetes]" in str(caught.value)
