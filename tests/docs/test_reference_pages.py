"""Pages that list things list all of them: errors, terms, decisions."""

import re

from tests.docs.pages import ROOT

from tidegate.errors import TidegateError

DOCS = ROOT / "docs"


def error_classes(of: type[TidegateError] = TidegateError) -> list[type[TidegateError]]:
    below = [found for child in of.__subclasses__() for found in error_classes(child)]
    return [each for each in (of, *below) if each.__module__ == "tidegate.errors"]


def test_every_error_has_its_entry_with_its_exit_code() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    entries = re.findall(r"^## `(\w+)` \(exit code (\d+)\)$", text, flags=re.MULTILINE)
    assert sorted(entries) == sorted((each.code, str(each.exit_code)) for each in error_classes())


def test_every_entry_says_what_to_do() -> None:
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [section.splitlines()[0] for section in sections if len(section.split()) < 15] == []


def test_the_glossary_is_in_order_and_names_each_term_once() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\*\*([^*]+)\*\*:", text, flags=re.MULTILINE)
    assert len(terms) > 30
    assert terms == sorted(set(terms), key=str.lower)


def test_every_decision_is_in_the_index_and_has_its_parts() -> None:
    folder = DOCS / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    decisions = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        title = text.splitlines()[0].removeprefix("# ")
        number, _, words = title.partition(" ")
        assert f"| [{number}]({path.name}) | {words} |" in index
        for part in ("Question", "Decision", "Why", "Cost", "Held by"):
            assert f"**{part}.**" in text, path.name
