from pathlib import Path

import pytest
from tests.integration.bars import klines_server as server

from tidegate.bars.interval import Interval
from tidegate.bars.sources import RawBars, open_source
from tidegate.bars.sources.exchange import ExchangeBars
from tidegate.errors import SourceError
from tidegate.strategy.strategy import CcxtSource

MINUTE = 60_000
T0 = 1_700_000_040_000
JSON = {"Content-Type": "application/json"}


def minutes(*ranges: range) -> list[int]:
    return [T0 + minute * MINUTE for span in ranges for minute in span]


def source(address: str, **changes: object) -> CcxtSource:
    urls = {"urls": {"api": {"public": f"{address}/api/v3"}}, "rateLimit": 1}
    return CcxtSource.model_validate({"type": "ccxt", "exchange": "binance", "options": urls} | changes)


def fetch(
    served: server.Exchange,
    *,
    since: int | None = T0,
    end: int | None = None,
    as_of: int | None = None,
    symbol: str = "BTC/USDT",
    retries: int = 5,
) -> tuple[RawBars, list[float]]:
    waits: list[float] = []
    with server.serving(served) as running:
        bars = ExchangeBars(source(running.address, retries=retries), waits.append)
        raw = bars.fetch(symbol, Interval("1m"), since, end, served.now if as_of is None else as_of)
    return raw, waits


def test_pages_are_joined_in_order_and_values_are_exact() -> None:
    exchange = server.Exchange(minutes(range(2500)), T0 + 2500 * MINUTE)
    raw, waits = fetch(exchange)
    assert raw.bars.opened_at.tolist() == minutes(range(2500))
    assert raw.bars.close[[0, 1777]].tolist() == [server.price(T0), server.price(T0 + 1777 * MINUTE)]
    assert (raw.bars.high - raw.bars.low == 2).all()
    assert raw.bars.volume[0] == 2.5
    assert [since for since, _ in exchange.requests] == minutes(range(0, 2500, 1000))
    assert (raw.notes, waits, raw.origin) == ((), [], "binance (spot)")


@pytest.mark.parametrize(
    ("as_of", "server_now", "end", "last"),
    [
        # as_of is the close of minute 9: it is finished
        (10 * MINUTE, 99 * MINUTE, None, 9),
        # one millisecond earlier it is not
        (10 * MINUTE - 1, 99 * MINUTE, None, 8),
        # the own clock is ahead: the exchange's time decides
        (12 * MINUTE, 10 * MINUTE + 500, None, 9),
        # the asked-for end decides
        (12 * MINUTE, 99 * MINUTE, 5 * MINUTE, 4),
    ],
)
def test_only_finished_bars_are_given(as_of: int, server_now: int, end: int | None, last: int) -> None:
    exchange = server.Exchange(minutes(range(20)), T0 + server_now)
    raw, _ = fetch(exchange, as_of=T0 + as_of, end=None if end is None else T0 + end)
    assert raw.bars.opened_at.tolist() == minutes(range(last + 1))
    assert raw.notes == ("unfinished last bar dropped",)


@pytest.mark.parametrize(
    ("answers", "expected_waits"),
    [
        ([server.failing(500)], [0.5]),
        ([server.failing(503), server.failing(502)], [0.5, 1.0]),
        ([server.failing(429, {"Retry-After": "7"})], [7.0]),
        ([server.failing(418)], [0.5]),
        ([(200, JSON, b'[[1700000040000,"1')], [0.5]),
        ([(200, JSON, b"")], [0.5]),
        ([(200, JSON, b"[[null]]")], [0.5]),
    ],
    ids=["500", "503 and 502", "429 with Retry-After", "418", "truncated JSON", "empty answer", "row without a time"],
)
def test_passing_faults_are_tried_again(answers: list[server.Answer], expected_waits: list[float]) -> None:
    exchange = server.Exchange(minutes(range(30)), T0 + 30 * MINUTE, script=answers)
    raw, waits = fetch(exchange)
    assert raw.bars.opened_at.tolist() == minutes(range(30))
    assert waits == expected_waits


def test_a_lasting_fault_is_given_up_with_a_message() -> None:
    exchange = server.Exchange(minutes(range(30)), T0 + 30 * MINUTE, script=[server.failing(500)] * 99)
    with pytest.raises(
        SourceError,
        match=r"did not give bars of BTC/USDT from .*expected an answer within 3 attempts \(source.retries\)",
    ):
        fetch(exchange, retries=2)
    assert len(exchange.requests) == 3


def test_an_unreachable_exchange_is_given_up_with_a_message() -> None:
    with server.serving(server.Exchange([], T0)) as gone:
        address = gone.address
    waits: list[float] = []
    with pytest.raises(SourceError, match="did not give the list of markets"):
        ExchangeBars(source(address, retries=1), waits.append).fetch("BTC/USDT", Interval("1m"), T0, None, T0 + MINUTE)
    assert waits == [0.5]


def test_a_refusal_is_not_tried_again() -> None:
    exchange = server.Exchange(
        minutes(range(30)), T0 + 30 * MINUTE, script=[(400, JSON, b'{"code":-1121,"msg":"Invalid symbol."}')]
    )
    with pytest.raises(SourceError, match="binance refused bars of BTC/USDT"):
        fetch(exchange)
    assert len(exchange.requests) == 1


def test_the_same_page_again_and_again_ends_in_a_refusal() -> None:
    exchange = server.Exchange([], T0 + 5000 * MINUTE, page=lambda _since: minutes(range(100)))
    with pytest.raises(SourceError, match="gives the same page again and again"):
        fetch(exchange, retries=2)
    assert len(exchange.requests) == 4


