"""API keys at the border: whose a request is, from a file that may change while the service runs."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tidegate.errors import TidegateError
from tidegate.keys.api_keys import ApiKey, ApiKeys
from tidegate.serving.clock import wall_ms

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_Stamp = tuple[int, int, int, int]


class KeyRing:
    """The keys of a file, read again within a second when it changes.

    A new file that cannot be read changes nothing: the keys before go on, and `note` says so until the file is right.

    Args:
        path: the file; None asks nobody for a key.
        now_ms: UTC ms, for keys that expire.
        look_s: seconds between two looks at the file.
    Raises:
        TidegateError: the file cannot be read at the start.
    """

    def __init__(self, path: Path | None, *, now_ms: Callable[[], int] = wall_ms, look_s: float = _LOOK_S) -> None:
        self.note: str | None = None
        self._path = path
        self._now_ms = now_ms
        self._look_s = look_s
        self._stamp = None if path is None else _stamp(path)
        self._keys = None if path is None else ApiKeys.from_file(path)

    @property
    def required(self) -> bool:
        """Whether a key is asked for."""
        return self._keys is not None

    def identify(self, presented: str) -> ApiKey | None:
        """Whose key it is; None: nobody's, or not valid now."""
        return None if self._keys is None else self._keys.identify(presented, self._now_ms())

    async def watch(self) -> None:
        """Look at the file again and again, until cancelled."""
        while self._path is not None:
            await asyncio.sleep(self._look_s)
            try:
                await self._look(self._path)
            except Exception:
                # The border of this task: whatever one look came to, keys must go on being watched.
                log.exception("the API keys file could not be looked at")

    async def _look(self, path: Path) -> None:
        stamp = await asyncio.to_thread(_stamp, path)
        if stamp == self._stamp:
            return
        try:
            self._keys = await asyncio.to_thread(ApiKeys.from_file, path)
        except TidegateError as error:
            self._stamp = stamp
            self.note = "the API keys file was changed and cannot be read; the keys before go on"
            log.error("%s: %s", self.note, error)  # noqa: TRY400  the message says all
        else:
            self._stamp = stamp
            self.note = None
            log.info("API keys were read anew")


def _stamp(path: Path) -> _Stamp | None:
    """What changes when the file is written or replaced, also behind a link; None: it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    # The change time moves with rights and owner as well, whose mending must be noticed.
    return found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino
