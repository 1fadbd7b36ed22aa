"""Commands that pages show exist, with the options and arguments shown."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from tests.docs.pages import PAGES, ROOT, Block, blocks, name_of, prose

from tidegate.cli.main import app

MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


# typer carries a copy of click whose module is private; this is its UsageError, base of every complaint about a command line.
USAGE_ERROR = typer.BadParameter.__mro__[1]
COMMANDS: dict[str, Any] = cast("Any", typer.main.get_command(app)).commands


def parse(words: list[str]) -> None:
    """Parse a `tidegate` command line as the program would, without carrying it out."""
    name, *arguments = words
    COMMANDS[name].make_context(name, arguments)


def check_line(line: str) -> None:
    """Check each command of a shell line; a program that no page should need fails."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word not in {"&&", "|", ";"}:
            words.append(word)
            continue
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        if words:
            check_command(words)
        words = []


def check_command(words: list[str]) -> None:
    match Path(words[0]).name, words[1:]:
        case "tidegate", arguments if arguments and not arguments[0].startswith("-"):
            parse(arguments)
        case "make", targets:
            assert set(targets) <= MAKE_TARGETS
        case "python", ["-m", module, *_]:
            assert importlib.util.find_spec(module) is not None
        case "dask", [("scheduler" | "worker") as name, *arguments]:
            program = importlib.import_module(f"distributed.cli.dask_{name}").main
            known = {option for parameter in program.params for option in parameter.opts}
            assert {word for word in arguments if word.startswith("--")} <= known
        case _:
            raise AssertionError(f"no check for {shlex.join(words)}")


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_shell_blocks_parse(block: Block) -> None:
    lines = [line for line in block.text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        check_line(line)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_named_in_the_text_exist(page: Path) -> None:
    for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page)):
        words = code.split()
        match Path(words[0]).name if words else "", words[1:]:
            case "tidegate", [name, *rest] if not name.startswith("-"):
                command = COMMANDS[name]
                while rest and rest[0] in getattr(command, "commands", {}):
                    command = command.commands[rest.pop(0)]
                known = {option for parameter in command.params for option in parameter.opts}
                unknown = [word for word in rest if word.startswith("-") and word not in known | {">"}]
                assert unknown == [], code
            case "make", targets:
                assert set(targets) <= MAKE_TARGETS, code
            case "python", ["-m", module, *_]:
                assert importlib.util.find_spec(module) is not None, code
            case _:
                pass


def test_every_command_stands_in_some_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in COMMANDS if f"tidegate {name}" not in text] == []


@pytest.mark.parametrize(
    "line",
    [
        "tidegate retrane eurusd-sample",
        "tidegate retrain",
        "tidegate retrain eurusd-sample --dry",
        "tidegate compare eurusd-sample 1 two",
        "tidegate status && tidegate bar eurusd-sample 1",
        "make nothing",
        "python -m tidegate.nothing",
        "curl example",
    ],
)
def test_a_wrong_line_is_noticed(line: str) -> None:
    with pytest.raises((KeyError, USAGE_ERROR, AssertionError, ModuleNotFoundError)):
        check_line(line)
