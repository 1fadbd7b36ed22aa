"""A ledger and an MLflow database on PostgreSQL: dumped as of one moment, looked at, restored into empty databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.backup.place import Place, make_place
from tests.servers import postgresql

from tidegate.backup.chains import read_chains
from tidegate.backup.drill import drill
from tidegate.backup.places import DatabaseName
from tidegate.backup.postgresql import Server
from tidegate.backup.restore import restore
from tidegate.backup.verify import verify_backups
from tidegate.errors import BackupError, ConfigurationError
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.state import Draft
from tidegate.settings.settings import Ledger as LedgerSettings

pytestmark = [pytest.mark.slow, pytest.mark.servers]

DIGEST = "a" * 64


def named(address: str, name: str) -> str:
    return address.rpartition("/")[0] + f"/{name}"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as address:
        yield address


def test_dumps_are_restored_into_empty_databases_only(server: str, tmp_path: Path) -> None:
    place = with_databases(make_place(tmp_path), server)
    database = Database(named(server, "ledger"))
    with Ledger(database).writing() as writer:
        row = writer.append(Draft("beta", "promote", None, 7, "test", "test", DIGEST), "intent")
        writer.close(row, "committed", reason="test", evidence={})
    record = place.back_up()
    assert record.production == {"beta": 7}
    assert record.damaged == ("beta/v7",), "no bundle has this digest, and the backup must say so"

    verdict = verify_backups(place.settings, place.root, actor="test")
    assert [one.where for one in verdict.findings] == ["beta/v7"]
    assert any(one.startswith("database ledger") and one.endswith("postgresql") for one in verdict.looked)

    urls: dict[DatabaseName, str] = {"ledger": named(server, "restored"), "mlflow": named(server, "models")}
    done = restore(place.settings, tmp_path / "restored", only=["databases"], databases=urls)
    assert sorted(path.name for path in (tmp_path / "restored" / "databases").iterdir()) == [
        "ledger.dump",
        "mlflow.dump",
    ]
    restored = read_chains(Database(urls["ledger"]), done.manifest.ledger_head)
    assert [row.to_version for row in restored.rows] == [7, 7]
    models = Server.of(urls["mlflow"], place.settings)
    assert models.lines("SELECT name FROM things ORDER BY name") == ["one", "two"]
    with pytest.raises(BackupError, match="is not empty"):
        restore(place.settings, tmp_path / "again", only=["databases"], databases=urls)
    assert not (tmp_path / "again").exists()
    models.empty_again()
    models.require_empty()
    with pytest.raises(BackupError, match="could not be asked"):
        models.lines("SELECT name FROM things")
    with pytest.raises(ConfigurationError, match=r"expected ledger, mlflow \(backup\.drill_ledger_url.*was none"):
        drill(place.settings, place.root, actor="test")
    with pytest.raises(BackupError, match="is not empty"):
        drill(place.settings, place.root, actor="test", databases=urls)


def with_databases(place: Place, server: str) -> Place:
    admin = Server.of(server, place.settings)
    for name in ("ledger", "mlflow", "restored", "models"):
        admin.lines(f"CREATE DATABASE {name}")
    mlflow = Server.of(named(server, "mlflow"), place.settings)
    mlflow.lines("CREATE TABLE things (name text)")
    mlflow.lines("INSERT INTO things VALUES ('one'), ('two')")
    found = place.with_backup(
        mlflow_database_url=SecretStr(named(server, "mlflow")), mlflow_artifacts=place.artifacts, keys_repository=None
    )
    ledger = LedgerSettings(url=SecretStr(named(server, "ledger")))
    return Place(found.root, found.settings.model_copy(update={"ledger": ledger}), place.signer)
