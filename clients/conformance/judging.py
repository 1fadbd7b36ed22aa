"""What must hold: for every decision and every request, and beyond that what a case expects."""

import json
import math
import re
from typing import Any
from urllib.parse import quote

import market
from market import Json
from server import Request

SLACK_MS = 250  # for a busy machine
# The pipe and this process take time, too: an answer that comes later than this was not given in time, whatever it says.
WALL_SLACK_MS = 500
MOST_BARS_TO_HALT = 1000
LONGEST_DETAIL = 300
NUMBER, WHOLE, TEXT = (int, float), (int,), (str,)
FIELDS: dict[str, tuple[type, ...]] = {
    "decided_at": WHOLE,
    "bot": TEXT,
    "strategy": TEXT,
    "symbol": TEXT,
    "bar_closed_at": (*WHOLE, type(None)),
    "target": WHOLE,
    "source": TEXT,
    "reason": (*TEXT, type(None)),
    "detail": (*TEXT, type(None)),
    "version": (*WHOLE, type(None)),
    "bundle_digest": (*TEXT, type(None)),
    "probability": (*NUMBER, type(None)),
    "fallback": (*TEXT, type(None)),
    "attempts": WHOLE,
    "elapsed_ms": NUMBER,
    "breaker": TEXT,
    "dry_run": (bool,),
    "request_id": (*TEXT, type(None)),
}
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
HEARTBEAT = frozenset(
    ("bot", "strategy", "last_version", "last_bundle_digest", "breaker", "decisions", "dry_run", "sent_at")
)
MATCHERS = frozenset(("at_least", "at_most", "one_of", "contains"))


def differences(path: str, expected: Any, came: Any) -> list[str]:  # noqa: ANN401 -- any JSON value
    """Where `came` is not what is expected.

    Args:
        path: what is looked at, for the message.
        expected: a literal; or an object of `at_least`, `at_most`, `one_of`, `contains`; any other object is compared field by
            field, fields that it does not name are left alone, and a field that must be 0 may be missing.
        came: what came.
    """
    if isinstance(expected, dict) and expected and MATCHERS.issuperset(expected):
        return [] if _matches(expected, came) else [f"{path}: expected {json.dumps(expected)}, came {json.dumps(came)}"]
    if isinstance(expected, dict) and isinstance(came, dict):
        found = []
        for name, value in expected.items():
            missing = 0 if value == 0 and value is not False else "(missing)"
            found += differences(f"{path}.{name}", value, came.get(name, missing))
        return found
    same = expected == came and isinstance(expected, bool) == isinstance(came, bool)
    return [] if same else [f"{path}: expected {json.dumps(expected)}, came {json.dumps(came)}"]


def _matches(matcher: Json, came: Any) -> bool:  # noqa: ANN401 -- any JSON value
    if "one_of" in matcher and came not in matcher["one_of"]:
        return False
    if "contains" in matcher and not (isinstance(came, str) and matcher["contains"] in came):
        return False
    if "at_least" in matcher or "at_most" in matcher:
        if isinstance(came, bool) or not isinstance(came, int | float) or not math.isfinite(came):
            return False
        return bool(matcher.get("at_least", came) <= came <= matcher.get("at_most", came))
    return True


def decision_errors(decision: Json, config: Json, now_ms: int, symbol: str, wall_ms: float) -> list[str]:
    """What is wrong with a decision whatever the case: fields, types, what belongs together, and the deadline."""
    found = [f"decision.{name}: is missing" for name in FIELDS.keys() - decision.keys()]
    for name, kinds in FIELDS.items():
        value = decision.get(name)
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if name in decision and wrong:
            found.append(f"decision.{name}: expected {' or '.join(kind.__name__ for kind in kinds)}, came {value!r}")
    if found:
        return found
    limit = config["deadline"]["decide_ms"]
    if not 0 <= decision["elapsed_ms"] <= limit + SLACK_MS:
        found.append(f"decision.elapsed_ms: expected at most {limit} + {SLACK_MS}, came {decision['elapsed_ms']}")
    if wall_ms > limit + WALL_SLACK_MS:
        found.append(f"the decision came {wall_ms:.0f} ms after its order; its deadline was {limit}")
    if len(decision["detail"] or "") > LONGEST_DETAIL:
        found.append(f"decision.detail: expected at most {LONGEST_DETAIL} characters, came {len(decision['detail'])}")
    fixed = {"bot": config["bot"], "strategy": config["strategy"], "symbol": symbol, "decided_at": now_ms}
    fixed["dry_run"] = config.get("dry_run", True)
    for name, value in fixed.items():
        found += differences(f"decision.{name}", value, decision[name])
    return found + _contradictions(decision)


def _contradictions(decision: Json) -> list[str]:
    """Fields of one decision that cannot stand together."""
    source, said = (
        decision["source"],
        {name: decision[name] is not None for name in ("reason", "fallback", "probability")},
    )
    belong = {
        "model": {"reason": False, "fallback": False, "probability": True},
        "halt": {"reason": True, "fallback": False, "probability": False},
        "fallback": {"reason": True, "fallback": True, "probability": False},
    }
    if source not in belong:
        return [f"decision.source: expected model, halt or fallback, came {source!r}"]
    found = [
        f"decision.{name}: {'a value' if expected else 'null'} belongs to the source {source}, came {decision[name]!r}"
        for name, expected in belong[source].items()
        if said[name] != expected
    ]
    if (source == "halt") != (decision["reason"] == "halted") or (source == "halt" and decision["target"] != 0):
        found.append(
            f"decision: source {source}, reason {decision['reason']} and target {decision['target']} contradict"
        )
    return found


