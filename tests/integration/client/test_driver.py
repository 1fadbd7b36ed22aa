"""The driver's protocol, over its real standard input and output."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.client.scripted import Scripted
from tests.unit.client.records import HOUR_MS, START_MS, bars, settings

ROOT = Path(__file__).parents[3]
CLOSED_AT = START_MS + 5 * HOUR_MS


def driven(*asked: object) -> list[dict[str, Any]]:
    """The answers to some lines."""
    lines = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in asked)
    command = [sys.executable, "-W", "error", "-m", "tidegate.client.driver"]
    done = subprocess.run(command, cwd=ROOT, input=lines, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_whole_session(service: Scripted) -> None:
    opened = {"op": "open", "config": settings(url=service.url), "api_key": "tg-key"}
    asked = {"op": "decide", "symbol": "SIM/USD", "bars": bars(), "position": None, "now_ms": CLOSED_AT}
    nan = {**bars(), "close": [*bars()["close"][:-1], "NaN"]}
    told = driven(
        opened,
        asked,
        {**asked, "bars": nan},
        {**asked, "position": {"side": 1, "entry_price": "Infinity", "bars_held": 1}},
        {**asked, "now_ms": CLOSED_AT + 2 * HOUR_MS},
        {"op": "state"},
        {"op": "poll"},
        {"op": "heartbeat"},
        {"op": "metrics"},
        {"op": "close"},
        {"op": "state"},
        opened,
        asked,
    )
    first, *fallbacks = (one["decision"] for one in told[1:5])
    assert told[0] == told[11] == {"opened": True}
    assert (first["source"], first["target"], first["decided_at"]) == ("model", 1, CLOSED_AT)
    assert [one["reason"] for one in fallbacks] == ["window_refused", "position_refused", "stale_bars"]
    assert told[5]["state"]["decisions"] == {"model": 1, "fallback": 3}
    assert told[6:8] == [{"health": "ready"}, {"sent": True}]
    assert "tidegate_client_decisions_total" in told[8]["text"]
    assert told[9] == {"closed": True}
    assert "no client is open" in told[10]["error"]
    assert told[12]["decision"]["source"] == "model"
    assert {asked.headers.get("authorization") for asked in service.asked} == {"Bearer tg-key"}


def test_what_is_wrong_is_told_and_ends_nothing() -> None:
    told = driven(
        "no json",
        {"op": "dance"},
        {"op": "open", "config": settings(retry={"attempts": 0})},
        {"op": "open", "config": {**settings(), "api_key": "x"}},
        {"op": "open"},
        {"op": "close"},
    )
    assert "error" in told[0]
    assert "dance" in told[1]["error"]
    assert told[2]["refused"] == "retry.attempts"
    assert told[2]["message"]
    assert told[3]["refused"] == "api_key"
    assert "error" in told[4]
    assert told[5] == {"closed": True}
