from tidegate.client.config import Retry
from tidegate.client.retry import pause_s


def test_pauses_double_up_to_their_bound_and_are_drawn_from_nothing_on() -> None:
    settings = Retry(attempts=9, backoff_ms=25, backoff_max_ms=250)
    for retry, most_ms in ((1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (6, 250), (10_000, 250)):
        assert pause_s(settings, retry, 1.0) == most_ms / 1000
        assert pause_s(settings, retry, 0.5) == most_ms / 2000
        assert pause_s(settings, retry, 0.0) == 0
