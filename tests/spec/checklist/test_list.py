"""The list as data is the list, line by line."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.checklist.catalogue import probes
from tidegate.checklist.items import Rubric, checklist_file, load_rubric
from tidegate.checklist.ml_test_score import load_tests, score_file
from tidegate.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
COPY = Path(__file__).with_name("production-deployment-checklist.txt")
SHARED = ROOT.parent / "shared" / "production-deployment-checklist.md"
RUBRIC = load_rubric(checklist_file(ROOT))


def lines(text: str) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Headings, kind and text of every box, numbered step and field."""
    outer, inner = "", ""
    for line in text.splitlines():
        if found := re.match(r"(##|###) (.+)|\*\*(Rollback Procedure):\*\*", line):
            outer, inner = (found[2], "") if found[1] == "##" else (outer, found[2] or found[3])
        elif found := re.match(r"\s*- \[ \] (.+)|\s*\d+\. (?:\[ \] )?(.+)|\*\*(.+?):\*\*", line):
            kind = "box" if found[1] else "step" if found[2] else "field"
            yield tuple(filter(None, (outer, inner))), kind, found[1] or found[2] or found[3]


def test_every_line_of_the_list_is_there_word_for_word_and_in_order() -> None:
    ours = [(section.path, item.kind, item.text) for section in RUBRIC.sections for item in section.items]
    assert ours == list(lines(COPY.read_text(encoding="utf-8")))
    assert len(ours) == 129


def test_the_copy_is_the_list() -> None:
    if not SHARED.is_file():
        pytest.skip("the list itself is not on this machine")
    assert COPY.read_text(encoding="utf-8") == SHARED.read_text(encoding="utf-8")


def test_indented_lines_are_parts_of_the_line_above_them() -> None:
    text = COPY.read_text(encoding="utf-8")
    indented = re.findall(r"^  - \[ \] (.+)$", text, flags=re.MULTILINE)
    summed = [part for item in RUBRIC.items for part in item.parts]
    assert [RUBRIC.item(part).text for part in summed] == indented


def test_every_line_has_a_probe_that_exists_or_a_person() -> None:
    known = probes().keys()
    named = [item.probe for item in RUBRIC.items if item.probe]
    assert [name for name in named if name not in known] == []
    assert len(set(named)) == len(named) == 119
    assert sum(item.manual is not None for item in RUBRIC.items) == 8


def test_a_line_is_answered_by_the_probe_of_its_own_name() -> None:
    assert [item.id for item in RUBRIC.items if item.probe not in {None, item.id}] == []


def test_which_lines_block_what() -> None:
    promotion = [item.id for item in RUBRIC.items if item.blocks == "promotion"]
    kinds = ("days", "out_of_sample", "targets", "win_rate", "sharpe", "latency", "drawdown", "costs")
    assert promotion == [f"training.{kind}" for kind in kinds]
    families = ("code.", "api.", "trigger.", "approval.development", "approval.operations", "approval.security")
    assert [item.id for item in RUBRIC.items if item.id.startswith(families) and item.blocks != "deployment"] == []
    assert sum(item.blocks == "deployment" for item in RUBRIC.items) == 44


def test_no_probe_is_there_that_nothing_asks() -> None:
    asked = {item.probe for item in RUBRIC.items} | {
        name for one in load_tests(score_file(ROOT)).tests for name in one.probes
    }
    assert probes().keys() - asked == set()


def test_the_ml_test_score_has_seven_tests_in_each_section() -> None:
    tests = load_tests(score_file(ROOT)).tests
    assert [
        sum(one.section == name for one in tests) for name in ("data", "model", "infrastructure", "monitoring")
    ] == [7] * 4
    assert [name for one in tests for name in one.probes if name not in probes()] == []


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"id": "a.b", "text": "x"}, "just one of"),
        ({"id": "a.b", "text": "x", "probe": "p", "manual": 3}, "just one of"),
        ({"id": "a.b", "text": "x", "manual": 0}, "manual"),
        ({"id": "a.b", "text": "x", "parts": ["a.c"]}, "parts name no line: a.c"),
        ({"id": "a.b", "text": "x", "probe": "p", "blocking": True}, "blocking"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, item: dict[str, object], fault: str) -> None:
    import yaml

    path = tmp_path / "checklist.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "sections": [{"path": ["A"], "items": [item]}]}))
    with pytest.raises(ConfigurationError, match=fault):
        load_rubric(path)


def test_an_id_stands_once() -> None:
    section = RUBRIC.sections[0].model_dump()
    with pytest.raises(ValueError, match="stands twice: code"):
        Rubric.model_validate({"version": 1, "sections": [*map(dict, [RUBRIC.sections[1].model_dump()] * 2), section]})


def test_every_probe_is_named_by_a_test_of_its_behaviour() -> None:
    """By its whole name, or by its end where a test puts the names of a family together."""
    folders = [ROOT / "tests" / kind / "checklist" for kind in ("unit", "spec", "integration")]
    files = [path for folder in folders for path in folder.glob("test_*.py") if path != Path(__file__)]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    families = set(re.findall(r'f"((?:[a-z]+\.)(?:[a-z]+_)?)\{', text))

    def is_named(name: str) -> bool:
        ends = (name.removeprefix(family) for family in families if name.startswith(family))
        return f'"{name}"' in text or any(f'"{end}"' in text for end in ends)

    assert [name for name in probes() if not is_named(name)] == []
