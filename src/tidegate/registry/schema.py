"""Tables of the ledger database, schema version 1, and the triggers that make them append-only.

One database holds all of them: SQLite by default, PostgreSQL in production. Times are UTC ms, JSON is canonical text (a database's
own JSON type would reorder keys and break the row hashes).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tidegate.errors import LedgerError

SCHEMA_VERSION = 1

# Longest names, in characters. SQLite would take any length, PostgreSQL refuses a longer one; `require_fit` refuses it on both.
STRATEGY, RETRAIN_KEY, TRIAL_ID, ACTOR, HOLDER, RUN_ID, SUBJECT = 200, 220, 400, 300, 400, 200, 200

metadata = MetaData()

schema_version = Table("ledger_schema", metadata, Column("version", Integer, primary_key=True))

promotion_ledger = Table(
    "promotion_ledger",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("strategy", String(STRATEGY), nullable=False),
    Column("action", String(16), nullable=False),
    Column("from_version", Integer),
    Column("to_version", Integer),
    Column("bundle_digest", String(64)),
    Column("state", String(16), nullable=False),
    Column("intent_id", BigInteger),
    Column("fencing_token", BigInteger, nullable=False),
    Column("actor", String(ACTOR), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("row_hash", String(64), nullable=False),
    # Two writers that start from the same last row cannot both commit: the chain never forks.
    UniqueConstraint("previous_hash", name="promotion_ledger_no_fork"),
    UniqueConstraint("row_hash", name="promotion_ledger_row_hash"),
    UniqueConstraint("intent_id", name="promotion_ledger_closed_once"),
    CheckConstraint("action IN ('promote', 'rollback', 'halt', 'clear', 'bar', 'external')", name="known_action"),
    CheckConstraint("state IN ('intent', 'committed', 'aborted')", name="known_state"),
    CheckConstraint("state <> 'intent' OR intent_id IS NULL", name="intent_closes_nothing"),
    Index("promotion_ledger_by_strategy", "strategy", "id"),
)

trial_ledger = Table(
    "trial_ledger",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("trial_id", String(TRIAL_ID), nullable=False, unique=True),
    Column("strategy", String(STRATEGY), nullable=False),
    Column("retrain_key", String(RETRAIN_KEY), nullable=False),
    Column("fold", Integer, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("windows", Text, nullable=False),
    Column("score", Float),
    Column("rounds", Integer, nullable=False),
    Column("returns_path", Text, nullable=False),
    Column("returns_sha256", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("trial_ledger_by_key", "retrain_key", "fold"),
)

holdout_reads = Table(
    "holdout_reads",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("strategy", String(STRATEGY), nullable=False),
    Column("retrain_key", String(RETRAIN_KEY), nullable=False),
    Column("reader", String(ACTOR), nullable=False),
    Column("snapshot", String(64), nullable=False),
    Column("window_start_at", BigInteger, nullable=False),
    Column("window_end_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("window_end_at > window_start_at", name="window_not_empty"),
    Index("holdout_reads_by_window", "strategy", "snapshot", "window_start_at", "window_end_at"),
)

looks = Table(
    "looks",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("strategy", String(STRATEGY), nullable=False),
    Column("look_key", String(64), nullable=False),
    Column("looked_at", BigInteger, nullable=False),
    Column("level", Float, nullable=False),
    Column("yearly_error", Float, nullable=False),
    Column("looks_per_year", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("strategy", "look_key", name="looks_once"),
    CheckConstraint("level >= 0 AND level <= yearly_error", name="level_in_budget"),
    CheckConstraint("yearly_error > 0 AND yearly_error < 1 AND looks_per_year >= 1", name="sane_budget"),
)

look_outcomes = Table(
    "look_outcomes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("look_id", BigInteger, nullable=False, unique=True),
    Column("p_value", Float),
    Column("promote", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

retrain_runs = Table(
    "retrain_runs",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("retrain_key", String(RETRAIN_KEY), nullable=False),
    Column("strategy", String(STRATEGY), nullable=False),
    Column("state", String(16), nullable=False),
    Column("run_id", String(RUN_ID)),
    Column("version", Integer),
    Column("as_of", BigInteger, nullable=False),
    Column("lock_token", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("state IN ('started', 'finished', 'failed')", name="known_retrain_state"),
    Index("retrain_runs_by_key", "retrain_key", "id"),
)

retrain_locks = Table(
    "retrain_locks",
    metadata,
    Column("retrain_key", String(RETRAIN_KEY), primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("holder", String(HOLDER), nullable=False),
    Column("expires_at", BigInteger, nullable=False),  # 0: released
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("strategy", String(STRATEGY), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("subject", String(SUBJECT), nullable=False),
    Column("actor", String(ACTOR), nullable=False),
    Column("content", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("row_hash", String(64), nullable=False),
    UniqueConstraint("previous_hash", name="events_no_fork"),
    UniqueConstraint("row_hash", name="events_row_hash"),
    Index("events_by_strategy", "strategy", "kind", "id"),
    Index("events_by_subject", "kind", "subject", "id"),
)

APPEND_ONLY = (promotion_ledger, trial_ledger, holdout_reads, retrain_runs, events, looks, look_outcomes)

_ONCE = {trial_ledger: ("trial_id",), looks: ("strategy", "look_key"), look_outcomes: ("look_id",)}

# What an INSERT into the promotion ledger must satisfy, as SQL that is false where it does not; both databases read it. Without
# it SQLite's INSERT OR REPLACE would be a way around the UPDATE and DELETE triggers.
_INSERT_RULES = {
    "id must follow the last row": "NEW.id = COALESCE((SELECT MAX(id) FROM promotion_ledger), 0) + 1",
    "previous_hash must be the last row''s hash": (
        "NEW.previous_hash = COALESCE((SELECT row_hash FROM promotion_ledger ORDER BY id DESC LIMIT 1), '{genesis}')"
    ),
    "an intent of this strategy is still open": (
        "NEW.state <> 'intent' OR NOT EXISTS (SELECT 1 FROM promotion_ledger AS o WHERE o.strategy = NEW.strategy "
        "AND o.state = 'intent' AND NOT EXISTS (SELECT 1 FROM promotion_ledger AS c WHERE c.intent_id = o.id))"
    ),
    "intent_id must name an open intent of the same strategy and action": (
        "NEW.intent_id IS NULL OR EXISTS (SELECT 1 FROM promotion_ledger AS o WHERE o.id = NEW.intent_id "
        "AND o.state = 'intent' AND o.strategy = NEW.strategy AND o.action = NEW.action AND o.fencing_token = NEW.fencing_token "
        "AND NOT EXISTS (SELECT 1 FROM promotion_ledger AS c WHERE c.intent_id = o.id))"
    ),
    "fencing_token must rise": (
        "NEW.intent_id IS NOT NULL OR NEW.fencing_token > COALESCE((SELECT MAX(fencing_token) FROM promotion_ledger "
        "WHERE strategy = NEW.strategy), 0)"
    ),
}
GENESIS = "0" * 64


class RowRefused(LedgerError):
    """A row that this ledger can never take, whoever tries again: its names are too long."""


def require_fit(table: Table, row: Mapping[str, Any]) -> None:
    """Refuse a row whose texts are longer than the table's columns, before a database does, and alike on all of them.

    Raises:
        RowRefused: names the column, its length and the text.
    """
    for name, length in _lengths(table):
        found = row.get(name)
        if isinstance(found, str) and len(found) > length:
            raise RowRefused(
                f"{table.name}.{name} is too long: {found[:60]}...",
                expected=f"at most {length} characters",
                actual=len(found),
                next_step="nothing was written; give it a shorter name",
            )


def _lengths(table: Table) -> Iterator[tuple[str, int]]:
    """Columns of limited length; Text has none."""
    for column in table.columns:
        length = getattr(column.type, "length", None)
        if length is not None:
            yield column.name, length


def _widen(connection: Connection) -> None:
    """Lengthen columns of tables that an earlier tidegate made shorter; their rows are not touched."""
    found = connection.execute(
        text(
            "SELECT table_name, column_name, character_maximum_length FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND character_maximum_length IS NOT NULL"
        )
    ).all()
    there = {(table, column): length for table, column, length in found}
    for table in metadata.sorted_tables:
        for name, length in _lengths(table):
            if there.get((table.name, name), length) < length:
                connection.execute(text(f"ALTER TABLE {table.name} ALTER COLUMN {name} TYPE VARCHAR({length})"))


def install(connection: Connection) -> None:
    """Create what is missing of tables and triggers, inside the caller's transaction.

    Repeating it changes nothing.
    """
    metadata.create_all(connection)
    if connection.dialect.name == "postgresql":
        _widen(connection)
    statements = _sqlite_triggers() if connection.dialect.name == "sqlite" else _postgresql_triggers()
    for statement in statements:
        connection.execute(text(statement.replace(":", "\\:")))
    if connection.execute(schema_version.select()).first() is None:
        connection.execute(schema_version.insert().values(version=SCHEMA_VERSION))


def _sqlite_triggers() -> list[str]:
    statements = []
    for table in APPEND_ONLY:
        statements += [
            f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{act.lower()} BEFORE {act} ON {table.name} "
            f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only: {act} refused'); END"
            for act in ("UPDATE", "DELETE")
        ]
    checks = " ".join(
        f"SELECT RAISE(ABORT, 'promotion_ledger: {message}') WHERE NOT ({rule.format(genesis=GENESIS)});"
        for message, rule in _INSERT_RULES.items()
    )
    statements.append(
        f"CREATE TRIGGER IF NOT EXISTS promotion_ledger_insert BEFORE INSERT ON promotion_ledger BEGIN {checks} END"
    )
    # The other append-only tables: a row that is already there may not be replaced either.
    for table in APPEND_ONLY[1:]:
        there = f"EXISTS (SELECT 1 FROM {table.name} WHERE id = NEW.id)"  # noqa: S608  names of our own tables
        statements.append(
            f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_replace BEFORE INSERT ON {table.name} WHEN {there} "
            f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only: REPLACE refused'); END"
        )
    # Nor may one be replaced that is the same by its name.
    for table, columns in _ONCE.items():
        same = " AND ".join(f"{column} = NEW.{column}" for column in columns)
        there = f"EXISTS (SELECT 1 FROM {table.name} WHERE {same})"  # noqa: S608  names of our own tables
        statements.append(
            f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_second BEFORE INSERT ON {table.name} WHEN {there} "
            f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only: this {', '.join(columns)} is already there'); END"
        )
    return statements


def _postgresql_triggers() -> list[str]:
    refuse = (
        "CREATE OR REPLACE FUNCTION tidegate_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$body$ BEGIN RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP; END $body$"
    )
    statements = [refuse]
    checks = " ".join(
        f"IF NOT ({rule.format(genesis=GENESIS)}) THEN RAISE EXCEPTION 'promotion_ledger: {message}'; END IF;"
        for message, rule in _INSERT_RULES.items()
    )
    statements.append(
        "CREATE OR REPLACE FUNCTION tidegate_promotion_insert() RETURNS trigger LANGUAGE plpgsql AS "
        f"$body$ BEGIN {checks} RETURN NEW; END $body$"
    )
    for table in APPEND_ONLY:
        for name, when in (("append_only", "UPDATE OR DELETE"), ("no_truncate", "TRUNCATE")):
            each = "STATEMENT" if when == "TRUNCATE" else "ROW"
            statements.append(
                f"CREATE OR REPLACE TRIGGER {table.name}_{name} BEFORE {when} ON {table.name} "
                f"FOR EACH {each} EXECUTE FUNCTION tidegate_append_only()"
            )
    statements.append(
        "CREATE OR REPLACE TRIGGER promotion_ledger_insert BEFORE INSERT ON promotion_ledger "
        "FOR EACH ROW EXECUTE FUNCTION tidegate_promotion_insert()"
    )
    return statements
