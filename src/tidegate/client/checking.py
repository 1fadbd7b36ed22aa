"""A look at everything before the first bar: settings, network, key, model, interval, version, clock, heartbeat."""

import asyncio
import email.utils
import time
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from tidegate.client.asking import MODEL
from tidegate.client.clock import SystemClock
from tidegate.client.config import Config
from tidegate.client.decision import shortened
from tidegate.client.messages import Heartbeat, LoadedModel, Ready, Served
from tidegate.client.transport import Failure, Reply, Transport
from tidegate.errors import ConfigurationError

_RESOLUTION_MS: Final = 1000
"""The header `Date` has whole seconds."""
_T = TypeVar("_T")


class Checked(msgspec.Struct, frozen=True):
    """One thing that was looked at; `next_step` says what to do where it is not as it should be."""

    name: str
    passed: bool
    detail: str
    next_step: str | None


class Check(msgspec.Struct, frozen=True):
    """Everything that was looked at, in the contract's order; one that did not pass fails it."""

    passed: bool
    checked: list[Checked]


def check(config: Callable[[], Config]) -> Check:
    """Look at everything that the settings name; sends one heartbeat.

    Args:
        config: gives the settings, such as `Config.load` of a path; that they are refused is a finding.
    """
    try:
        settings = config()
        transport = Transport(settings)
    except ConfigurationError as error:
        return _told([_fail("settings", f"{error.setting}: {error.what}", "mend this setting and check again")])
    return asyncio.run(_check(settings, transport))


async def _check(config: Config, transport: Transport) -> Check:
    found = [_pass("settings", f"{config.bot} for {config.strategy} at {config.url}")]
    limit_s = max(config.health.timeout_ms, config.deadline.attempt_ms) / 1000
    try:
        sent_at = SystemClock().now()
        alive = await _get(transport, "/healthz", limit_s)
        received_at = SystemClock().now()
        found.append(_network(alive, config))
        if found[-1].passed:
            found.append(_ready(await _get(transport, "/readyz", limit_s)))
            found += _described(await _get(transport, MODEL, limit_s), config)
            if config.clock == "system":
                found.append(_clock(alive, config, sent_at, received_at))
            found.append(await _heartbeat(transport, config, limit_s))
    finally:
        await transport.close()
    return _told(found)


async def _get(transport: Transport, path: str, limit_s: float) -> Reply | Failure:
    try:
        return await transport.get(path, limit_s)
    except Failure as failure:
        return failure


def _network(alive: Reply | Failure, config: Config) -> Checked:
    if isinstance(alive, Failure):
        return _fail("network", alive.detail, "see whether the service runs, and whether a firewall stands between")
    if alive.status != 200:
        step = "see whether `url` is the service's address, and no other program's"
        return _fail("network", f"/healthz answers {alive.status}", step)
    return _pass("network", f"{config.url} answers")


def _ready(reply: Reply | Failure) -> Checked:
    if isinstance(reply, Failure):
        return _fail("ready", reply.detail, "check again; look into the service's log")
    if reply.status == 200:
        return _pass("ready", "requests may be sent")
    told = _decoded(reply.body, Ready)
    reasons = "" if told is None else "; ".join(told.reasons)
    return _fail(
        "ready", reasons or f"/readyz answers {reply.status}", "wait until the service is ready, or look into its log"
    )


def _described(reply: Reply | Failure, config: Config) -> list[Checked]:
    """What `GET /v1/model` tells: whether the key is taken, and whether the model is one for this bot."""
    if isinstance(reply, Failure):
        return [_fail("key", reply.detail, "check again; look into the service's log")]
    if reply.status != 200:
        step = "look into the service's log"
        if reply.status in {401, 403}:
            step = "give a key with the scope `predict` in api_key_file; `tidegate keys api new` makes one"
        return [_fail("key", f"{MODEL} answers {reply.status}", step)]
    return [_pass("key", "the service takes it"), *_model(_decoded(reply.body, list[Served]), config)]


