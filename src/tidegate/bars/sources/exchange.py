"""Bars from an exchange's HTTP interface, through ccxt.

Pages are asked for one after another from the first bar wanted. A page is never trusted blindly: rows before the cursor are dropped, a
page that does not move the cursor is asked for again and then refused, and a hole at a page's border is asked for a second time before
it is believed.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from tidegate.bars.bars import Bars, iso, parse_time
from tidegate.bars.interval import Interval
from tidegate.bars.sources.assembly import check_interval
from tidegate.bars.sources.source import RawBars
from tidegate.errors import SourceError
from tidegate.strategy.strategy import CcxtSource

_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 60.0
_MAX_EMPTY_PAGES: Final = 50
_UNKNOWN_PAGE_BARS: Final = 100
_CREDENTIALS: Final = {"apikey", "secret", "password", "privatekey", "walletaddress", "token", "login", "uid", "twofa"}
_BINANCE_TYPES: Final = {"spot": ["spot"], "swap": ["linear", "inverse"], "future": ["linear", "inverse"]}

Row = list[Any]
T = TypeVar("T")


class _Exchange(Protocol):
    """What is used of ccxt's exchanges."""

    has: dict[str, Any]
    markets: dict[str, Any] | None
    timeframes: dict[str, str] | None
    last_http_response: str | None
    last_response_headers: dict[str, str] | None

    def load_markets(self) -> object: ...
    def fetch_time(self) -> int: ...
    def fetch_ohlcv(self, symbol: str, timeframe: str, *, since: int, limit: int) -> list[Row]: ...


@dataclass(frozen=True, slots=True)
class ExchangeBars:
    """An exchange as a source.

    Attributes:
        source: the strategy's source section.
        sleep: waits between attempts, in seconds.
    """

    source: CcxtSource
    sleep: Callable[[float], None] = field(default=time.sleep)

    def fetch(
        self, symbol: str, interval: Interval, start_at: int | None, end_at: int | None, as_of_ms: int
    ) -> RawBars:
        """Fetch all finished bars page by page.

        The last bar must have closed by `as_of_ms` and, where the exchange tells its time, by its own clock too.
        """
        since = self._since(symbol, start_at)
        exchange = _connect(self.source)
        try:
            calls = _Calls(exchange, self.source, self.sleep)
            calls.retrying(exchange.load_markets, "the list of markets")
            self._check(exchange, symbol, interval)
            end = as_of_ms if end_at is None else min(end_at, as_of_ms)
            if exchange.has.get("fetchTime"):
                end = min(end, int(calls.retrying(exchange.fetch_time, "its time")))
            rows, notes = _Pages(calls, symbol, interval, self.source.page_bars, since, end).all()
        finally:
            session = getattr(exchange, "session", None)
            if session is not None:
                session.close()
        table = np.array([row[:6] for row in rows], dtype=np.float64).reshape(-1, 6)
        opened_at = np.array([int(row[0]) for row in rows], dtype=np.int64)
        bars = Bars(symbol, interval, opened_at, *table[:, 1:].T)
        origin = f"{self.source.exchange} ({self.source.market})"
        check_interval(bars, origin)
        return RawBars(bars, tuple(notes), origin)

    def _since(self, symbol: str, start_at: int | None) -> int:
        asked = [start_at] if start_at is not None else []
        asked += [parse_time(self.source.since)] if self.source.since else []
        if not asked:
            raise SourceError(
                f"no first bar to fetch for {symbol}",
                setting="source.since",
                next_step="set source.since, such as 2024-01-01",
            )
        return max(asked)

    def _check(self, exchange: _Exchange, symbol: str, interval: Interval) -> None:
        markets = exchange.markets or {}
        if symbol not in markets:
            near = ", ".join(get_close_matches(symbol, list(markets), n=3)) or "none similar"
            raise SourceError(
                f"{self.source.exchange} has no market {symbol} ({self.source.market})",
                expected="a symbol of the exchange",
                setting="symbols",
                next_step=f"similar: {near}",
            )
        if exchange.timeframes and interval.text not in exchange.timeframes:
            raise SourceError(
                f"{self.source.exchange} has no bars of {interval}",
                expected=", ".join(exchange.timeframes),
                actual=interval,
                setting="interval",
            )


