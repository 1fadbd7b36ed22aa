"""A ledger and an MLflow database on PostgreSQL: dumped as of one moment, looked at, restored into empty databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.integration.backup.place import Place, make_place
from tests.servers import postgresql

from tidegate.backup import staging
from tidegate.backup.chains import read_chains
from tidegate.backup.drill import drill
from tidegate.backup.manifest import CopiedDatabase
from tidegate.backup.places import Database as InstalledDatabase
from tidegate.backup.places import DatabaseName
from tidegate.backup.postgresql import Server
from tidegate.backup.restore import restore
from tidegate.backup.verify import verify_backups
from tidegate.errors import BackupError, ConfigurationError
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.state import Draft
from tidegate.settings.settings import Ledger as LedgerSettings
from tidegate.settings.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.servers]

DIGEST = "a" * 64


def named(address: str, name: str) -> str:
    return address.rpartition("/")[0] + f"/{name}"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as address:
        yield address


def promote(database: Database, version: int) -> None:
    ledger = Ledger(database)
    draft = Draft("beta", "promote", ledger.state("beta").current, version, "test", "test", DIGEST)
    with ledger.writing() as writer:
        row = writer.append(draft, "intent")
        writer.close(row, "committed", reason="test", evidence={})


def test_dumps_are_restored_into_empty_databases_only(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = with_databases(make_place(tmp_path), server)
    database = Database(named(server, "ledger"))
    promote(database, 7)
    copied = staging._copied

    def meanwhile(one: InstalledDatabase, settings: Settings, folder: Path) -> CopiedDatabase:
        if one.name == "prefect":  # ledger and MLflow are dumped by now, and the manifest is not written yet
            promote(database, 8)
        return copied(one, settings, folder)

    with monkeypatch.context() as patched:
        patched.setattr(staging, "_copied", meanwhile)
        record = place.back_up()
    assert [row.to_version for row in Ledger(database).rows()] == [7, 7, 8, 8]
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
    assert "mlflow" not in found(place)
    Server.of(named(server, "mlflow"), place.settings).empty_again()
    assert found(place)["mlflow"] == "it holds no table"
    Server.of(server, place.settings).lines("DROP DATABASE mlflow")
    assert 'database "mlflow" does not exist' in found(place)["mlflow"]

    models.empty_again()
    models.require_empty()
    with pytest.raises(BackupError, match="could not be asked"):
        models.lines("SELECT name FROM things")
    with pytest.raises(ConfigurationError, match=r"expected ledger, mlflow \(backup\.drill_ledger_url.*was none"):
        drill(place.settings, place.root, actor="test")
    with pytest.raises(BackupError, match="is not empty"):
        drill(place.settings, place.root, actor="test", databases=urls)


def found(place: Place) -> dict[str, str]:
    """What a look at the live databases finds."""
    findings = verify_backups(place.settings, place.root, actor="test", with_live=True).findings
    begin = "live database "
    return {one.where.removeprefix(begin): one.what for one in findings if one.where.startswith(begin)}


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
