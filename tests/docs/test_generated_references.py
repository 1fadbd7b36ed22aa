"""The references that are generated say everything that they should; that they are up to date is held by the contracts' test."""

import importlib.util
import json
import re

from docs.commands import commands
from docs.interface import interface
from docs.packages import ERRORS, PACKAGES, errors, index, page_of
from tests.docs.pages import ROOT
from tests.unit.cli.test_help import LEAVES

OPENAPI = json.loads((ROOT / "docs" / "contracts" / "openapi.json").read_text(encoding="utf-8"))


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0].strip("`"): part for part in parts}


def test_every_command_has_its_section_with_its_arguments_and_options() -> None:
    found = sections(commands())
    assert set(found) == {f"tidegate {name}" for name in LEAVES}
    for name, command in LEAVES.items():
        wanted = [one for one in command.params if not one.hidden and (one.param_type_name == "argument" or one.help)]
        for one in wanted:
            shown = one.opts if one.param_type_name == "option" else [one.name.upper()]
            assert all(word in found[f"tidegate {name}"] for word in shown), name


def test_no_mark_of_the_terminal_is_left_in_the_page() -> None:
    assert re.findall(r"\[/?(?:bold|cyan|dim)\]|\[/\]", commands()) == []


def test_every_route_has_its_section_with_each_status() -> None:
    found = sections(interface())
    for path, methods in OPENAPI["paths"].items():
        for method, operation in methods.items():
            section = found[f"{method.upper()} {path}"]
            assert operation["summary"] in section
            assert re.findall(r"^\| (\d{3}) \|", section, flags=re.MULTILINE) == list(operation["responses"])


def test_every_type_has_its_section_with_each_field() -> None:
    found = sections(interface())
    for name, schema in OPENAPI["components"]["schemas"].items():
        fields = re.findall(r"^\| `(\w+)` \|", found[name], flags=re.MULTILINE)
        assert fields == list(schema["properties"])


def test_the_python_reference_names_modules_that_there_are() -> None:
    text = "\n".join([errors(), *map(page_of, PACKAGES)])
    modules = re.findall(r"^\.\. automodule:: ([\w.]+)$", text, flags=re.MULTILINE)
    assert ERRORS in modules
    assert len(modules) > 60
    assert all(importlib.util.find_spec(module) is not None for module in modules)
    assert [package for package in PACKAGES if f"({package}.md)" not in index()] == []
