"""The paths that decide nothing, for comparison: always the newest model, never another one, buy and hold, nothing at all."""

import json
from dataclasses import asdict

import numpy as np

from tidegate.backtest.costs import IMPACT_BARS, side_rates
from tidegate.backtest.result import Trades
from tidegate.bars.bars import Bars
from tidegate.replay.life import Desk, Newest, Ruling, Stepped, metrics_of, record_of, with_closing
from tidegate.replay.market import Market
from tidegate.replay.result import Name
from tidegate.replay.trading import Stint, Traded, idle


class Unjudged:
    """Promotes without a gate: every month's model, or only the first for ever. No rule watches it, and its models do not expire.

    Args:
        market: bars and answers.
        always: whether a newer model takes the place of the one before.
    """

    def __init__(self, market: Market, *, always: bool) -> None:
        self.name: Name = "always" if always else "never"
        self.title = "Always the newest" if always else "Never retrain"
        self.policy = ""
        self._desk = Desk(market)
        self._always = always

    def step(self, newest: Newest) -> Stepped:
        """Promote or go on, then trade the month."""
        desk, month = self._desk, newest.month
        before, cost, ended = desk.version, 0.0, Trades.empty()
        ruling = Ruling("failed", (newest.trained.failure,)) if newest.version is None else Ruling("none")
        if newest.version is not None and newest.measured is not None:
            desk.known[newest.version] = newest.trained
            takes_over = self._always or before is None
            if takes_over:
                cost, ended = desk.change_to(newest.version, month.as_of_ms)
            ruling = Ruling("promoted" if takes_over else "none", (), metrics_of(newest.measured))
        after = desk.version
        traded = with_closing(desk.trade(month.as_of_ms, month.end_ms), cost, ended)
        return Stepped(record_of(newest, ruling, before, after, traded), traded)

    def know(self, newest: Newest) -> None:
        """Hear of a month that was lived through before."""
        if newest.version is not None:
            self._desk.known[newest.version] = newest.trained

    def remember(self, traded: Traded) -> None:
        """Nothing here depends on returns."""

    def save(self) -> str:
        """Who trades, and since when."""
        return save_stint(self._desk.stint)

    def load(self, content: str) -> None:
        """Go on from there."""
        self._desk.stint = load_stint(content)


class Hold:
    """Buys at the first open with all of the capital, pays for that, and holds to the end."""

    name: Name = "hold"
    title = "Buy and hold"
    policy = ""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._units: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def step(self, newest: Newest) -> Stepped:
        """Hold for a month."""
        market, month = self._market, newest.month
        flat = idle(market, month.as_of_ms, month.end_ms)
        net, cost, position = (np.zeros(len(flat.closed_at)) for _ in range(3))
        for symbol in market.strategy.symbols:
            bars = market.span(symbol, month.as_of_ms, month.end_ms)
            if not len(bars):
                continue
            where = np.searchsorted(flat.closed_at, bars.closed_at)
            paid = self._buy(symbol, bars) if symbol not in self._units else 0.0
            earned = self._units[symbol] * np.diff(bars.close, prepend=self._last[symbol])
            self._last[symbol] = float(bars.close[-1])
            net[where] += earned
            net[where[0]] -= paid
            cost[where[0]] += paid
            position[where] += 1.0
        capital = market.strategy.capital
        traded = Traded(flat.closed_at, net / capital, cost / capital, position / len(market.strategy.symbols))
        return Stepped(record_of(newest, Ruling("none"), None, None, traded), traded)

    def know(self, newest: Newest) -> None:
        """Nothing here depends on models."""

    def remember(self, traded: Traded) -> None:
        """Nothing here depends on returns."""

    def save(self) -> str:
        """What is held, and its value at the last close."""
        return json.dumps({"units": self._units, "last": self._last}) + "\n"

    def load(self, content: str) -> None:
        """Go on from there."""
        kept = json.loads(content)
        self._units, self._last = kept["units"], kept["last"]

    def _buy(self, symbol: str, bars: Bars) -> float:
        strategy = self._market.strategy
        share, price = strategy.capital / len(strategy.symbols), float(bars.open[0])
        self._units[symbol], self._last[symbol] = share / price, price
        lead = self._market.before(symbol, int(bars.opened_at[0]), IMPACT_BARS)
        whole = Bars.concatenate([lead, bars])
        rows = np.array([max(len(lead), 1)])
        return float(side_rates(whole, rows, np.array([share / price]), strategy.costs)[0]) * share


class Flat:
    """Does nothing and earns nothing."""

    name: Name = "flat"
    title = "Flat"
    policy = ""

    def __init__(self, market: Market) -> None:
        self._market = market

    def step(self, newest: Newest) -> Stepped:
        """A month of nothing."""
        traded = idle(self._market, newest.month.as_of_ms, newest.month.end_ms)
        return Stepped(record_of(newest, Ruling("none"), None, None, traded), traded)

    def know(self, newest: Newest) -> None:
        """Nothing here depends on models."""

    def remember(self, traded: Traded) -> None:
        """Nothing here depends on returns."""

    def save(self) -> str:
        """There is no state."""
        return "{}\n"

    def load(self, content: str) -> None:
        """There is no state."""


def save_stint(stint: Stint | None) -> str:
    """A stint as JSON."""
    return json.dumps({"stint": None if stint is None else asdict(stint)}) + "\n"


def load_stint(content: str) -> Stint | None:
    """The stint that `save_stint` wrote."""
    kept = json.loads(content)["stint"]
    return None if kept is None else Stint(**{**kept, "exit_at": tuple(kept["exit_at"]), "won": tuple(kept["won"])})
