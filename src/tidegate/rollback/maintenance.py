"""Maintenance windows: while one is under way nothing is promoted automatically, and Alertmanager is silent. Rollbacks are never held back.

A window is a `maintenance_started` event, which names its end; a `maintenance_ended` event ends it earlier. An Alertmanager that cannot be reached never
keeps a window from starting or ending: people get alerts that they could have been spared, and are told so.
"""

import json
import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import HTTPError

from tidegate.bars.bars import iso
from tidegate.errors import ConfigurationError, ServiceError
from tidegate.registry.events import Event, EventLedger

log = logging.getLogger(__name__)

EVERY: Final = ""
"""Name of the strategy of a window for all strategies."""
_LONGEST_MS: Final = 7 * 86_400_000
_LARGEST_ANSWER: Final = 100_000


@dataclass(frozen=True, slots=True)
class Window:
    """A maintenance window. Times are UTC ms.

    Attributes:
        id: its subject in the event ledger.
        strategy: whose it is; empty for all strategies.
        models: names under which the strategy's models are registered and served: its own, or one a symbol.
        started_at, until: from when to when.
        actor: who started it.
        reason: why.
        silence: id of Alertmanager's silence, None where there is none.
        warnings: what went wrong with Alertmanager.
    """

    id: str
    strategy: str
    started_at: int
    until: int
    actor: str
    reason: str
    silence: str | None
    warnings: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def covers(self, model: str) -> bool:
        """Whether it is about a model."""
        return self.strategy in {model, EVERY} or model in self.models


class Alertmanager:
    """Silences of an Alertmanager, by its API version 2.

    Args:
        address: such as http://127.0.0.1:9093; a user name and password in it are sent as basic authentication and shown to nobody.
        timeout_s: before it counts as not reachable.

    Attributes:
        address: without user name and password, for messages.
    """

    def __init__(self, address: str, timeout_s: float) -> None:
        parts = urlsplit(address)
        user, _, host = parts.netloc.rpartition("@")
        self.address = urlunsplit(parts._replace(netloc=host)).rstrip("/")
        self._headers = urllib3.make_headers(basic_auth=unquote(user)) if user else {}
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=timeout_s))

    def silence(self, strategies: Sequence[str], starts_at: int, ends_at: int, actor: str, comment: str) -> str:
        """Make a silence over the alerts of these names, or over all but the dead man's switch where none is named, and return its id.

        Raises:
            ServiceError: it cannot be reached, or refuses.
        """
        body = {
            "matchers": _matchers(strategies),
            "startsAt": iso(starts_at),
            "endsAt": iso(ends_at),
            "createdBy": actor,
            "comment": comment,
        }
        found = self._call("POST", "/api/v2/silences", body)
        name = found.get("silenceID") if isinstance(found, dict) else None
        if not isinstance(name, str) or not name:
            raise ServiceError(f"Alertmanager at {self.address} named no silence", actual=found)
        return name

    def expire(self, silence: str) -> None:
        """End a silence.

        Raises:
            ServiceError: it cannot be reached, or does not know it.
        """
        self._call("DELETE", f"/api/v2/silence/{silence}", None)

    def _call(self, method: str, path: str, body: object) -> Any:  # noqa: ANN401  any JSON value
        try:
            reply = self._http.request(
                method, self.address + path, json=body, headers=self._headers, redirect=False, preload_content=False
            )
            content = reply.read(_LARGEST_ANSWER)
            reply.release_conn()
        except (HTTPError, OSError) as error:
            raise ServiceError(
                f"Alertmanager at {self.address} could not be reached",
                actual=str(error)[:200],
                setting="notify.alertmanager_url",
            ) from error
        if reply.status != 200:
            raise ServiceError(
                f"Alertmanager at {self.address} refused", expected=200, actual=(reply.status, content[:200])
            )
        try:
            return json.loads(content) if content.strip() else None
        except ValueError as error:
            raise ServiceError(f"Alertmanager at {self.address} answered no JSON", actual=content[:200]) from error


