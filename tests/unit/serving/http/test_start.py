"""Starts that are refused, before anything listens."""

import socket
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.integration.serving.http.stand_in import make
from tests.unit.cli.run import CommandLine
from tests.unit.serving.http.calling import key_file

from tidegate.errors import ConfigurationError
from tidegate.serving import __main__ as program
from tidegate.serving.http.server import Address, _named, refuse_unsafe, run
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


# what is configured: the name and the address under which others find the process
NAMES: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({}, "{host}-4711", "https://127.0.0.1:4711"),
    "every address": ({"host": "0.0.0.0"}, "{host}-4711", "https://{host}:4711"),  # noqa: S104  only named
    "both": ({"instance": "one", "address": "https://proxy:1"}, "one", "https://proxy:1"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_process_is_named_by_the_port_that_it_took(case: str) -> None:
    chosen, instance, address = NAMES[case]
    settings = Settings(serving=Serving.model_validate({"strategies": ("x",), "port": 0, **chosen}))
    named = _named(settings, Address("https", settings.serving.host, 4711)).serving
    host = socket.gethostname()
    assert (named.instance, named.address) == (instance.format(host=host), address.format(host=host))
    assert named.port == 4711
