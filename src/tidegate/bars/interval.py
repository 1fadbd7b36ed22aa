"""Bar intervals such as `1m`, `5m`, `1h`, `1d`."""

import re
from dataclasses import dataclass
from functools import cache, total_ordering

from tidegate.errors import ConfigurationError

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN = re.compile(r"^([1-9]\d{0,3})([smhd])$")
DAY_MS = 86_400_000


@total_ordering
@dataclass(frozen=True, slots=True)
class Interval:
    """A bar's span of time.

    >>> Interval("5m").milliseconds
    300000
    >>> Interval("1h") < Interval("1d")
    True

    Raises:
        ConfigurationError: the text is not a number followed by s, m, h or d.
    """

    text: str

    def __post_init__(self) -> None:
        if not _PATTERN.match(self.text):
            raise ConfigurationError(
                f"interval {self.text!r} is unknown", expected="a number and s, m, h or d, like 5m"
            )

    @property
    def milliseconds(self) -> int:
        """The span in milliseconds."""
        return _milliseconds(self.text)

    def __lt__(self, other: "Interval") -> bool:
        return self.milliseconds < other.milliseconds

    def __str__(self) -> str:
        return self.text


@cache
def _milliseconds(text: str) -> int:
    match = _PATTERN.match(text)
    assert match is not None
    return int(match[1]) * _UNITS_MS[match[2]]
