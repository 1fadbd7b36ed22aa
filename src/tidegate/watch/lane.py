"""One thread that does what may wait long (MLflow, the ledgers, mail) one after the other, so that looks never wait for it."""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

log = logging.getLogger(__name__)

Job = Callable[[], None]


class Lane:
    """Does named jobs in their order; a name that waits already is not taken twice.

    Args:
        name: of the thread.
        on_error: told of a job that raised, with the job's name; the lane goes on.
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self, name: str, on_error: Callable[[str, Exception], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_error = on_error
        self._jobs: SimpleQueue[tuple[str, Job] | None] = SimpleQueue()
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._is_stopping = False
        self._monotonic = monotonic
        self._began_at: float | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, name: str, job: Job) -> bool:
        """Have a job done; False where one of this name waits already, or the lane is stopping."""
        with self._lock:
            if name in self._waiting or self._is_stopping:
                return False
            self._waiting.add(name)
            self._jobs.put((name, job))
            return True

    def stop(self, timeout_s: float) -> bool:
        """Finish the job under way, leave out those that wait, and end; False where it does not end in time."""
        with self._lock:
            self._is_stopping = True
            self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (found := self._jobs.get()) is not None:
            name, job = found
            with self._lock:
                # From here on the name may be submitted again: what changes while the job runs is done afterwards.
                self._waiting.discard(name)
                if self._is_stopping:
                    continue
            self._began_at = self._monotonic()
            try:
                job()
            except Exception as error:  # noqa: BLE001  the border: no job may end the lane
                self._on_error(name, error)
            finally:
                self._began_at = None

    @property
    def busy_s(self) -> float:
        """Seconds that the job under way has taken so far, 0 where none is."""
        began_at = self._began_at
        return 0.0 if began_at is None else self._monotonic() - began_at
