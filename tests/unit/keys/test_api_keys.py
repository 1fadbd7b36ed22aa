import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.errors import ConfigurationError
from tidegate.keys import api_keys
from tidegate.keys.api_keys import ApiKey, ApiKeys, new_key

NOW = 1_790_000_000_000


def test_a_new_key_is_of_its_form_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    text, key = new_key("bot-1", ["metrics", "predict"], created_at=NOW)
    assert text.startswith("tg_bot-1_")
    assert len(text) == len("tg_bot-1_") + 43
    assert key.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert key.scopes == ("predict", "metrics")
    ApiKeys([key]).write(tmp_path / "keys.yaml")
    written = (tmp_path / "keys.yaml").read_text()
    assert text[-43:] not in written
    assert (tmp_path / "keys.yaml").stat().st_mode & 0o777 == 0o600
    again = ApiKeys.from_file(tmp_path / "keys.yaml")
    assert again.keys == (key,)
    assert again.identify(text, NOW) == key


def test_two_keys_are_never_the_same() -> None:
    assert len({new_key("a", ["predict"], created_at=0)[0] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"expires_at": NOW + 1}, True),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW - 1}, False),
        ({"disabled": True}, False),
        ({"sha256": "0" * 64}, False),
    ],
    ids=str,
)
def test_who_is_known(change: dict[str, Any], known: bool) -> None:
    text, key = new_key("bot", ["predict"], created_at=NOW)
    found = ApiKeys([key.model_copy(update=change)]).identify(text, NOW)
    assert (found is not None) == known


def test_an_altered_key_is_unknown() -> None:
    text, key = new_key("bot", ["predict"], created_at=NOW)
    other, _ = new_key("bot", ["predict"], created_at=NOW)
    keys = ApiKeys([key])
    wrong = [
        "",
        text[:-1],
        text + "A",
        text + "\n",
        " " + text,
        text.upper(),
        text[:-1] + ("A" if text[-1] != "A" else "B"),
        other,
        text.replace("bot", "cat"),
        key.sha256,
        "tg_bot_",
        "tg__" + text[-43:],
        "\udcff" * 50,
        "x" * 1_000_000,
    ]
    assert [keys.identify(each, NOW) for each in wrong] == [None] * len(wrong)
    assert keys.identify(text, NOW) is key


def test_every_kind_of_wrong_key_is_hashed_and_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text, key = new_key("bot", ["predict"], created_at=NOW)
    disabled, off = new_key("off", ["predict"], created_at=NOW)
    keys = ApiKeys([key, off.model_copy(update={"disabled": True})])
    compared: list[tuple[int, int]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr("hmac.compare_digest", compare)
    for presented in (text, disabled, text.replace("bot", "cat"), "no key", ""):
        keys.identify(presented, NOW)
    assert compared == [(32, 32)] * 5


def test_scopes_are_asked_one_by_one() -> None:
    _, key = new_key("bot", ["predict", "metrics"], created_at=NOW)
    assert [key.allows(scope) for scope in api_keys.SCOPES] == [True, False, True]


@pytest.mark.parametrize("key_id", ["", "-a", "Bot", "a_b", "a b", "a" * 33, "ä", "a\n"])
def test_an_id_that_is_none_is_refused(key_id: str) -> None:
    with pytest.raises(ConfigurationError, match="id is wrong"):
        new_key(key_id, ["predict"], created_at=0)


@pytest.mark.parametrize("scopes", [[], ["all"], ["predict", "Admin"]])
def test_scopes_that_are_none_are_refused(scopes: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="at least one of predict, admin, metrics"):
        new_key("a", scopes, created_at=0)


GOOD: dict[str, Any] = {"id": "bot", "sha256": "0" * 64, "scopes": ["predict"], "created_at": 1}


def test_the_shortest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "keys": [GOOD]}))
    (key,) = ApiKeys.from_file(path).keys
    assert (key.expires_at, key.disabled) == (None, False)


CHANGES: list[dict[str, Any]] = [
    {"id": "Bot"},
    {"id": "bot\n"},
    {"sha256": "0" * 63},
    {"sha256": "G" * 64},
    {"scopes": []},
    {"scopes": ["all"]},
    {"scopes": ["predict", "predict"]},
    {"created_at": -1},
    {"created_at": "1"},
    {"expires_at": "2027-01-01"},
    {"disabled": "yes"},
    {"disabled": 0},
    {"key": "x"},
]
BROKEN: list[tuple[object, str]] = [
    ("", "the whole"),
    ("[]", "the whole"),
    ("version: 1", "keys: Field required"),
    ("keys: [", r"not YAML \(line"),
    ("\x00", "not YAML"),
    ({"version": 2, "keys": []}, "version"),
    ({"version": 1, "keys": [], "more": 1}, "more"),
    ({"version": 1, "keys": [GOOD, GOOD]}, "an id stands twice: bot"),
    ("version: 1\nversion: 1\nkeys: []", "not YAML"),
    *(({"version": 1, "keys": [GOOD | change]}, f"keys.0.{next(iter(change))}") for change in CHANGES),
]


@pytest.mark.parametrize(("content", "fault"), BROKEN, ids=str)
def test_a_broken_file_is_refused(tmp_path: Path, content: object, fault: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=rf"keys\.yaml is broken: .*{fault}"):
        ApiKeys.from_file(path)


def test_a_key_that_was_pasted_into_the_file_is_not_shown(tmp_path: Path) -> None:
    text, _ = new_key("bot", ["predict"], created_at=NOW)
    path = tmp_path / "keys.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "keys": [GOOD | {"sha256": text}]}))
    with pytest.raises(ConfigurationError, match="sha256") as caught:
        ApiKeys.from_file(path)
    assert text[-43:] not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_missing_or_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    with pytest.raises(ConfigurationError, match=r"cannot be read.*serving\.api_keys_file"):
        ApiKeys.from_file(path)
    path.write_text("version: 1\nkeys: []\n")
    path.chmod(0o666)
    with pytest.raises(ConfigurationError, match="too open"):
        ApiKeys.from_file(path)


def test_keys_are_added_replaced_and_taken_out() -> None:
    a, b = (ApiKey(id=name, sha256="0" * 64, scopes=("predict",), created_at=1) for name in "ab")
    keys = ApiKeys([a]).with_key(b)
    assert keys.keys == (a, b)
    off = a.model_copy(update={"disabled": True})
    assert keys.with_key(off).keys == (off, b)
    assert keys.without("a").keys == (b,)
    assert (keys.get("b"), keys.get("c")) == (b, None)
