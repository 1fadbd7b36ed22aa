"""How many XGBoost fits this process has done and how long they took: for figures about speed, and for nothing that anything depends on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final


class FitClock:
    """Counts fits of all threads; a fit begins with laying out its tables.

    Attributes:
        clock: seconds from any start, given by whoever wants to know the time that fits take; None: they are only counted.
    """

    def __init__(self) -> None:
        self.clock: Callable[[], float] | None = None
        self._lock = threading.Lock()
        self._count, self._seconds = 0, 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what happens inside as one fit."""
        clock = self.clock
        start = 0.0 if clock is None else clock()
        try:
            yield
        finally:
            spent = 0.0 if clock is None else clock() - start
            with self._lock:
                self._count += 1
                self._seconds += spent

    def read(self) -> tuple[int, float]:
        """Fits so far, and their seconds summed over threads."""
        with self._lock:
            return self._count, self._seconds


FITS: Final = FitClock()
