"""Where runs run: what such settings must name, and that no secret may stand in them, since Prefect keeps them in the clear."""

from typing import Any

import pytest
from pydantic import ValidationError

from tidegate.settings.work_pool import TRACKING, WorkPool

DOCKER: dict[str, Any] = {
    "type": "docker",
    "image": "tidegate-pipeline:1",
    "environment": {TRACKING: "http://mlflow:5000"},
}
KUBERNETES = {**DOCKER, "type": "kubernetes"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({**DOCKER, "image": None}, "needs image"),
        ({**DOCKER, "environment": {}}, "a registry of its own"),
        ({**DOCKER, "volumes": "pipeline"}, "is no volume: 'pipeline'"),
        ({**DOCKER, "volumes": "a:srv"}, "is no volume: 'a:srv'"),
        ({**DOCKER, "volumes": "a:/srv:rx"}, "is no volume: 'a:/srv:rx'"),
        ({**DOCKER, "networks": "host,registry"}, "goes with no other"),
        ({**KUBERNETES, "networks": "registry"}, "Kubernetes has none"),
        ({**DOCKER, "environment": {TRACKING: "x", "lower": "1"}}, "no name of an environment variable"),
        ({**DOCKER, "environment": {TRACKING: "{secret:mlflow}"}}, "does not say where they are"),
        ({**DOCKER, "secrets": "secrets"}, "whole path"),
        ({**DOCKER, "memory_mb": 0}, "memory_mb"),
        ({**DOCKER, "cpus": float("nan")}, "cpus"),
        ({"type": "podman"}, "type"),
    ],
)
def test_what_cannot_run_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        WorkPool.model_validate(given)


@pytest.mark.parametrize(
    ("name", "value", "is_refused"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "hunter2", True),
        ("MLFLOW_TRACKING_PASSWORD", "{secret:mlflow}", False),
        ("MLFLOW_TRACKING_PASSWORD", "{secret:mlflow}2", True),
        ("MLFLOW_TRACKING_USERNAME", "pipeline", False),
        ("PREFECT_API_AUTH_STRING", "admin:hunter2", True),
        ("PREFECT_API_AUTH_STRING", "{secret:prefect-login}", False),
        ("PREFECT_API_KEY", "pnu_1", True),
        ("SOME_TOKEN", "1", True),
        ("TIDEGATE_LEDGER__URL", "postgresql+psycopg://tidegate:hunter2@postgres/tidegate", True),
        ("TIDEGATE_LEDGER__URL", "postgresql+psycopg://tidegate:{secret:ledger}@postgres/tidegate", False),
        ("TIDEGATE_LEDGER__URL", "postgresql+psycopg://tidegate@postgres/tidegate", False),
        ("AWS_SECRET_ACCESS_KEY", "k", True),
        ("SMTP_PASS", "k", True),
        ("KEY_PASSPHRASE", "k", True),
        ("SIGNING_PRIVATE_KEY", "k", True),
        ("HOOK", "https://hooks.test/x?to=me&token=abc", True),
        ("HOOK", "https://hooks.test/x?to=me&token={secret:hook}", False),
        ("BYPASS", "yes", False),
        ("TIDEGATE_SIGNING__PRIVATE_KEY_FILE", "/run/secrets/signing-private.pem", False),
    ],
)
def test_a_secret_stands_there_only_by_its_name(name: str, value: str, is_refused: bool) -> None:
    given = {**DOCKER, "secrets": "/srv/secrets", "environment": {TRACKING: "http://mlflow:5000", name: value}}
    if not is_refused:
        assert WorkPool.model_validate(given).environment[name] == value
        return
    with pytest.raises(ValidationError, match="holds a secret in the clear") as caught:
        WorkPool.model_validate(given)
    assert caught.value.errors()[0]["loc"] == ("environment",)


def test_processes_need_nothing() -> None:
    assert WorkPool().type == "process"
