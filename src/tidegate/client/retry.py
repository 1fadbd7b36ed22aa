"""Pauses between attempts: exponential with full jitter.

Source: Brooker, Exponential Backoff And Jitter, 2015.
"""

from typing import Final

from tidegate.client.config import Retry

LEAST_S: Final = 0.005
"""No attempt begins with less time left."""


def pause_s(settings: Retry, retry: int, chance: float) -> float:
    """The pause before the k-th retry.

    Args:
        settings: first and longest pause.
        retry: k, from 1.
        chance: a random number from 0 to 1.
    Returns:
        Seconds.
    """
    longest_ms = min(settings.backoff_max_ms, settings.backoff_ms << (min(retry, 40) - 1))
    return chance * longest_ms / 1000
