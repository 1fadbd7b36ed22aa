"""The client behind JSON lines on standard input and output, for the conformance kit: `python -m tidegate.client.driver`.

One object a line is asked, one is answered; see `clients/conformance/README.md`. The clock is a fixed one, which each question sets.
"""

import json
import sys
from collections.abc import Callable
from typing import IO, Any

import msgspec

from tidegate.client.client import Client
from tidegate.client.config import Config
from tidegate.errors import ConfigurationError

_NOT_FINITE = {name: float(name) for name in ("NaN", "Infinity", "-Infinity")}


class FixedClock:
    """Says what it was told, UTC ms."""

    def __init__(self) -> None:
        self.now_ms = 0

    def at(self, closed_at: int) -> int:
        """The time that was told."""
        del closed_at
        return self.now_ms

    def now(self) -> int:
        """The time that was told."""
        return self.now_ms


class Driver:
    """Carries out what is asked; at most one client is open."""

    def __init__(self) -> None:
        self._clock = FixedClock()
        self._client: Client | None = None
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "open": self._open,
            "decide": self._decide,
            "state": lambda _: {"state": msgspec.to_builtins(self._opened().state())},
            "poll": lambda _: {"health": self._opened().poll_now()},
            "heartbeat": lambda _: {"sent": self._opened().heartbeat_now()},
            "metrics": lambda _: {"text": self._opened().metrics_text()},
            "close": self._close,
        }

    def answer(self, line: str) -> dict[str, Any]:
        """The answer to one line; `error` where it cannot be carried out."""
        try:
            asked = json.loads(line)
            operation = self._operations.get(asked.get("op"))
            if operation is None:
                return {"error": f"unknown op {asked.get('op')!r}; known are {', '.join(self._operations)}"}
            return operation(asked)
        except Exception as error:  # noqa: BLE001  the border: a bad line must not end the driver
            return {"error": f"{type(error).__name__}: {error}"}

    def end(self) -> None:
        """Close what is open."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.end()
        try:
            config = Config.of(asked["config"], environment=asked.get("environment"), api_key=asked.get("api_key"))
            self._client = Client(config, clock=self._clock)
        except ConfigurationError as error:
            return {"refused": error.setting, "message": error.what}
        return {"opened": True}

    def _decide(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._clock.now_ms = asked["now_ms"]
        bars = {name: _numbers(column) for name, column in asked["bars"].items()}
        position = asked.get("position")
        held = None if position is None else {name: _number(value) for name, value in position.items()}
        return {"decision": msgspec.to_builtins(self._opened().decide(asked["symbol"], bars, held))}

    def _close(self, _: dict[str, Any]) -> dict[str, Any]:
        self.end()
        return {"closed": True}

    def _opened(self) -> Client:
        if self._client is None:
            raise RuntimeError("no client is open")
        return self._client


def _numbers(column: Any) -> Any:  # noqa: ANN401  any JSON value; the client is to judge it
    return [_number(value) for value in column] if isinstance(column, list) else column


def _number(value: Any) -> Any:  # noqa: ANN401  any JSON value
    return _NOT_FINITE.get(value, value) if isinstance(value, str) else value


def run(asked: IO[str], told: IO[str]) -> None:
    """Answer line by line until the input ends."""
    driver = Driver()
    try:
        for line in asked:
            if line.strip():
                told.write(json.dumps(driver.answer(line), allow_nan=False) + "\n")
                told.flush()
    finally:
        driver.end()


if __name__ == "__main__":
    run(sys.stdin, sys.stdout)
