"""The ledger database: how it is opened, how its transactions begin, and how its failures are told.

Every write transaction takes the one writer's lock before it reads: `BEGIN IMMEDIATE` on SQLite, a transaction-level advisory lock
on PostgreSQL. So what a transaction has read is still true when it commits, and there are no half-written acts.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from tidegate.errors import ConfigurationError, LedgerError
from tidegate.registry import schema
from tidegate.settings.settings import Settings

Clock = Callable[[], int]
_ADVISORY_LOCK = 0x7469_6465  # one writer at a time over all ledgers of a database
_STATEMENT_S: Final = 30
"""What a statement may take on a PostgreSQL server beyond the wait for a lock."""


def system_clock() -> int:
    """The time now, UTC ms."""
    return time.time_ns() // 1_000_000


class Database:
    """A ledger database.

    Args:
        url: SQLAlchemy address, `sqlite:///...` or `postgresql+psycopg://...`.
        busy_timeout_s: how long to wait for another writer.
        clock: time now in UTC ms; stamps rows and judges the expiry of locks, so machines that share a database need NTP.
    """

    def __init__(self, url: str, *, busy_timeout_s: int = 30, clock: Clock = system_clock) -> None:
        self.clock = clock
        self.busy_timeout_s = busy_timeout_s
        try:
            self._url = make_url(url)
            self.is_sqlite = self._url.get_backend_name() == "sqlite"
            self._engine = self._open_sqlite() if self.is_sqlite else self._open_postgresql()
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigurationError(
                f"the ledger's address cannot be used: {error}",
                expected="sqlite:///... or postgresql+psycopg://...",
                setting="ledger.url",
            ) from error
        self._writable = self._engine.execution_options(tidegate_write=True)
        self._installed = False

    @classmethod
    def from_settings(cls, settings: Settings) -> "Database":
        """Open the database that the settings name."""
        return cls(settings.ledger_url, busy_timeout_s=settings.ledger.busy_timeout_s)

    @property
    def address(self) -> str:
        """The address without its password, for messages."""
        return self._url.render_as_string(hide_password=True)

    def _open_sqlite(self) -> Engine:
        if self._url.database in {None, "", ":memory:"}:
            raise ConfigurationError("a ledger in memory would be lost", expected="a file", setting="ledger.url")
        Path(str(self._url.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(self._url, poolclass=NullPool, connect_args={"timeout": self.busy_timeout_s})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _open_postgresql(self) -> Engine:
        if self._url.get_backend_name() != "postgresql":
            raise ConfigurationError(
                f"a ledger on {self._url.get_backend_name()} has no append-only triggers",
                expected="sqlite or postgresql",
                setting="ledger.url",
            )
        wait_s = self.busy_timeout_s
        # A lock that is waited for ends first, and says more; the second bound is for a server that hangs.
        options = (
            f"-c lock_timeout={wait_s * 1000} -c statement_timeout={(wait_s + _STATEMENT_S) * 1000}"
            " -c idle_in_transaction_session_timeout=0"
        )
        arguments = {
            "connect_timeout": min(wait_s, 10),
            "options": options,
            "application_name": "tidegate-ledger",
            # A connection whose other end is gone is found dead within about a minute.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        }
        return create_engine(self._url, poolclass=NullPool, connect_args=arguments)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the writer's lock from its start.

        Raises:
            LedgerError: the database cannot be reached, stayed busy for longer than the busy timeout, or refused a row.
        """
        self._install()
        with self._transaction() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads and waits for nobody."""
        self._install()
        with self._told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._told(), self._writable.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
            yield connection

    def _install(self) -> None:
        if self._installed:
            return
        with self._transaction() as connection:
            schema.install(connection)
            found = connection.execute(schema.schema_version.select()).scalars().all()
        if found != [schema.SCHEMA_VERSION]:
            raise LedgerError(
                f"the ledger at {self.address} has another schema",
                expected=f"version {schema.SCHEMA_VERSION}",
                actual=found,
                next_step="use the tidegate version that wrote it",
            )
        self._installed = True

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise LedgerError(
                f"the ledger at {self.address} refused a row: {_first_line(error)}",
                next_step="nothing was written; look at `tidegate history`",
            ) from error
        except OperationalError as error:
            raise self._unreachable(error) from error
        except (DBAPIError, SQLAlchemyError) as error:
            raise LedgerError(
                f"the ledger at {self.address} failed: {_first_line(error)}", next_step="nothing was written"
            ) from error

    def _unreachable(self, error: OperationalError) -> LedgerError:
        line = _first_line(error)
        if "locked" in line or "lock timeout" in line:
            return LedgerError(
                f"the ledger at {self.address} is held by another writer",
                expected=f"the lock within {self.busy_timeout_s} s",
                setting="ledger.busy_timeout_s",
                next_step="nothing was written; try again when the other promotion is done",
            )
        return LedgerError(
            f"the ledger at {self.address} cannot be reached: {line}",
            setting="ledger.url",
            next_step="nothing was written; start the database, or correct the address, and run the command again",
        )


def _first_line(error: SQLAlchemyError) -> str:
    origin = getattr(error, "orig", None) or error
    return str(origin).strip().partition("\n")[0]


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  a DBAPI connection has no common type
    # The driver's own transaction control begins too late (at the first write); SQLAlchemy's begin event does it instead.
    connection.isolation_level = None
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _switch_to_wal(connection)


def _switch_to_wal(connection: Any) -> None:  # noqa: ANN401
    """Let readers go on while somebody writes. The first switch does not wait for locks by itself, so it is tried again."""
    for attempt in range(50):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if attempt == 49:
                raise
            time.sleep(0.1)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("tidegate_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
