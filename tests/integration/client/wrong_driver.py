"""Clients that are wrong on purpose: `python wrong_driver.py FAULT` is the Python client's driver with one fault in it.

The conformance kit must find each of them; a kit that does not would let a third client through with that fault.
"""

# ruff: noqa: ANN401  -- faults stand in for functions of every kind

import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from tidegate.client import client, columns, driver, exchange, judging
from tidegate.client.asking import Miss
from tidegate.client.breaker import Breaker
from tidegate.client.decision import NoSignal
from tidegate.client.memory import Memory
from tidegate.client.series import Sent, whole
from tidegate.client.transport import Transport

Code = Callable[..., Any]
Fault = tuple[Any, str, Callable[[Code], Code]]


def _says(value: Any) -> Callable[[Code], Code]:
    return lambda _: lambda *_args, **_named: value


def _overlooks(reason: str) -> Callable[[Code], Code]:
    """A check whose objections of that reason are not heard."""

    def make(check: Code) -> Code:
        def checked(*args: Any) -> Any:
            found = check(*args)
            return None if isinstance(found, NoSignal) and found.reason == reason else found

        return checked

    return make


def _asks_at_any_time(_: Code) -> Code:
    def outcome(self: Any, symbol: str, bars: Any, held: Any, started: float, progress: Any) -> Any:
        asked = exchange.Asked(symbol, bars, held, self._closed_at(bars))
        return self._exchange(asked, started, progress)

    return outcome


def _sleeps_on(conclude: Code) -> Code:
    def concluded(self: Any, *args: Any) -> Any:
        time.sleep(self.config.deadline.decide_ms / 1000 + 0.6)
        return conclude(self, *args)

    return concluded


def _trusts_any_version(_: Code) -> Code:
    def expected(answer: Any, served: Any, *_args: Any) -> Any:
        return next((one for one in judging.answering(served) if one.version == answer.version), served.production)

    return expected


def _reads_a_halt_as_an_abstention(_: Code) -> Code:
    return lambda abstain: NoSignal("abstained", abstain.reason)


def _retries_refusals(_: Code) -> Code:
    def told(cls: type[Miss], status: int, name: str, detail: str, retry_after_s: float | None = None) -> Miss:
        del retry_after_s
        return cls("server_error" if status >= 500 else "refused", f"{status} {name}: {detail}", again=True)

    return lambda *args: told(Miss, *args)


def _takes_after_from_what_it_sent(to_send: Code) -> Code:
    def sent(window: Any, known: Any, lookback: int) -> Sent:
        found: Sent = to_send(window, known, lookback)
        if found.after is None or known is None:
            return found
        return Sent(found.bars, int(known["opened_at"][-1]))

    return sent


def _holds_for_ever(_: Code) -> Code:
    return lambda _settings, _closure, situation: (situation.position.side, "hold")


def _counts_each_asking(silent: Code) -> Code:
    return lambda self, symbol, _closed_at, source: silent(self, symbol, None, source)


def _says_that_it_acts(conclude: Code) -> Code:
    def concluded(self: Any, *args: Any) -> Any:
        self.config = self.config.model_copy(update={"dry_run": False})
        return conclude(self, *args)

    return concluded


def _keeps_its_key(post: Code) -> Code:
    def posted(self: Any, *args: Any) -> Any:
        self._client.headers.pop("Authorization", None)
        return post(self, *args)

    return posted


def _forgets_the_route(post: Code) -> Code:
    def posted(self: Any, *args: Any) -> Any:
        return post(self, *args[:4])

    return posted


def _remembers_everything(attempt: Code) -> Code:
    async def attempted(self: Any, *args: Any) -> Any:
        self._keep_window()
        return await attempt(self, *args)

    return attempted


def _says_one_attempt(concluded: Code) -> Code:
    def conclude(self: Any, symbol: Any, bars: Any, position: Any, outcome: Any, progress: Any, started: Any) -> Any:
        progress.attempts = min(1, progress.attempts)
        return concluded(self, symbol, bars, position, outcome, progress, started)

    return conclude


def _forgets_how_far_back_models_look(to_send: Code) -> Code:
    def sent(window: Any, known: Any, lookback: int) -> Sent:
        compared = lookback if known is None else min(lookback, len(known["opened_at"]))
        found: Sent = to_send(window, known, compared)
        return whole(window, lookback) if found.after is None else found

    return sent


def _holds_on_where_bars_are_few(lookback: Code) -> Code:
    def wanted(self: Any, served: Any) -> Any:
        return lookback(self, msgspec.structs.replace(served, halted=None))

    return wanted


FAULTS: dict[str, Fault] = {
    "asks_with_any_position": (columns, "is_usable", _says(True)),
    "asks_at_any_time": (client.Client, "_outcome", _asks_at_any_time),
    "takes_any_bars": (columns, "_check", _says(None)),
    "sleeps_on": (client.Client, "_conclude", _sleeps_on),
    "waits_without_an_attempt_limit": (exchange.Exchange, "_limit_s", lambda _: lambda self: self._left_s()),
    "does_not_compare_with_the_policy": (judging, "_consistent", _says(None)),
    "overlooks_the_bar": (judging, "_untimely", _overlooks("wrong_bar")),
    "overlooks_the_clock": (judging, "_untimely", _overlooks("clock_skew")),
    "overlooks_the_age": (judging, "_untimely", _overlooks("too_old")),
    "trusts_any_version": (judging, "_expected", _trusts_any_version),
    "reads_a_halt_as_an_abstention": (judging, "_abstained", _reads_a_halt_as_an_abstention),
    "retries_refusals": (Miss, "of_status", _retries_refusals),
    "always_sends_whole_windows": (exchange, "to_send", lambda _: lambda bars, _known, lookback: whole(bars, lookback)),
    "takes_after_from_what_it_sent": (exchange, "to_send", _takes_after_from_what_it_sent),
    "remembers_everything": (exchange.Exchange, "_attempt", _remembers_everything),
    "never_falls_back": (client, "fall_back", _holds_for_ever),
    "counts_each_asking": (Memory, "silent", _counts_each_asking),
    "opens_by_isolated_looks": (Breaker, "answered_look", _says(None)),
    "looks_without_a_pause": (Memory, "is_waiting", _says(False)),
    "has_no_breaker": (Breaker, "failed", _says(False)),
    "does_not_wait_when_asked_to": (Memory, "wait", _says(None)),
    "says_that_it_acts": (client.Client, "_conclude", _says_that_it_acts),
    "says_one_attempt": (client.Client, "_conclude", _says_one_attempt),
    "believes_any_window": (judging, "_elsewhere", _says(None)),
    "forgets_how_far_back_models_look": (exchange, "to_send", _forgets_how_far_back_models_look),
    "holds_on_where_bars_are_few": (exchange.Exchange, "_lookback", _holds_on_where_bars_are_few),
    "keeps_its_key": (Transport, "post", _keeps_its_key),
    "forgets_the_route": (Transport, "post", _forgets_the_route),
}


if __name__ == "__main__":
    owner, name, make = FAULTS[sys.argv[1]]
    setattr(owner, name, make(getattr(owner, name)))
    driver.run(sys.stdin, sys.stdout)
