"""A real HTTP server on the loopback address that speaks the part of an exchange's interface that bars need."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MINUTE = 60_000
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Exchange:
    """What the server knows and how it misbehaves.

    `script` holds answers that are given to the next requests for bars instead of right ones; `page` may replace the right page.
    """

    opened_at: list[int]
    now: int
    cap: int = 1000
    script: list[Answer] = field(default_factory=list)
    page: Callable[[int], list[int]] | None = None
    requests: list[tuple[int, int]] = field(default_factory=list)
    address: str = ""

    def klines(self, since: int, limit: int) -> Answer:
        self.requests.append((since, limit))
        if self.script:
            return self.script.pop(0)
        if self.page is not None:
            stamps = self.page(since)
        else:
            stamps = [stamp for stamp in self.opened_at if stamp >= since][: min(limit, self.cap)]
        return ok([kline(stamp) for stamp in stamps])


def price(stamp: int) -> float:
    return 100 + stamp // MINUTE % 1000 / 8


def kline(stamp: int) -> list[Any]:
    text = f"{price(stamp):.8f}"
    return [
        stamp,
        text,
        f"{price(stamp) + 1:.8f}",
        f"{price(stamp) - 1:.8f}",
        text,
        "2.50000000",
        stamp + MINUTE - 1,
        "0",
        1,
        "0",
        "0",
        "0",
    ]


def ok(content: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def failing(status: int, headers: dict[str, str] | None = None) -> Answer:
    return status, headers or {}, json.dumps({"code": -1003, "msg": "no"}).encode()


EXCHANGE_INFO = {
    "timezone": "UTC",
    "rateLimits": [],
    "exchangeFilters": [],
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "status": "TRADING",
            "baseAsset": "BTC",
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "permissions": ["SPOT"],
            "filters": [],
        }
    ],
}


@contextmanager
def serving(exchange: Exchange) -> Iterator[Exchange]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path.endswith("/exchangeInfo"):
                status, headers, body = ok(EXCHANGE_INFO)
            elif parts.path.endswith("/time"):
                status, headers, body = ok({"serverTime": exchange.now})
            elif parts.path.endswith("/klines"):
                status, headers, body = exchange.klines(int(query["startTime"]), int(query["limit"]))
            else:
                status, headers, body = failing(404)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    exchange.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield exchange
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
