"""The classes of faults between a bot and its service, and the reason that its decisions then have."""

from typing import Final

from tests.e2e.bot import faults
from tests.e2e.bot.fault_proxy import Fault
from tests.e2e.bot.paper_bot import ATTEMPT_MS, DECIDE_MS

EVERYWHERE: Final[tuple[str, ...]] = ()
# Fault (None: nobody listens), paths that have it, reason of the first bar.
CLASSES: Final[dict[str, tuple[Fault | None, tuple[str, ...], str]]] = {
    "refused": (None, EVERYWHERE, "unreachable"),
    "reset": (faults.reset, EVERYWHERE, "unreachable"),
    "black hole": (faults.black_hole, EVERYWHERE, "timeout"),
    "slower than an attempt": (faults.slow(1.4 * ATTEMPT_MS / 1000), EVERYWHERE, "timeout"),
    "slower than the deadline": (faults.slow(1.4 * DECIDE_MS / 1000), EVERYWHERE, "timeout"),
    "drips": (faults.drip, EVERYWHERE, "timeout"),
    "500": (faults.status(500, "internal"), EVERYWHERE, "server_error"),
    "503": (faults.status(503, "overloaded"), (faults.PREDICT,), "server_error"),
    "429": (faults.status(429, "rate_limited", "Retry-After: 1"), (faults.PREDICT,), "rate_limited"),
    "401": (faults.status(401, "unauthorised"), (faults.PREDICT,), "refused"),
    "garbled body": (faults.garbled_body, (faults.PREDICT,), "bad_answer"),
    "garbled head": (faults.garbled_head, EVERYWHERE, "bad_answer"),
    "truncated body": (faults.truncated, EVERYWHERE, "bad_answer"),
    "not a number": (faults.rewritten(faults.not_a_number), (faults.PREDICT,), "bad_answer"),
    "replayed": (faults.replayed, (faults.PREDICT,), "bad_answer"),
    "replayed as mine": (faults.replayed_as_mine, (faults.PREDICT,), "wrong_bar"),
    "turned around": (faults.rewritten(faults.turned_around), (faults.PREDICT,), "bad_answer"),
    "wrong version": (faults.rewritten(faults.wrong_version), (faults.PREDICT,), "unexpected_version"),
    "stale data": (faults.rewritten(faults.stale), (faults.PREDICT,), "clock_skew"),
    "other window": (faults.rewritten(faults.other_window), (faults.PREDICT,), "wrong_window"),
    "earlier bar": (faults.rewritten(faults.earlier_bar), (faults.PREDICT,), "wrong_bar"),
    "expired": (faults.rewritten(faults.expired), (faults.PREDICT,), "too_old"),
    "not logged": (faults.rewritten(faults.not_logged), (faults.PREDICT,), "not_logged"),
}
# These open no breaker: the service answered.
UNCOUNTED: Final = {"rate_limited", "refused", "clock_skew", "unexpected_version", "not_logged"}
