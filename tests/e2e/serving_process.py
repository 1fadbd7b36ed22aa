"""A real serving process and a bot that trades by its answers, for the stories."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from tidegate.bars.bars import COLUMNS, Bars


class Serving:
    """`python -m tidegate.serving` of its own folder, ready; a context manager.

    Args:
        folder: where its cache, its log (`log/`) and its output lie.
        registry: MLflow's address.
        port: to listen on.
        strategy: to serve.
        instance: its name.
        changes: further settings of `serving`.
    """

    def __init__(
        self, folder: Path, registry: str, port: int, strategy: str, instance: str = "one", **changes: object
    ) -> None:
        names: dict[str, object] = {
            "strategies": strategy,
            "registry_uri": registry,
            "port": port,
            "clock": "bars",
            "allow_unsigned": "true",
            "cache": folder / f"serving-cache-{instance}",
            "log_folder": folder / "log",
            "instance": instance,
            "expected_rps": 10_000,
        }
        own = {f"TIDEGATE_SERVING__{name.upper()}": str(value) for name, value in (names | changes).items()}
        self.port = port
        self.output = folder / f"serving-{instance}.log"
        self.environment = {**os.environ, "TIDEGATE_ROOT": str(folder), **own}

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tidegate.serving"], env=self.environment, stdout=output, stderr=output
            )
        deadline = time.monotonic() + 60
        while get(self.port, "/readyz") != 200:
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) in {0, -signal.SIGKILL}, self.output.read_text()


def get(port: int, path: str) -> int:
    """The status of a GET, 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Bot:
    """Sends a window once and then each new bar, and holds what it was told to hold, filled at the next open."""

    def __init__(self, port: int, symbol: str, lookback: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.symbol, self.lookback = symbol, lookback
        self.side, self.entry, self.held, self.wanted = 0, 0.0, 0, 0
        self.answers: list[dict[str, Any]] = []

    def see(self, bars: Bars, row: int) -> dict[str, Any]:
        """Ask about one bar; returns the answer."""
        if self.wanted != self.side:
            self.side, self.entry, self.held = self.wanted, float(bars.open[row]), 0
        self.held += self.side != 0
        first = not self.answers
        new = bars.take(slice(row + 1 - self.lookback, row + 1) if first else slice(row, row + 1))
        item: dict[str, Any] = {
            "symbol": self.symbol,
            "bars": {name: getattr(new, name).tolist() for name in COLUMNS},
            "position": {"side": self.side, "entry_price": self.entry, "bars_held": self.held},
        }
        if not first:
            item["after"] = int(bars.opened_at[row - 1])
        self.connection.request(
            "POST", "/v1/predict", json.dumps({"items": [item]}), {"Content-Type": "application/json"}
        )
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        found: dict[str, Any] = json.loads(body)["answers"][0]
        self.wanted = found["target_position"] or 0
        self.answers.append(found)
        return found
