"""`decide` over real sockets: each fault with its reason, its requests, and its word for the breaker; always within the deadline."""
# ruff: noqa: ANN401  settings of many types

import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.client.scripted import (
    Act,
    Asked,
    Scripted,
    answered,
    late,
    raw,
    refuse,
    reply,
    reset,
    signal,
    silent,
    sound,
    then_close,
    whole,
)
from tests.servers import free_port
from tests.unit.client.records import HOUR_MS, START_MS, bars, config, model, problem, served

from tidegate.client import Client, Decision, Situation
from tidegate.client.decision import FAILURES

PREDICT, MODEL = "/v1/predict", "/v1/model"
SLACK_MS = 250
QUICK = {
    "deadline": {"decide_ms": 2000, "attempt_ms": 1000, "connect_ms": 500},
    "retry": {"attempts": 3, "backoff_ms": 1, "backoff_max_ms": 2},
}
HASTY = {"decide_ms": 300, "attempt_ms": 60, "connect_ms": 50}


class Clients:
    """Clients of one test, closed at its end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.opened: list[Client] = []

    def __call__(self, *, rule: Any = None, clock: Any = None, **changes: Any) -> Client:
        client = Client(config(**{"url": self.url, **QUICK, **changes}), fallback=rule, clock=clock)
        self.opened.append(client)
        return client


@pytest.fixture
def connect(service: Scripted) -> Iterator[Clients]:
    clients = Clients(service.url)
    yield clients
    for client in clients.opened:
        client.close()


def ask(client: Client, count: int = 5, *, start: int = 0, position: object = None) -> Decision:
    return client.decide("SIM/USD", bars(count, start=start), position)


def test_a_sound_answer_is_the_models_decision(service: Scripted, connect: Clients) -> None:
    client = connect(dry_run=False)
    decision = ask(client, position={"side": 1, "entry_price": 103.0, "bars_held": 2})
    assert (decision.source, decision.target, decision.reason, decision.fallback) == ("model", 1, None, None)
    assert (decision.version, decision.probability, decision.attempts) == (7, 0.7, 1)
    assert decision.bar_closed_at == decision.decided_at == START_MS + 5 * HOUR_MS
    assert (decision.breaker, decision.target_to_act_on) == ("closed", 1)
    (asked,) = service.of(PREDICT)
    assert asked.body["request_id"] == decision.request_id == asked.headers["x-request-id"]
    assert asked.body["strategy"] == "sim"
    assert "after" not in asked.item
    assert asked.item["bars"]["opened_at"] == bars(5)["opened_at"][-3:]
    assert asked.item["position"] == {"side": 1, "entry_price": 103.0, "bars_held": 2}
    assert len(service.of(MODEL)) == 1


def test_a_dry_run_decides_and_nothing_is_to_be_acted_on(connect: Clients) -> None:
    decision = ask(connect())
    assert (decision.target, decision.dry_run, decision.target_to_act_on) == (1, True, None)


def test_only_new_bars_are_sent_on_one_connection(service: Scripted, connect: Clients) -> None:
    client = connect()
    for start in range(4):
        assert ask(client, start=start).source == "model"
    first, *later = service.of(PREDICT)
    assert "after" not in first.item
    for number, asked in enumerate(later):
        newest = START_MS + (5 + number) * HOUR_MS
        assert (asked.item["after"], asked.item["bars"]["opened_at"]) == (newest - HOUR_MS, [newest])
    assert (service.connections, len(service.of(MODEL))) == (1, 1)
    assert len({asked.body["request_id"] for asked in service.of(PREDICT)}) == 4


def test_two_bots_with_one_key_decide_each_by_its_own_bars(service: Scripted, connect: Clients) -> None:
    one, other = connect(), connect()
    theirs = {**bars(5), "volume": [11.0] * 5}
    assert ask(one).attempts == 1
    assert other.decide("SIM/USD", theirs).attempts == 1
    # The service keeps the other one's window under the same key: what is sent behind it is judged with that.
    decision = ask(one, start=1)
    assert (decision.source, decision.attempts) == ("model", 2)
    assert ["after" in asked.item for asked in service.of(PREDICT)] == [False, False, True, False]
    assert 'requests_total{route="/v1/predict",outcome="wrong_window"} 1' in one.metrics_text()


# Act of every request, reason, requests.
FAULTS: dict[str, tuple[Act, str, int]] = {
    "reset": (reset, "unreachable", 3),
    "closed": (then_close(), "unreachable", 3),
    "closed in the head": (then_close(b"HTTP/1.1 200 OK\r\nContent-Le"), "unreachable", 3),
    "rubbish": (then_close(b"\x00\x01\x02 rubbish\r\n\r\n"), "bad_answer", 3),
    "html": (raw(whole(200, b"<html>busy</html>")), "bad_answer", 3),
    "truncated": (then_close(whole(200, b'{"request_id": "x"', content_length="500")), "bad_answer", 3),
    "compressed": (raw(whole(200, b"\x1f\x8b", content_encoding="gzip")), "bad_answer", 3),
    "too long": (then_close(whole(200, b" " * (1 << 20) + b"{}")), "bad_answer", 3),
    "another request's": (signal(request_id="other"), "bad_answer", 3),
    "redirect": (reply(307, None, location="/v1/elsewhere"), "bad_answer", 1),
    "nothing": (reply(204), "bad_answer", 1),
    "500": (refuse(500, "internal"), "server_error", 3),
    "503": (refuse(503, "not_ready"), "server_error", 3),
    "503 without a problem": (raw(whole(503, b"down")), "server_error", 3),
    "408": (refuse(408, "request_timeout"), "server_error", 3),
    "501": (refuse(501, "internal"), "server_error", 1),
    "401": (refuse(401, "unauthorised"), "refused", 1),
    "404": (refuse(404, "unknown_strategy"), "refused", 1),
    "422": (refuse(422, "bars_refused"), "refused", 1),
    "429 for long": (refuse(429, "rate_limited", retry_after="30"), "rate_limited", 1),
    "409": (refuse(409, "window_gapped"), "window_unaccepted", 2),
    "too short": (refuse(422, "window_too_short"), "refused", 2),
    "problem in the answer": (signal(problem=problem(503, "model_failed")), "server_error", 3),
    "refusal in the answer": (signal(problem=problem(422, "unknown_symbol")), "refused", 1),
    "abstention": (signal(abstain={"reason": "stale_data", "detail": "old"}), "abstained", 1),
    "wrong bar": (signal(bar_closed_at=START_MS), "wrong_bar", 1),
    "too old": (signal(valid_until=START_MS), "too_old", 1),
    "clock": (signal(data_age_ms=60_000), "clock_skew", 1),
    "not logged": (signal(logged=False), "not_logged", 1),
    "wrong version": (signal(version=99), "unexpected_version", 1),
    "other bars": (signal(input_digest="c" * 64), "wrong_window", 2),
    "wrong target": (signal(target_position=-1), "bad_answer", 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_a_fallback_with_its_reason(service: Scripted, connect: Clients, name: str) -> None:
    act, reason, attempts = FAULTS[name]
    service.always(PREDICT, act)
    client = connect(breaker={"failures": 1, "open_ms": 60_000})
    decision = ask(client, position={"side": 1, "entry_price": 103.0, "bars_held": 2})
    assert (decision.source, decision.reason, decision.attempts) == ("fallback", reason, attempts), decision.detail
    assert (decision.target, decision.fallback, decision.probability) == (0, "flat", None)
    assert decision.detail
    assert len(service.of(PREDICT)) == attempts
    assert decision.breaker == ("open" if reason in FAILURES else "closed")
    assert decision.elapsed_ms < 2000 + SLACK_MS


@pytest.mark.parametrize("name", [name for name, (_, reason, _) in FAULTS.items() if reason != "rate_limited"])
def test_the_next_bar_is_the_models_again(service: Scripted, connect: Clients, name: str) -> None:
    service.always(PREDICT, FAULTS[name][0])
    client = connect()
    assert ask(client).source == "fallback"
    service.always(PREDICT, None)
    decision = ask(client, start=1)
    assert (decision.source, decision.target) == ("model", 1), decision.detail


@pytest.mark.parametrize(
    "act",
    [silent, late(0.4), raw(b"HTTP/1.1 200 OK\r\n"), raw(whole(200, b"{", content_length="9"))],
    ids=["silent", "slow", "head without an end", "body without an end"],
)
def test_time_runs_out_within_the_deadline(service: Scripted, connect: Clients, act: Act) -> None:
    service.always(PREDICT, act)
    client = connect(deadline=HASTY)
    started = time.monotonic()
    decision = ask(client)
    elapsed_ms = (time.monotonic() - started) * 1000
    assert (decision.source, decision.reason) == ("fallback", "timeout"), decision.detail
    assert decision.attempts >= 1
    assert elapsed_ms < 300 + SLACK_MS
    assert decision.elapsed_ms <= elapsed_ms


def test_a_silent_model_route_runs_out_of_time_too(service: Scripted, connect: Clients) -> None:
    service.always(MODEL, silent)
    decision = ask(connect(deadline=HASTY, breaker={"failures": 1}))
    assert (decision.reason, decision.attempts, decision.breaker) == ("timeout", 0, "open")


def test_nobody_listens(service: Scripted, connect: Clients) -> None:
    del service
    decision = ask(connect(url=f"http://127.0.0.1:{free_port()}"))
    assert (decision.reason, decision.attempts) == ("unreachable", 0)


def test_a_retry_that_is_answered_is_the_models(service: Scripted, connect: Clients) -> None:
    service.says(PREDICT, reset, refuse(503, "not_ready"))
    decision = ask(connect())
    assert (decision.source, decision.attempts) == ("model", 3)
    ids = [asked.body["request_id"] for asked in service.of(PREDICT)]
    assert len(set(ids)) == 3
    assert ids[-1] == decision.request_id


def test_the_reason_is_that_of_the_last_attempt(service: Scripted, connect: Clients) -> None:
    service.says(PREDICT, reset, refuse(503, "not_ready"), raw(whole(200, b"x")))
    assert ask(connect()).reason == "bad_answer"


def test_a_window_that_is_wanted_whole_is_sent_once(service: Scripted, connect: Clients) -> None:
    client = connect(retry={"attempts": 1})
    assert ask(client).source == "model"
    service.says(PREDICT, refuse(409, "window_unknown"))
    decision = ask(client, start=1)
    assert (decision.source, decision.attempts) == ("model", 2)
    _, new, full = service.of(PREDICT)
    assert "after" in new.item
    assert "after" not in full.item
    assert len(full.item["bars"]["opened_at"]) == 3


def test_a_model_that_wants_more_bars_gets_them(service: Scripted, connect: Clients) -> None:
    client = connect()
    assert ask(client).source == "model"
    service.always(MODEL, reply(200, [served(production=model(lookback=5))]))
    service.lookback = 5
    service.says(PREDICT, refuse(422, "window_too_short"))
    decision = ask(client, 6)
    assert (decision.source, decision.attempts) == ("model", 2)
    assert len(service.of(PREDICT)[-1].item["bars"]["opened_at"]) == 5


def test_a_short_wait_is_kept_and_then_asked_again(service: Scripted, connect: Clients) -> None:
    service.says(PREDICT, refuse(429, "rate_limited", retry_after="0"))
    decision = ask(connect())
    assert (decision.source, decision.attempts) == ("model", 2)


def test_a_long_wait_sends_nothing_until_it_ends(service: Scripted, connect: Clients) -> None:
    service.says(PREDICT, refuse(429, "rate_limited", retry_after="30"))
    client = connect()
    assert ask(client).attempts == 1
    decision = ask(client, start=1)
    assert (decision.reason, decision.attempts) == ("rate_limited", 0)
    assert len(service.of(PREDICT)) == 1


def test_a_version_that_is_new_is_looked_up_and_taken(service: Scripted, connect: Clients) -> None:
    client = connect()
    assert ask(client).version == 7
    service.always(MODEL, reply(200, [served(production=model(8, "d" * 64))]))
    service.always(PREDICT, signal(version=8, bundle_digest="d" * 64))
    decision = ask(client, start=1)
    assert (decision.source, decision.version) == ("model", 8)
    assert client.state().version == 8


def test_a_halt_holds_nothing_whatever_the_fallback(service: Scripted, connect: Clients) -> None:
    service.always(MODEL, reply(200, [served(production=None, before=None, halted="by a person")]))
    halt = {"abstain": {"reason": "halted", "detail": "by a person"}, "signal": "flat", "target_position": 0}
    nothing = dict.fromkeys(("version", "bundle_digest", "bar_closed_at", "valid_until", "data_age_ms", "probability"))
    service.always(PREDICT, signal(**halt, **nothing))
    client = connect(fallback={"strategy": "hold"})
    decision = ask(client, position={"side": 1, "entry_price": 103.0, "bars_held": 2})
    assert (decision.source, decision.reason, decision.target) == ("halt", "halted", 0)
    assert (decision.fallback, decision.version, decision.attempts) == (None, None, 1)
    assert client.state().halted
    assert client.state().decisions == {"halt": 1}


@pytest.mark.parametrize(
    ("told", "reason", "count"),
    [
        (served(production=model(interval="5m")), "unexpected_version", 5),
        (served(production=model(symbols=["OTHER"])), "unexpected_version", 5),
        (served(), "window_refused", 2),
        (served(production=None, before=None), "server_error", 5),
        (served(strategy="other"), "refused", 5),
    ],
)
def test_a_model_that_is_not_for_this_question_is_not_asked(
    service: Scripted, connect: Clients, told: dict[str, Any], reason: str, count: int
) -> None:
    service.always(MODEL, reply(200, [told]))
    client = connect()
    decision = ask(client, count)
    assert (decision.reason, decision.attempts) == (reason, 0)
    # What it was told once does not stand for ever.
    service.always(MODEL, None)
    assert ask(client).source == "model"


def test_what_is_not_usable_never_reaches_the_service(service: Scripted, connect: Clients) -> None:
    client = connect(breaker={"failures": 1})
    wrong = {**bars(5), "close": [float("nan")] * 5}
    decisions = [
        client.decide("SIM/USD", wrong),
        client.decide("SIM/USD", None),
        client.decide("SIM/USD", bars(5), {"side": 1}),
    ]
    told = [(one.reason, one.bar_closed_at is None, one.attempts, one.target, one.breaker) for one in decisions]
    assert told == [
        ("window_refused", True, 0, 0, "closed"),
        ("window_refused", True, 0, 0, "closed"),
        ("position_refused", False, 0, 0, "closed"),
    ]
    assert service.asked == []


class Failing:
    """A position that cannot be read."""

    @property
    def side(self) -> int:
        raise ZeroDivisionError


def test_what_fails_while_it_is_read_is_refused_and_nothing_raises(service: Scripted, connect: Clients) -> None:
    client = connect()
    # A number that float64 cannot hold warns, and warnings are errors here.
    beyond = {**bars(5), "high": np.full(5, np.longdouble("1e4000"))}
    decisions = [
        client.decide("SIM/USD", beyond),
        client.decide("SIM/USD", bars(5), {"side": 1, "entry_price": 10**400, "bars_held": 1}),
        client.decide("SIM/USD", bars(5), Failing()),
        client.decide(["SIM/USD"], bars(5)),  # type: ignore[arg-type]
    ]
    reasons = [decision.reason for decision in decisions]
    assert reasons == ["window_refused", "position_refused", "position_refused", "unexpected_version"]
    assert {decision.target for decision in decisions} == {0}
    assert service.of(PREDICT) == []


class At:
    """A clock that stands still."""

    def __init__(self, now: int) -> None:
        self.time = now

    def at(self, closed_at: int) -> int:
        del closed_at
        return self.time

    def now(self) -> int:
        return self.time


CLOSED_AT = START_MS + 5 * HOUR_MS


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (CLOSED_AT - 2001, "bar_not_closed"),
        (CLOSED_AT - 2000, None),
        (CLOSED_AT + 2000, None),
        (CLOSED_AT + HOUR_MS, "clock_skew"),
        (CLOSED_AT + HOUR_MS + 1, "stale_bars"),
    ],
)
def test_bars_have_an_age(service: Scripted, connect: Clients, now: int, reason: str | None) -> None:
    decision = ask(connect(clock=At(now)))
    assert decision.reason == reason
    assert decision.decided_at == now
    assert bool(service.asked) == (reason in {None, "clock_skew"})


def test_the_breaker_stops_requests_and_one_probe_finds_the_way_back(service: Scripted, connect: Clients) -> None:
    service.always(PREDICT, refuse(503, "not_ready"))
    client = connect(breaker={"failures": 2, "open_ms": 200})
    assert [ask(client, start=start).breaker for start in range(2)] == ["closed", "open"]
    before = len(service.of(PREDICT))
    decision = ask(client, start=2)
    assert (decision.reason, decision.attempts) == ("breaker_open", 0)
    assert len(service.of(PREDICT)) == before
    time.sleep(0.25)
    probe = ask(client, start=3)
    assert (probe.reason, probe.attempts, probe.breaker) == ("server_error", 1, "open")
    service.always(PREDICT, None)
    time.sleep(0.49)
    decision = ask(client, start=4)
    assert (decision.source, decision.breaker) == ("model", "closed")
    text = client.metrics_text()
    assert "tidegate_client_breaker_opened_total 2" in text
    assert "tidegate_client_breaker_state 0" in text


def test_while_a_probe_is_under_way_the_others_fall_back(service: Scripted, connect: Clients) -> None:
    service.says(PREDICT, refuse(501, "internal"), late(0.3))
    client = connect(breaker={"failures": 1, "open_ms": 10})
    assert ask(client).breaker == "open"
    time.sleep(0.05)
    found: list[Decision] = []
    thread = threading.Thread(target=lambda: found.append(ask(client, start=1)))
    thread.start()
    time.sleep(0.1)
    assert (ask(client, start=1).reason, client.state().breaker) == ("breaker_open", "half_open")
    thread.join()
    assert (found[0].source, found[0].breaker) == ("model", "closed")


def test_hold_keeps_what_is_held_for_some_bars_and_leaves_by_the_policy(service: Scripted, connect: Clients) -> None:
    client = connect(fallback={"strategy": "hold", "hold_bars": 2})
    held = {"side": 1, "entry_price": 104.0, "bars_held": 2}
    assert ask(client, position=held).source == "model"
    service.always(PREDICT, refuse(501, "internal"))
    told = [ask(client, start=start, position={**held, "entry_price": 104.0 + start}) for start in (1, 1, 2, 3)]
    assert [(one.target, one.fallback) for one in told] == [(1, "hold"), (1, "hold"), (1, "hold"), (0, "flat")]
    service.always(PREDICT, None)
    assert ask(client, start=4).source == "model"
    service.always(PREDICT, refuse(501, "internal"))
    left = ask(client, start=5, position={"side": 1, "entry_price": 200.0, "bars_held": 2})
    assert (left.target, left.fallback) == (0, "exit")


def test_a_closure_is_told_the_situation(service: Scripted, connect: Clients) -> None:
    told: list[Situation] = []

    def rule(situation: Situation) -> int:
        told.append(situation)
        return -1

    client = connect(rule=rule)
    ask(client)
    service.always(PREDICT, refuse(501, "internal"))
    decision = ask(client, start=1, position={"side": 1, "entry_price": 104.0, "bars_held": 2})
    assert (decision.target, decision.fallback, decision.source) == (-1, "closure", "fallback")
    (situation,) = told
    assert (situation.reason, situation.bars_without_signal, situation.close) == ("server_error", 1, 105.0)
    assert (situation.position.side, situation.policy is not None) == (1, True)


def test_a_thread_that_is_stuck_costs_the_answer_and_not_the_deadline(connect: Clients) -> None:
    client = connect(deadline=HASTY)
    assert ask(client).source == "model"
    free = threading.Event()
    client._background._loop.call_soon_threadsafe(free.wait, 5)
    started = time.monotonic()
    decision = ask(client, start=1)
    assert (time.monotonic() - started) * 1000 < 300 + SLACK_MS
    assert (decision.source, decision.reason) == ("fallback", "timeout")
    free.set()
    assert ask(client, start=2).source == "model"


def test_symbols_and_threads_do_not_disturb_each_other(service: Scripted, connect: Clients) -> None:
    names = [f"S{number}" for number in range(8)]
    service.always(MODEL, reply(200, [served(production=model(symbols=names))]))

    def act(connection: Any, asked: Asked) -> bool:
        time.sleep(0.02)
        return reply(200, answered(asked, symbol=asked.item["symbol"]))(connection, asked)

    service.always(PREDICT, act)
    client = connect()
    found: dict[str, list[Decision]] = {name: [] for name in names}

    def trade(name: str) -> None:
        found[name] += [client.decide(name, bars(5, start=start)) for start in range(5)]

    threads = [threading.Thread(target=trade, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [(one.source, one.symbol == name) for name, decisions in found.items() for one in decisions]
    assert told == [("model", True)] * 40
    assert client.state().decisions == {"model": 40}


def test_a_client_that_is_closed_still_decides(service: Scripted, connect: Clients) -> None:
    client = connect()
    client.close()
    client.close()
    assert (ask(client).source, ask(client).reason) == ("fallback", "unreachable")
    assert client.poll_now() == "unknown"
    assert not client.heartbeat_now()
    assert service.asked == []


def test_a_defect_of_the_client_is_a_fallback_too(connect: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect()
    monkeypatch.setattr("tidegate.client.exchange.to_send", lambda *_: 1 / 0)
    decision = ask(client)
    assert (decision.source, decision.reason) == ("fallback", "bad_answer")
    assert "ZeroDivisionError" in (decision.detail or "")


def test_a_clock_that_fails_is_a_fallback_too(connect: Clients) -> None:
    decision = ask(connect(clock=object()))
    assert (decision.source, decision.reason) == ("fallback", "bad_answer")


def test_every_decision_is_in_the_file(connect: Clients, tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    client = connect(decisions={"file": str(path)})
    ask(client)
    client.decide("SIM/USD", None)
    client.flush()
    assert [line.count('"source":"') for line in path.read_text().splitlines()] == [1, 1]


def test_the_key_is_sent_and_shown_nowhere(service: Scripted, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("tg-very-secret\n")
    with Client(config(url=service.url, api_key_file=str(file))) as client:
        service.says(PREDICT, signal(), refuse(401, "unauthorised"))
        decisions = [ask(client), ask(client, start=1)]
        assert [asked.headers["authorization"] for asked in service.asked] == ["Bearer tg-very-secret"] * 3
        assert "secret" not in f"{decisions} {client.state()} {client.metrics_text()} {client.config!r}"


def test_sound_is_what_a_sound_service_does(service: Scripted, connect: Clients) -> None:
    service.always(PREDICT, sound)
    assert ask(connect()).source == "model"


def test_no_collection_of_garbage_begins_while_a_decision_is_under_way(service: Scripted, connect: Clients) -> None:
    """A full one stops all threads, the longer the more the bot's process holds: seen to make a decision 0.4 s late."""
    service.always(PREDICT, silent)
    client = connect(deadline=HASTY)
    client.decide("SIM/USD", bars())
    began: list[float] = []
    was = gc.get_threshold()
    gc.callbacks.append(lambda phase, _info: began.append(time.monotonic()) if phase == "start" else None)
    try:
        gc.set_threshold(1, 1, 1)
        given = bars()
        started = time.monotonic()
        decision = client.decide("SIM/USD", given)
        ended = time.monotonic()
        kept: list[list[int]] = [[] for _ in range(100)]
    finally:
        gc.set_threshold(*was)
        gc.callbacks.pop()
    assert (decision.reason, len(kept)) == ("timeout", 100)
    # One that had begun when the decision did is not held back any more.
    assert [at for at in began if started + 0.05 < at < ended] == []
    assert any(at >= ended for at in began)
