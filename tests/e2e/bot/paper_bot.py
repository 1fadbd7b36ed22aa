"""The Rust paper bot as a process that is fed bar by bar, and its ledger of decisions."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.cargo import built
from tests.e2e.bot.trained import NAME, SYMBOL

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.strategy.strategy import Strategy

DECIDE_MS, ATTEMPT_MS = 500, 200
# What a busy machine may add between a decision and a test that sees it.
SLACK_MS = 250
Decision = dict[str, Any]

HEADER = ",".join(COLUMNS)
# Fast enough that a fault of half a second opens the breaker, and its end closes it.
QUICK: dict[str, Any] = {
    "dry_run": False,
    "clock": "bars",
    "deadline": {"decide_ms": DECIDE_MS, "attempt_ms": ATTEMPT_MS, "connect_ms": 150},
    "retry": {"attempts": 3, "backoff_ms": 10, "backoff_max_ms": 40},
    "breaker": {"failures": 4, "open_ms": 80, "open_max_ms": 160},
    "health": {"poll_ms": 250, "timeout_ms": 300},
    "heartbeat": {"every_ms": 300},
}


def csv_line(bars: Bars, row: int) -> str:
    """One bar as the bot reads it; the shortest text that gives the same number again."""
    return ",".join(repr(getattr(bars, name)[row].item()) for name in COLUMNS)


def toml(settings: dict[str, Any]) -> str:
    """Settings as TOML: plain values first, then one table for each mapping."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in plain.items()]
    for name, table in settings.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def settings_of(url: str, strategy: Strategy, changes: dict[str, Any], bot: str = "bot-1") -> str:
    """The bot's file of settings: the client's, and the costs of the backtest."""
    costs = strategy.costs.model_dump()
    paper = {"capital": strategy.capital / len(strategy.symbols), **costs}
    own = {"url": url, "strategy": NAME, "interval": strategy.interval, "bot": bot}
    return toml({**own, **QUICK, **changes, "paper": paper})


@dataclass
class Fed:
    """A decision, and how long its bar's giver waited for it, ms."""

    decision: Decision
    waited_ms: float

    @property
    def reason(self) -> str | None:
        """Why it was not the model that decided, None where it did."""
        found: str | None = self.decision["reason"]
        return found


@dataclass
class PaperBot:
    """A running bot that reads bars from its standard input; a context manager.

    Args:
        folder: of its settings and its `--out`.
        url: of the service.
        strategy: that it trades.
        bars: that it is fed from.
        start: row of its first decision; the bars before it fill the window.
        lookback: of the model.
        arguments: further ones of the program.
        changes: of its settings.
        name: of the bot.
        program: the bot's; None: built from what the crate is now.
    """

    folder: Path
    url: str
    strategy: Strategy
    bars: Bars
    start: int
    lookback: int
    arguments: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    name: str = "bot-1"
    program: Path | None = None
    fed: list[Fed] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        config, self.log = self.folder / "bot.toml", self.folder / "bot.log"
        config.write_text(settings_of(self.url, self.strategy, self.changes, self.name))
        command = [str(self.program or built("paper_bot")), "--config", str(config), "--bars", "-", "--symbol", SYMBOL]
        command += ["--start-at", str(int(self.bars.opened_at[self.start])), "--out", str(self.folder / "out")]
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "RUST_LOG": "warn"},
            )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.reading = threading.Thread(target=self._read, name="paper bot's output")
        self.reading.start()
        assert self.process.stdin is not None
        window = range(max(0, self.start - self.lookback), self.start)
        self.process.stdin.write("\n".join([HEADER, *(csv_line(self.bars, row) for row in window)]) + "\n")
        self.process.stdin.flush()
        self.row = self.start
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.reading.join(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def feed(self) -> Fed:
        """Give the bot the next bar, and wait for its decision."""
        assert self.process.stdin is not None
        begun = time.monotonic()
        self.process.stdin.write(csv_line(self.bars, self.row) + "\n")
        self.process.stdin.flush()
        line = self._line(10.0)
        found = Fed(json.loads(line), (time.monotonic() - begun) * 1000)
        assert found.decision["bar_closed_at"] == self.bars.closed_at[self.row], found
        self.fed.append(found)
        self.row += 1
        return found

    def end(self) -> dict[str, Any]:
        """End the bars; gives the bot's result."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        result: dict[str, Any] = json.loads(self._line(20.0))["result"]
        assert self.process.wait(20) == 0, self.log.read_text()
        return result

    def fills(self) -> list[dict[str, Any]]:
        """The round trips so far."""
        return list(json_lines(self.folder / "out" / "fills.jsonl"))

    def _line(self, patience_s: float) -> str:
        line = self.lines.get(timeout=patience_s)
        assert line is not None, self.log.read_text()
        return line

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON lines; none where there is no file."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield json.loads(line)
