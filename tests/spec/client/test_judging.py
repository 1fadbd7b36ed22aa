"""Which answers are signals: every line of the contract's table as a case, and the order of its lines."""
# ruff: noqa: ANN401  fields of many types

import json
from typing import Any

import pytest
from tests.unit.client.records import (
    BEFORE,
    DIGEST,
    FAR_MS,
    HOUR_MS,
    answer,
    answers,
    bars,
    columns,
    digest,
    model,
    served_message,
)

from tidegate.client.config import AnswerSettings
from tidegate.client.decision import Halt, NoSignal, Outcome, Signal
from tidegate.client.judging import NotUnderstood, Question, judge, understand
from tidegate.policy.policy import PositionState

CLOSED_AT = 1_780_000_000_000
FLAT = PositionState()
LONG = PositionState(side=1, entry_price=104.0, bars_held=2)
QUESTION = Question("id-1", "sim", "SIM/USD", CLOSED_AT, columns(), "1h", FLAT)


def judged(
    changes: dict[str, Any],
    *,
    now: int = CLOSED_AT,
    held: PositionState = FLAT,
    logged: bool = True,
    described: dict[str, Any] | None = None,
    **settings: Any,
) -> Outcome:
    question = Question("id-1", "sim", "SIM/USD", CLOSED_AT, columns(), "1h", held)
    body = json.dumps(answers("id-1", answer(CLOSED_AT, **changes), logged=logged)).encode()
    whole, one = understand(body, question)
    return judge(whole, one, question, served_message(**(described or {})), AnswerSettings(**settings), now)


def test_an_answer_that_is_right_in_everything_is_a_signal() -> None:
    assert judged({}) == Signal(1, 0.7)
    assert judged({"probability": 0.3, "signal": "short", "target_position": -1}) == Signal(-1, 0.3)
    assert judged({"probability": 0.5, "signal": "flat", "target_position": 0}) == Signal(0, 0.5)


def test_the_model_before_may_answer_and_the_target_may_be_the_policys_and_not_the_signals() -> None:
    assert judged({"version": 6, "bundle_digest": BEFORE}) == Signal(1, 0.7)
    assert judged({"probability": 0.5, "signal": "flat", "target_position": 1}, held=LONG) == Signal(1, 0.5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"abstain": {"reason": "stale_data", "detail": "old"}}, "abstained"),
        ({"version": None}, "bad_answer"),
        ({"bundle_digest": None}, "bad_answer"),
        ({"bar_closed_at": None}, "bad_answer"),
        ({"valid_until": None}, "bad_answer"),
        ({"data_age_ms": None}, "bad_answer"),
        ({"probability": None}, "bad_answer"),
        ({"probability": 1.0000001}, "bad_answer"),
        ({"probability": -0.1}, "bad_answer"),
        ({"signal": None}, "bad_answer"),
        ({"target_position": None}, "bad_answer"),
        ({"bar_closed_at": CLOSED_AT - HOUR_MS, "data_age_ms": HOUR_MS}, "wrong_bar"),
        ({"bar_closed_at": CLOSED_AT + HOUR_MS, "data_age_ms": -HOUR_MS}, "wrong_bar"),
        ({"data_age_ms": 2001}, "clock_skew"),
        ({"data_age_ms": -2001}, "clock_skew"),
        ({"valid_until": CLOSED_AT}, "too_old"),
        ({"version": 8}, "unexpected_version"),
        ({"bundle_digest": BEFORE}, "unexpected_version"),
        ({"version": 6}, "unexpected_version"),
        ({"input_digest": None}, "wrong_window"),
        ({"input_digest": "c" * 64}, "wrong_window"),
        ({"input_digest": digest(bars(), "OTHER")}, "wrong_window"),
        ({"input_digest": digest(bars(), lookback=4)}, "wrong_window"),
        ({"input_digest": digest(bars(4))}, "wrong_window"),
        ({"signal": "flat"}, "bad_answer"),
        ({"target_position": 0}, "bad_answer"),
        ({"target_position": -1}, "bad_answer"),
        ({"probability": 0.5}, "bad_answer"),
    ],
)
def test_what_is_no_signal(changes: dict[str, Any], reason: str) -> None:
    outcome = judged(changes)
    assert isinstance(outcome, NoSignal)
    assert outcome.reason == reason


def test_the_bounds_of_time_are_these() -> None:
    assert judged({"data_age_ms": 2000}) == judged({"data_age_ms": -2000}) == Signal(1, 0.7)
    assert judged({"valid_until": CLOSED_AT + 1}) == Signal(1, 0.7)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"versions": [6, 8]}, "unexpected_version"),
        ({"bundle_digests": [BEFORE]}, "unexpected_version"),
        ({"versions": [7], "bundle_digests": [DIGEST]}, None),
    ],
)
def test_the_settings_say_which_versions_may_answer(settings: dict[str, Any], reason: str | None) -> None:
    outcome = judged({}, **settings)
    assert (outcome.reason if isinstance(outcome, NoSignal) else None) == reason


