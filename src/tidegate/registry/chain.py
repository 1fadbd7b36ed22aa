"""The hash chain of the promotion ledger: each row's hash covers the row and the hash before it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.errors import LedgerError
from tidegate.registry.schema import GENESIS

HASHED_COLUMNS = (
    "id",
    "strategy",
    "action",
    "from_version",
    "to_version",
    "bundle_digest",
    "state",
    "intent_id",
    "fencing_token",
    "actor",
    "reason",
    "evidence",
    "created_at",
    "previous_hash",
)


def canonical(content: object) -> str:
    """JSON text with sorted keys and no spaces; NaN and infinity are refused.

    >>> canonical({"b": 1, "a": None})
    '{"a":null,"b":1}'
    """
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(f"evidence cannot be written as JSON: {error}", expected="finite numbers and text") from error


def row_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a row's columns, all but `row_hash` itself."""
    return hashlib.sha256(canonical({name: row[name] for name in HASHED_COLUMNS}).encode()).hexdigest()


def verify_chain(rows: Iterable[Mapping[str, Any]], head: str | None = None) -> str:
    """Check rows in ascending order and return the last hash.

    A chain cannot tell by itself that its newest rows were cut off: give `head`, a row hash kept elsewhere (MLflow's version tags
    carry it), to check that too.

    Raises:
        LedgerError: names the first broken row.
    """
    last, expected_id, seen = GENESIS, 1, head is None or head == GENESIS
    for row in rows:
        checks = (
            ("id", expected_id, row["id"]),
            ("previous_hash", last, row["previous_hash"]),
            ("row_hash", row_hash(row), row["row_hash"]),
        )
        for what, expected, actual in checks:
            if expected != actual:
                raise LedgerError(
                    f"the promotion ledger's chain is broken at row {row['id']}: {what}",
                    expected=expected,
                    actual=actual,
                    next_step="restore the ledger from a backup and find out who changed it; nothing is promoted until then",
                )
        last, expected_id = str(row["row_hash"]), expected_id + 1
        seen = seen or last == head
    if not seen:
        raise LedgerError(
            f"the promotion ledger was cut off: a known row is missing after row {expected_id - 1}",
            expected=f"a row with hash {head}",
            next_step="restore the ledger from a backup; nothing is promoted until then",
        )
    return last
