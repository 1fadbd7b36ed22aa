"""Tries, pauses, and what ends them, with a channel that does as it is told."""

from collections.abc import Sequence

import pytest
from tests.integration.notify.making import notification

from tidegate.notify.channel import Outcome, Proof, TryFailed, deliver, pauses
from tidegate.notify.notification import Notification

GONE = TryFailed("gone", temporary=True)
NEVER = TryFailed("never", temporary=False)


class Told:
    """A channel whose tries end as given."""

    name = "told"

    def __init__(self, *ends: Exception | None) -> None:
        self.ends = list(ends)

    def deliver(self, notification: Notification) -> Proof:
        end = self.ends.pop(0)
        if end is not None:
            raise end
        return {"id": notification.id}


@pytest.mark.parametrize(
    ("ends", "tries", "reason", "slept"),
    [
        ([None], 1, None, []),
        ([GONE, None], 2, None, [1.0]),
        ([GONE, GONE, None], 3, None, [1.0, 2.0]),
        ([GONE, GONE, GONE], 3, "gone", [1.0, 2.0]),
        ([NEVER, None], 1, "never", []),
        ([GONE, NEVER, None], 2, "never", [1.0]),
        ([ZeroDivisionError(), None], 1, "unexpected ZeroDivisionError", []),
    ],
)
def test_tries(ends: Sequence[Exception | None], tries: int, reason: str | None, slept: list[float]) -> None:
    found: list[float] = []
    outcome = deliver(Told(*ends), notification(), pauses_s=pauses(3, 1.0), sleep=found.append)
    proof = {"id": notification().id} if reason is None else None
    assert (outcome, found) == (Outcome("told", tries, proof, reason), slept)


def test_pauses_double_up_to_half_a_minute() -> None:
    assert pauses(1, 1.0) == (0.0,)
    assert pauses(8, 1.0) == (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)


def test_a_reason_is_one_line_without_secrets() -> None:
    assert TryFailed("http://u:pa55@h\nis away", temporary=True).reason == "http://u:***@h is away"
