"""Plays a case: opens a client against a server of its own, takes the steps one by one, and says what was not as expected."""

import asyncio
import socket
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import judging
import market
from driving import Driver, DriverFailed
from judging import differences
from market import Json
from replies import Scene
from server import HOST, ScriptedServer

ANSWER_TIMEOUT_S = 5.0
POLL_S = 0.02
# Long where time is not the subject, so that a busy machine changes nothing; cases about time set their own.
CONFIG: Json = {
    "strategy": market.STRATEGY,
    "interval": "1m",
    "bot": "kit-bot",
    "deadline": {"decide_ms": 3000, "attempt_ms": 1500, "connect_ms": 1000},
    "retry": {"attempts": 3, "backoff_ms": 5, "backoff_max_ms": 10},
    "breaker": {"failures": 3, "open_ms": 300_000, "open_max_ms": 300_000},
    "health": {"poll_ms": 0, "timeout_ms": 1000},
    "heartbeat": {"every_ms": 0},
}
KEY = "kit-key-1"
STEPS = (
    "decide",
    "wait_ms",
    "poll",
    "heartbeat",
    "state",
    "until",
    "heard",
    "metrics",
    "scrape",
    "lines",
    "service",
    "describe",
    "open",
)


class Play:
    """One case with its server, its folder and its client."""

    def __init__(self, case: Json, driver: Driver) -> None:
        self._case, self._driver = case, driver
        self._scene = Scene(market.merged(market.served(), case.get("model", {})), market.opened_at(0))
        self._server = ScriptedServer(self._scene)
        self._given = case.get("key", KEY)
        self._key = case.get("sends", self._given)
        self._config: Json = {}
        self._folder = Path()
        self._seen = 0
        self._request_ids: set[Any] = set()

    async def failures(self) -> list[str]:
        """What was not as expected, in the steps' order; nothing after the first step that failed is looked at."""
        with tempfile.TemporaryDirectory(prefix="tidegate-kit-") as folder:
            self._folder = Path(folder)
            for name, text in self._case.get("files", {}).items():
                (self._folder / name).write_text(text)
            await self._server.up()
            try:
                return await self._play()
            except DriverFailed as failed:
                return [str(failed)]
            finally:
                await self._server.end()

    async def _play(self) -> list[str]:
        self._config = market.merged(
            CONFIG | {"url": f"http://{HOST}:{self._server.port}"}, self._case.get("config", {})
        )
        if "metrics" in self._config:
            self._config["metrics"] = self._filled(self._config["metrics"])
        if not self._case.get("opens", True):
            return await self._steps()
        opened = await self._open(self._config, self._given)
        if opened.get("opened") is not True:
            return [f"open: expected a client, came {opened}"]
        found = await self._steps()
        closed = await self._ask("close")
        return found or differences("close", {"closed": True}, closed)

    async def _steps(self) -> list[str]:
        for number, step in enumerate(self._case["steps"]):
            found = await self._step(step)
            if found:
                kind = next(name for name in STEPS if name in step)
                return [f"step {number + 1} ({kind}): {one}" for one in found]
        return []

    async def _open(self, config: Json, key: str | None, environment: Json | None = None) -> Json:
        # Drivers that have not heard of it need it for few cases only.
        more: Json = {"environment": environment} if environment else {}
        return await self._ask("open", config=self._filled(config), api_key=key, **more)

    def _filled(self, value: Any) -> Any:  # noqa: ANN401 -- any JSON value
        """Settings with the case's folder and addresses filled in; null takes a setting out."""
        if isinstance(value, dict):
            return {name: self._filled(one) for name, one in value.items() if one is not None}
        if isinstance(value, str):
            taken = f"{HOST}:{self._server.port}"
            value = value.replace("{folder}", str(self._folder)).replace("{taken}", taken)
            return value.replace("{free}", f"{HOST}:{_free_port()}") if "{free}" in value else value
        return value

    async def _ask(self, op: str, timeout_s: float = ANSWER_TIMEOUT_S, **fields: Any) -> Json:  # noqa: ANN401
        return await self._driver.ask(op, timeout_s, **fields)

    async def _step(self, step: Json) -> list[str]:
        self._server.script = {route: [dict(one) for one in specs] for route, specs in step.get("replies", {}).items()}
        self._seen = len(self._server.requests)
        kind = next(name for name in STEPS if name in step)
        take: Callable[[Any, Json], Any] = getattr(self, f"step_{kind}")
        found: list[str] = await take(step[kind], step)
        found += self._server.errors
        for request in self._server.requests[self._seen :]:
            found += judging.request_errors(request, self._key)
            if request.route == "heartbeat":
                found += judging.heartbeat_errors(request)
        return found

    def _came(self, route: str) -> list[Any]:
        return [request for request in self._server.requests[self._seen :] if request.route == route]

    async def step_decide(self, asked: Json, step: Json) -> list[str]:
        """A decision, and everything that must hold of it and of its requests."""
        bars = market.bars(asked["bars"])
        symbol, position = asked.get("symbol", market.SYMBOL), asked.get("position")
        newest = max((at for at in bars["opened_at"] if isinstance(at, int)), default=market.opened_at(0))
        now_ms = newest + market.INTERVAL_MS + asked.get("after_close_ms", 1000)
        self._scene.now_ms, self._scene.bars = now_ms, bars
        began = time.monotonic()
        limit_s = self._config["deadline"]["decide_ms"] / 1000
        answer = await self._ask(
            "decide", ANSWER_TIMEOUT_S + limit_s, symbol=symbol, bars=bars, position=position, now_ms=now_ms
        )
        wall_ms = (time.monotonic() - began) * 1000
        decision = answer.get("decision")
        if not isinstance(decision, dict):
            return [f"expected a decision, came {answer}"]
        found = judging.decision_errors(decision, self._config, now_ms, symbol, wall_ms)
        if found:
            return found
        found = self._expected(step["expect"], decision)
        return found + self._requests(step, decision, bars, symbol, position)

    def _expected(self, expect: Json, decision: Json) -> list[str]:
        """What the case says of the decision, with what goes without saying."""
        wanted: Json = {"attempts": 1, "breaker": "closed"}
        if expect.get("source") == "model":
            wanted |= {"version": self._scene.described["production"]["version"], "reason": None}
        elif expect.get("source") != "halt":
            wanted |= {"source": "fallback", "fallback": "flat", "target": 0}
        wanted |= expect
        if "detail_contains" in wanted:
            wanted["detail"] = {"contains": wanted.pop("detail_contains")}
        found = []
        for name, value in wanted.items():
            found += differences(f"decision.{name}", value, decision[name])
        if found and decision["detail"]:
            found.append(f"(the decision's detail: {decision['detail']})")
        return found

    def _requests(self, step: Json, decision: Json, bars: Json, symbol: str, position: Json | None) -> list[str]:
        """What is wrong with the requests of a decision, and where their number or windows differ from the case."""
        asked, expected = self._came("predict"), step.get("asked", {})
        described = self._scene.described
        # Nobody looks at the bars of a halted strategy.
        lookback = None if described["halted"] else described["production"] and described["production"]["lookback"]
        found = []
        for request in asked:
            found += judging.question_errors(request, bars, symbol, position, lookback)
        ids = [(request.json() or {}).get("request_id") for request in asked]
        if ids and decision["request_id"] != ids[-1]:
            found.append(f"decision.request_id: expected the last request's ({ids[-1]}), came {decision['request_id']}")
        if self._request_ids.intersection(ids):
            found.append(f"predict.request_id: {ids} was used by an earlier decision")
        self._request_ids.update(ids)
        if decision["attempts"] < len(asked) or (not step.get("unseen") and decision["attempts"] != len(asked)):
            found.append(f"decision.attempts: {len(asked)} requests came, the decision says {decision['attempts']}")
        windows = expected.get("predict")
        if windows is not None and len(windows) != len(asked):
            found.append(f"predict: expected {len(windows)} requests, came {len(asked)}")
        elif windows is not None:
            for number, (window, request) in enumerate(zip(windows, asked, strict=True)):
                found += judging.window_errors(f"predict request {number + 1}", window, request)
        for route in expected.keys() - {"predict"}:
            found += differences(f"requests for {route}", expected[route], len(self._came(route)))
        return found

    async def step_wait_ms(self, milliseconds: int, _: Json) -> list[str]:
        """Time passes."""
        await asyncio.sleep(milliseconds / 1000)
        return []

    async def step_poll(self, expected: str, _: Json) -> list[str]:
        """A look at the service, by order."""
        return differences("health", expected, (await self._ask("poll")).get("health"))

    async def step_heartbeat(self, expected: bool, step: Json) -> list[str]:
        """A sign of life, by order."""
        found = differences("sent", expected, (await self._ask("heartbeat")).get("sent"))
        return found + self._last_heartbeat(step)

    def _last_heartbeat(self, step: Json) -> list[str]:
        if "body" not in step:
            return []
        came = self._came("heartbeat")
        return differences("heartbeat", step["body"], came[-1].json()) if came else ["expected a heartbeat, none came"]

    async def step_state(self, expected: Json, _: Json) -> list[str]:
        """What the client says of itself."""
        return differences("state", expected, (await self._ask("state")).get("state"))

    async def step_until(self, expected: Json, step: Json) -> list[str]:
        """The same, when the background has had some time."""

        async def look() -> list[str]:
            return await self.step_state(expected, step)

        return await _eventually(look, step)

    async def step_heard(self, expected: Json, step: Json) -> list[str]:
        """Requests by route that came in the background: since this step began, or since the case did."""
        if step.get("since") == "start":
            self._seen = 0

        async def look() -> list[str]:
            found = []
            for route, count in expected.items():
                found += differences(f"requests for {route}", count, len(self._came(route)))
            return found or self._last_heartbeat(step)

        return await _eventually(look, step)

    async def step_metrics(self, expected: list[Json], _: Json) -> list[str]:
        """The client's metrics, as it tells them."""
        return judging.sample_errors(str((await self._ask("metrics")).get("text")), expected)

    async def step_scrape(self, expected: list[Json], _: Json) -> list[str]:
        """The client's metrics, as it serves them."""

        def get() -> str:
            with urllib.request.urlopen(f"http://{self._config['metrics']['address']}/metrics", timeout=3) as answer:
                return str(answer.read().decode())

        try:
            return judging.sample_errors(await asyncio.to_thread(get), expected)
        except OSError as error:
            return [f"/metrics of the client cannot be read: {error}"]

    async def step_lines(self, expected: Json, step: Json) -> list[str]:
        """How many lines a file of the client has in the end."""

        async def look() -> list[str]:
            found = []
            for name, count in expected.items():
                path = self._folder / name
                lines = path.read_text().splitlines() if path.exists() else []
                found += differences(f"lines of {name}", count, len(lines))
            return found

        return await _eventually(look, step)

    async def step_service(self, wanted: str, _: Json) -> list[str]:
        """The service goes down, comes up, or takes no connection more (deaf)."""
        await {"up": self._server.up, "down": self._server.down, "deaf": self._server.deaf}[wanted]()
        return []

    async def step_describe(self, changes: Json, _: Json) -> list[str]:
        """The service describes other models from now on."""
        self._scene.described = market.merged(self._scene.described, changes)
        return []

    async def step_open(self, tries: list[Json], _: Json) -> list[str]:
        """Settings that are refused, each by its name; and those that are not (`refused` is null)."""
        found = []
        for one in tries:
            config = market.merged(self._config, one["config"])
            answer = await self._open(config, self._given, one.get("environment"))
            named = answer.get("refused")
            if one.get("unsaid", "\0") in str(answer.get("message")):
                found.append(f"open with {one['config']}: {one['unsaid']!r} must not be told, came {answer}")
            if one["refused"] is None and answer.get("opened") is True:
                await self._ask("close")
            elif one["refused"] is None or answer.get("opened") is True or not answer.get("message"):
                found.append(f"open with {one['config']}: expected {one['refused'] or 'a client'}, came {answer}")
                if answer.get("opened"):
                    await self._ask("close")
            else:
                found += differences(f"open with {one['config']}: refused", one["refused"], named)
        return found


async def _eventually(look: Callable[[], Awaitable[list[str]]], step: Json) -> list[str]:
    """What is still not as expected when the step's time is over."""
    end = time.monotonic() + step.get("within_ms", 3000) / 1000
    while (found := await look()) and time.monotonic() < end:  # noqa: ASYNC110 -- the client is another process, without an event
        await asyncio.sleep(POLL_S)
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
