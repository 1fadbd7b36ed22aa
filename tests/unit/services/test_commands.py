import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from tidegate.errors import ServiceError
from tidegate.services import deployments, mlflow_server, prefect_server, worker
from tidegate.services.environment import child_environment
from tidegate.settings.settings import Mlflow, Paths, Prefect, Settings

SHELL = {
    "PATH": "/bin",
    "PREFECT_API_URL": "http://elsewhere",
    "PREFECT_PROFILE": "mine",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "MLFLOW_BACKEND_STORE_URI": "postgresql://elsewhere",
    "MLFLOW_TRACKING_USERNAME": "me",
    "TIDEGATE_LEDGER__URL": "postgresql://user:secret@host/ledger",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    paths = Paths(data=tmp_path / "data", runs=tmp_path / "runs", mlruns=tmp_path / "mlruns", cache=tmp_path / ".cache")
    return Settings(paths=paths, mlflow=Mlflow(port=5001), prefect=Prefect(port=4201))


def test_mlflow_runs_one_process_on_loopback_with_its_own_store(settings: Settings, tmp_path: Path) -> None:
    made = mlflow_server.service(settings, tmp_path, SHELL)
    command = " ".join(made.command)
    assert made.command[:4] == (sys.executable, "-m", "mlflow", "server")
    assert "--host 127.0.0.1 --port 5001 --workers 1" in command
    assert f"--backend-store-uri sqlite:///{tmp_path}/mlruns/mlflow.db" in command
    assert f"--serve-artifacts --artifacts-destination {tmp_path}/mlruns/artifacts" in command
    assert made.environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert made.environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert made.address == "http://127.0.0.1:5001"
    assert not {"MLFLOW_BACKEND_STORE_URI", "TIDEGATE_LEDGER__URL", "PREFECT_API_URL"} & set(made.environment)


def test_prefect_keeps_its_database_with_the_data(settings: Settings, tmp_path: Path) -> None:
    made = prefect_server.service(settings, tmp_path, SHELL)
    environment = made.environment
    assert environment["PREFECT_HOME"] == f"{tmp_path}/data/prefect"
    assert (
        environment["PREFECT_API_DATABASE_CONNECTION_URL"] == f"sqlite+aiosqlite:///{tmp_path}/data/prefect/prefect.db"
    )
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"
    assert "*" not in environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]
    assert not {"PREFECT_PROFILE", "PREFECT_API_URL", "TIDEGATE_LEDGER__URL"} & set(environment)
    assert made.command[-4:] == ("--host", "127.0.0.1", "--port", "4201")


def test_configured_database_goes_through_the_environment_only(settings: Settings, tmp_path: Path) -> None:
    url = "postgresql+asyncpg://user:secret@host/prefect"
    given = settings.model_copy(update={"prefect": Prefect(port=4201, database_url=SecretStr(url))})
    made = prefect_server.service(given, tmp_path, SHELL)
    assert made.environment["PREFECT_API_DATABASE_CONNECTION_URL"] == url
    assert not any("secret" in part for part in made.command)
    assert "secret" not in repr(made)


def test_worker_and_flows_use_the_started_servers(settings: Settings, tmp_path: Path) -> None:
    environment = worker.flow_environment(settings, tmp_path, SHELL)
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4201/api"
    assert environment["TIDEGATE_MLFLOW__TRACKING_URI"] == "http://127.0.0.1:5001"
    assert environment["TIDEGATE_ROOT"] == str(tmp_path)
    assert environment["TIDEGATE_LEDGER__URL"] == SHELL["TIDEGATE_LEDGER__URL"]
    assert environment["PREFECT_WORKER_QUERY_SECONDS"] == "1"
    assert environment["MLFLOW_TRACKING_USERNAME"] == "me"
    assert environment["PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"] == "false"
    assert environment["NUMBA_CACHE_DIR"] == f"{tmp_path}/.cache/numba"
    assert not {"PREFECT_PROFILE", "MLFLOW_BACKEND_STORE_URI"} & set(environment)
    command = " ".join(worker.service(settings, tmp_path, tmp_path, SHELL).command)
    assert "--pool tidegate --type process" in command
    assert "--limit 1" in command


@pytest.mark.parametrize(
    ("tracking_uri", "ours"),
    [
        (None, True),
        ("http://127.0.0.1:5001", True),
        ("http://127.0.0.1:5001/", True),
        ("http://127.0.0.1:5000", False),
        ("https://mlflow.example", False),
    ],
)
def test_mlflow_is_started_unless_another_server_is_configured(tracking_uri: str | None, ours: bool) -> None:
    settings = Settings(mlflow=Mlflow(port=5001, tracking_uri=tracking_uri))
    assert mlflow_server.is_ours(settings) is ours
    assert ("TIDEGATE_MLFLOW__TRACKING_URI" in worker.flow_environment(settings, Path("/project"), {})) is ours


def test_deploying_needs_the_projects_flows(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"holds no flows/deploy.py"):
        deployments.service(settings, tmp_path, tmp_path, ["a"], "17 3 1 * *", {})


def test_an_answer_of_an_earlier_start_is_not_taken_for_this_one(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "deploy.py").touch()
    deployments.answer_file(tmp_path).write_text("{}")
    deployments.service(settings, tmp_path, tmp_path, ["a"], "17 3 1 * *", {})
    with pytest.raises(ServiceError, match="left no readable answer"):
        deployments.read_outcome(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"created": 1}', '{"created": []}'])
def test_a_wrong_answer_is_an_error(text: str, tmp_path: Path) -> None:
    deployments.answer_file(tmp_path).write_text(text)
    with pytest.raises(ServiceError, match="left no readable answer"):
        deployments.read_outcome(tmp_path)


@pytest.mark.parametrize(
    ("inherited", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "a, b"}, "a,b,127.0.0.1,localhost"),
        ({"NO_PROXY": "localhost"}, "localhost,127.0.0.1"),
    ],
)
def test_loopback_is_never_asked_through_a_proxy(inherited: dict[str, str], expected: str) -> None:
    made = child_environment(inherited, {})
    assert made["no_proxy"] == made["NO_PROXY"] == expected
