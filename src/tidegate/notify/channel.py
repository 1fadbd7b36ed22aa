"""What every way to a receiver has in common: one try, its proof or its failure, and several tries with pauses."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tidegate.logs.redaction import without_secrets
from tidegate.notify.notification import Notification

log = logging.getLogger(__name__)

Proof = Mapping[str, Any]
_MOST_REASON: Final = 500
_LONGEST_PAUSE_S: Final = 30.0


class TryFailed(Exception):
    """One try delivered nothing.

    Args:
        reason: one line for people.
        temporary: whether the same try may succeed soon.
    """

    def __init__(self, reason: str, *, temporary: bool) -> None:
        super().__init__(reason)
        self.reason = without_secrets(" ".join(reason.split()))[:_MOST_REASON]
        self.temporary = temporary


class Channel(Protocol):
    """A way to one receiver."""

    @property
    def name(self) -> str:
        """Names it in the ledger; holds no secret."""

    def deliver(self, notification: Notification) -> Proof:
        """Try once.

        Returns:
            what the receiver answered, as JSON.

        Raises:
            TryFailed: nothing was delivered, or nobody knows whether it was.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round of tries came to: `proof` where it was delivered, else `reason`."""

    channel: str
    tries: int
    proof: Proof | None
    reason: str | None


def deliver(
    channel: Channel,
    notification: Notification,
    *,
    pauses_s: Sequence[float],
    sleep: Callable[[float], object],
) -> Outcome:
    """Try until it is delivered, the receiver refuses it for good, or the tries are used up. Never raises.

    Args:
        channel: the way.
        notification: what to tell.
        pauses_s: before each try, as `pauses` gives them.
        sleep: waits.
    """
    reason = ""
    tries = 0
    for tries, pause_s in enumerate(pauses_s, 1):
        if pause_s:
            sleep(pause_s)
        try:
            return Outcome(channel.name, tries, channel.deliver(notification), None)
        except TryFailed as failed:
            reason = failed.reason
            if not failed.temporary:
                break
        except Exception as error:
            # The border: whatever a library raises, the failure must reach the ledger.
            log.exception("the delivery by %s failed unexpectedly", channel.name)
            reason = f"unexpected {type(error).__name__}"
            break
    return Outcome(channel.name, tries, None, reason)


def pauses(attempts: int, pause_s: float) -> tuple[float, ...]:
    """Seconds to wait before each of several tries: none, then `pause_s`, then twice as long each time, half a minute at most.

    >>> pauses(4, 1.0)
    (0.0, 1.0, 2.0, 4.0)
    """
    return (0.0, *(min(pause_s * 2.0**number, _LONGEST_PAUSE_S) for number in range(attempts - 1)))


@contextmanager
def limited(limit_s: float, connection: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Cut a connection after a time: a socket's own time-out begins anew with every byte, so a slow receiver could hold it for ever.

    Args:
        limit_s: seconds for all that happens inside.
        connection: the socket that is used, None while there is none.

    Raises:
        TimeoutError: in place of whatever the cut connection led to, be it an error or a result.
    """
    cut = threading.Event()

    def end() -> None:
        cut.set()
        used = connection()
        if used is not None:
            with suppress(OSError):
                # The plain socket's method: TLS's own would take the socket from under the thread that reads it.
                socket.socket.shutdown(used, socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if cut.is_set():
            raise TimeoutError(f"no end within {limit_s:g} s") from error
        raise
    else:
        # To http.client, headers that were cut off are headers that have ended.
        if cut.is_set():
            raise TimeoutError(f"no end within {limit_s:g} s")
    finally:
        timer.cancel()
