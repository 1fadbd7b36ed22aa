"""What the scripted service answers: a good answer that follows from the request, with the changes that a case wants."""

import json
from dataclasses import dataclass, field
from typing import Any

import market
from market import Json

SIGNALS = {1: "long", 0: "flat", -1: "short"}
ANSWER = [
    "symbol",
    "version",
    "bundle_digest",
    "bar_closed_at",
    "valid_until",
    "data_age_ms",
    "probability",
    "signal",
    "target_position",
    "out_of_distribution",
    "abstain",
    "problem",
    "input_digest",
]
NO_ANSWER: Json = dict.fromkeys(ANSWER)
FLAT: Json = {"side": 0, "entry_price": 0.0, "bars_held": 0}


@dataclass(frozen=True)
class Reply:
    """An answer in bytes, and what goes wrong on its way."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
    delay_ms: int = 0


@dataclass
class Scene:
    """What the service knows in a step: its strategy's description, its own clock, UTC ms, and the bot's bars, which it has kept."""

    described: Json
    now_ms: int = 0
    bars: Json = field(default_factory=dict)

    def descriptions(self) -> list[Json]:
        """All strategies; another one comes first, so that a client must look for its own."""
        return [market.served("beta", "b"), self.described]


def reply(route: str, request: Json | None, spec: Json, scene: Scene) -> Reply:
    """The answer to a request.

    Args:
        route: predict, model, ready, heartbeat or alive.
        request: its JSON body, None where it has none that can be read.
        spec: the case's wish, empty for a good answer.
        scene: what the service knows.
    """
    status, content = _content(route, request or {}, spec, scene)
    body = b"" if content is None else json.dumps(content).encode()
    if "raw" in spec:
        body = str(spec["raw"]).encode()
    if "latin1" in spec:
        body = str(spec["latin1"]).encode("latin-1")
    if "nested" in spec:
        body = b"[" * int(spec["nested"])
    if "replace" in spec:
        old, new = (part.encode() for part in spec["replace"])
        if body.count(old) < 1:
            raise ValueError(f"a reply replaces {old!r}, which is not in {body!r}")
        body = body.replace(old, new)
    body += b" " * int(spec.get("padding", 0))
    kind = "application/problem+json" if "problem" in spec else "application/json"
    headers = {"Content-Type": kind, **spec.get("headers", {})}
    return Reply(int(spec.get("status", status)), body, headers, spec.get("fault"), int(spec.get("delay_ms", 0)))


def _content(route: str, request: Json, spec: Json, scene: Scene) -> tuple[int, Any]:
    """Status and JSON before what is changed in its text."""
    if "problem" in spec:
        return int(spec["status"]), problem(spec["problem"], int(spec["status"])) | _words(spec)
    if route == "predict":
        return 200, _prediction(request, spec, scene)
    if route == "model":
        known = scene.descriptions()
        known = [one for place, one in enumerate(known) if place != spec.get("without")]
        return 200, _without(known, spec.get("drop", ()))
    if route == "ready":
        ready = spec.get("status", 200) == 200
        return 200, {"ready": ready, "reasons": [] if ready else ["starting"], "notes": []}
    return (204, None) if route == "heartbeat" else (200, {"alive": True})


def problem(name: str, status: int) -> Json:
    """A problem as the service tells it."""
    return {
        "type": f"urn:tidegate:problem:{name}",
        "title": name,
        "status": status,
        "detail": f"{name}, as the case wants",
    }


def _words(spec: Json) -> Json:
    """A detail of so many words, where the case wants a long one."""
    return {"detail": "words " * int(spec["words"])} if "words" in spec else {}


def _prediction(request: Json, spec: Json, scene: Scene) -> Json:
    items = request.get("items") or [{}]
    answer = _changed(_answer(items[0], spec, scene), spec.get("answer", {}))
    body = {
        "request_id": request.get("request_id") or "kit-1",
        "instance": "kit",
        "strategy": request.get("strategy") or market.STRATEGY,
        "answered_at": scene.now_ms,
        "logged": True,
        "answers": [answer] * int(spec.get("answers", 1)),
    }
    content: Json = _without(_changed(body, spec.get("body", {})), spec.get("drop", ()))
    return content


def _answer(item: Json, spec: Json, scene: Scene) -> Json:
    """A signal; or an abstention or a problem where the case says so."""
    symbol = item.get("symbol", market.SYMBOL)
    if "item_problem" in spec:
        status = int(spec.get("item_status", 503))
        return {**NO_ANSWER, "symbol": symbol, "problem": problem(spec["item_problem"], status)}
    if spec.get("abstain") == "halted":
        halted = {
            "abstain": {"reason": "halted", "detail": "as the case wants"} | _words(spec),
            "signal": "flat",
            "target_position": 0,
        }
        return {**NO_ANSWER, "symbol": symbol, **halted}
    signal = _signal(symbol, item, spec, scene)
    if "abstain" in spec:
        signal |= {"signal": None, "target_position": None, "probability": None}
        signal["abstain"] = {"reason": spec["abstain"], "detail": "as the case wants"} | _words(spec)
    return signal


def _signal(symbol: str, item: Json, spec: Json, scene: Scene) -> Json:
    model = scene.described[spec.get("by", "production")] or market.loaded_model(9, "9")
    closed_at = item["bars"]["opened_at"][-1] + market.INTERVAL_MS
    probability = spec.get("answer", {}).get("probability", 0.7)
    usable = isinstance(probability, int | float) and 0 <= probability <= 1
    position = item.get("position") or FLAT
    close = item["bars"]["close"][-1]
    judged = probability if usable else 0.5
    policy = model["policy"]
    return {
        **NO_ANSWER,
        "symbol": symbol,
        "version": model["version"],
        "bundle_digest": model["bundle_digest"],
        "bar_closed_at": closed_at,
        "valid_until": closed_at + market.INTERVAL_MS,
        "data_age_ms": scene.now_ms - closed_at,
        "probability": 0.7,
        "signal": SIGNALS[market.entry_side(judged, policy)],
        "target_position": market.target_position(judged, close, position, policy),
        "out_of_distribution": 0.0,
        "input_digest": _digest(symbol, spec.get("judged"), scene, model),
    }


def _digest(symbol: str, judged: Json | None, scene: Scene, model: Json) -> str:
    """Of the bot's newest bars as the model wants them; or of the bars that a case says were judged instead."""
    if judged is None:
        return market.digest(market.newest(scene.bars, model["lookback"]), symbol, model["interval"])
    rule = {name: value for name, value in judged.items() if name not in {"symbol", "interval"}}
    return market.digest(
        market.bars(rule), str(judged.get("symbol", symbol)), str(judged.get("interval", model["interval"]))
    )


def _changed(good: Json, changes: Json) -> Json:
    """A good answer with changes; `{"plus": n}` adds to the number that stands there."""
    new = dict(good)
    for name, value in changes.items():
        new[name] = good[name] + value["plus"] if isinstance(value, dict) and "plus" in value else value
    return new


def _without(content: Any, paths: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """The content without the fields of those paths, such as `answers.0.version`."""
    content = json.loads(json.dumps(content))
    for path in paths:
        *parents, name = path.split(".")
        holder = content
        for parent in parents:
            holder = holder[int(parent)] if parent.isdigit() else holder[parent]
        del holder[name]
    return content
