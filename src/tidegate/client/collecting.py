"""Python's own garbage collection waits while a decision is under way.

A full collection stops every thread for as long as it takes to visit all objects of the process: 0.4 s were seen with 180,000 of them on a busy machine.
A decision that it falls into is late by that, whatever the client does. So it comes between decisions.
"""

import gc
import threading
import time
from typing import Final

LONGEST_S: Final = 10.0
"""Where one decision overlaps the next for longer, collections are let through: memory must not grow for ever."""


class Held:
    """Holds automatic collections back while at least one decision is under way; a context manager for any number of threads.

    Somebody who has switched them off finds them off afterwards. What is begun by `gc.collect()` waits for nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self._since = 0.0
        self._switched_off = False

    def __enter__(self) -> None:
        with self._lock:
            if self._under_way == 0:
                self._since = time.monotonic()
                self._switched_off = gc.isenabled()
                gc.disable()
            elif self._switched_off and time.monotonic() - self._since > LONGEST_S:
                self._switched_off = False
                gc.enable()
            self._under_way += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._under_way -= 1
            if self._under_way == 0 and self._switched_off:
                self._switched_off = False
                gc.enable()


HELD: Final = Held()
"""One for the process, as the collector is."""