def start(
    events: EventLedger,
    strategy: str,
    *,
    until: int,
    actor: str,
    reason: str,
    alertmanager: Alertmanager | None = None,
    models: Sequence[str] = (),
) -> Window:
    """Start a window.

    Args:
        events: the event ledger; its clock says when the window starts.
        strategy: whose it is; empty for all strategies.
        models: names of the strategy's models, where they are not its own.
        until: UTC ms, in the future and within a week.
        actor: who starts it.
        reason: why.
        alertmanager: where a silence is made; None makes none.

    Raises:
        ConfigurationError: the end is not in the future or further away than a week, or there is no reason.
        LedgerError: the event ledger cannot be written; a silence that was made is taken back.
    """
    now = events.database.clock()
    if not now < until <= now + _LONGEST_MS:
        raise ConfigurationError("a maintenance window ends in the future, within a week", actual=iso(until))
    if not reason.strip():
        raise ConfigurationError("a maintenance window needs a reason")
    silence, warnings = None, []
    if alertmanager is not None:
        try:
            names = tuple(models) or ((strategy,) if strategy else ())
            silence = alertmanager.silence(names, now, until, actor, reason)
        except ServiceError as error:
            warnings.append(f"alerts are not silenced: {error}")
    subject = f"{strategy or 'all'}/{uuid.uuid4().hex[:12]}"
    content: dict[str, Any] = {"until": until, "reason": reason.strip(), "silence": silence, "warnings": warnings}
    content |= {"models": list(models)} if models else {}
    try:
        written = events.append("maintenance_started", strategy=strategy, subject=subject, actor=actor, content=content)
    except BaseException:
        _take_back(alertmanager, silence)
        raise
    assert written is not None
    return _window(written)


def end(
    events: EventLedger, window: Window, *, actor: str, reason: str, alertmanager: Alertmanager | None = None
) -> list[str]:
    """End a window and its silence; returns warnings. Twice equals once.

    Raises:
        LedgerError: the event ledger cannot be written.
    """
    warnings = []
    if window.silence is not None:
        if alertmanager is None:
            warnings.append(f"silence {window.silence} was left: notify.alertmanager_url is not set any more")
        else:
            try:
                alertmanager.expire(window.silence)
            except ServiceError as error:
                warnings.append(f"silence {window.silence} was left until {iso(window.until)}: {error}")
    content = {"reason": reason, "warnings": warnings}
    events.append(
        "maintenance_ended", strategy=window.strategy, subject=window.id, actor=actor, content=content, once=True
    )
    return warnings


def windows(events: EventLedger, now_ms: int) -> list[Window]:
    """Windows that are under way, oldest first."""
    rows = events.rows(kinds=("maintenance_started", "maintenance_ended"))
    ended = {row.subject for row in rows if row.kind == "maintenance_ended"}
    started = [_window(row) for row in rows if row.kind == "maintenance_started" and row.subject not in ended]
    return [window for window in started if now_ms < window.until]


def active(events: EventLedger, strategy: str, now_ms: int) -> Window | None:
    """The window under way that covers a model, the one that lasts longest where there are several; None where there is none."""
    found = [window for window in windows(events, now_ms) if window.covers(strategy)]
    return max(found, key=lambda window: window.until, default=None)


def _take_back(alertmanager: Alertmanager | None, silence: str | None) -> None:
    if alertmanager is None or silence is None:
        return
    try:
        alertmanager.expire(silence)
    except ServiceError as error:
        log.warning("silence %s was left: %s", silence, error)


def _matchers(strategies: Sequence[str]) -> list[dict[str, Any]]:
    if len(strategies) == 1:
        return [{"name": "strategy", "value": strategies[0], "isRegex": False, "isEqual": True}]
    if strategies:
        value = "|".join(re.escape(name) for name in strategies)
        return [{"name": "strategy", "value": value, "isRegex": True, "isEqual": True}]
    # Alertmanager refuses a silence that could match nothing but emptiness, so every alert is named first.
    return [
        {"name": "alertname", "value": ".+", "isRegex": True, "isEqual": True},
        {"name": "alertname", "value": "Watchdog", "isRegex": False, "isEqual": False},
    ]


def _window(event: Event) -> Window:
    content = event.content
    return Window(
        id=event.subject,
        strategy=event.strategy,
        started_at=event.created_at,
        until=int(content["until"]),
        actor=event.actor,
        reason=str(content["reason"]),
        silence=content.get("silence"),
        warnings=tuple(content.get("warnings", ())),
        models=tuple(content.get("models", ())),
    )
