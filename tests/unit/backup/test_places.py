"""What an installation consists of, where it lies after a restore, and arrangements that would defeat a backup."""

from pathlib import Path
from typing import Any

import pytest

from tidegate.backup.places import installation
from tidegate.errors import ConfigurationError
from tidegate.settings.backup import Backup
from tidegate.settings.checklist import Checklist
from tidegate.settings.serving import Serving, Signing
from tidegate.settings.settings import Ledger, Mlflow, Paths, Prefect, Settings


def settings(root: Path, *, backup: dict[str, Any] | None = None, **sections: Any) -> Settings:  # noqa: ANN401
    for name in ("mlruns/artifacts", "data/bars", "runs/predictions", "configs/strategies"):
        (root / name).mkdir(parents=True, exist_ok=True)
    paths = Paths(
        data=root / "data",
        runs=root / "runs",
        mlruns=root / "mlruns",
        strategies=root / "configs" / "strategies",
        cache=root / ".cache",
    )
    fields: dict[str, Any] = {"paths": paths, "serving": Serving(log_folder=root / "runs" / "predictions"), **sections}
    return Settings(backup=Backup.model_validate(backup or {}), **fields)


def test_an_installation_with_the_defaults(tmp_path: Path) -> None:
    found = installation(settings(tmp_path), tmp_path)
    assert [(one.name, one.sqlite_file) for one in found.databases] == [
        ("ledger", tmp_path / "data/ledger/ledger.db"),
        ("mlflow", tmp_path / "mlruns/mlflow.db"),
        ("prefect", tmp_path / "data/prefect/prefect.db"),
    ]
    assert {one.name: str(one.home) for one in found.parts} == {
        "artifacts": "mlruns/artifacts",
        "bars": "data/bars",
        "runs": "runs",
        "predictions": "runs/predictions",
        "configuration": "configs",
        "strategies": "configs/strategies",
    }
    assert found.artifacts == tmp_path / "mlruns/artifacts"


def test_a_folder_elsewhere_comes_to_its_default_place_and_one_within_another_stays_there(tmp_path: Path) -> None:
    root, log = tmp_path / "project", tmp_path / "log"
    log.mkdir()
    found = installation(settings(root, serving=Serving(log_folder=log)), root)
    assert {one.name: str(one.home) for one in found.parts}["predictions"] == "runs/predictions"
    (root / "runs" / "serving" / "log").mkdir(parents=True)
    nested = Serving(log_folder=root / "runs" / "serving" / "log")
    found = installation(settings(root, serving=nested), root)
    assert {one.name: str(one.home) for one in found.parts}["predictions"] == "runs/serving/log"


def test_postgresql_has_no_file(tmp_path: Path) -> None:
    own = settings(
        tmp_path,
        ledger=Ledger.model_validate({"url": "postgresql+psycopg://u:hidden@host/ledger"}),
        prefect=Prefect.model_validate({"database_url": "postgresql+asyncpg://u:hidden@host/prefect"}),
    )
    found = installation(own, tmp_path)
    assert [one.sqlite_file for one in found.databases] == [None, tmp_path / "mlruns/mlflow.db", None]
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("sections", "setting"),
    [
        ({"mlflow": Mlflow(tracking_uri="http://elsewhere:5000")}, r"backup\.mlflow_database_url"),
        (
            {
                "mlflow": Mlflow(tracking_uri="http://elsewhere:5000"),
                "backup": {"mlflow_database_url": "sqlite:////x.db"},
            },
            r"backup\.mlflow_artifacts",
        ),
        ({"backup": {"mlflow_database_url": "mysql://x/y", "mlflow_artifacts": Path("/")}}, "cannot be backed up"),
        ({"backup": {"mlflow_database_url": "sqlite:////x.db", "mlflow_artifacts": Path("/none")}}, "is not there"),
    ],
)
def test_what_is_not_known_is_asked_for(tmp_path: Path, sections: dict[str, Any], setting: str) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        installation(settings(tmp_path, **sections), tmp_path)


def test_the_server_of_up_is_known(tmp_path: Path) -> None:
    own = settings(tmp_path, mlflow=Mlflow(tracking_uri="http://127.0.0.1:5000"))
    assert installation(own, tmp_path).database("mlflow").sqlite_file == tmp_path / "mlruns/mlflow.db"


def test_a_repository_within_what_it_holds_is_refused(tmp_path: Path) -> None:
    own = settings(tmp_path, backup={"repository": str(tmp_path / "runs" / "backup"), "password_file": Path("/p")})
    with pytest.raises(ConfigurationError, match="lies within"):
        installation(own, tmp_path)


@pytest.mark.parametrize("name", ["staging", "staging/repository", "drill-1", "mending-x/repository"])
def test_a_repository_that_would_be_removed_with_the_copies_is_refused(tmp_path: Path, name: str) -> None:
    address = str(tmp_path / "data" / "backup" / name)
    for setting in ("repository", "keys_repository"):
        fields = {
            "repository": "/r",
            "password_file": Path("/p"),
            "keys_repository": "/k",
            "keys_password_file": Path("/q"),
        }
        with pytest.raises(ConfigurationError, match=rf"where tidegate removes its copies.*backup\.{setting}"):
            installation(settings(tmp_path, backup=fields | {setting: address}), tmp_path)
    beside = {"repository": str(tmp_path / "data" / "backup" / "repository"), "password_file": Path("/p")}
    assert installation(settings(tmp_path, backup=beside), tmp_path).root == tmp_path


@pytest.mark.parametrize("name", ["environment_file", "keys_environment_file"])
def test_credentials_lie_apart_too(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="keys apart from all else"):
        installation(settings(tmp_path, backup={name: tmp_path / "configs" / "bucket"}), tmp_path)


def test_keys_lie_apart(tmp_path: Path) -> None:
    public, private = tmp_path / "configs" / "public.pem", tmp_path / "keys" / "private.pem"
    found = installation(
        settings(tmp_path, signing=Signing(private_key_file=private, public_key_files=(public,))), tmp_path
    )
    assert found.keys == (private, public)
    assert found.secrets == (private,)
    probes = tmp_path / "keys" / "probes"
    assert installation(settings(tmp_path, checklist=Checklist(api_key_file=probes)), tmp_path).secrets == (probes,)
    inside = Signing(private_key_file=tmp_path / "configs" / "private.pem")
    with pytest.raises(ConfigurationError, match="keys apart from all else"):
        installation(settings(tmp_path, signing=inside), tmp_path)
    with pytest.raises(ConfigurationError, match="keys apart from all else"):
        installation(
            settings(tmp_path, backup={"repository": "/r", "password_file": tmp_path / "runs" / "password"}), tmp_path
        )
