"""What `tidegate up` says of a server that it does not start."""

import threading
from pathlib import Path

import pytest

from tidegate.services import prefect_server
from tidegate.services.process import Interrupted
from tidegate.services.up import Notice, up
from tidegate.settings.settings import Mlflow, Paths, Settings


def test_the_password_of_an_mlflow_server_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_here(*_: object) -> None:
        raise Interrupted("prefect")

    monkeypatch.setattr(prefect_server, "service", stop_here)
    monkeypatch.setattr("tidegate.services.up.require_free", lambda *_: None)
    settings = Settings(
        paths=Paths(data=tmp_path / "data", runs=tmp_path / "runs", mlruns=tmp_path / "mlruns"),
        mlflow=Mlflow(tracking_uri="https://ann:hunter2@mlflow.example/path"),
    )
    notices: list[Notice] = []
    up(settings, tmp_path, ["mine"], threading.Event(), notify=notices.append)
    assert [notice.detail for notice in notices] == ["not started: using https://ann:***@mlflow.example/path"]
