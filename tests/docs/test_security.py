"""SECURITY.md: every threat has its mitigation's evidence, and each evidence is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([STRIDE]\d) \| (.+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
THREATS = {found[1]: found for found in ROW.finditer(TEXT)}
HEADINGS = (
    "Report a weakness",
    "What is protected",
    "Who could attack",
    "Boundaries of trust",
    "Threats",
    "Harden an installation",
)


def missing(code: str) -> bool:
    """Whether an evidence, a path or `path::test`, is not there."""
    path, _, name = code.partition("::")
    if not (ROOT / path).exists():
        return True
    if not name:
        return path.endswith(".py") and path.startswith("tests/")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return name not in {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("threat", THREATS)
def test_each_mitigation_has_evidence_that_is_there(threat: str) -> None:
    evidence = re.findall(r"`([^`]+)`", THREATS[threat][4])
    assert evidence
    assert [code for code in evidence if missing(code)] == []


def test_each_kind_of_threat_is_thought_of_and_each_row_is_read() -> None:
    assert {threat[0] for threat in THREATS} == set("STRIDE")
    table = TEXT.partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| id ")]
    assert len(rows) == len(THREATS), "a row that is not of the form, or an id that stands twice"


def test_the_page_has_its_parts() -> None:
    assert tuple(re.findall(r"^## (.+)$", TEXT, re.MULTILINE)) == HEADINGS


def test_its_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", TEXT)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize(
    "code",
    [
        "tests/nothing.py::test_a",
        "tests/unit/keys/test_api_keys.py::test_nothing_of_that_name",
        "tests/unit/keys/test_api_keys.py",
        "src/tidegate/nothing.py",
    ],
)
def test_an_evidence_that_is_not_there_is_noticed(code: str) -> None:
    assert missing(code)
