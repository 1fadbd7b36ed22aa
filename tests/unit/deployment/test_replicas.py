"""The operator's own commands: what they are told, what they said, and that a failing one stops the deployment."""

import os
import signal
from pathlib import Path

import pytest
from pydantic import ValidationError

from tidegate.deployment.journal import Plan
from tidegate.deployment.opening import replicas_of
from tidegate.deployment.processes import Processes
from tidegate.deployment.proxied import Proxied
from tidegate.deployment.replicas import Commands, require_ready
from tidegate.errors import ServiceError
from tidegate.rollback.verification import Target
from tidegate.settings.deploy import COMMANDS, SWITCHES, Deploy
from tidegate.settings.settings import Settings

PLAN = Plan("small", 1, 2, "d" * 64, (), 1, True, "ann", "why", 30.0)
TOLD = """sh -c 'echo "$DEPLOY_ID $DEPLOY_STRATEGY $DEPLOY_VERSION" >> done'"""


def commands(folder: Path, **changes: object) -> Commands:
    given = dict.fromkeys(COMMANDS, TOLD) | changes
    settings = Settings(deploy=Deploy.model_validate({"replicas": "commands", **given}))
    return Commands(settings, folder, "deploy-1", PLAN)


def test_a_command_is_told_of_what_it_is_about(tmp_path: Path) -> None:
    given = commands(tmp_path)
    for step in (given.start, given.switch, given.back, given.stop_old, given.stop_new):
        assert step().startswith("`sh -c")
    assert (tmp_path / "done").read_text() == "deploy-1 small 2\n" * 5


def test_what_it_says_is_kept(tmp_path: Path) -> None:
    assert commands(tmp_path, start_command="echo container started").start().endswith(": container started")


def test_pulling_may_be_left_out(tmp_path: Path) -> None:
    assert commands(tmp_path).pull() == "there is no deploy.pull_command"
    assert "pulled" in commands(tmp_path, pull_command="echo pulled").pull()


@pytest.mark.parametrize(
    ("command", "told"),
    [("sh -c 'echo broken; exit 3'", "broken"), ("no-such-program", "could not be run"), ("echo 'half", "could not")],
)
def test_one_that_fails_stops_the_deployment(tmp_path: Path, command: str, told: str) -> None:
    with pytest.raises(ServiceError, match=told):
        commands(tmp_path, start_command=command).start()


def test_one_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="could not be run"):
        commands(tmp_path, start_command="sleep 60", command_s=0.2).start()


def test_one_that_leaves_something_running_is_not_waited_for(tmp_path: Path) -> None:
    given = commands(tmp_path, start_command="sh -c 'sleep 60 & echo $! > pid; echo started'", command_s=30)
    try:
        assert given.start().endswith(": started")
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("known", [[], [Target("one", "http://127.0.0.1:1", is_silent=True)]], ids=["none", "silent"])
def test_where_nothing_answers_what_was_started_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: list[Target]
) -> None:
    monkeypatch.setattr("tidegate.deployment.replicas.live_instances", lambda _settings: known)
    with pytest.raises(ServiceError, match="no serving process"):
        commands(tmp_path).require_healthy()


@pytest.mark.parametrize("missing", COMMANDS)
def test_none_of_them_may_be_missing(missing: str) -> None:
    given = dict.fromkeys(COMMANDS, "true") | {missing: None}
    with pytest.raises(ValidationError, match=missing):
        Deploy.model_validate({"replicas": "commands", **given})


PROXIED = {
    "replicas": "commands",
    "proxy_socket": "/run/haproxy/admin.sock",
    "new_instances": "http://green:8080",
    **{name: "true" for name in COMMANDS if name not in SWITCHES},
}


def test_behind_a_proxy_the_switch_needs_no_command() -> None:
    assert Deploy.model_validate(PROXIED).proxy_socket == "/run/haproxy/admin.sock"
    assert Deploy.model_validate({"replicas": "processes", "proxy_socket": "127.0.0.1:9999"}).proxy_backend == "serving"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"replicas": "follow"}, "starts nothing that could be switched to"),
        ({"switch_command": "true"}, "leave one of both out"),
        ({"back_command": "true"}, "leave one of both out"),
        ({"new_instances": ""}, "needs new_instances"),
        ({"start_command": None}, "needs start_command"),
        ({"proxy_socket": "admin.sock"}, "proxy_socket"),
        ({"proxy_backend": "serving; shutdown"}, "proxy_backend"),
    ],
)
def test_what_a_proxy_cannot_be_told_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Deploy.model_validate(PROXIED | changes)


def test_a_proxy_is_told_where_one_is_named(tmp_path: Path) -> None:
    settings = Settings(deploy=Deploy.model_validate(PROXIED))
    made = replicas_of(settings, tmp_path, tmp_path / "deployments", "deploy-1", PLAN)
    assert isinstance(made, Proxied)
    assert (made.backend.at, made.inner.addresses()) == ("/run/haproxy/admin.sock", ["http://green:8080"])
    assert made.file == tmp_path / "deployments" / "deploy-1.proxy"
    without = Settings(deploy=Deploy.model_validate({"replicas": "processes"}))
    assert isinstance(replicas_of(without, tmp_path, tmp_path, "deploy-1", PLAN), Processes)


def test_what_does_not_answer_is_not_ready() -> None:
    settings = Settings(deploy=Deploy(ready_s=0.3))
    with pytest.raises(ServiceError, match="/healthz is not answered"):
        require_ready(settings, [Target("one", "http://127.0.0.1:1")])
    assert (
        require_ready(settings, [Target("one", "http://127.0.0.1:1", is_silent=True)]) == "no serving process answers"
    )
    assert require_ready(settings, []) == "no serving process is known that could be asked"


def test_one_that_has_ended_is_not_waited_for() -> None:
    settings = Settings(deploy=Deploy(ready_s=3600))
    with pytest.raises(ServiceError, match="it has ended"):
        require_ready(settings, [Target("one", "http://127.0.0.1:1")], is_running=lambda: False)