def _model(everything: list[Served] | None, config: Config) -> list[Checked]:
    if everything is None:
        step = "see whether the service's version fits this client's"
        return [_fail("model", f"{MODEL} is not what it should be", step)]
    served = next((one for one in everything if one.strategy == config.strategy), None)
    if served is None:
        names = ", ".join(one.strategy for one in everything)
        step = "mend `strategy`, or add it to serving.strategies of the service"
        return [_fail("model", f"{config.strategy} is not served; served are {names or 'none'}", step)]
    if served.halted is not None:
        return [_fail("model", f"halted: {served.halted}", "mend the cause, then `tidegate resume`")]
    if served.production is None:
        return [_fail("model", "no model is in production", "promote one: `tidegate promote`")]
    return _about(served.production, config)


def _about(model: LoadedModel, config: Config) -> list[Checked]:
    if config.clock == "system" and SystemClock().now() >= model.expires_at:
        expired = f"v{model.version} expired at {model.expires_at}"
        found = [_fail("model", expired, "retrain and promote a newer one")]
    else:
        detail = f"v{model.version} is in production, {model.lookback} bars of {model.interval}"
        found = [_pass("model", detail)]
    if model.interval == config.interval:
        found.append(_pass("interval", config.interval))
    else:
        detail = f"the model's is {model.interval}, the bot's {config.interval}"
        found.append(_fail("interval", detail, "mend `interval`, and give the bot such bars"))
    answers = config.answers
    allowed = model.version in (answers.versions or [model.version])
    if allowed and model.bundle_digest in (answers.bundle_digests or [model.bundle_digest]):
        found.append(_pass("version", f"v{model.version} may answer"))
    else:
        step = "mend answers.versions and answers.bundle_digests, or roll back"
        found.append(_fail("version", f"v{model.version} ({model.bundle_digest}) may not answer", step))
    return found


def _clock(alive: Reply | Failure, config: Config, sent_at: int, received_at: int) -> Checked:
    """How far the service's clock is from this one's while the request was under way: a slow answer is no skew."""
    date = alive.date if isinstance(alive, Reply) else None
    try:
        there = int(email.utils.parsedate_to_datetime(date or "").timestamp() * 1000)
    except (ValueError, OverflowError):
        step = "see whether a proxy takes the header `Date` away"
        return _fail("clock", "the answer has no date that can be read", step)
    # This clock may have been set back meanwhile.
    skew = max(min(sent_at, received_at), min(there, received_at)) - there
    if abs(skew) <= config.answers.max_clock_skew_ms + _RESOLUTION_MS:
        return _pass("clock", f"{skew} ms from the service's, in whole seconds")
    return _fail("clock", f"{skew} ms from the service's", "mend time synchronisation on whichever is wrong")


async def _heartbeat(transport: Transport, config: Config, limit_s: float) -> Checked:
    now = SystemClock().now()
    message = Heartbeat(config.bot, config.strategy, None, None, "closed", {}, config.dry_run, now)
    try:
        name = f"{config.bot[:40]}-check-{time.monotonic_ns() & 0xFFFF:04x}"
        reply = await transport.post("/v1/bots/heartbeat", msgspec.json.encode(message), name, limit_s)
    except Failure as failure:
        return _fail("heartbeat", failure.detail, "check again; look into the service's log")
    if reply.status == 204:
        return _pass("heartbeat", "the service takes it")
    step = "see the key's scope, `strategy`, and serving.max_bots of the service"
    return _fail("heartbeat", f"the service answers {reply.status}", step)


def _decoded(body: bytes, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _told(found: list[Checked]) -> Check:
    return Check(all(one.passed for one in found), found)


def _pass(name: str, detail: str) -> Checked:
    return Checked(name, passed=True, detail=shortened(detail), next_step=None)


def _fail(name: str, detail: str, next_step: str) -> Checked:
    return Checked(name, passed=False, detail=shortened(detail), next_step=next_step)
