"""The contract pages name each table and column of the database, and nothing else."""

import re
from pathlib import Path

import pytest

from tidegate.registry import schema
from tidegate.registry.chain import HASHED_COLUMNS
from tidegate.registry.events import KINDS

FOLDER = Path(__file__).parents[3] / "docs" / "contracts"
PAGES = ["promotion-ledger.md", "trial-ledger.md", "events.md"]


def described(page: str) -> dict[str, list[str]]:
    sections = re.split(r"^## ", (FOLDER / page).read_text(), flags=re.MULTILINE)[1:]
    tables = {section.split("`")[1]: section for section in sections if section.startswith("Table `")}
    return {name: re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) for name, section in tables.items()}


@pytest.mark.parametrize("page", PAGES)
def test_columns_are_described_in_order(page: str) -> None:
    for name, columns in described(page).items():
        assert columns == [column.name for column in schema.metadata.tables[name].columns], name


def test_every_table_is_described() -> None:
    assert {name for page in PAGES for name in described(page)} == set(schema.metadata.tables)


def test_the_hash_covers_every_other_column() -> None:
    names = [column.name for column in schema.promotion_ledger.columns]
    assert [*HASHED_COLUMNS, "row_hash"] == names


def test_the_page_of_events_describes_every_kind() -> None:
    text = (FOLDER / "events.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\|$", text.partition("## Kinds")[2], flags=re.MULTILINE)) == KINDS
    assert set(re.findall(r"^\*\*`(\w+)`\*\*:", text, flags=re.MULTILINE)) == KINDS


def test_the_pages_name_every_action_and_state() -> None:
    text = (FOLDER / "promotion-ledger.md").read_text()
    for word in ("promote", "rollback", "halt", "clear", "bar", "external", "intent", "committed", "aborted"):
        assert f"`{word}`" in text
