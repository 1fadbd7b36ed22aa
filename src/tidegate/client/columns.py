"""The bot's own bars and position, as given: whether they are usable, before anything is asked."""

import math
from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from tidegate.bars.bars import COLUMNS, PRICES, Bars
from tidegate.bars.interval import Interval
from tidegate.client.messages import BarColumns
from tidegate.client.messages import Position as PositionMessage
from tidegate.policy.policy import PositionState, Side

Columns = dict[str, NDArray[Any]]
"""Six arrays of one length: `opened_at` int64, UTC ms; the others float64."""

_LATEST: Final = 2**53
_MOST_BARS_HELD: Final = 2**32 - 1


class Unusable(Exception):
    """Bars or a position that no service would take; the message says why."""


def columns_of(bars: object) -> Columns:
    """The bars as checked columns.

    Args:
        bars: `tidegate.bars.bars.Bars`, or anything that gives a column for its name by `bars[name]`, such as a dict of lists or a
            data frame. Opening times are whole numbers, UTC ms, or datetimes in UTC.
    Raises:
        Unusable: a column is missing or of another type or length; opening times do not ascend; a price is not finite and above zero,
            or not between low and high; a volume is not finite or negative. NaN is never taken.
    """
    columns = {name: _column(bars, name) for name in COLUMNS}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise Unusable(f"six columns of one length are expected, were {lengths}")
    if not lengths["opened_at"]:
        raise Unusable("there are no bars")
    _check(columns)
    return columns


def newest(columns: Columns, count: int) -> Columns:
    """The newest bars, at most `count` of them."""
    return {name: column[-count:] for name, column in columns.items()} if count else columns


def digest_of(columns: Columns, symbol: str, interval: str, lookback: int) -> str | None:
    """What a service says in `input_digest` when it judged the newest `lookback` of these bars, to the last bit; None where there are fewer."""
    if not 1 <= lookback <= len(columns["opened_at"]):
        return None
    return Bars(symbol, Interval(interval), **newest(columns, lookback)).content_hash()


def message_of(columns: Columns) -> BarColumns:
    """The bars as a request carries them."""
    return BarColumns(**{name: column.tolist() for name, column in columns.items()})


def _column(bars: object, name: str) -> NDArray[Any]:
    try:
        given = bars[name] if isinstance(bars, Mapping) or not hasattr(bars, name) else getattr(bars, name)  # type: ignore[index]
        column = np.asarray(given)
    except Exception as error:
        raise Unusable(f"column {name} cannot be read: {type(error).__name__} {error}") from error
    if column.ndim != 1:
        raise Unusable(f"column {name} has {column.ndim} dimensions, 1 is expected")
    if name == "opened_at":
        if column.dtype.kind == "M":
            column = column.astype("datetime64[ms]").astype(np.int64)
        if column.dtype.kind not in "iu" and column.size:
            raise Unusable(f"opening times are whole numbers, UTC ms, were of the type {column.dtype}")
        return column.astype(np.int64)
    if column.dtype.kind not in "iuf" and column.size:
        raise Unusable(f"column {name} has numbers, was of the type {column.dtype}")
    return column.astype(np.float64)


def _check(columns: Columns) -> None:
    opened_at = columns["opened_at"]
    if opened_at[0] < 0 or opened_at[-1] > _LATEST or not bool(np.all(opened_at[1:] > opened_at[:-1])):
        raise Unusable("opening times ascend, and are not negative")
    prices = np.stack([columns[name] for name in PRICES])
    # NaN fails each comparison, so nothing here lets it pass.
    sane = (prices > 0) & (prices < np.inf) & (columns["low"] <= prices) & (prices <= columns["high"])
    volume = columns["volume"]
    sane_rows = np.all(sane, axis=0) & (volume >= 0) & (volume < np.inf)
    if not bool(np.all(sane_rows)):
        at = int(opened_at[int(np.argmin(sane_rows))])
        raise Unusable(
            f"the bar opened at {at}: prices above 0 between low and high, and a volume not under 0 are expected"
        )


def read_position(given: object) -> tuple[PositionState, str | None]:
    """The position as given, and what is wrong with it where no policy can judge it. Never raises; each part is read once.

    Args:
        given: None, a mapping, or anything with `side`, `entry_price` and `bars_held`.
    Returns:
        The position, flat where its side cannot be read; None, or the objection: a side other than -1, 0 and 1, or a held side without a
        finite entry price above zero or a held bar.
    """
    try:
        side, entry_price, bars_held = _parts(given)
        # True equals 1 here, and is no side that anybody meant.
        if isinstance(side, bool) or not isinstance(side, (int, np.integer)) or side not in {-1, 0, 1}:
            return PositionState(), f"a side is -1, 0 or 1, was {_shown(side)}"
        if side == 0:
            return PositionState(), None
        held = PositionState.model_construct(
            side=cast("Side", int(side)), entry_price=_price(entry_price), bars_held=_bars(bars_held)
        )
    except Exception as error:  # noqa: BLE001  the bot's own object may do anything
        return PositionState(), f"the position cannot be read: {type(error).__name__}"
    if is_usable(held):
        return held, None
    return held, (
        "a held position has an entry price above 0 and has been held for a bar at least, "
        f"were {held.entry_price} and {held.bars_held}"
    )


def _price(given: object) -> float:
    try:
        return float(given) if isinstance(given, (int, float, np.integer, np.floating)) else math.nan
    except OverflowError:
        return math.inf  # a whole number beyond all floats


def _bars(given: object) -> int:
    return int(given) if isinstance(given, (int, np.integer)) and not isinstance(given, bool) else 0


def _shown(side: object) -> str:
    return repr(side) if isinstance(side, (int, float)) or side is None else f"a {type(side).__name__}"


def is_usable(held: PositionState) -> bool:
    """Whether a policy can judge it: flat, or with an entry price and at least one bar."""
    priced = math.isfinite(held.entry_price) and held.entry_price > 0
    return held.side == 0 or (priced and 1 <= held.bars_held <= _MOST_BARS_HELD)


def position_message(held: PositionState) -> PositionMessage:
    """The position as a request carries it."""
    return PositionMessage(held.side, held.entry_price, held.bars_held)


def _parts(given: object) -> tuple[object, object, object]:
    if given is None:
        return 0, 0.0, 0
    if isinstance(given, Mapping):
        return given.get("side"), given.get("entry_price", 0.0), given.get("bars_held", 0)
    return getattr(given, "side", None), getattr(given, "entry_price", 0.0), getattr(given, "bars_held", 0)
