"""One retrain a strategy and month: which were run, and a lock that a crashed holder loses.

The lock lives in the ledger database, so it holds across processes and machines. Its holder renews it in the background; when the
holder's process has died on this machine it can be taken over at once, on another one when it expires. Each taking has a higher token, and
`RetrainLock.check` tells an old, stalled holder that it has been overtaken.
"""

import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, select

from tidegate.errors import ConfigurationError, PromotionConflict, TidegateError
from tidegate.registry.database import Database
from tidegate.registry.schema import require_fit, retrain_locks, retrain_runs
from tidegate.settings.settings import Settings

log = logging.getLogger(__name__)

RetrainState = Literal["started", "finished", "failed"]


def retrain_key(strategy: str, month: str) -> str:
    """The name of a strategy's retrain in a month.

    >>> retrain_key("eurusd-sample", "2026-11")
    'eurusd-sample/2026-11'
    """
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise ConfigurationError("a retrain's month is not one", expected="YYYY-MM", actual=month)
    return f"{strategy}/{month}"


@dataclass(frozen=True, slots=True)
class RetrainRun:
    """One state of a retrain; a change of state is a new row. Times are UTC ms."""

    retrain_key: str
    strategy: str
    state: RetrainState
    run_id: str | None
    version: int | None
    as_of: int
    lock_token: int
    created_at: int


class RetrainLock:
    """A lock that is held. Made by `RetrainLedger.retrain_lock`."""

    def __init__(self, ledger: "RetrainLedger", strategy: str, key: str, token: int) -> None:
        self.strategy = strategy
        self.key = key
        self.token = token
        self._ledger = ledger

    def check(self) -> None:
        """Refuse to go on when another process has taken the lock meanwhile.

        Raises:
            PromotionConflict: this holder was overtaken.
        """
        with self._ledger.database.read() as connection:
            self._require(connection)

    def record(self, state: RetrainState, *, as_of: int, run_id: str | None = None, version: int | None = None) -> None:
        """Write the retrain's new state, if the lock is still this holder's.

        Raises:
            PromotionConflict: this holder was overtaken; nothing was written.
        """
        with self._ledger.database.write() as connection:
            self._require(connection)
            row = {
                "retrain_key": self.key,
                "strategy": self.strategy,
                "state": state,
                "run_id": run_id,
                "version": version,
                "as_of": as_of,
                "lock_token": self.token,
                "created_at": self._ledger.database.clock(),
            }
            require_fit(retrain_runs, row)
            connection.execute(retrain_runs.insert().values(row))

    def _require(self, connection: Connection) -> None:
        query = select(retrain_locks.c.token).where(retrain_locks.c.retrain_key == self.key)
        token = connection.execute(query).scalar_one()
        if token != self.token:
            raise PromotionConflict(
                f"the retrain {self.key} was taken over by another process",
                expected=f"lock token {self.token}",
                actual=f"lock token {token}",
                next_step="this run stops; the other one goes on",
            )


class RetrainLedger:
    """Retrains and their locks in one database.

    Args:
        database: the ledger database.
        lease_s: seconds after which a lock that nobody renews can be taken over.
    """

    def __init__(self, database: Database, *, lease_s: float = 60.0) -> None:
        self.database = database
        self.lease_s = lease_s

    @classmethod
    def from_settings(cls, settings: Settings) -> "RetrainLedger":
        """Open the ledger that the settings name; nothing is read or written yet."""
        return cls(Database.from_settings(settings))

    def runs(self, strategy: str, month: str | None = None) -> list[RetrainRun]:
        """All states of a strategy's retrains, oldest first; of one month when it is given."""
        query = select(retrain_runs).where(retrain_runs.c.strategy == strategy).order_by(retrain_runs.c.id)
        if month is not None:
            query = query.where(retrain_runs.c.retrain_key == retrain_key(strategy, month))
        with self.database.read() as connection:
            return [
                RetrainRun(**{name: value for name, value in row.items() if name != "id"})
                for row in connection.execute(query).mappings()
            ]

    def finished(self, strategy: str, month: str) -> RetrainRun | None:
        """The month's newest finished retrain, so that a rerun is recognised; None where there is none."""
        runs = [run for run in self.runs(strategy, month) if run.state == "finished"]
        return runs[-1] if runs else None

    @contextmanager
    def retrain_lock(self, strategy: str, month: str) -> Iterator[RetrainLock]:
        """Hold the one retrain of a strategy and month.

        Raises:
            PromotionConflict: another process holds it; the message names it.
            LedgerError: the database cannot be reached, or the strategy's name is too long for it.
        """
        key = retrain_key(strategy, month)
        # Looked at here, before hours of work and outside of anything that is tried again.
        require_fit(retrain_runs, {"strategy": strategy, "retrain_key": key})
        lock = RetrainLock(self, strategy, key, self._take(key))
        done = threading.Event()
        renewal = threading.Thread(target=self._renew, args=(lock, done), name=f"renew {key}", daemon=True)
        renewal.start()
        try:
            yield lock
        finally:
            done.set()
            renewal.join()
            try:
                self._set_expiry(lock, 0)
            except TidegateError as error:
                # Not worth hiding what the body raised: a lock that cannot be released expires by itself.
                log.warning("the lock of %s was not released and expires in %.0f s: %s", key, self.lease_s, error)

    def _take(self, key: str) -> int:
        now = self.database.clock()
        with self.database.write() as connection:
            held = (
                connection.execute(select(retrain_locks).where(retrain_locks.c.retrain_key == key))
                .mappings()
                .one_or_none()
            )
            values: dict[str, Any] = {"holder": _this_holder(), "expires_at": now + self._lease_ms()}
            require_fit(retrain_locks, values)
            if held is None:
                connection.execute(retrain_locks.insert().values(retrain_key=key, token=1, **values))
                return 1
            if held["expires_at"] > now and not _has_died(held["holder"]):
                raise PromotionConflict(
                    f"a retrain of {key} is already running ({held['holder']})",
                    next_step="wait for it to end; the lock of a crashed run is taken over when it expires, "
                    f"here in {(held['expires_at'] - now) / 1000:.0f} s",
                )
            token = int(held["token"]) + 1
            connection.execute(
                retrain_locks.update().where(retrain_locks.c.retrain_key == key).values(token=token, **values)
            )
            return token

    def _renew(self, lock: RetrainLock, done: threading.Event) -> None:
        while not done.wait(self.lease_s / 4):
            try:
                if not self._set_expiry(lock, self.database.clock() + self._lease_ms()):
                    return
            except TidegateError:
                # The holder hears of it at its next check or record; here the next try may succeed.
                continue

    def _set_expiry(self, lock: RetrainLock, expires_at: int) -> bool:
        table = retrain_locks.c
        with self.database.write() as connection:
            changed = connection.execute(
                retrain_locks.update()
                .where(table.retrain_key == lock.key, table.token == lock.token)
                .values(expires_at=expires_at)
            )
            return changed.rowcount == 1

    def _lease_ms(self) -> int:
        return int(self.lease_s * 1000)


def _this_holder() -> str:
    return f"{socket.gethostname()} process {os.getpid()}"


def _has_died(holder: str) -> bool:
    """Whether a holder is a process of this machine that no longer exists. A reused process id only means waiting for the expiry."""
    host, _, process = holder.rpartition(" process ")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
