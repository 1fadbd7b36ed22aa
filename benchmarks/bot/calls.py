"""What a call costs beside bare HTTP, and how late a decision is where nobody answers, of both clients."""

import http.client
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.cargo import CRATE, cargo, environment
from tests.e2e.bot import faults
from tests.e2e.bot.fault_proxy import FaultProxy
from tests.e2e.bot.paper_bot import HEADER, csv_line, toml
from tests.e2e.bot.trained import NAME, SYMBOL, Trained
from tests.e2e.serving_process import Serving
from tests.servers import free_port

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.client import Client, Config

WARM_UP = 50
# Nothing runs in the background and no breaker ends the measurement.
ALONE: dict[str, Any] = {
    "clock": "bars",
    "health": {"poll_ms": 0},
    "heartbeat": {"every_ms": 0},
    "breaker": {"failures": 1000},
}
BLACK_HOLE_DECIDE_MS = 250


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 99th percentile and maximum."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(*(round(float(value), 3) for value in (*np.percentile(values, [50, 99]), max(values))))


def release(*examples: str) -> dict[str, Path]:
    """Programs of the crate's examples, optimised."""
    chosen = [part for example in examples for part in ("--example", example)]
    command = [str(cargo()), "build", "--quiet", "--release", "--locked", "--all-features", *chosen]
    subprocess.run(command, cwd=CRATE, env=environment(), check=True, timeout=1800)
    folder = Path(environment()["CARGO_TARGET_DIR"]) / "release" / "examples"
    return {example: folder / example for example in examples}


@dataclass(frozen=True)
class Calls:
    """One question, asked again and again: a bar that the service knows.

    Args:
        market: with a version in production.
        folder: for files and the service.
        program: the crate's example `overhead`.
        calls: how many are measured.
    """

    market: Trained
    folder: Path
    program: Path
    calls: int

    @property
    def window(self) -> Bars:
        """The bars that each decision is given."""
        start = self.market.rows.start
        return self.market.bars.take(slice(start - self.market.lookback - 1, start))

    def overhead(self) -> dict[str, dict[str, Any]]:
        """Microseconds of a bare call, of a decision, and their difference, by language."""
        with Serving(self.folder, self.market.registry, free_port(), NAME, log_sync="false") as serving:
            url = f"http://127.0.0.1:{serving.port}"
            deadline = {"deadline": {"decide_ms": 10_000, "attempt_ms": 5000}}
            measured = {
                "rust": self._rust(self.calls, url, deadline, "--bare-too"),
                "python": self._python(self.calls, url, deadline, bare_too=True),
            }
        found: dict[str, dict[str, Any]] = {}
        for language, taken in measured.items():
            bare, client = Spread.of(taken["bare_us"]), Spread.of(taken["client_us"])
            more = {name: round(getattr(client, name) - getattr(bare, name), 3) for name in ("p50", "p99")}
            found[language] = {"bare_us": asdict(bare), "client_us": asdict(client), "overhead_us": more}
            found[language]["ratio_p50"] = round(client.p50 / bare.p50, 3)
        return found

    def lateness(self) -> dict[str, dict[str, Any]]:
        """Milliseconds from the deadline to the decision where predictions are never answered, by language."""
        calls = min(self.calls, 100)
        deadline = {"decide_ms": BLACK_HOLE_DECIDE_MS, "attempt_ms": 100, "connect_ms": 50}
        changes = {"deadline": deadline, "retry": {"attempts": 10, "backoff_ms": 5}}
        folder = self.folder / "late"
        (self.folder / "late").mkdir(exist_ok=True)
        with (
            Serving(folder, self.market.registry, free_port(), NAME) as serving,
            FaultProxy(serving.port) as proxy,
        ):
            proxy.switch(faults.black_hole, faults.PREDICT)
            measured = {
                "rust": self._rust(calls, proxy.url, changes),
                "python": self._python(calls, proxy.url, changes, bare_too=False),
            }
        return {
            language: asdict(Spread.of([us / 1000 - BLACK_HOLE_DECIDE_MS for us in taken["client_us"]]))
            for language, taken in measured.items()
        }

    def _config(self, url: str, changes: dict[str, Any]) -> Path:
        own = {"url": url, "strategy": NAME, "interval": self.market.strategy.interval, "bot": "overhead"}
        path = self.folder / "overhead.toml"
        path.write_text(toml({**own, **ALONE, **changes}))
        return path

    def _rust(self, calls: int, url: str, changes: dict[str, Any], *more: str) -> dict[str, list[float]]:
        bars, window = self.folder / "window.csv", self.window
        bars.write_text("\n".join([HEADER, *(csv_line(window, row) for row in range(len(window)))]) + "\n")
        command = [str(self.program), "--config", str(self._config(url, changes)), "--bars", str(bars)]
        command += ["--symbol", SYMBOL, "--calls", str(calls), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise RuntimeError(done.stderr)
        found: dict[str, list[float]] = json.loads(done.stdout)
        return found

    def _python(self, calls: int, url: str, changes: dict[str, Any], *, bare_too: bool) -> dict[str, list[float]]:
        taken: dict[str, list[float]] = {"bare_us": [], "client_us": []}
        window, bare = self.window, Bare(url, self.window)
        with Client(Config.load(self._config(url, changes))) as client:
            for call in range(calls + WARM_UP * bare_too):
                if bare_too:
                    taken["bare_us"].append(bare.call(whole=call == 0))
                started = time.perf_counter()
                decision = client.decide(SYMBOL, window)
                taken["client_us"].append((time.perf_counter() - started) * 1e6)
                if bare_too and decision.source != "model":
                    raise RuntimeError(f"call {call}: no signal: {decision}")
        bare.connection.close()
        return {name: values[-calls:] for name, values in taken.items()}


class Bare:
    """One kept-alive connection and the bytes that the client sends for a bar that the service knows."""

    def __init__(self, url: str, window: Bars) -> None:
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        self._bodies = [self._body(window, None), self._body(window.take(slice(-1, None)), int(window.opened_at[-2]))]

    def _body(self, bars: Bars, after: int | None) -> bytes:
        columns = {name: getattr(bars, name).tolist() for name in COLUMNS}
        position = {"side": 0, "entry_price": 0.0, "bars_held": 0}
        item = {"symbol": SYMBOL, "bars": columns, "after": after, "position": position}
        question = {"items": [item], "strategy": NAME, "request_id": "overhead-0123456789abcdef-0"}
        return json.dumps(question, separators=(",", ":")).encode()

    def call(self, *, whole: bool) -> float:
        """Microseconds of one call, its body read."""
        started = time.perf_counter()
        body = self._bodies[0 if whole else 1]
        self.connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        said = answer.read()
        spent = (time.perf_counter() - started) * 1e6
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {said.decode()}")
        return spent
