import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tidegate.errors import ServiceError
from tidegate.services import lock, watch_service
from tidegate.services.lock import Entry
from tidegate.services.status import status
from tidegate.services.watch_service import lock_file, running, service
from tidegate.settings.operations import Watch
from tidegate.settings.settings import Mlflow, Paths, Settings


def settings(folder: Path, port: int = 0) -> Settings:
    return Settings(paths=Paths(runs=folder), mlflow=Mlflow(port=1), watch=Watch(port=port))


def test_it_is_started_by_the_command_line_with_the_servers_address(tmp_path: Path) -> None:
    shell = {"TIDEGATE_LEDGER__URL": "sqlite:///x", "MLFLOW_TRACKING_USERNAME": "me", "PREFECT_API_URL": "elsewhere"}
    made = service(settings(tmp_path, 9), tmp_path, tmp_path, shell)
    assert made.command == (sys.executable, "-m", "tidegate.cli.main", "watch")
    assert made.address == "http://127.0.0.1:9/metrics"
    assert made.environment["TIDEGATE_ROOT"] == str(tmp_path)
    assert made.environment["TIDEGATE_MLFLOW__TRACKING_URI"] == "http://127.0.0.1:1"
    assert made.environment["TIDEGATE_LEDGER__URL"] == "sqlite:///x"
    assert made.environment["MLFLOW_TRACKING_USERNAME"] == "me"
    assert "PREFECT_API_URL" not in made.environment


def test_another_mlflow_server_is_left_to_the_settings(tmp_path: Path) -> None:
    elsewhere = settings(tmp_path).model_copy(update={"mlflow": Mlflow(tracking_uri="https://mlflow.example")})
    assert "TIDEGATE_MLFLOW__TRACKING_URI" not in service(elsewhere, tmp_path, tmp_path, {}).environment


def test_it_is_ready_when_it_answers_where_its_lock_says(tmp_path: Path) -> None:
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    chosen = settings(tmp_path)
    ready = service(chosen, tmp_path, tmp_path, {}).ready
    assert not ready()
    with lock.hold(lock_file(chosen), "tidegate watch") as held, HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        held.write([])
        assert not ready()
        held.write([Entry("watch", os.getpid(), "", f"http://127.0.0.1:{server.server_address[1]}")])
        assert ready()
        found = {one.name: one for one in status(chosen).services}["watch"]
        assert (found.running, found.answering, found.pid, found.log) == (True, True, os.getpid(), None)
        server.shutdown()
    assert running(chosen) is None
    assert not ready()


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    path = lock_file(settings(tmp_path))
    with (
        lock.hold(path, "tidegate watch"),
        pytest.raises(ServiceError, match=f"tidegate watch runs already in this project, as process {os.getpid()}"),
        lock.hold(path, "tidegate watch"),
    ):
        pass
    assert watch_service.running(settings(tmp_path)) is None
