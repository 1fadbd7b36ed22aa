"""How `tidegate deploy` ends: with 0 only where what was asked for has happened."""

import pytest

from tidegate.cli.deploy_commands import _is_as_asked


@pytest.mark.parametrize(
    ("verdict", "abandon", "expected"),
    [
        ("kept", False, True),
        ("gone_back", False, False),
        ("abandoned", False, False),
        ("abandoned", True, True),
        ("kept", True, False),
        ("gone_back", True, False),
    ],
)
def test_what_was_asked_for(verdict: str, abandon: bool, expected: bool) -> None:
    assert _is_as_asked(verdict, abandon=abandon) == expected
