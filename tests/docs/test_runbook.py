"""The runbook has an entry for everything that calls somebody, and for nothing else."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import ROOT

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
ALERTS, NOTIFICATIONS = RUNBOOK.split("## What tidegate tells by itself")
RULES = ROOT / "docker" / "prometheus" / "rules"
# Prefect sends these itself, by webhooks that this module sets up.
BY_PREFECT = {"flows.automations"}


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0]: re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts}


def alerts() -> set[str]:
    groups = [
        group for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    ]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


def sends(source: str) -> bool:
    """Whether a module gives something to a notifier."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return any(
        isinstance(call.func, ast.Attribute) and call.func.attr == "send" and "notif" in ast.unparse(call.func.value)
        for call in calls
    )


def senders() -> set[str]:
    paths = [*(ROOT / "src" / "tidegate").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]
    return {module_of(path) for path in paths if sends(path.read_text(encoding="utf-8"))}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("src.")


def test_there_is_an_entry_for_each_alert() -> None:
    assert len(alerts()) > 40
    assert set(sections(ALERTS)) == alerts()


def test_there_is_an_entry_for_each_module_that_notifies() -> None:
    told = set(re.findall(r"`((?:tidegate|flows)\.[\w.]+)`\)$", NOTIFICATIONS, flags=re.MULTILINE))
    assert told == senders() | BY_PREFECT


@pytest.mark.parametrize("name", [*sections(ALERTS), *sections(NOTIFICATIONS)])
def test_each_entry_says_how_urgent_it_is_and_has_its_three_parts(name: str) -> None:
    text = (sections(ALERTS) | sections(NOTIFICATIONS))[name]
    assert re.match(r"\*\*(critical|warning|info)\*\*", text.splitlines()[1])
    parts = re.findall(r"^- \*\*(.+?)\.\*\* .{10,}", text, flags=re.MULTILINE)
    assert parts == ["Meaning", "First look", "Action"]


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("ports.notifier.send('info', 'a', 'b')", True),
        ("self._notifies.send(severity, title, body)", True),
        ("client.send(request)", False),
        ("notifier.retry()", False),
    ],
)
def test_a_module_that_notifies_is_told_from_others(source: str, is_one: bool) -> None:
    assert sends(source) is is_one
