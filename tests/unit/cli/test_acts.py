"""The ledger for people: one line an act, with the reason that its intent gave."""

from typing import Any

from tidegate.cli.acts import act_lines
from tidegate.registry.state import LedgerRow

AT = 1_767_225_600_000  # 2026-01-01T00:00Z


def row(number: int, action: Any, state: Any, before: int | None, after: int | None, **changes: Any) -> LedgerRow:  # noqa: ANN401
    fields: dict[str, Any] = {
        "id": number,
        "strategy": "s",
        "action": action,
        "from_version": before,
        "to_version": after,
        "bundle_digest": None,
        "state": state,
        "intent_id": None,
        "fencing_token": number,
        "actor": "me@here",
        "reason": "because",
        "evidence": {},
        "created_at": AT + number * 60_000,
        "previous_hash": "",
        "row_hash": "",
    }
    return LedgerRow(**{**fields, **changes})


ROWS = [
    row(1, "promote", "intent", None, 1, evidence={"overridden": ["win_rate"]}),
    row(2, "promote", "committed", None, 1, intent_id=1),
    row(3, "promote", "intent", 1, 2, reason="gates passed"),
    row(4, "promote", "aborted", 1, 2, intent_id=3, reason="aborted after a crash"),
    row(5, "halt", "committed", 1, 1),
    row(6, "clear", "committed", None, None),
    row(7, "bar", "committed", None, 2),
    row(8, "clear", "committed", None, 2),
    row(9, "external", "committed", 1, 3),
    row(10, "rollback", "intent", 3, 1),
]


def test_one_line_an_act() -> None:
    assert act_lines(ROWS) == [
        (2, "2026-01-01 00:02", "promote", "none > v1", "me@here", "gates OVERRIDDEN: because"),
        (4, "2026-01-01 00:04", "promote ABORTED", "v1 > v2", "me@here", "gates passed (aborted after a crash)"),
        (5, "2026-01-01 00:05", "halt", "v1", "me@here", "because"),
        (6, "2026-01-01 00:06", "resume", "", "me@here", "because"),
        (7, "2026-01-01 00:07", "bar", "v2", "me@here", "because"),
        (8, "2026-01-01 00:08", "clear", "v2", "me@here", "because"),
        (9, "2026-01-01 00:09", "external", "v1 > v3", "me@here", "because"),
        (10, "2026-01-01 00:10", "rollback intended", "v3 > v1", "me@here", "because"),
    ]


def test_every_row_on_demand() -> None:
    lines = act_lines(ROWS, every_row=True)
    assert [line[0] for line in lines] == [each.id for each in ROWS]
    assert lines[0][2] == "promote intended"


def test_a_halt_that_takes_the_last_version_away_shows_where_it_went() -> None:
    assert act_lines([row(1, "halt", "committed", 1, None)])[0][3] == "v1 > none"


def test_no_rows_no_lines() -> None:
    assert act_lines([]) == []
