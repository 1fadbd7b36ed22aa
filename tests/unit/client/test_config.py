"""Settings are right or refused, with the setting's name."""

import os
import re
import tomllib
import traceback
from pathlib import Path
from typing import Any

import pytest
from tests.unit.client.records import DIGEST, settings

from tidegate.client.config import Config
from tidegate.client.environment import PREFIX, _settings
from tidegate.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
LEAST = 'url = "http://127.0.0.1:8080"\nstrategy = "sim"\ninterval = "1h"\nbot = "bot-1"\n'


def refused(given: dict[str, Any] | str, **environment: str) -> str | None:
    """The setting that is refused, None where nothing is."""
    named = {PREFIX + name: text for name, text in environment.items()}
    try:
        if isinstance(given, str):
            Config.parse(given, named)
        else:
            Config.of(given, environment=named)
    except ConfigurationError as error:
        return error.setting
    return None


def test_the_least_that_is_needed_gives_the_contracts_defaults() -> None:
    config = Config.parse(LEAST, {})
    assert (config.dry_run, config.clock, config.api_key) == (True, "system", None)
    assert (config.deadline.decide_ms, config.deadline.attempt_ms, config.deadline.connect_ms) == (1000, 400, 200)
    assert config.interval_ms == 3_600_000


def test_the_settings_and_their_defaults_are_those_of_the_contract() -> None:
    text = (ROOT / "docs" / "contracts" / "client.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([^|]+?) \|", text.partition("## A decision")[0], flags=re.MULTILINE)
    known = _settings(Config)
    assert {name for name, _ in rows} == set(known) - {"api_key"}
    config = Config.parse(LEAST, {})
    for name, told in rows:
        if told == "needed":
            continue
        value: Any = config
        for part in name.split("."):
            value = getattr(value, part)
        shown = {"none": "None", "empty": "[]"}.get(told, told.strip("`").replace(",", "").capitalize())
        assert str(value).capitalize() == shown.capitalize(), name


@pytest.mark.parametrize("missing", ["url", "strategy", "interval", "bot"])
def test_what_is_needed_is_asked_for(missing: str) -> None:
    given = settings()
    del given[missing]
    assert refused(given) == missing


BOUNDS = [
    ("deadline.decide_ms", 10, 60_000, {"attempt_ms": 10, "connect_ms": 5}),
    ("deadline.attempt_ms", 200, 1000, {}),
    ("deadline.connect_ms", 5, 400, {}),
    ("retry.attempts", 1, 10, {}),
    ("retry.backoff_ms", 1, 250, {}),
    ("retry.backoff_max_ms", 25, 60_000, {}),
    ("breaker.failures", 1, 1000, {}),
    ("breaker.open_ms", 10, 60_000, {}),
    ("breaker.open_max_ms", 2000, 3_600_000, {}),
    ("health.poll_ms", 50, 600_000, {}),
    ("health.timeout_ms", 10, 60_000, {}),
    ("heartbeat.every_ms", 100, 600_000, {}),
    ("answers.max_clock_skew_ms", 0, 600_000, {}),
    ("fallback.hold_bars", 1, 10_000, {}),
]


@pytest.mark.parametrize(("name", "least", "most", "beside"), BOUNDS, ids=[bound[0] for bound in BOUNDS])
def test_numbers_have_bounds(name: str, least: int, most: int, beside: dict[str, int]) -> None:
    table, _, key = name.partition(".")
    for value in (least, most):
        assert refused(settings(**{table: {**beside, key: value}})) is None
    for value in (least - 1, most + 1):
        # One bound of a setting may be another setting's, which is then the one that is named.
        named = refused(settings(**{table: {**beside, key: value}}))
        assert (named or "").partition(".")[0] == table, value


def test_an_attempt_is_no_longer_than_the_decision() -> None:
    assert refused(settings(deadline={"decide_ms": 300})) == "deadline.attempt_ms"
    assert refused(settings(deadline={"connect_ms": 401})) == "deadline.connect_ms"


