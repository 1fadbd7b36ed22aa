"""Numbers, times and gate values as people read them. Whatever is not a number says so and never breaks a page."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from tidegate.gates.result import GateResult

NOT_MEASURED: Final = "not measured"
NBSP: Final = "\u00a0"
MINUS: Final = "\u2212"
DASH: Final = "\u2013"
IN_WORDS: Final = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than", "==": "exactly"}
SIGNS: Final = {">=": "\u2265", ">": ">", "<=": "\u2264", "<": "<", "==": "="}
_SUPERSCRIPTS: Final = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)
_PERCENT_UNITS: Final = ("fraction", "relative")
_TINY_UNITS: Final = ("probability", "p-value", "relative difference")
_LEAST_WRITTEN_P: Final = 0.0001  # as decimals
_LAST_TIME_MS: Final = 253_402_300_799_999  # the year 9999, the last that can be written out

Number = float | int | None


def known(value: Number) -> bool:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)


def special(value: Number) -> str | None:
    """The word for what is not a finite number, or None for what is one."""
    if value is None or math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return "\u221e" if value > 0 else f"{MINUS}\u221e"
    return None


def decimal(value: Number, places: int = 2, *, signed: bool = False, suffix: str = "") -> str:
    """A number with thousands separators and a fixed number of decimals.

    >>> decimal(12345.678), decimal(0.5, signed=True), decimal(float("nan"))
    ('12,345.68', '+0.50', 'not measured')
    """
    word = special(value)
    if word is not None or value is None:
        return word or NOT_MEASURED
    rounded = round(value, places) + 0.0  # turns -0.0 into 0.0
    text = f"{abs(rounded):,.{places}f}"
    sign = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return f"{sign}{text}{suffix}"


def percent(value: Number, places: int = 2, *, signed: bool = False) -> str:
    """A fraction as a percentage.

    >>> percent(0.5231).replace(NBSP, " ")
    '52.31 %'
    """
    scaled = value * 100 if value is not None else None
    return decimal(scaled, places, signed=signed, suffix=f"{NBSP}%" if known(value) else "")


def points(value: Number, places: int = 2, *, signed: bool = False) -> str:
    """A difference of two fractions in percentage points.

    >>> points(0.1894, signed=True).replace(NBSP, " ")
    '+18.94 pp'
    """
    return percent(value, places, signed=signed).replace("%", "pp")


def count(value: Number) -> str:
    """A whole number; a broken one keeps two decimals, since hiding them would hide a fault."""
    whole = value is not None and math.isfinite(value) and float(value).is_integer()
    return decimal(value, 0 if whole else 2)


def multiple(value: Number) -> str:
    """A multiple such as of the costs, with the times sign."""
    return decimal(value, suffix="\u00d7" if known(value) else "")


def price(value: Number) -> str:
    """A price with six significant digits, at least two decimals."""
    if not known(value) or value is None or value == 0:
        return special(value) or "0"
    places = max(2, min(10, 5 - math.floor(math.log10(abs(value)))))
    return decimal(value, places)


def tiny(value: Number) -> str:
    """A small difference, from a hundredth down in powers of ten."""
    word = special(value)
    if word is not None or value is None:
        return word or NOT_MEASURED
    if value == 0:
        return "0"
    if abs(value) >= 0.01:
        return decimal(value)
    digits, exponent = f"{abs(value):.1e}".split("e")
    digits = digits.removesuffix(".0")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{MINUS if value < 0 else ''}{digits} \u00d7 10{power}".replace("1 \u00d7 ", "", 1 if digits == "1" else 0)


def p_value(value: Number) -> str:
    """A probability under chance, with four decimals, from there on in powers of ten.

    >>> p_value(0.00417), p_value(0.00002)
    ('0.0042', '2 \u00d7 10\u207b\u2075')
    """
    return decimal(value, 4) if value is not None and value >= _LEAST_WRITTEN_P else tiny(value)


def quantity(value: Number, unit: str) -> str:
    """A gate's or metric's value with its unit."""
    if unit in _PERCENT_UNITS:
        return percent(value)
    if unit in _TINY_UNITS:
        return p_value(value) if unit == "p-value" else tiny(value)
    if unit in ("", "ratio", "per day"):
        return decimal(value)
    if not known(value):
        return special(value) or NOT_MEASURED
    if unit in ("ms", "bps"):
        return f"{decimal(value)}{NBSP}{unit}"
    return count(value) if unit == "count" else f"{count(value)} {unit}"


def bound(result: GateResult) -> str:
    """A gate's threshold with its comparison sign, such as `≥ 58.00 %`."""
    if not known(result.threshold):
        return "none"
    return f"{SIGNS[result.comparison]}{NBSP}{quantity(result.threshold, result.unit)}"


def bound_in_words(result: GateResult) -> str:
    """A gate's threshold in words, such as `at least 58.00 %`."""
    if not known(result.threshold):
        return "something that is not set"
    return f"{IN_WORDS[result.comparison]} {quantity(result.threshold, result.unit)}"


def interval(ends: tuple[Number, Number] | None, unit: str, unknown: str = DASH) -> str:
    """A confidence interval, its unit said once."""
    if ends is None or not all(known(end) for end in ends):
        return unknown
    low, high = (quantity(end, unit) for end in ends)
    if unit in _PERCENT_UNITS:
        low = low.removesuffix(f"{NBSP}%")
    return f"{low} to {high}"


def moment(time_ms: Number) -> str:
    """UTC milliseconds as a time to the minute; a time that no calendar can hold is shown as its number.

    >>> moment(0)
    '1970-01-01 00:00 UTC'
    """
    if time_ms is None or not 0 <= time_ms <= _LAST_TIME_MS:
        return NOT_MEASURED if time_ms is None else f"{time_ms} ms"
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def day(time_ms: Number) -> str:
    """UTC milliseconds as a date."""
    return moment(time_ms)[:10] if time_ms is not None and 0 <= time_ms <= _LAST_TIME_MS else moment(time_ms)


def span(start_ms: Number, end_ms: Number) -> str:
    """Two dates, from and to."""
    return f"{day(start_ms)} to {day(end_ms)}"


def seconds(value: Number) -> str:
    """A stage's time."""
    if not known(value) or value is None:
        return special(value) or NOT_MEASURED
    if value >= 100:
        return f"{round(value) // 60} min {round(value) % 60} s"
    return f"{decimal(value, 2 if value >= 0.1 else 3)}{NBSP}s"


def enumerate_words(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> enumerate_words(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else ""]))


def plural(number: Number, noun: str) -> str:
    """A number with its noun.

    >>> plural(1, "trade"), plural(3, "trade")
    ('1 trade', '3 trades')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"
