"""How the service keeps its answers fast: windows kept, models loaded once, no database, quiet logs, a load test on record."""

import json
import math
from collections.abc import Mapping
from typing import Final

from tidegate.bars.interval import Interval
from tidegate.checklist.context import Context
from tidegate.checklist.finding import Finding, NotMeasured, judged
from tidegate.checklist.probe import Probe
from tidegate.checklist.probes.code import log_files
from tidegate.checklist.service import Samples

_MOST_RESENDS: Final = 0.05
_QUESTIONS: Final = 5
P95_MS: Final = 10.0
NO_DATABASE: Final = (
    "import sys, tidegate.serving.http.server, tidegate.serving.service; "
    "print(','.join(sorted(m for m in ('sqlalchemy', 'sqlite3', 'psycopg', 'asyncpg', 'psycopg2') if m in sys.modules)))"
)


def windows_kept(context: Context) -> Finding:
    """A bot sends only its new bar: the service says so when it does not know the window, and bots seldom have to send it again."""
    service = context.service
    reply = service.ask("/v1/predict", method="POST", body=_single_bar(context))
    if reply.status in {401, 403}:
        raise NotMeasured(f"{service.address} asks for a key with the scope predict: set checklist.api_key_file")
    asked = total(service.fresh_metrics(), "tidegate_predictions_total")
    resends = total(service.metrics, "tidegate_problems_total", kind="window_unknown")
    share = resends / asked if asked else 0.0
    knows = reply.status == 409 and b":window_" in reply.body
    if knows and not asked:
        raise NotMeasured(f"a single bar was answered with {reply.status}; no bot has asked for a prediction yet")
    evidence = f"a single bar was answered with {reply.status}{', send the whole window' if knows else ''}; {resends:.0f} windows asked for again in {asked:.0f} predictions"
    return judged(knows and share <= _MOST_RESENDS, evidence, service.address)


def _single_bar(context: Context) -> bytes:
    """A question that comes as far as the model, and then lacks the bars before: it is answered with 409, and nothing is predicted or logged."""
    service = context.service
    slot = next((one for one in service.json("/v1/model") if one["strategy"] == context.strategy.name), None)
    if slot is None or slot["production"] is None:
        raise NotMeasured(f"{service.address} serves no model of {context.strategy.name}")
    # The second bar after the epoch's begin: nobody has sent the window before it.
    bar = {
        "opened_at": [Interval(slot["production"]["interval"]).milliseconds],
        "open": [1.0],
        "high": [1.0],
        "low": [1.0],
        "close": [1.0],
        "volume": [1.0],
    }
    item = {"symbol": slot["production"]["symbols"][0], "bars": bar, "after": 0}
    return json.dumps({"strategy": context.strategy.name, "items": [item]}).encode()


def loaded_once(context: Context) -> Finding:
    """Questions to the model load none: the time of loading and the count of loads stay, while requests are counted."""
    service = context.service
    before = service.fresh_metrics()
    loaded = dict(_loaded(before))
    if not loaded or not all(loaded.values()):
        raise NotMeasured(f"{service.address} has no model loaded")
    question = _single_bar(context)
    statuses = {service.ask("/v1/predict", method="POST", body=question).status for _ in range(_QUESTIONS)}
    after = service.fresh_metrics()
    asked = _asked(after) - _asked(before)
    loads = total(after, "tidegate_reloads_total") - total(before, "tidegate_reloads_total")
    started = total(after, "process_start_time_seconds")
    first = min(loaded.values()) - started
    evidence = f"{asked:.0f} requests, {loads:.0f} loads of a model meanwhile; a model was loaded {first:.1f} s after the start"
    evidence = f"{evidence}; answered with {', '.join(map(str, sorted(statuses)))}"
    came_to_it = statuses == {409} and asked >= _QUESTIONS
    return judged(came_to_it and not loads and dict(_loaded(after)) == loaded, evidence, service.address)


def _asked(found: Samples) -> float:
    return total(found, "tidegate_requests_total", route="/v1/predict")


def _loaded(found: Samples) -> list[tuple[str, float]]:
    name = "tidegate_model_loaded_timestamp_seconds"
    return [(labels["strategy"], value) for labels, value in found.get(name, ()) if labels["role"] == "production"]


def database(context: Context) -> Finding:
    """The service loads no database driver at all, so there is nothing to pool on the way to an answer."""
    done = context.programs.run("python", "-c", NO_DATABASE)
    loaded = done.out.strip()
    evidence = f"the service's modules load {loaded or 'no database driver'}" + (f": {done.told}" if done.code else "")
    return judged(done.code == 0 and not loaded, evidence)


def quiet(context: Context) -> Finding:
    """Nothing is logged at level debug, and questions to the model write no line beside the access log."""
    files = log_files(context)
    if "{process}" in str(context.settings.logs.file):
        files = [path for path in files if path.name.startswith("serving")]
    if not files:
        raise NotMeasured("no serving process has written a log here: run this where they are")
    question = _single_bar(context)
    size = sum(path.stat().st_size for path in files)
    debug = sum(path.read_bytes()[-500_000:].count(b'"level": "debug"') for path in files)
    for _ in range(_QUESTIONS):
        context.service.ask("/v1/predict", method="POST", body=question)
    grown = sum(path.stat().st_size for path in files) - size
    level = context.settings.logs.level
    evidence = f"level {level}, {debug} debug lines, {grown} bytes written while {_QUESTIONS} requests were answered"
    return judged(level != "debug" and not debug and grown < 200 * _QUESTIONS, evidence, str(files[0].parent))


def load_test(context: Context) -> Finding:
    """The record of a load test: no question failed, the worst p99 with one client is under 10 ms, and many clients get the expected requests a second."""
    told = context.record("load.json", "python -m benchmarks.serving --ours --json runs/checklist/load.json")
    rounds = [one for name, each in told["one_client"].items() if name.startswith("tidegate") for one in each]
    failures = sum(one["failures"] for one in rounds)
    worst = max((one["p99_ms"] for one in rounds), default=math.nan)
    crowds = {
        name: max(each) for name, each in told["many_clients_rps"].items() if name.startswith("tidegate") and each
    }
    best = max(crowds.values(), default=0.0)
    numbers = [one["p99_ms"] for one in rounds] + [one for name in crowds for one in told["many_clients_rps"][name]]
    are_sound = bool(rounds) and all(math.isfinite(one) and one >= 0 for one in numbers)
    expected = context.settings.serving.expected_rps
    evidence = f"{len(rounds)} rounds, worst p99 {worst:.2f} ms, {failures} failures; many clients: {best:.0f} requests a second, {expected:g} are expected"
    return judged(
        are_sound and worst < P95_MS and not failures and best >= expected,
        evidence,
        str(context.settings.checklist.records / "load.json"),
    )


def total(found: Samples, name: str, **labels: str) -> float:
    """Sum of a metric's samples with these labels; 0 where there is none."""
    return sum(value for told, value in found.get(name, ()) if labels.items() <= dict(told).items())


PROBES: Final[Mapping[str, Probe]] = {
    "latency.windows_kept": windows_kept,
    "latency.loaded_once": loaded_once,
    "latency.database": database,
    "latency.quiet": quiet,
    "latency.load_test": load_test,
}
