"""Cases from the literal table of the position policy, played through `decide`: the right target is a signal, a wrong one is not."""

import itertools
import json
from pathlib import Path

import market
from market import Json
from replies import SIGNALS

TABLE = Path(__file__).parents[2] / "docs" / "contracts" / "policy-vectors.json"
WINDOW = 8


def cases() -> list[Json]:
    """One case for each policy of the table; none where the kit stands without the repository."""
    if not TABLE.exists():
        return []
    table = json.loads(TABLE.read_text())
    return [_case(name, policy, table["cases"]) for name, policy in table["policies"].items()]


def _case(name: str, policy: Json, vectors: list[Json]) -> Json:
    mine = [vector for vector in vectors if vector["policy"] == name]
    numbers = itertools.count(WINDOW)
    steps = [step for vector in mine for step in _steps(vector, policy, numbers)]
    return {
        "name": f"policy_{name}",
        "subject": "policy",
        "why": f"Every line of policy-vectors.json with the policy {name}, by its literal target.",
        "config": {"breaker": {"failures": 1000}},
        "model": {"production": {"policy": policy}},
        "steps": steps,
    }


def _steps(vector: Json, policy: Json, numbers: "itertools.count[int]") -> list[Json]:
    position = vector["state"]
    unusable = _refused_before(vector)
    if unusable:
        return [_step(vector, next(numbers), {}, {"reason": unusable, "attempts": 0})]
    probability, expected = vector["probability"], vector["expected"]
    if expected == "error":
        answer = {"probability": probability, "signal": "flat", "target_position": 0}
        return [_step(vector, next(numbers), answer, {"reason": "bad_answer"})]
    signal = SIGNALS[market.entry_side(probability, policy)]
    answer = {"probability": probability, "signal": signal, "target_position": expected}
    steps = [_step(vector, next(numbers), answer, {"source": "model", "target": expected, "probability": probability})]
    # The nearest wrong target: the side held, or none.
    wrong = position["side"] if expected != position["side"] else 0
    if wrong != expected:
        steps.append(_step(vector, next(numbers), answer | {"target_position": wrong}, {"reason": "bad_answer"}))
    return steps


def _refused_before(vector: Json) -> str | None:
    """The reason of what a client must refuse before it asks: no prices."""
    if vector["close"] <= 0:
        return "window_refused"
    position = vector["state"]
    return "position_refused" if position["side"] and position["entry_price"] <= 0 else None


def _step(vector: Json, number: int, answer: Json, expect: Json) -> Json:
    bars = {"from": number - WINDOW + 1, "to": number, "set": {str(number): {"close": vector["close"]}}}
    return {
        "title": vector["name"],
        "decide": {"bars": bars, "position": vector["state"]},
        "replies": {"predict": [{"answer": answer}]},
        "expect": expect,
    }
