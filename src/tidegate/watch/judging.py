"""The service rules of one strategy on one version, in the order in which they are told."""

from collections.abc import Sequence

from tidegate.rollback.finding import BotWord, Finding, Minute
from tidegate.rollback.rules import bots, crashes, errors, latency
from tidegate.watch.strategies import Watched


def judge(
    watched: Watched, version: int | None, minutes: Sequence[Minute], words: Sequence[BotWord], now_ms: int
) -> list[Finding]:
    """What the rules say now.

    Args:
        watched: the model and its rules.
        version: in production as the ledger has it, None where none is.
        minutes: of all instances within a day.
        words: of all bots of the model.
        now_ms: UTC ms.
    """
    rules = watched.rules
    return [
        latency(minutes, now_ms, rules, version=version),
        errors(minutes, now_ms, rules, version=version),
        crashes(minutes, now_ms, rules, version=version),
        bots(words, now_ms, rules, version=version, minutes=minutes),
    ]
