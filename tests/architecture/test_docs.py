"""The settings reference is what the settings say, and every setting is described."""

from pathlib import Path

from tidegate.settings.reference import reference, rows

ROOT = Path(__file__).parents[2]


def test_the_settings_reference_is_up_to_date() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference()


def test_every_setting_is_described() -> None:
    assert [row.key for row in rows() if not row.description] == []