def test_pauses_of_the_background_may_be_none() -> None:
    assert refused(settings(health={"poll_ms": 0}, heartbeat={"every_ms": 0})) is None


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"url": "ftp://host"}, "url"),
        ({"url": "host:8080"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://localhost:99999"}, "url"),
        ({"url": "http://localhost/?a=1"}, "url"),
        ({"url": "http://localhost/#x"}, "url"),
        ({"url": "https://user:secret@host"}, "url"),
        ({"url": "http://bot.example"}, "url"),
        ({"url": 8080}, "url"),
        ({"strategy": ""}, "strategy"),
        ({"strategy": "s" * 65}, "strategy"),
        ({"interval": "5w"}, "interval"),
        ({"interval": "05m"}, "interval"),
        ({"bot": ""}, "bot"),
        ({"bot": "a b"}, "bot"),
        ({"bot": "b" * 65}, "bot"),
        ({"bot": "bot\n"}, "bot"),
        ({"clock": "wall"}, "clock"),
        ({"dry_run": "false"}, "dry_run"),
        ({"dry_run": 0}, "dry_run"),
        ({"retry": {"attempts": "3"}}, "retry.attempts"),
        ({"retry": {"attempts": 3.0}}, "retry.attempts"),
        ({"retry": {"attempts": True}}, "retry.attempts"),
        ({"retry": 3}, "retry"),
        ({"retries": 3}, "retries"),
        ({"breaker": {"failure": 3}}, "breaker.failure"),
        ({"api_key": "secret"}, "api_key"),
        ({"api_key_file": "/nowhere/key"}, "api_key_file"),
        ({"answers": {"versions": [1, 0]}}, "answers.versions"),
        ({"answers": {"versions": ["1"]}}, "answers.versions.0"),
        ({"answers": {"bundle_digests": ["A" * 64]}}, "answers.bundle_digests"),
        ({"answers": {"bundle_digests": ["a" * 63]}}, "answers.bundle_digests"),
        ({"fallback": {"strategy": "panic"}}, "fallback.strategy"),
        ({"metrics": {"address": "9100"}}, "metrics.address"),
        ({"metrics": {"address": "localhost:x"}}, "metrics.address"),
        ({"metrics": {"address": "localhost:65536"}}, "metrics.address"),
    ],
)
def test_what_is_refused_is_named(changes: dict[str, Any], setting: str) -> None:
    assert refused(settings(**changes)) == setting


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://bot.example"},
        {"url": "http://[::1]:8080/tidegate"},
        {"url": "http://bot.example", "allow_http": True},
        {"url": "http://localhost"},
        {"answers": {"versions": [1], "bundle_digests": [DIGEST]}},
    ],
)
def test_what_is_taken(changes: dict[str, Any]) -> None:
    assert refused(settings(**changes)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "https://user:hunter2@host"},
        {"url": "https://user:hunter2@host:80x"},
        {"url": "https://user:hunt/hunter2@host"},
        {"api_key_file": "hunter2"},
        {"api_key_file": "hunter2\0"},
        {"dry_run": "hunter2"},
        {"retry": {"attempts": "hunter2"}},
        {"retry": "hunter2"},
    ],
)
def test_no_message_shows_what_may_be_a_secret(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as told:
        Config.of(settings(**changes))
    assert "hunter2" not in "".join(traceback.format_exception(told.value))


def test_no_message_shows_what_is_in_the_keys_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"hunter2\xff")
    with pytest.raises(ConfigurationError, match="it is no text") as told:
        Config.of(settings(api_key_file=str(tmp_path / "key")))
    assert "hunter2" not in "".join(traceback.format_exception(told.value))


def test_the_paper_bots_table_is_left_alone_and_nothing_else_of_that_name() -> None:
    assert refused(LEAST + "[paper]\ncapital = 500\n") is None
    assert refused(LEAST + "paper = 5\n") == "paper"


def test_the_environment_overrides_the_file() -> None:
    environment = {
        "URL": "http://localhost:9",
        "BOT": "123",
        "DRY_RUN": "False",
        "BREAKER__FAILURES": "9",
        "ANSWERS__VERSIONS": "3, 4",
        "ANSWERS__BUNDLE_DIGESTS": DIGEST,
        "DECISIONS__FILE": "/tmp/d.jsonl",
    }
    toml = LEAST + "[breaker]\nfailures = 2\nopen_ms = 50\n"
    config = Config.parse(toml, {PREFIX + name: text for name, text in environment.items()})
    assert (config.url, config.bot, config.dry_run) == ("http://localhost:9", "123", False)
    assert (config.breaker.failures, config.breaker.open_ms) == (9, 50)
    assert (config.answers.versions, config.answers.bundle_digests) == ([3, 4], [DIGEST])
    assert config.decisions.file == Path("/tmp/d.jsonl")


@pytest.mark.parametrize(
    ("name", "text", "setting"),
    [
        ("DRY_RUN", "no", "dry_run"),
        ("RETRY__ATTEMPTS", "many", "retry.attempts"),
        ("RETRY__ATTEMPTS", "99", "retry.attempts"),
        ("ANSWERS__VERSIONS", "1;2", "answers.versions"),
        ("ANSWERS__VERSIONS", "", "answers.versions"),
        ("ANSWERS__VERSIONS", " , ", "answers.versions"),
        ("ANSWERS__BUNDLE_DIGESTS", "", "answers.bundle_digests"),
        ("BRAKER__FAILURES", "1", "braker.failures"),
    ],
)
def test_a_variable_that_is_wrong_is_refused(name: str, text: str, setting: str) -> None:
    assert refused(LEAST, **{name: text}) == setting


def test_a_variable_that_is_unknown_names_its_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"breaker\.failures"):
        Config.parse(LEAST, {f"{PREFIX}BRAKER__FAILURES": "1"})


def test_the_key_comes_from_the_file_or_the_environment_which_wins(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("  from-file\n")
    toml = LEAST + f'api_key_file = "{file}"\n'
    config = Config.parse(toml, {})
    assert config.api_key is not None
    assert config.api_key.get_secret_value() == "from-file"
    both = Config.parse(toml, {f"{PREFIX}API_KEY": "from-environment"})
    assert both.api_key is not None
    assert both.api_key.get_secret_value() == "from-environment"


@pytest.mark.parametrize("key", ["", " \n", "with\x00nul", "schlüssel", "two\nlines"])
def test_a_key_that_no_header_can_carry_is_refused(tmp_path: Path, key: str) -> None:
    file = tmp_path / "key"
    file.write_text(key, encoding="utf-8")
    assert refused(settings(api_key_file=str(file))) == "api_key_file"


def test_nothing_shows_the_key() -> None:
    config = Config.of(settings(), api_key="tg-secret")
    shown = f"{config!r} {config} {config.model_dump_json()} {config.model_dump()}"
    assert "tg-secret" not in shown


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as told:
        Config.load(tmp_path / "nothing.toml", {})
    assert told.value.setting == "file"
    assert refused("url = ") == "file"
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads("url = ")


def test_load_reads_the_environment_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bot.toml"
    file.write_text(LEAST)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}BOT", "other")
    assert Config.load(file).bot == "other"
    assert Config.load(file, {}).bot == "bot-1"
