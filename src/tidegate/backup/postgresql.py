"""PostgreSQL by its own programs: pg_dump takes one moment, pg_restore fills an empty database. Passwords go by the environment."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tidegate.errors import BackupError, ConfigurationError
from tidegate.settings.settings import Settings

_PASSED: Final = {
    "sslmode": "PGSSLMODE", "ssl": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY", "host": "PGHOST", "port": "PGPORT",
}  # fmt: skip
_PSQL: Final = ("psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "-qAt")
_TABLES: Final = (
    "SELECT count(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast' AND c.relkind IN ('r', 'p', 'v', 'm', 'S')"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A database by a SQLAlchemy address, for programs of libpq.

    Attributes:
        shown: the address without its password.
        environment: what libpq connects by.
        folder: with the programs; None: by name.
        timeout_s: before one call is given up.
    """

    shown: str
    environment: Mapping[str, str] = field(repr=False)
    folder: Path | None
    timeout_s: float

    @classmethod
    def of(cls, url: str, settings: Settings) -> "Server":
        """The database of an address such as `postgresql+psycopg://user:password@host/name`.

        Raises:
            ConfigurationError: it is no such address.
        """
        parts = urlsplit(re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url))
        name = unquote(parts.path.lstrip("/"))
        if parts.scheme != "postgresql" or not name:
            raise ConfigurationError(
                "a database's address cannot be used",
                expected="postgresql://user@host/name with the name of a database",
            )
        named = {
            "PGHOST": parts.hostname,
            "PGPORT": None if parts.port is None else str(parts.port),
            "PGUSER": None if parts.username is None else unquote(parts.username),
            "PGPASSWORD": None if parts.password is None else unquote(parts.password),
            "PGDATABASE": name,
        }
        named |= {_PASSED[key]: value for key, value in parse_qsl(parts.query) if key in _PASSED}
        shown = f"postgresql://{parts.hostname or named.get('PGHOST') or 'localhost'}/{name}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        environment = kept | {key: value for key, value in named.items() if value is not None}
        return cls(shown, environment, settings.backup.postgresql_programs, float(settings.backup.timeout_s))

    def dump(self, target: Path) -> None:
        """Write the database, as of one moment, to a file.

        Raises:
            BackupError: the server could not be reached, or refused.
        """
        self._run("be dumped", "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")

    def load(self, dump: Path) -> None:
        """Fill this database, which must be empty, from a dump; all of it or nothing.

        Raises:
            BackupError: it is not empty, or the dump is damaged.
        """
        self.require_empty()
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        name = f"--dbname={self.environment['PGDATABASE']}"
        self._run("be restored", "pg_restore", *options, name, str(dump))

    def require_empty(self) -> None:
        """Refuse a database that holds anything.

        Raises:
            BackupError: it does, or the server could not be reached.
        """
        tables = self.tables()
        if tables:
            raise BackupError(
                f"the database {self.shown} is not empty",
                expected="no table, view or sequence",
                actual=tables,
                next_step="make a new one (createdb), and name that",
            )

    def tables(self) -> int:
        """How many tables, views and sequences it holds.

        Raises:
            BackupError: the server could not be reached.
        """
        return int("".join(self.lines(_TABLES)))

    def empty_again(self) -> None:
        """Remove all that a dump has brought. Only for a database that `require_empty` has let pass before.

        Raises:
            BackupError: the server could not be reached, or the account may not.
        """
        self._run("be emptied", *_PSQL, "-c", "DROP SCHEMA public CASCADE", "-c", "CREATE SCHEMA public")

    def lines(self, query: str) -> list[str]:
        """The lines that a query of one column gives.

        Raises:
            BackupError: the server could not be reached, or there is no such table.
        """
        return self._run("be asked", *_PSQL, "-c", query).split()

    def _run(self, what: str, program: str, *arguments: str) -> str:
        return _run(f"the database {self.shown} could not {what}", self.folder, self.timeout_s, self.environment, program, *arguments)  # fmt: skip


def dump_fault(dump: Path, settings: Settings) -> str | None:
    """What is wrong with a dump's table of contents, None where it can be read."""
    try:
        listed = _run(
            f"{dump.name} is no dump", settings.backup.postgresql_programs, settings.backup.timeout_s, os.environ,
            "pg_restore", "--list", str(dump),
        )  # fmt: skip
    except BackupError as error:
        return error.what
    return None if " TABLE " in listed else "it holds no table"


def _run(
    what: str, folder: Path | None, timeout_s: float, environment: Mapping[str, str], program: str, *arguments: str
) -> str:
    path = program if folder is None else str(folder / program)
    try:
        done = subprocess.run(  # noqa: S603  the command is built here
            (path, *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            env={**environment, "LC_ALL": "C"},
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"the program {path} is not on this machine",
            setting="backup.postgresql_programs",
            next_step="install PostgreSQL's client of the server's version or newer",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BackupError(f"{what} within {timeout_s:g} s", setting="backup.timeout_s") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-500:]
        raise BackupError(
            f"{what}: {said}", next_step="see what PostgreSQL says; a program older than the server refuses"
        )
    return done.stdout
