"""The watch's minutes on disk, so that a restart of the watch forgets nothing: JSON lines, bounded, read by monitoring too.

One line a minute and strategy: the fields of `rollback.finding.Minute`, with `strategy` and `latency_mean_ms`. The file is rewritten when it has grown
to twice what is kept.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tidegate.durable import sync
from tidegate.rollback.finding import Minute
from tidegate.watch.minutes import DAY_MS, Kept

log = logging.getLogger(__name__)

KEEP_MS: Final = 2 * DAY_MS
"""Longer than rules look back, so that yesterday is whole when the daily run asks for it."""
_MOST_BYTES: Final = 64_000_000


class History:
    """The file of minutes of one project; one process writes it.

    Args:
        path: the file; its folder is made.
        keep_ms: how long a minute is kept.
        slack_bytes: by which the file may grow beyond twice of what is kept before it is rewritten.
    """

    def __init__(self, path: Path, keep_ms: int = KEEP_MS, slack_bytes: int = 1_000_000) -> None:
        self.path = path
        self._keep_ms = keep_ms
        self._slack_bytes = slack_bytes
        self._kept_bytes = 0

    def load(self, now_ms: int) -> list[Kept]:
        """Minutes that are kept, oldest first. A file that is not what was written is set aside, and all begins anew.

        A last line without its end is what a kill left, and only that line is lost.

        Raises:
            OSError: the folder cannot be used.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            text = self.path.read_bytes() if self.path.exists() else b""
            found = [_kept(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            aside = self.path.with_suffix(".damaged")
            log.warning("%s is damaged and set aside as %s; the watch begins anew: %s", self.path, aside.name, error)
            self.path.replace(aside)
            found = []
        found = [one for one in found if one.minute.ends_at > now_ms - self._keep_ms]
        self._rewrite(found)
        return found

    def append(self, kept: Iterable[Kept], now_ms: int) -> None:
        """Add minutes that have ended.

        Raises:
            OSError: the disk refuses.
        """
        text = "".join(map(_line, kept))
        if not text:
            return
        with self.path.open("ab") as file:
            file.write(text.encode())
            size = file.tell()
        if size > 2 * self._kept_bytes + self._slack_bytes or size > _MOST_BYTES:
            self.load(now_ms)

    def _rewrite(self, kept: Iterable[Kept]) -> None:
        content = "".join(map(_line, kept)).encode()
        if len(content) > _MOST_BYTES // 2:
            content = content[-_MOST_BYTES // 2 :].partition(b"\n")[2]
        written = self.path.with_suffix(".new")
        written.write_bytes(content)
        sync(written)
        written.replace(self.path)
        sync(self.path.parent)
        self._kept_bytes = len(content)


def _line(one: Kept) -> str:
    content = {"strategy": one.strategy, **asdict(one.minute), "latency_mean_ms": one.latency_mean_ms}
    return json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n"


def _kept(line: bytes) -> Kept:
    content: dict[str, Any] = json.loads(line)
    strategy, mean_ms = str(content.pop("strategy")), content.pop("latency_mean_ms")
    minute = Minute(**content)
    for name in ("starts_at", "ends_at", "requests", "errors"):
        if type(getattr(minute, name)) is not int:
            raise ValueError(f"{name} is not a whole number")
    return Kept(strategy, minute, mean_ms)
