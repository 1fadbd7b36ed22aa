"""The quarantine file: every row set aside, as it came, with the rules that did it."""

import csv
import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tidegate.bars.bars import COLUMNS
from tidegate.validation.finding import readable_time
from tidegate.validation.validate import Validated

HEADER: Final = ("row", "reasons", "opened_at", "opened_at_ms", *COLUMNS[1:])


def quarantine_name(symbol: str, interval: str) -> str:
    """The file's name.

    >>> quarantine_name("BTC/USDT", "5m")
    'quarantine_BTC%2FUSDT_5m.csv'
    """
    return f"quarantine_{quote(symbol, safe='')}_{interval}.csv"


def write_quarantine(validated: Validated, folder: Path) -> Path:
    """Write the rows set aside as CSV; a file without rows says that there were none.

    Numbers are written so that they read back bit for bit. The file appears whole or not at all.

    Args:
        validated: the verdict that holds the rows.
        folder: created if it does not exist.
    """
    quarantined = validated.quarantined
    bars = quarantined.bars
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / quarantine_name(bars.symbol, str(bars.interval))
    partial = target.with_suffix(f".{os.getpid()}.partial")
    columns = [getattr(bars, name).tolist() for name in COLUMNS]
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            for row, reasons, time_ms, *values in zip(
                quarantined.rows.tolist(), quarantined.reasons, *columns, strict=True
            ):
                writer.writerow([row, reasons, readable_time(time_ms), time_ms, *map(repr, values)])
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target
