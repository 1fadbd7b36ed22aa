"""One look at one serving process: what it says about itself by `/readyz`, `/metrics` and `/v1/bots`, and what it does not say.

The versions come from `/metrics`, so that a key with the scopes admin and metrics is enough. A look takes `watch.timeout_s` altogether, whatever
answers; whatever answers is read as far as it can be.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import urllib3
from prometheus_client.parser import text_string_to_metric_families
from urllib3.exceptions import HTTPError

from tidegate.rollback.body import TooLarge, TooSlow, read_body

_PREDICT: Final = "/v1/predict"
_OUTCOMES: Final = "tidegate_prediction_outcomes"

_Parsed = TypeVar("_Parsed")
Samples = Mapping[str, list[tuple[Mapping[str, str], float]]]


@dataclass(frozen=True, slots=True)
class Target:
    """A serving process to look at; `started_at` (UTC ms) as it registered itself, None where it did not."""

    instance: str
    address: str
    started_at: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters of predictions since the process's start.

    Attributes:
        answered: with a status of 200 to 299 or 500 and above. What a client did wrong (400 to 499) is no prediction and cannot thin errors out.
        failed: of them with 500 and above.
        buckets: upper bounds in seconds, ascending, with the number of requests at or under each; the last one is infinite.
        seconds: sum of all latencies.
        by_version: strategy and version in production (0: none) to predictions and how many of them failed or were answered by the model before, symbol
            by symbol; None where the process does not count them, and all its strategies share what it has answered.
    """

    answered: float
    failed: float
    buckets: tuple[tuple[float, float], ...]
    seconds: float
    by_version: Mapping[tuple[str, int], tuple[float, float]] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What `/metrics` tells; fields as those of `Look`."""

    started_at: int | None
    versions: Mapping[str, int | None]
    halted: frozenset[str]
    counts: Counts
    orderly: bool | None = False


@dataclass(frozen=True, slots=True)
class BotSeen:
    """A bot's last heartbeat to one instance; `received_at` is UTC ms by the instance's clock, `version` the one of the last answer that it got."""

    bot: str
    strategy: str
    key_id: str
    breaker: str
    received_at: int
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw.

    Attributes:
        instance: the process's name.
        at: when the look ended, UTC ms.
        reachable: it answered `/readyz` over HTTP, whatever it said.
        ready: it said that it can answer.
        started_at: start of its process, UTC ms; None where not known.
        versions: strategy to version in production there, None where none is; None where `/metrics` could not be read.
        halted: strategies that are halted there.
        counts: its counters, None where they could not be read.
        bots: last heartbeats, None where they could not be read.
        missing: what could not be read, as what and why.
        orderly: the process before had signed off, so this start is no crash; None while the process does not know it yet.
    """

    instance: str
    at: int
    reachable: bool
    ready: bool = False
    started_at: int | None = None
    versions: Mapping[str, int | None] | None = None
    halted: frozenset[str] = frozenset()
    counts: Counts | None = None
    bots: tuple[BotSeen, ...] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    orderly: bool | None = False


class _Unreadable(Exception):
    """An answer that is not what was asked for; why, in a few words."""


class Scraper:
    """Looks at serving processes. Threads may share one.

    Args:
        timeout_s: time limit of one look.
        api_key: gives the key that is sent with every question but `/readyz`, None sends none. It goes to the address that was named, and follows no
            redirect.
        now_ms: UTC ms.
    """

    def __init__(self, timeout_s: float, api_key: Callable[[], str | None], now_ms: Callable[[], int]) -> None:
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._now_ms = now_ms
        self._http = urllib3.PoolManager(num_pools=100, maxsize=2, retries=False)

    def look(self, target: Target) -> Look:
        """Look once. Never raises for what the process does or is."""
        ends_at = time.monotonic() + self._timeout_s
        missing: dict[str, str] = {}
        try:
            status, _ = self._get(target, "/readyz", ends_at, {})
        except _Unreadable as error:
            return Look(target.instance, self._now_ms(), reachable=False, missing={"/readyz": str(error)})
        key = self._api_key()
        headers = {} if key is None else {"X-API-Key": key}
        told = self._read(target, "/metrics", ends_at, headers, told_of, missing)
        bots = self._read(target, "/v1/bots", ends_at, headers, bots_of, missing)
        found = Look(target.instance, self._now_ms(), reachable=True, ready=status == 200, bots=bots, missing=missing)
        if told is None:
            return found
        # What the process registered stands in only where its metrics lack the time: the two differ by a moment, which is no restart.
        return replace(
            found,
            started_at=told.started_at or target.started_at,
            versions=told.versions,
            halted=told.halted,
            counts=told.counts,
            orderly=told.orderly,
        )

    def _read(
        self,
        target: Target,
        path: str,
        ends_at: float,
        headers: Mapping[str, str],
        parse: Callable[[bytes], _Parsed],
        missing: dict[str, str],
    ) -> _Parsed | None:
        try:
            status, body = self._get(target, path, ends_at, headers)
            if status == 200:
                return parse(body)
            missing[path] = f"status {status}"
        except _Unreadable as error:
            missing[path] = str(error)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            missing[path] = f"not what was expected: {type(error).__name__}"
        return None

    def _get(self, target: Target, path: str, ends_at: float, headers: Mapping[str, str]) -> tuple[int, bytes]:
        if not target.address.startswith(("http://", "https://")):
            raise _Unreadable("no http address")
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            raise _Unreadable(f"no answer within {self._timeout_s:g} s")
        try:
            response = self._http.request(
                "GET",
                target.address.rstrip("/") + path,
                headers=headers,
                timeout=urllib3.Timeout(total=left_s),
                redirect=False,
                preload_content=False,
            )
            return response.status, read_body(response, ends_at)
        except TooLarge as error:
            raise _Unreadable(str(error)) from error
        except TooSlow as error:
            raise _Unreadable(f"no whole answer within {self._timeout_s:g} s") from error
        except (HTTPError, ValueError, OSError) as error:
            raise _Unreadable(f"{type(error).__name__}") from error


