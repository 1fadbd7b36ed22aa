"""A process of a deployment is found by its mark, started once, and stopped by SIGTERM; others are left alone."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.deployment.journal import Plan
from tidegate.deployment.processes import Processes
from tidegate.errors import ServiceError
from tidegate.settings.deploy import Deploy
from tidegate.settings.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

PLAN = Plan("small", 1, 2, "d" * 64, (), 1, True, "ann", "why", 30.0)
# In the place of the service: a program that only waits.
WAITS = "import time\ntime.sleep(60)\n"


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{WAITS}'\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    settings = Settings(deploy=Deploy(replicas="processes", ready_s=0.5))
    return Processes(settings, tmp_path, "deploy-1", PLAN, tmp_path / "deployments")


def test_it_is_started_once_and_found_again(processes: Processes) -> None:
    try:
        assert processes.start() == processes.start()
        other = replace(processes, name="deploy-2")
        other.start()
        assert other.stop_old().startswith("stopped by SIGTERM")
        assert other.stop_old() == "none was there to stop"
        assert other.stop_new().startswith("stopped by SIGTERM")
    finally:
        processes.stop_new()


def test_processes_of_another_strategy_are_left_alone(processes: Processes) -> None:
    try:
        processes.start()
        other = replace(processes, name="deploy-2", plan=replace(PLAN, strategy="large"))
        assert other.stop_old() == "none was there to stop"
    finally:
        assert processes.stop_new().startswith("stopped by SIGTERM")


def test_nothing_is_switched_to_one_that_has_ended(processes: Processes) -> None:
    with pytest.raises(ServiceError, match="has ended"):
        processes.switch()
    try:
        processes.start()
        assert processes.switch() == "the registry names the new process"
    finally:
        processes.stop_new()


def test_the_old_one_is_not_stopped_while_the_new_one_is_not_there(processes: Processes) -> None:
    other = replace(processes, name="deploy-2")
    try:
        processes.start()
        with pytest.raises(ServiceError, match="not ready"):  # it is started again, and is no service
            other.stop_old()
        assert processes.start() == processes.start()
        assert processes.stop_new().startswith("stopped by SIGTERM")
    finally:
        processes.stop_new()
        other.stop_new()


def test_one_that_is_not_there_is_not_healthy(processes: Processes) -> None:
    with pytest.raises(ServiceError, match="has ended"):
        processes.require_healthy()
