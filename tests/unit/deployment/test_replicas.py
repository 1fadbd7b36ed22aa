"""The operator's own commands: what they are told, what they said, and that a failing one stops the deployment."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tidegate.deployment.journal import Plan
from tidegate.deployment.replicas import Commands, require_ready
from tidegate.errors import ServiceError
from tidegate.rollback.verification import Target
from tidegate.settings.deploy import COMMANDS, Deploy
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


@pytest.mark.parametrize("missing", COMMANDS)
def test_none_of_them_may_be_missing(missing: str) -> None:
    given = dict.fromkeys(COMMANDS, "true") | {missing: None}
    with pytest.raises(ValidationError, match=missing):
        Deploy.model_validate({"replicas": "commands", **given})


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
