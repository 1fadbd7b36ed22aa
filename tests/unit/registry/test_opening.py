from pathlib import Path
from typing import Any

import pytest
from tests.servers import free_port

from tidegate.errors import ConfigurationError
from tidegate.keys.signing import Signer
from tidegate.registry.opening import open_promoter, open_signer
from tidegate.settings.serving import Signing
from tidegate.settings.settings import Mlflow, Paths, Settings


def settings(folder: Path, **changes: Any) -> Settings:  # noqa: ANN401
    mlflow = Mlflow(tracking_uri=f"http://127.0.0.1:{free_port()}", timeout_s=1, retries=0)
    return Settings(paths=Paths(data=folder), mlflow=mlflow, **changes)


def key_file(folder: Path) -> Path:
    path = folder / "key.pem"
    path.write_bytes(Signer.new().private_pem())
    path.chmod(0o600)
    return path


def test_the_key_of_the_settings_signs(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    signer = open_promoter(settings(tmp_path, signing=Signing(private_key_file=path))).publisher.signer
    assert signer is not None
    assert signer.key_id == Signer.from_file(path).key_id


def test_in_development_no_key_is_needed(tmp_path: Path) -> None:
    assert open_signer(settings(tmp_path)) is None
    open_promoter(settings(tmp_path)).publisher.require_signer("test")


def test_in_production_an_act_without_a_key_is_refused_before_anything_is_reached(tmp_path: Path) -> None:
    promoter = open_promoter(settings(tmp_path, environment="production"))
    with pytest.raises(ConfigurationError, match=r"not halted: production needs a key.*signing\.private_key_file"):
        promoter.halt("eurusd", actor="ann", reason="test")
    assert list(tmp_path.rglob("*.db")) == []


@pytest.mark.parametrize("environment", ["development", "production"])
def test_a_key_that_cannot_be_used_is_refused_when_the_promoter_is_opened(tmp_path: Path, environment: str) -> None:
    path = key_file(tmp_path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="too open"):
        open_promoter(settings(tmp_path, environment=environment, signing=Signing(private_key_file=path)))
