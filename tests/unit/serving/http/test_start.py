"""Starts that are refused, before anything listens."""

from pathlib import Path
from typing import Any, Literal

import pytest
from tests.integration.serving.http.stand_in import make
from tests.unit.cli.run import CommandLine
from tests.unit.serving.http.calling import key_file

from tidegate.errors import ConfigurationError
from tidegate.serving import __main__ as program
from tidegate.serving.http.server import refuse_unsafe, run
from tidegate.settings.serving import Serving
from tidegate.settings.settings import Settings

Environment = Literal["development", "production"]
# what is wrong: (environment, settings, the setting that the message names)
REFUSED: dict[str, tuple[Environment, dict[str, Any], str]] = {
    "no strategy": ("development", {"strategies": ()}, "serving.strategies"),
    "production without keys": ("production", {}, "serving.api_keys_file"),
    "no key file": ("development", {"api_keys_file": "nowhere.yaml"}, "serving.api_keys_file"),
    "no certificate": (
        "development",
        {"tls_certificate_file": "nowhere.pem", "tls_key_file": "nowhere.pem"},
        "serving.tls_certificate_file",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unsafe_or_impossible_start_is_refused(case: str) -> None:
    environment, chosen, setting = REFUSED[case]
    settings = Settings(
        environment=environment,
        serving=Serving.model_validate({"strategies": ("x",), "port": 0, **chosen}),
    )
    with pytest.raises(ConfigurationError) as refused:
        run(settings, make)
    assert refused.value.setting == setting


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    serving = Serving(
        strategies=("x",), port=0, tls_certificate_file=tmp_path / "cert.pem", tls_key_file=tmp_path / "cert.pem"
    )
    with pytest.raises(ConfigurationError, match="TLS"):
        run(Settings(serving=serving), make)


def test_production_with_keys_may_start(tmp_path: Path) -> None:
    path, _ = key_file(tmp_path, bot=["predict"])
    refuse_unsafe(Settings(environment="production", serving=Serving(strategies=("x",), api_keys_file=path)))


def test_any_origin_is_refused_in_production() -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        Settings(environment="production", serving=Serving(strategies=("x",), cors_origins=("*",)))


def test_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    told = CommandLine(monkeypatch, capsys)("serve", "--port", "0")
    assert told.code == 2
    assert "serving.strategies" in told.err


def test_wrong_settings_are_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    monkeypatch.setenv("TIDEGATE_SERVING__PORT", "many")
    assert program.main(["--check"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "TIDEGATE_SERVING__PORT" in line
