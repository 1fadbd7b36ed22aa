"""A newcomer can work from the help alone."""

import re
from typing import Any

import pytest
import typer.main
from tests.unit.cli.run import CommandLine

from tidegate import __version__
from tidegate.cli.main import app

PROGRAM: Any = typer.main.get_command(app)  # a group of the click that typer carries with it
COMMANDS = sorted(PROGRAM.commands)


def leaves(group: Any, words: tuple[str, ...] = ()) -> dict[str, Any]:  # noqa: ANN401  a class of that click
    """Every command by its words, those of groups included."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        path = (*words, name)
        found |= leaves(command, path) if hasattr(command, "commands") else {" ".join(path): command}
    return found


LEAVES = leaves(PROGRAM)


@pytest.fixture
def tidegate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_the_commands_are_these() -> None:
    assert (
        sorted(
            [
                "demo",
                "deploy",
                "retrain",
                "monitor",
                "calibrate",
                "checklist",
                "sign",
                "new",
                "ingest",
                "validate",
                "features",
                "snapshot",
                "revisions",
                "history",
                "compare",
                "promote",
                "propose",
                "rollback",
                "bar",
                "bot",
                "clear",
                "halt",
                "resume",
                "repair",
                "replay",
                "trials",
                "instances",
                "incidents",
                "incident",
                "maintenance",
                "keys",
                "log",
                "notify",
                "serve",
                "up",
                "watch",
                "status",
                "settings",
                "backup",
                "backups",
                "verify",
                "restore",
                "restore-drill",
            ]
        )
        == COMMANDS
    )


def test_the_commands_of_keys_are_these() -> None:
    keys = sorted(name.removeprefix("keys ") for name in LEAVES if name.startswith("keys "))
    assert keys == ["api disable", "api list", "api new", "api remove", "signing new", "signing show"]


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_every_argument_and_option_says_what_it_is_for(name: str) -> None:
    command = LEAVES[name]
    assert command.help
    assert len(command.help.splitlines()[0]) > 20
    for parameter in command.params:
        described = getattr(parameter, "help", None)
        assert described, f"{name} {parameter.name}"
        assert len(described) >= 10, f"{name} {parameter.name}: {described}"


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_help_is_printed(tidegate: CommandLine, name: str) -> None:
    told = tidegate(*name.split(), "--help")
    assert (told.code, told.err) == (0, "")
    plain = re.sub(r"\s+", " ", told.out)
    assert f"tidegate {name}" in plain
    for parameter in LEAVES[name].params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert option in told.out


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in {"serve", "up", "watch"}])
def test_every_command_that_ends_can_answer_in_json(name: str) -> None:
    assert "--json" in [option for parameter in LEAVES[name].params for option in parameter.opts]


def test_help_names_the_first_steps_and_the_exit_codes(tidegate: CommandLine) -> None:
    plain = re.sub(r"[\s│]+", " ", tidegate("--help").out)
    for part in ("tidegate demo", "tidegate new NAME", "tidegate up", "5 promotion refused", "130 interrupted"):
        assert part in plain


def test_version(tidegate: CommandLine) -> None:
    assert tidegate("--version").out == f"tidegate {__version__}\n"


def test_an_unknown_command_or_option_is_a_usage_error(tidegate: CommandLine) -> None:
    assert tidegate("retrian", "x").code == 2
    told = tidegate("features", "--jsn")
    assert told.code == 2
    assert told.out == ""
    assert "--jsn" in told.err


def test_without_a_command_the_help_is_shown(tidegate: CommandLine) -> None:
    told = tidegate()
    assert "First steps" in told.out + told.err
