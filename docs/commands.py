"""The reference of the command line, from its parser."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import typer
from rich.text import Text

from tidegate.cli.main import app

INTRODUCTION: Final = """\
# The command line

Every command, with its arguments and options, as `tidegate --help` tells them. This page is generated from the parser: `python -m docs.generate --write`.

Every command takes `-h` and `--help`. Those with `--json` print one JSON value and nothing else on standard output. What the exit codes mean stands in
[troubleshooting](troubleshooting.md).
"""


def commands() -> str:
    """The page: a section for each panel of the help, and in it a section for each command, those of groups by all their words."""
    panels: dict[str, list[str]] = {}
    groups: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # of the click that typer carries with it
    for name, command in groups.items():
        panel = command.rich_help_panel if isinstance(command.rich_help_panel, str) else "Groups of commands"
        panels.setdefault(panel, []).extend(_sections(name, command))
    parts = [INTRODUCTION]
    for panel, sections in panels.items():
        parts += [f"## {panel}\n", *sections]
    return "\n".join(parts)


def _sections(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401  a class of that click
    """Markdown of a command, or of each one of a group."""
    inner: Mapping[str, Any] | None = getattr(command, "commands", None)
    if inner is not None:
        for word, one in inner.items():
            yield from _sections(f"{name} {word}", one)
        return
    arguments = [one for one in command.params if one.param_type_name == "argument" and not one.hidden]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden and one.help]
    usage = " ".join(["tidegate", name, *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"### `tidegate {name}`", "", _plain(command.help or ""), "", f"    {usage}", ""]
    if arguments or options:
        lines += ["| | | default |", "|---|---|---|"]
        lines += [f"| `{_argument(one)}` | {_cell(one.help or '')} | {_default(one)} |" for one in arguments]
        lines += [f"| {_option(one)} | {_cell(one.help or '')} | {_default(one)} |" for one in options]
        lines.append("")
    yield "\n".join(lines)


def _argument(argument: Any) -> str:  # noqa: ANN401  a class of that click
    word = argument.name.upper() + ("..." if argument.nargs != 1 else "")
    return word if argument.required else f"[{word}]"


def _option(option: Any) -> str:  # noqa: ANN401  a class of that click
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return f"{names}, may be repeated" if option.multiple else names


def _default(parameter: Any) -> str:  # noqa: ANN401  a class of that click
    if parameter.required:
        return "required"
    value = parameter.default
    return "" if value is None or isinstance(value, bool) or value in ((), "") else f"`{value}`"


def _plain(text: str) -> str:
    """Help without rich's marks; each paragraph on one line."""
    paragraphs = Text.from_markup(text).plain.split("\n\n")
    return "\n\n".join("\n".join(line.strip() for line in one.strip().splitlines()) for one in paragraphs)


def _cell(text: str) -> str:
    return Text.from_markup(" ".join(text.split())).plain.replace("|", "\\|")