def told_of(body: bytes) -> Told:
    """Read a text exposition of the service.

    Raises:
        ValueError, KeyError: it is none, or not of tidegate's service, or a counter is not a finite number.
    """
    samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    told = set()
    for family in text_string_to_metric_families(body.decode()):
        told.add(family.name)
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    if "tidegate_ready" not in samples:
        raise ValueError("no metrics of a tidegate service")
    started = [value for _, value in samples.get("process_start_time_seconds", ()) if math.isfinite(value)]
    versions = {
        labels["strategy"]: int(value) or None  # 0 says that there is none
        for labels, value in samples.get("tidegate_model_version", ())
        if labels["role"] == "production"
    }
    halted = frozenset(labels["strategy"] for labels, value in samples.get("tidegate_halted", ()) if value)
    return Told(
        round(started[0] * 1000) if started else None,
        versions,
        halted,
        _counts(samples, by_version=_OUTCOMES in told),
        _orderly(samples),
    )


def _orderly(samples: Samples) -> bool | None:
    """Whether the start follows a sign-off; None while the process does not know, False where it does not say."""
    said = [value for _, value in samples.get("tidegate_start_after_sign_off", ())]
    return None if said and said[0] < 0 else bool(said and said[0] == 1)


def _counts(samples: Samples, *, by_version: bool) -> Counts:
    """A process that has answered nothing yet has zeros."""
    by_status = [
        (int(labels["status"]), value)
        for labels, value in samples.get("tidegate_requests_total", ())
        if labels["route"] == _PREDICT
    ]
    buckets = [
        (float(labels["le"]), value) for labels, value in _of_predict(samples, "tidegate_request_seconds_bucket")
    ]
    seconds = sum(value for _, value in _of_predict(samples, "tidegate_request_seconds_sum"))
    failed = sum(value for status, value in by_status if status >= 500)
    answered = failed + sum(value for status, value in by_status if 200 <= status < 300)
    if not all(map(math.isfinite, (failed, answered, seconds, *(count for _, count in buckets)))):
        raise ValueError("a counter is not a finite number")
    return Counts(answered, failed, tuple(sorted(buckets)), seconds, _by_version(samples) if by_version else None)


def _by_version(samples: Samples) -> Mapping[tuple[str, int], tuple[float, float]]:
    """Predictions of each strategy and version, and those that its version in production has not answered itself."""
    found: dict[tuple[str, int], tuple[float, float]] = {}
    for labels, value in samples.get(f"{_OUTCOMES}_total", ()):
        if not math.isfinite(value):
            raise ValueError("a counter is not a finite number")
        key = labels["strategy"], int(labels["version"])
        asked, failed = found.get(key, (0.0, 0.0))
        found[key] = asked + value, failed + (0.0 if labels["outcome"] == "ok" else value)
    return found


def _of_predict(samples: Samples, name: str) -> Iterable[tuple[Mapping[str, str], float]]:
    return (each for each in samples.get(name, ()) if each[0]["route"] == _PREDICT)


def bots_of(body: bytes) -> tuple[BotSeen, ...]:
    """Last heartbeats as `/v1/bots` tells them.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """
    told: list[dict[str, Any]] = json.loads(body)
    return tuple(
        BotSeen(
            str(one["bot"]),
            str(one["strategy"]),
            str(one["key_id"]),
            str(one["breaker"]),
            int(one["received_at"]),
            None if one.get("last_version") is None else int(one["last_version"]),
        )
        for one in told
    )