def request_errors(request: Request, key: str | None) -> list[str]:
    """What is wrong with a request whatever the case: its address and its key."""
    if request.route == "unknown":
        return [f"a request went to {request.method} {request.path}, which the service does not have"]
    bearer, header = request.headers.get("authorization"), request.headers.get("x-api-key")
    carried = [one for one in (bearer and bearer.removeprefix("Bearer "), header) if one]
    if any(one != key for one in carried):
        return [f"{request.path}: expected the API key {key!r}, came {carried}"]
    if key is not None and not carried and request.route not in {"ready", "alive"}:
        return [f"{request.path}: the API key is missing"]
    return []


def question_errors(
    request: Request, bars: Json, symbol: str, position: Json | None, lookback: int | None
) -> list[str]:
    """What is wrong with a request for a prediction: its form, its position, and bars that are not the bot's."""
    body = request.json()
    if body is None or "json" not in request.headers.get("content-type", ""):
        return [f"predict: a JSON object with its content type is expected, came {request.body[:200]!r}"]
    items = body.get("items")
    if not isinstance(items, list) or len(items) != 1 or body.keys() - {"items", "strategy", "request_id"}:
        return [f"predict: expected one item, strategy and request_id, came {sorted(body)}"]
    item = items[0]
    found = differences("predict", {"strategy": market.STRATEGY}, body)
    route = f"{quote(market.STRATEGY, safe='')}/{quote(symbol, safe='')}"
    if request.headers.get("tidegate-route") != route:
        found.append(
            f"predict: expected the header Tidegate-Route: {route}, came {request.headers.get('tidegate-route')!r}"
        )
    found += differences("predict.items.0", {"symbol": symbol}, item)
    if not NAME.fullmatch(str(body.get("request_id"))):
        found.append(f"predict.request_id: expected 1 to 64 of A-Z a-z 0-9 . _ -, came {body.get('request_id')!r}")
    held = item.get("position") or {"side": 0}
    asked = position if position and position["side"] else {"side": 0}
    found += differences("predict.items.0.position", asked, held)
    return found + _window_errors(item, bars, lookback)


def _window_errors(item: Json, bars: Json, lookback: int | None) -> list[str]:
    sent = item.get("bars", {})
    if sent.keys() != set(market.COLUMNS) or not sent["opened_at"]:
        return [f"predict.items.0.bars: expected bars in the columns {market.COLUMNS}, came {sent!r}"]
    count, total = len(sent["opened_at"]), len(bars["opened_at"])
    if any(sent[name] != bars[name][total - count :] for name in market.COLUMNS):
        return [f"predict.items.0.bars: expected the newest {count} bars of the bot, came {json.dumps(sent)}"]
    after = item.get("after")
    if after is None:
        least, most = (1, MOST_BARS_TO_HALT) if lookback is None else (lookback, lookback)
        fits = least <= count <= most
        return [] if fits else [f"predict.items.0.bars: a whole window has {least} to {most} bars, came {count}"]
    before = bars["opened_at"][total - count - 1] if count < total else None
    if after != before:
        return [f"predict.items.0.after: expected the bot's bar before the first one sent ({before}), came {after}"]
    return []


def window_errors(place: str, expected: Any, request: Request) -> list[str]:  # noqa: ANN401 -- any JSON value
    """Whether a window went whole, or only the bars after the bar of that number."""
    item = (request.json() or {"items": [{}]})["items"][0]
    wanted = None if expected == "whole" else market.opened_at(expected["after"])
    if item.get("after") == wanted:
        return []
    came = "a whole window" if item.get("after") is None else f"bars after {item['after']}"
    return [f"{place}: expected {'a whole window' if wanted is None else f'bars after {wanted}'}, came {came}"]


def heartbeat_errors(request: Request) -> list[str]:
    """What is wrong with a heartbeat whatever the case."""
    body = request.json()
    if body is None or body.keys() != HEARTBEAT:
        return [f"heartbeat: expected the fields {sorted(HEARTBEAT)}, came {request.body[:300]!r}"]
    counts = body["decisions"]
    fine = isinstance(counts, dict) and all(isinstance(count, int) and count >= 0 for count in counts.values())
    if not fine or not isinstance(body["sent_at"], int) or body["breaker"] not in {"closed", "half_open", "open"}:
        return [f"heartbeat: not usable: {json.dumps(body)}"]
    return []


def samples(text: str) -> list[tuple[str, dict[str, str], float]]:
    """Samples of a text in Prometheus's format, as name, labels and value."""
    found = []
    for line in text.splitlines():
        matched = re.fullmatch(r"([A-Za-z_:][A-Za-z0-9_:]*)(\{.*\})? (\S+)( \S+)?", line)
        if matched:
            labels = dict(re.findall(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"', matched[2] or ""))
            found.append((matched[1], labels, float(matched[3])))
    return found


def sample_errors(text: str, expected: list[Json]) -> list[str]:
    """Samples that are not as expected; the value null means that there is none with those labels."""
    found, came = [], samples(text)
    for one in expected:
        labels = one.get("labels", {})
        values = [value for name, has, value in came if name == one["name"] and labels.items() <= has.items()]
        what = f"metric {one['name']}{labels or ''}"
        if one["value"] is None:
            found += [f"{what}: expected no sample, came {values}"] if values else []
        elif len(values) != 1:
            found.append(f"{what}: expected one sample, came {values}")
        else:
            found += differences(what, one["value"], values[0])
    return found
