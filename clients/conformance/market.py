"""The market and the model of the cases: bars by a small rule, what the service describes, and the position policy.

Everything a case does not say itself stands here, so that a reader can compute each number by hand.
"""

import copy
import hashlib
import struct
from typing import Any

Json = dict[str, Any]

INTERVAL_MS = 60_000
FIRST_OPENED_AT = 1_700_000_040_000
COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
STRATEGY = "alpha"
SYMBOL = "EUR/USD"
POLICY: Json = {
    "long_at": 0.6,
    "short_at": 0.4,
    "take_profit": 0.5,
    "stop_loss": 0.25,
    "max_holding_bars": 4,
    "flip": True,
}


def opened_at(number: int) -> int:
    """Opening time of the bar of that number, UTC ms."""
    return FIRST_OPENED_AT + number * INTERVAL_MS


def bar(number: int) -> Json:
    """The bar of that number: it opens at 100 + (number mod 5) / 4 and closes where the next one opens."""
    first, last = 100 + number % 5 / 4, 100 + (number + 1) % 5 / 4
    return {
        "opened_at": opened_at(number),
        "open": first,
        "high": max(first, last) + 0.5,
        "low": min(first, last) - 0.5,
        "close": last,
        "volume": 10.0 + number % 7,
    }


def changed(one: Json, changes: Json) -> Json:
    """A bar with other numbers; a moved open or close moves high and low with it, unless those are given too."""
    new = {**one, **changes}
    if "opened_at" in changes:
        new["opened_at"] = opened_at(changes["opened_at"])
    ends = (new["open"], new["close"])
    if ("open" in changes or "close" in changes) and all(isinstance(end, int | float) for end in ends):
        new["high"] = changes.get("high", max(ends) + 0.5)
        new["low"] = changes.get("low", min(ends) - 0.5)
    return new


def bars(rule: Json) -> Json:
    """Bars of a step as columns.

    Args:
        rule: `from` and `to`, numbers of the first and the last bar; `without`, numbers of bars that are missing; `set`, changes by
            number; `cut`, by column, how many of its last values are missing.
    """
    changes = rule.get("set", {})
    numbers = [number for number in range(rule["from"], rule["to"] + 1) if number not in rule.get("without", ())]
    rows = [changed(bar(number), changes.get(str(number), {})) for number in numbers]
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    for name, count in rule.get("cut", {}).items():
        columns[name] = columns[name][: len(columns[name]) - count]
    return columns


def newest(columns: Json, count: int) -> Json:
    """The newest bars, at most `count` of them."""
    return {name: values[-count:] for name, values in columns.items()}


def digest(columns: Json, symbol: str, interval: str) -> str:
    """What a service says in `input_digest` of a window (docs/contracts/client.md, *Digest of a window*); window-digests.json has examples."""
    hashed = hashlib.sha256(f"bars/1\0{symbol}\0{interval}\0{len(columns['opened_at'])}\0".encode())
    for name in COLUMNS:
        form = "<q" if name == "opened_at" else "<d"
        for value in columns[name]:
            hashed.update(struct.pack(form, value))
    return hashed.hexdigest()


def merged(base: Any, changes: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """`base` with changes: objects are merged key by key, everything else takes the other's place."""
    if isinstance(base, dict) and isinstance(changes, dict):
        both = {key: merged(base[key], changes[key]) for key in base.keys() & changes.keys()}
        return copy.deepcopy({**base, **changes, **both})
    return copy.deepcopy(changes)


def loaded_model(version: int, mark: str) -> Json:
    """A model as the service describes it; its digest is 64 times the mark."""
    return {
        "version": version,
        "bundle_digest": mark * 64,
        "kind": "classifier",
        "symbols": [SYMBOL, "GBP/USD"],
        "interval": "1m",
        "lookback": 8,
        "features": 5,
        "policy": dict(POLICY),
        "created_at": FIRST_OPENED_AT - 86_400_000,
        "expires_at": FIRST_OPENED_AT + 86_400_000,
        "loaded_at": FIRST_OPENED_AT - 3_600_000,
        "signed_by": "kit",
        "origin": "registry",
    }


def served(strategy: str = STRATEGY, mark: str = "3") -> Json:
    """One strategy as the service describes it: version 3 in production, version 2 before it."""
    return {
        "strategy": strategy,
        "halted": None,
        "refused": None,
        "notes": {},
        "registry_reached_at": FIRST_OPENED_AT,
        "production": loaded_model(3, mark),
        "before": loaded_model(2, "2"),
        "challenger": None,
    }


def target_position(probability: float, close: float, position: Json, policy: Json) -> int:
    """What the position policy says; a probability outside 0 to 1 and a position without prices are not for it."""
    signal = entry_side(probability, policy)
    side: int = position["side"]
    if side == 0:
        return signal
    if signal == -side:
        return signal if policy["flip"] else 0
    gain = side * (close / position["entry_price"] - 1.0)
    if gain <= -policy["stop_loss"]:
        return 0
    if gain >= policy["take_profit"] or position["bars_held"] >= policy["max_holding_bars"]:
        return signal
    return side


def entry_side(probability: float, policy: Json) -> int:
    """The side that a probability alone asks for."""
    if probability >= policy["long_at"]:
        return 1
    return -1 if probability <= policy["short_at"] else 0