def test_the_same_page_once_more_does_no_harm() -> None:
    repeats = iter([False, False, True, False, False, False])

    def page(since: int) -> list[int]:
        return minutes(range(10)) if next(repeats) else [stamp for stamp in minutes(range(25)) if stamp >= since][:10]

    raw, waits = fetch(server.Exchange([], T0 + 25 * MINUTE, page=page))
    assert raw.bars.opened_at.tolist() == minutes(range(25))
    assert waits == [0.5]


def test_overlapping_pages_give_no_bar_twice() -> None:
    def page(since: int) -> list[int]:
        return [stamp for stamp in minutes(range(40)) if stamp >= since - 3 * MINUTE][:10]

    raw, _ = fetch(server.Exchange([], T0 + 40 * MINUTE, page=page))
    assert raw.bars.opened_at.tolist() == minutes(range(40))


def test_a_hole_between_pages_is_asked_for_again_and_noted() -> None:
    exchange = server.Exchange(minutes(range(10), range(15, 30)), T0 + 30 * MINUTE, cap=10)
    raw, _ = fetch(exchange)
    assert raw.bars.opened_at.tolist() == minutes(range(10), range(15, 30))
    assert raw.notes == ("no bars from 2023-11-14T22:24:00Z to 2023-11-14T22:29:00Z: asked twice",)
    assert [since for since, _ in exchange.requests].count(T0 + 10 * MINUTE) == 2


def test_a_hole_that_the_second_answer_fills_is_none() -> None:
    skipped = iter([False, True, False, False, False])

    def page(since: int) -> list[int]:
        first = since + (5 * MINUTE if next(skipped) else 0)
        return [stamp for stamp in minutes(range(30)) if stamp >= first][:10]

    raw, _ = fetch(server.Exchange([], T0 + 30 * MINUTE, page=page))
    assert raw.bars.opened_at.tolist() == minutes(range(30))
    assert raw.notes == ()


def test_an_exchange_that_answers_by_window_is_walked_over_an_outage() -> None:
    stamps = minutes(range(20), range(75, 100))

    def page(since: int) -> list[int]:
        return [stamp for stamp in stamps if since <= stamp < since + 20 * MINUTE]

    raw, _ = fetch(server.Exchange([], T0 + 100 * MINUTE, page=page))
    assert raw.bars.opened_at.tolist() == stamps
    assert any("no bars from 2023-11-14T22:34:00Z to 2023-11-14T23:29:00Z" in note for note in raw.notes)


def test_a_series_that_begins_later_than_asked_says_so() -> None:
    raw, _ = fetch(server.Exchange(minutes(range(50, 60)), T0 + 60 * MINUTE))
    assert len(raw.bars) == 10
    assert raw.notes == (
        "no bars from 2023-11-14T22:14:00Z to 2023-11-14T23:04:00Z: the series begins later than asked",
    )


def test_an_exchange_without_bars_is_refused_in_finite_time() -> None:
    exchange = server.Exchange([], T0 + 1_000_000 * MINUTE)
    with pytest.raises(SourceError, match=r"has no bars of BTC/USDT.*source.since"):
        fetch(exchange)
    assert len(exchange.requests) < 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exchange": "binanse"}, "exchange 'binanse' is unknown to ccxt.*similar: binance"),
        ({"options": {"apiKey": "x"}}, "source.options holds apiKey.*no credentials"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        ExchangeBars(source("http://127.0.0.1:9", **changes)).fetch("BTC/USDT", Interval("1m"), T0, None, T0 + MINUTE)


def test_an_unknown_symbol_is_refused_with_similar_ones() -> None:
    with pytest.raises(SourceError, match=r"has no market BTC/USDC.*similar: BTC/USDT"):
        fetch(server.Exchange([], T0), symbol="BTC/USDC")


def test_without_a_first_bar_nothing_is_asked() -> None:
    served = server.Exchange([], T0)
    with pytest.raises(SourceError, match=r"no first bar to fetch.*source.since"):
        fetch(served, since=None)
    assert served.requests == []


def test_an_interval_the_exchange_does_not_know_is_refused() -> None:
    with server.serving(server.Exchange([], T0)) as running, pytest.raises(SourceError, match="has no bars of 7m"):
        ExchangeBars(source(running.address)).fetch("BTC/USDT", Interval("7m"), T0, None, T0 + MINUTE)


def test_bars_of_another_interval_are_refused() -> None:
    exchange = server.Exchange(minutes(range(0, 300, 5)), T0 + 300 * MINUTE)
    with pytest.raises(SourceError, match=r"expected 1m \(interval\), was 5m"):
        fetch(exchange)


def test_since_of_the_strategy_bounds_what_is_asked() -> None:
    exchange = server.Exchange(minutes(range(30)), T0 + 30 * MINUTE)
    with server.serving(exchange) as running:
        opened = open_source(source(running.address, since="2023-11-14T22:20:00Z"), Path())
        raw = opened.fetch("BTC/USDT", Interval("1m"), T0, None, exchange.now)
    assert raw.bars.opened_at.tolist() == minutes(range(6, 30))


def test_missing_prices_become_nan_for_the_validation() -> None:
    page = [server.kline(stamp) for stamp in minutes(range(4))]
    page[2][4] = None
    raw, _ = fetch(server.Exchange([], T0 + 4 * MINUTE, script=[server.ok(page)]))
    assert [value != value for value in raw.bars.close.tolist()] == [False, False, True, False]  # noqa: PLR0124 -- NaN