def test_an_answer_outside_the_log_is_none_unless_the_settings_allow_it() -> None:
    outcome = judged({}, logged=False)
    assert isinstance(outcome, NoSignal)
    assert outcome.reason == "not_logged"
    assert judged({}, logged=False, require_logged=False) == Signal(1, 0.7)


def test_an_expired_model_gives_no_signal() -> None:
    outcome = judged({}, described={"production": model(expires_at=CLOSED_AT)})
    assert isinstance(outcome, NoSignal)
    assert outcome.reason == "unexpected_version"
    assert judged({}, described={"production": model(expires_at=CLOSED_AT + 1)}) == Signal(1, 0.7)


def test_the_challengers_answer_is_none() -> None:
    outcome = judged({"version": 9}, described={"challenger": model(9)})
    assert isinstance(outcome, NoSignal)
    assert outcome.reason == "unexpected_version"


def test_the_digest_is_over_the_lookback_of_the_model_that_answered() -> None:
    by_before: dict[str, Any] = {"version": 6, "bundle_digest": BEFORE}
    further = {"before": model(6, BEFORE, lookback=5)}
    assert judged({**by_before, "input_digest": digest(bars(), lookback=5)}, described=further) == Signal(1, 0.7)
    outcomes = [
        judged(by_before, described=further),
        # Bars that the bot does not have cannot be compared.
        judged(by_before, described={"before": model(6, BEFORE, lookback=6)}),
        judged({"abstain": {"reason": "stale_data", "detail": "old"}, "input_digest": None}),
    ]
    assert [one.reason for one in outcomes if isinstance(one, NoSignal)] == ["wrong_window"] * 3


def test_whose_window_an_unknown_model_judged_is_not_asked() -> None:
    outcome = judged({"abstain": {"reason": "model_expired", "detail": "old"}, "version": 9, "input_digest": "c" * 64})
    assert isinstance(outcome, NoSignal)
    assert outcome.reason == "abstained"


def test_a_halt_counts_whatever_else_the_answer_says() -> None:
    halted = {"abstain": {"reason": "halted", "detail": "by a person"}}
    nothing = dict.fromkeys(("version", "bundle_digest", "bar_closed_at", "valid_until", "data_age_ms", "probability"))
    assert judged({**halted, **nothing}, logged=False, now=FAR_MS) == Halt("by a person")
    assert judged({**halted, "version": 99, "target_position": 1}) == Halt("by a person")


# Each line with everything wrong that comes behind it.
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("abstained", {"abstain": {"reason": "x", "detail": "y"}}),
    ("bad_answer", {"probability": None}),
    ("wrong_bar", {"bar_closed_at": CLOSED_AT - HOUR_MS}),
    ("clock_skew", {"data_age_ms": 99_999}),
    ("too_old", {"valid_until": 1}),
    ("not_logged", {}),
    ("unexpected_version", {"version": 99}),
    ("wrong_window", {"input_digest": "c" * 64}),
]


@pytest.mark.parametrize("first", range(len(WRONG)))
def test_the_first_line_that_does_not_hold_gives_the_reason(first: int) -> None:
    changes: dict[str, Any] = {"target_position": -1}
    for _, change in WRONG[first:]:
        changes |= change
    logged = "not_logged" not in [reason for reason, _ in WRONG[first:]]
    outcome = judged(changes, logged=logged)
    assert isinstance(outcome, NoSignal)
    assert outcome.reason == WRONG[first][0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"<html>",
        b"\xff\xfe",
        json.dumps(answers("id-2", answer(CLOSED_AT))).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT), strategy="other")).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT, symbol="OTHER"))).encode(),
        json.dumps({**answers("id-1", answer(CLOSED_AT)), "answers": []}).encode(),
        json.dumps({**answers("id-1", answer(CLOSED_AT)), "answers": [answer(CLOSED_AT)] * 2}).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT, probability="0.7"))).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT, target_position=2))).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT, signal="LONG"))).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT, version=7.5))).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT, probability=float("nan")))).encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT)))[:-9].encode(),
        json.dumps(answers("id-1", answer(CLOSED_AT), logged=1)).encode(),
    ],
)
def test_a_body_that_is_no_answer_to_the_question(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        understand(body, QUESTION)


@pytest.mark.parametrize("field", answer(CLOSED_AT))
def test_a_missing_field_is_refused_also_where_null_is_allowed(field: str) -> None:
    one = answer(CLOSED_AT)
    del one[field]
    with pytest.raises(NotUnderstood):
        understand(json.dumps(answers("id-1", one)).encode(), QUESTION)


def test_fields_that_nobody_knows_are_left_alone() -> None:
    body = json.dumps(answers("id-1", answer(CLOSED_AT, news="x"), more=[1])).encode()
    assert understand(body, QUESTION)[1].version == 7
