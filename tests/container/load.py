"""Clients that ask all the time, each on its own connection, and note every answer."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from tests.container.installation import INTERVAL_MS, Installation
from tests.meanwhile import meanwhile

from tidegate.bars.bars import COLUMNS, Bars

_PAUSE_S: Final = 0.02


@dataclass
class Answers:
    """What clients got: the ids of requests that were answered, with the version that answered; what failed; the newest version."""

    acknowledged: dict[str, int | None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    newest: int | None = None

    @property
    def versions(self) -> set[int | None]:
        return set(self.acknowledged.values())

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
        """Wait until something holds; a failed request ends the wait."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.failed == []
            assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s; versions seen: {self.versions}"
            time.sleep(0.02)


class Client:
    """One connection that is kept, as a bot has it."""

    def __init__(self, installation: Installation, port: int, key: str, lookback: int) -> None:
        self._installation = installation
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._lookback = lookback

    def ask(self, request_id: str, *, only_new: bool) -> dict[str, Any]:
        """Ask about the newest bar and return the answer; anything but 200 is an error."""
        window = self._installation.window(int(time.time() * 1000), self._lookback)
        item: dict[str, Any] = {"symbol": window.symbol, "bars": columns(window)}
        if only_new:
            newest = window.take(slice(len(window) - 1, None))
            item |= {"bars": columns(newest), "after": int(newest.opened_at[0]) - INTERVAL_MS}
        body = json.dumps({"items": [item], "request_id": request_id})
        self._connection.request("POST", "/v1/predict", body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:500].decode(errors='replace')}")
        decoded: dict[str, Any] = json.loads(content)
        return decoded

    def get(self, path: str) -> tuple[int, Any]:
        """The status and JSON of a page."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content)

    def close(self) -> None:
        self._connection.close()


def columns(bars: Bars) -> dict[str, list[float]]:
    """Bars as the request carries them."""
    return {name: getattr(bars, name).tolist() for name in COLUMNS}


@contextmanager
def load(installation: Installation, port: int, key: str, lookback: int, clients: int) -> Iterator[Answers]:
    """Clients that ask all the time until the block ends: one question in four sends the whole window, the others the newest bar."""
    answers, ending = Answers(), threading.Event()

    def ask_on(number: int) -> None:
        client = Client(installation, port, key, lookback)
        try:
            for count in itertools.count():
                if ending.is_set():
                    return
                name = f"client-{number}-{count}"
                answer = client.ask(name, only_new=count % 4 != 0)
                assert answer["request_id"] == name
                assert answer["logged"] is True
                answers.newest = answer["answers"][0]["version"]
                answers.acknowledged[name] = answers.newest
                time.sleep(_PAUSE_S)
        except Exception as error:  # noqa: BLE001  any failure of a client is what the test looks for
            answers.failed.append(f"{type(error).__name__}: {error}")
        finally:
            client.close()

    with meanwhile([partial(ask_on, number) for number in range(clients)], ending):
        yield answers
