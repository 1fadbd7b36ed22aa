"""A service that does what a request's body says, behind the real border: `python -m tests.integration.serving.http.stand_in`.

It stands where `tidegate.serving.service.Service` does, which needs a registry and a model. Settings come from the environment.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tidegate.serving.http.process_log import log_to_stderr
from tidegate.serving.http.server import Address, run
from tidegate.serving.messages import Heartbeat
from tidegate.serving.metrics import Metrics
from tidegate.serving.problems import Problem
from tidegate.serving.reply import Readiness, Reply
from tidegate.settings.loading import load_settings
from tidegate.settings.settings import Settings

LOADED = {
    "version": 1,
    "bundle_digest": "0" * 64,
    "kind": "simulated",
    "symbols": ["SIM/USD"],
    "interval": "15m",
    "lookback": 24,
    "features": 9,
    "policy": {"long_at": 0.6},
    "created_at": 1,
    "expires_at": 2,
    "loaded_at": 1,
    "signed_by": None,
    "origin": "registry",
}


class StandIn:
    """Answers with what it was asked, after `sleep_s`; with `problem` or `fail` it refuses or fails."""

    def __init__(self) -> None:
        self.ended = False
        self.seen: dict[str, Heartbeat] = {}

    async def predict(self, body: bytes, request_id: str, key_id: str) -> Reply:
        try:
            asked = json.loads(body)
        except ValueError as error:
            raise Problem("malformed", "not JSON") from error
        if not isinstance(asked, dict):
            raise Problem("malformed", "not an object")
        await asyncio.sleep(asked.get("sleep_s", 0))
        if "problem" in asked:
            raise Problem(asked["problem"], "as asked")
        if "fail" in asked:
            raise RuntimeError("the inside: /etc/secret")
        told = {"request_id": request_id, "key": key_id, "bytes": len(body)}
        return Reply(200, json.dumps(told).encode(), {})

    def check(self, body: bytes, request_id: str) -> Reply:
        asked = json.loads(body)
        if "problem" in asked:
            raise Problem(asked["problem"], "as asked")
        if "refused" in asked:
            return Reply(409, Problem(asked["refused"], "as asked").to_bytes(request_id))
        told = {"request_id": request_id, "instance": "stand-in", "strategy": "stand-in", "answered_at": 1}
        return Reply(200, json.dumps({**told, "logged": False, "answers": []}).encode())

    def model(self) -> Sequence[Mapping[str, Any]]:
        nothing = dict.fromkeys(("halted", "refused", "registry_reached_at", "before", "challenger"))
        return [{"strategy": "stand-in", "production": LOADED, "notes": {}, **nothing}]

    def readiness(self) -> Readiness:
        return Readiness(not self.ended, ["stopping"] if self.ended else [], [])

    async def reload(self) -> Sequence[Mapping[str, Any]]:
        return []

    def heartbeat(self, heartbeat: Heartbeat, key_id: str) -> None:
        del key_id
        self.seen[heartbeat.bot] = heartbeat

    def bots(self) -> Sequence[Mapping[str, Any]]:
        return []

    async def start(self) -> None:
        pass

    def stopping(self) -> None:
        self.ended = True

    async def stop(self) -> None:
        pass


def make(_settings: Settings, _instance: str, _metrics: Metrics) -> StandIn:
    return StandIn()


def say(address: Address) -> None:
    print(address.url, flush=True)  # noqa: T201  the first line of standard output is for the test that started it


if __name__ == "__main__":
    log_to_stderr()
    run(load_settings(), make, announce=say)
