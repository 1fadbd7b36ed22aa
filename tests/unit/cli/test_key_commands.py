import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.run import CommandLine

from tidegate.keys.api_keys import ApiKeys
from tidegate.keys.signing import Signer, Verifier


@pytest.fixture
def tidegate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    monkeypatch.setenv("TIDEGATE_SERVING__API_KEYS_FILE", "keys.yaml")
    return CommandLine(monkeypatch, capsys)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_pair_of_signing_keys_is_made_once(tidegate: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "signing"
    told = json.loads(tidegate("keys", "signing", "new", "--folder", str(folder), "--json").out)
    private, public = Path(told["private_key_file"]), Path(told["public_key_file"])
    assert (mode(private), mode(public)) == (0o600, 0o644)
    signer = Signer.from_file(private)
    assert Verifier.from_files([public]).verify("m", signer.sign("m")) == signer.key_id == told["key_id"]
    before = private.read_bytes()
    again = tidegate("keys", "signing", "new", "--folder", str(folder))
    assert (again.code, private.read_bytes()) == (2, before)
    assert "never overwritten" in again.err
    private.unlink()
    assert tidegate("keys", "signing", "new", "--folder", str(folder)).code == 2
    assert not private.exists(), "half a pair would be worse than none"


def test_the_settings_key_ids_are_shown_and_a_mismatch_is_told(
    tidegate: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no keys in the settings" in tidegate("keys", "signing", "show").out
    made = [
        json.loads(tidegate("keys", "signing", "new", "--folder", str(tmp_path / name), "--json").out)
        for name in ("old", "new")
    ]
    monkeypatch.setenv("TIDEGATE_SIGNING__PRIVATE_KEY_FILE", "new/signing-private.pem")
    monkeypatch.setenv("TIDEGATE_SIGNING__PUBLIC_KEY_FILES", "old/signing-public.pem")
    told = tidegate("keys", "signing", "show")
    assert made[0]["key_id"] in told.out
    assert made[1]["key_id"] in told.out
    assert "not among the trusted ones" in told.err
    monkeypatch.setenv("TIDEGATE_SIGNING__PUBLIC_KEY_FILES", "old/signing-public.pem,new/signing-public.pem")
    shown = json.loads(tidegate("keys", "signing", "show", "--json").out)
    assert (shown["signs"], shown["fits"]) == (made[1]["key_id"], True)
    assert [each["key_id"] for each in shown["trusted"]] == [each["key_id"] for each in made]


def listed(tidegate: CommandLine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(tidegate("keys", "api", "list", "--json").out)
    return found


def test_the_life_of_an_api_key(tidegate: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    made = tidegate("keys", "api", "new", "bot-1", "--scope", "predict", "--expires-days", "2")
    text = made.out.strip()
    assert made.out == f"{text}\n", "the key stands alone on standard output"
    assert (made.code, mode(path)) == (0, 0o600)
    assert text[-43:] not in path.read_text()
    (key,) = ApiKeys.from_file(path).keys
    assert key.expires_at == key.created_at + 2 * 86_400_000
    assert ApiKeys.from_file(path).identify(text, key.created_at) == key

    both = json.loads(tidegate("keys", "api", "new", "ops", "--scope", "admin", "--scope", "metrics", "--json").out)
    assert both["key"].startswith("tg_ops_")
    assert [(each["id"], each["scopes"], each["state"]) for each in listed(tidegate)] == [
        ("bot-1", ["predict"], "good"),
        ("ops", ["admin", "metrics"], "good"),
    ]
    assert tidegate("keys", "api", "new", "ops", "--scope", "predict").code == 2

    assert tidegate("keys", "api", "disable", "bot-1").code == 0
    assert [(each["id"], each["state"]) for each in listed(tidegate)] == [("bot-1", "disabled"), ("ops", "good")]
    assert ApiKeys.from_file(path).identify(text, key.created_at) is None
    table = tidegate("keys", "api", "list").out
    assert "disabled" in table
    assert "never" in table
    assert tidegate("keys", "api", "remove", "bot-1").code == 0
    assert [each["id"] for each in listed(tidegate)] == ["ops"]
    gone = tidegate("keys", "api", "remove", "bot-1")
    assert (gone.code, "there is no key bot-1" in gone.err) == (2, True)


def test_a_broken_file_is_refused_and_left_as_it_is(tidegate: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text("keys: [")
    for words in (["list"], ["new", "a", "--scope", "predict"], ["disable", "a"], ["remove", "a"]):
        told = tidegate("keys", "api", *words)
        assert (told.code, told.out) == (2, "")
        assert "is broken" in told.err
    assert path.read_text() == "keys: ["


def test_without_a_file_or_with_a_missing_one_the_setting_is_named(
    tidegate: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cannot be read" in tidegate("keys", "api", "list").err
    monkeypatch.delenv("TIDEGATE_SERVING__API_KEYS_FILE")
    told = tidegate("keys", "api", "new", "a", "--scope", "predict", "--json")
    assert json.loads(told.out)["error"]["setting"] == "serving.api_keys_file"
    assert "setting  serving.api_keys_file" in tidegate("keys", "api", "list").err
    assert tidegate("keys", "api", "new", "a", "--scope", "all", "--file", str(tmp_path / "k.yaml")).code == 2
    assert list(tmp_path.iterdir()) == []
