"""The page, Markdown and JSON of one look."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.pages import Page, assert_stands_alone
from tests.unit.checklist.looked import ALL, line, looked

from tidegate.checklist.markdown import markdown
from tidegate.checklist.page import render, write_page
from tidegate.checklist.words import headline


def test_every_line_is_there_with_verdict_evidence_time_and_link() -> None:
    text = Page(render(ALL)).text
    for one in ALL.lines:
        assert one.item.text in text
        assert one.item.id in text
    for part in (
        "51.00 %",
        "blocks deployment",
        "not measured",
        "not signed",
        "2.5",
        "reasonably tested",
        "2 of 3 lines",
        "http://127.0.0.1:5000",
    ):
        assert part in text, part


def test_the_page_loads_and_runs_nothing() -> None:
    page = render(ALL)
    assert_stands_alone(page, 100_000)
    tags = Page(page).tags
    assert not [tag for tag, attributes in tags if tag == "script" or "style" in attributes]
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in page


def test_what_stands_against_it_comes_first() -> None:
    page = render(ALL)
    standing = page.index("What stands against it")
    assert page.index('href="#model.two"') > standing
    assert page.index('href="#people.five"') < page.index('id="chapter-1"')
    assert "What stands against it" not in render(looked(line("a.b", "pass", blocks="deployment")))


def test_the_same_look_gives_the_same_page(tmp_path: Path) -> None:
    write_page(ALL, tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == render(ALL) == render(ALL)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


def test_a_link_that_could_run_something_is_text() -> None:
    page = render(looked(line("a.b", "pass", link="javascript:alert(1)")))
    assert "javascript:alert(1)" in page
    assert 'href="javascript' not in page


@pytest.mark.parametrize(
    ("state", "blocks", "word", "tone"),
    [
        ("pass", "deployment", "Ready", "good"),
        ("signed", "promotion", "Ready", "good"),
        ("fail", "nothing", "Ready", "good"),
        ("fail", "deployment", "Not ready", "bad"),
        ("not_measured", "promotion", "Not ready", "warn"),
        ("unsigned", "deployment", "Not ready", "warn"),
    ],
)
def test_the_headline_follows_what_blocks(state: str, blocks: str, word: str, tone: str) -> None:
    found = headline(looked(line("a.b", state, blocks=blocks)))  # type: ignore[arg-type]
    assert (found.word, found.tone) == (word, tone)


def test_markdown_keeps_its_table() -> None:
    text = markdown(ALL)
    rows = [row for row in text.splitlines() if row.startswith("| ") and "---" not in row]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert "\\<script>" in text
    assert "**blocks**" in text
    assert text.startswith("# Production checklist of eurusd-sample, v3: Not ready")


def test_json_tells_what_blocks() -> None:
    told = ALL.plain()
    assert (told["passes"], told["blocking"], told["by_machine"]) == (False, ["model.two", "people.five"], 3)
    assert told["decided_by_machine"] == 2, "what was not measured is not decided, and a signature is no machine's"
    assert told["counts"] == {"pass": 1, "fail": 1, "not_measured": 1, "signed": 1, "unsigned": 1}
    assert told["lines"][1]["evidence"].startswith("v3: 51.00 %")
    assert told["ml_test_score"]["score"] == 2.5


def test_a_simulated_market_is_said_on_the_page_and_in_markdown() -> None:
    simulated = replace(ALL, kind="simulated")
    assert "SIMULATED MARKET" in render(simulated)
    assert "SIMULATED MARKET" in markdown(simulated)
    assert simulated.plain()["kind"] == "simulated"
    real = replace(ALL, kind="real")
    assert "SIMULATED MARKET" not in render(real) + markdown(real)


def test_code_in_a_line_s_words_is_shown_as_code_and_runs_nowhere() -> None:
    page = render(looked(line("code.tests", "pass", text="All tests: `pytest <b>tests/</b>`")))
    assert "All tests: <code>pytest &lt;b&gt;tests/&lt;/b&gt;</code>" in page