def _connect(source: CcxtSource) -> _Exchange:
    try:
        import ccxt
    except ImportError as error:
        raise SourceError("bars from exchanges need ccxt", next_step="pip install 'tidegate[ccxt]'") from error
    if source.exchange not in ccxt.exchanges:
        near = ", ".join(get_close_matches(source.exchange, ccxt.exchanges, n=3))
        raise SourceError(
            f"exchange {source.exchange!r} is unknown to ccxt",
            setting="source.exchange",
            next_step=f"similar: {near or 'none'}",
        )
    secrets = sorted(name for name in source.options if name.lower().replace("_", "") in _CREDENTIALS)
    if secrets:
        raise SourceError(
            f"source.options holds {secrets[0]}", expected="no credentials: bars are public",
            setting="source.options", next_step="remove it from the strategy file",
        )  # fmt: skip
    settings: dict[str, Any] = {"enableRateLimit": True, "timeout": int(source.timeout_s * 1000)}
    inner: dict[str, Any] = {"defaultType": source.market}
    if source.exchange.startswith("binance") and source.exchange in {"binance", "binanceus"}:
        inner["fetchMarkets"] = {"types": _BINANCE_TYPES[source.market]}
    own = dict(source.options)
    settings["options"] = inner | own.pop("options", {})
    exchange: _Exchange = getattr(ccxt, source.exchange)(settings | own)
    if not exchange.has.get("fetchOHLCV"):
        raise SourceError(f"exchange {source.exchange} gives no bars", setting="source.exchange")
    return exchange


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls an exchange, again after faults that may pass: network, overload, rate limit, an answer cut short."""

    exchange: _Exchange
    source: CcxtSource
    sleep: Callable[[float], None]

    def retrying(self, call: Callable[[], T], what: str) -> T:
        import ccxt

        for attempt in range(self.source.retries + 1):
            try:
                return call()
            except (ccxt.NetworkError, ccxt.BadResponse, ValueError) as error:
                passing: Exception = error
            except ccxt.BaseError as error:
                raise SourceError(
                    f"{self.source.exchange} refused {what}: {type(error).__name__}: {str(error)[:200]}",
                    next_step="check the symbol, the market and whether the exchange serves this place",
                ) from error
            if attempt < self.source.retries:
                self.sleep(self._delay_s(attempt))
        raise SourceError(
            f"{self.source.exchange} did not give {what}: {type(passing).__name__}: {str(passing)[:200]}",
            expected=f"an answer within {self.source.retries + 1} attempts",
            setting="source.retries",
            next_step="try again later; what is stored already stays",
        ) from passing

    def _delay_s(self, attempt: int) -> float:
        headers = self.exchange.last_response_headers or {}
        asked = str(headers.get("Retry-After", ""))
        delay = _FIRST_DELAY_S * 2**attempt
        return float(min(_LONGEST_DELAY_S, max(delay, float(asked) if asked.isdigit() else 0.0)))


@dataclass(slots=True)
class _Pages:
    """Walks from the first bar wanted to the last finished one."""

    calls: _Calls
    symbol: str
    interval: Interval
    page_bars: int
    since: int
    end: int
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    largest: int = 0

    def all(self) -> tuple[list[Row], list[str]]:
        step = self.interval.milliseconds
        cursor = -(-self.since // step) * step
        stuck = empty = 0
        while cursor + step <= self.end:
            new, older = self._page(cursor)
            if new:
                stuck = empty = 0
                new = self._believed(cursor, new)
                self.largest = max(self.largest, len(new))
                self.rows += [row for row in new if row[0] + step <= self.end]
                if new[-1][0] + step > self.end:
                    self.notes.append("unfinished last bar dropped")
                cursor = int(new[-1][0]) + step
            elif older and cursor + 2 * step <= self.end:
                stuck += 1
                self._refuse_standstill(cursor, stuck)
            elif older:
                break  # the newest bar is not there yet: the exchange answers with the one before
            else:
                empty += 1
                if empty > _MAX_EMPTY_PAGES:
                    self._refuse_or_note_silence(cursor)
                    break
                cursor += step * (self.largest or min(self.page_bars, _UNKNOWN_PAGE_BARS))
        return self.rows, self.notes

    def _page(self, cursor: int) -> tuple[list[Row], bool]:
        """The rows from the cursor on, ascending; without any, whether the exchange answered with older ones."""
        exchange = self.calls.exchange

        def call() -> tuple[list[Row], bool]:
            page = exchange.fetch_ohlcv(self.symbol, self.interval.text, since=cursor, limit=self.page_bars)
            # ccxt makes an empty page of an answer that is cut short, and of one whose rows are all older than asked for.
            answer = json.loads(exchange.last_http_response or "")
            new = sorted((row for row in page if row[0] >= cursor), key=lambda row: int(row[0]))
            return new, not new and _has_rows(answer)

        return self.calls.retrying(call, f"bars of {self.symbol} from {iso(cursor)}")

    def _believed(self, cursor: int, new: list[Row]) -> list[Row]:
        """A hole before a page is believed when a second answer has it too."""
        first = self.rows[-1][0] + self.interval.milliseconds if self.rows else cursor
        if new[0][0] == first:
            return new
        if new[0][0] > cursor:
            again, _ = self._page(cursor)
            if again and again[0][0] < new[0][0]:
                new = again
        if new[0][0] > first:
            between = f"no bars from {iso(int(first))} to {iso(int(new[0][0]))}"
            self.notes.append(
                f"{between}: asked twice" if self.rows else f"{between}: the series begins later than asked"
            )
        return new

    def _refuse_standstill(self, cursor: int, stuck: int) -> None:
        if stuck <= self.calls.source.retries:
            self.calls.sleep(min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (stuck - 1)))
            return
        raise SourceError(
            f"{self.calls.source.exchange} gives the same page again and again for {self.symbol}",
            expected=f"bars from {iso(cursor)} on",
            actual="only older ones",
            next_step="the market may have ended, or the exchange keeps no older bars: set source.since or use its dump files",
        )

    def _refuse_or_note_silence(self, cursor: int) -> None:
        if self.rows:
            self.notes.append(f"no bars from {iso(int(self.rows[-1][0]) + self.interval.milliseconds)} on")
            return
        raise SourceError(
            f"{self.calls.source.exchange} has no bars of {self.symbol} from {iso(self.since)} to {iso(cursor)}",
            setting="source.since",
            next_step="set source.since to when the market began",
        )


def _has_rows(answer: object) -> bool:
    """Whether there is a list of lists or of objects anywhere in an answer: the form in which exchanges give bars."""
    if isinstance(answer, dict):
        return any(_has_rows(value) for value in answer.values())
    return isinstance(answer, list) and any(isinstance(item, list | dict) for item in answer)
