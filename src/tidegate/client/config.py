"""Settings of the client, from TOML and the environment; every key and bound stands in `docs/contracts/client.md`."""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from tidegate.bars.interval import Interval
from tidegate.client.environment import PREFIX, overlay
from tidegate.errors import ConfigurationError

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_File = Annotated[Path, Field(strict=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Deadline(_Table):
    """How long things may take, ms: all of one decision, one request with its answer, its connection."""

    decide_ms: int = 1000
    attempt_ms: int = 400
    connect_ms: int = 200


class Retry(_Table):
    """How a failed request is repeated: requests of one decision at most, first and longest pause."""

    attempts: int = 3
    backoff_ms: int = 25
    backoff_max_ms: int = 250


class BreakerSettings(_Table):
    """When requests stop, and for how long: failed exchanges in a row, first and longest time."""

    failures: int = 5
    open_ms: int = 2000
    open_max_ms: int = 60_000


class HealthSettings(_Table):
    """Looks at the service in the background: the pause between two (0: none), and the time of one."""

    poll_ms: int = 5000
    timeout_ms: int = 1000


class HeartbeatSettings(_Table):
    """Signs of life: the pause between two, 0: none."""

    every_ms: int = 10_000


class AnswerSettings(_Table):
    """Which answers are signals. Empty lists: those that the service describes."""

    versions: list[int] = []
    bundle_digests: list[str] = []
    max_clock_skew_ms: int = 2000
    require_logged: bool = True


class FallbackSettings(_Table):
    """What decides without a signal."""

    strategy: Literal["flat", "hold"] = "flat"
    hold_bars: int = 3
    exits: bool = True


class MetricsSettings(_Table):
    """`host:port` where the client serves its own metrics."""

    address: str | None = None


class DecisionsSettings(_Table):
    """File of decisions, one JSON line each, appended."""

    file: _File | None = None


class Config(_Table):
    """All settings. Make them by `load`, `parse` or `of`, which check bounds and read the API key."""

    url: str
    strategy: str
    interval: str
    bot: str
    api_key_file: _File | None = None
    ca_file: _File | None = None
    allow_http: bool = False
    dry_run: bool = True
    clock: Literal["system", "bars"] = "system"
    deadline: Deadline = Deadline()
    retry: Retry = Retry()
    breaker: BreakerSettings = BreakerSettings()
    health: HealthSettings = HealthSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    answers: AnswerSettings = AnswerSettings()
    fallback: FallbackSettings = FallbackSettings()
    metrics: MetricsSettings = MetricsSettings()
    decisions: DecisionsSettings = DecisionsSettings()
    api_key: SecretStr | None = Field(None, exclude=True, repr=False)

    @property
    def interval_ms(self) -> int:
        """Span of the bot's bars, ms."""
        return Interval(self.interval).milliseconds

    @classmethod
    def load(cls, path: Path | str, environment: Mapping[str, str] | None = None) -> Self:
        """Settings from a TOML file, overridden by the environment, this process's unless another one is given.

        Raises:
            ConfigurationError: the first setting that is not usable; `setting` names it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise refused("file", f"{path} cannot be read: {error}") from error
        return cls.parse(text, os.environ if environment is None else environment)

    @classmethod
    def parse(cls, toml: str, environment: Mapping[str, str]) -> Self:
        """The same from a text and a given environment.

        Raises:
            ConfigurationError: the first setting that is not usable.
        """
        try:
            given = tomllib.loads(toml)
        except tomllib.TOMLDecodeError as error:
            raise refused("file", str(error)) from error
        return cls.of(given, environment=environment)

    @classmethod
    def of(
        cls, given: Mapping[str, Any], *, environment: Mapping[str, str] | None = None, api_key: str | None = None
    ) -> Self:
        """The same from values as TOML has them; without an environment, none is looked at.

        Raises:
            ConfigurationError: the first setting that is not usable.
        """
        if "api_key" in given:
            raise refused(
                "api_key",
                "a key has no place in this file: put it into a file of its own and name that in api_key_file, "
                f"or set {PREFIX}API_KEY",
            )
        if isinstance(given.get("paper"), Mapping):
            # The paper bot's own table; one file is for both.
            given = {name: value for name, value in given.items() if name != "paper"}
        values = overlay(given, {} if environment is None else environment, cls)
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            # The cause would show every value in a traceback, and one may be a key.
            raise refused(".".join(map(str, first["loc"])) or "file", _words(first)) from None
        key = api_key if api_key is not None else (environment or {}).get(f"{PREFIX}API_KEY")
        _check(config)
        return config.model_copy(update={"api_key": _key(key, config.api_key_file)})


def refused(setting: str, message: str) -> ConfigurationError:
    """A setting that is not usable."""
    return ConfigurationError(message, setting=setting)


def _words(first: Any) -> str:  # noqa: ANN401  a TypedDict that pydantic_core keeps to itself
    if first["type"] == "extra_forbidden":
        return "this setting is unknown; docs/contracts/client.md has all of them"
    if first["type"] == "missing":
        return "this setting is needed"
    # A text may be a key that was put into the wrong line, so only its type is told.
    given = first["input"]
    return (
        f"{first['msg']}, was {given!r}"
        if isinstance(given, (bool, int, float))
        else f"{first['msg']}, was another text"
    )


def _key(given: str | None, path: Path | None) -> SecretStr | None:
    """The key that was given, else the file's.

    Raises:
        ConfigurationError: an empty key, one that no header can carry, or a file that cannot be read.
    """
    if given is None and path is not None:
        try:
            given = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            # Neither the path, which may be the key itself, nor the error, which holds it or the file's content, may come into a log.
            why = (isinstance(error, OSError) and error.strerror) or "it is no text"
            told = f"the file cannot be read: {why}; a relative path begins where the bot was started"
            raise refused("api_key_file", told) from None
    if given is None:
        return None
    key = given.strip()
    if not key:
        raise refused("api_key_file", "the API key is empty; make one with `tidegate keys api new`")
    if not (key.isascii() and key.isprintable()):
        raise refused(
            "api_key_file", "the API key holds characters that no header can; make one with `tidegate keys api new`"
        )
    return SecretStr(key)


def _check(config: Config) -> None:
    _check_url(config)
    if not 1 <= len(config.strategy) <= 64:
        raise refused("strategy", "1 to 64 characters are expected")
    if not _NAME.fullmatch(config.bot):
        raise refused("bot", f"1 to 64 of A-Z a-z 0-9 . _ - are expected, was {config.bot!r}")
    try:
        Interval(config.interval)
    except ConfigurationError as error:
        raise refused("interval", str(error)) from error
    _check_numbers(config)
    for digest in config.answers.bundle_digests:
        if not _DIGEST.fullmatch(digest):
            raise refused("answers.bundle_digests", f"64 digits of 0-9 a-f are expected, was {digest!r}")
    if config.metrics.address is not None:
        host_and_port(config.metrics.address)


def _check_numbers(config: Config) -> None:
    for setting, value, least, most in _bounds(config):
        if not least <= value <= most:
            raise refused(setting, f"a number from {least} to {most} is expected, was {value}")
    for setting, value, least in (
        ("health.poll_ms", config.health.poll_ms, 50),
        ("heartbeat.every_ms", config.heartbeat.every_ms, 100),
    ):
        if value and not least <= value <= 600_000:
            raise refused(setting, f"0, or a number from {least} to 600000 is expected, was {value}")
    if any(version < 1 for version in config.answers.versions):
        raise refused("answers.versions", "versions are counted from 1")


def _bounds(config: Config) -> tuple[tuple[str, int, int, int], ...]:
    deadline, retry, breaker = config.deadline, config.retry, config.breaker
    return (
        ("deadline.decide_ms", deadline.decide_ms, 10, 60_000),
        ("deadline.attempt_ms", deadline.attempt_ms, 5, deadline.decide_ms),
        ("deadline.connect_ms", deadline.connect_ms, 5, deadline.attempt_ms),
        ("retry.attempts", retry.attempts, 1, 10),
        ("retry.backoff_ms", retry.backoff_ms, 1, 10_000),
        ("retry.backoff_max_ms", retry.backoff_max_ms, retry.backoff_ms, 60_000),
        ("breaker.failures", breaker.failures, 1, 1000),
        ("breaker.open_ms", breaker.open_ms, 10, 600_000),
        ("breaker.open_max_ms", breaker.open_max_ms, breaker.open_ms, 3_600_000),
        ("health.timeout_ms", config.health.timeout_ms, 10, 60_000),
        ("answers.max_clock_skew_ms", config.answers.max_clock_skew_ms, 0, 600_000),
        ("fallback.hold_bars", config.fallback.hold_bars, 1, 10_000),
    )


def _check_url(config: Config) -> None:
    text = config.url
    # The address stands in messages: a password in it would, too.
    if "@" in text:
        raise refused("url", "an address without user and password is expected; the key goes into api_key_file")
    try:
        parts = urlsplit(text)
        port_is_sane = parts.port != 0
    except ValueError as error:
        raise refused("url", f"an address like https://host:8080 is expected, was {text!r}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_sane:
        raise refused("url", f"an address with http or https and a host is expected, was {text!r}")
    if "?" in text or "#" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise refused("url", f"an address without a query is expected, was {text!r}")
    if parts.scheme == "http" and not config.allow_http and not _is_loopback(parts.hostname):
        raise refused(
            "url",
            f"https is expected for another machine, or allow_http = true where the network is trusted, was {text!r}",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of `host:port`.

    Raises:
        ConfigurationError: it is no such address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise refused("metrics.address", f"host:port is expected, was {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)
