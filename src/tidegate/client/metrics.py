"""The client's own metrics, in Prometheus's text format. A bot that cannot reach the service can only say so here.

Plain counters without a registry: a notebook that makes a client twice must not fail for it, and a bot needs no further library.
"""

import threading
from collections import Counter
from typing import Final

from tidegate import __version__
from tidegate.client.decision import Decision, Health
from tidegate.client.messages import BreakerName

_BOUNDS_S: Final = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_BREAKER: Final[dict[BreakerName, int]] = {"closed": 0, "half_open": 1, "open": 2}
_HEALTH: Final[dict[Health, int]] = {"ready": 1, "not_ready": 0, "unreachable": -1}
_PREFIX: Final = "tidegate_client_"


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS_S)
        self._count, self._sum = 0, 0.0

    def observe(self, seconds: float) -> None:
        for at, bound in enumerate(_BOUNDS_S):
            self._counts[at] += seconds <= bound
        self._count += 1
        self._sum += seconds

    def lines(self, name: str, labels: dict[str, str]) -> list[str]:
        buckets = [
            _sample(f"{name}_bucket", {**labels, "le": f"{bound:g}"}, count)
            for bound, count in zip(_BOUNDS_S, self._counts, strict=True)
        ]
        return [
            *buckets,
            _sample(f"{name}_bucket", {**labels, "le": "+Inf"}, self._count),
            _sample(f"{name}_sum", labels, self._sum),
            _sample(f"{name}_count", labels, self._count),
        ]


class Metrics:
    """What is counted; safe for threads. A value that nobody knows yet has no sample."""

    def __init__(self, strategy: str, *, dry_run: bool) -> None:
        self._lock = threading.Lock()
        self._strategy = {"strategy": strategy}
        self._dry_run = dry_run
        self._decisions: Counter[tuple[str, str]] = Counter()
        self._decide = _Histogram()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._request: dict[str, _Histogram] = {}
        self._counts = Counter({"retries": 0, "window_resends": 0, "breaker_opened": 0})
        self._heartbeats = Counter({"sent": 0, "failed": 0})
        self._breaker: BreakerName = "closed"
        self._gauges: dict[str, float] = {}

    def decided(self, decision: Decision) -> None:
        """Count a decision and its time."""
        with self._lock:
            self._decisions[decision.source, decision.reason or "none"] += 1
            self._decide.observe(decision.elapsed_ms / 1000)

    def requested(self, route: str, outcome: str, seconds: float) -> None:
        """Count a request: `answered`, `window` for a 409, or a reason."""
        with self._lock:
            self._requests[route, outcome] += 1
            self._request.setdefault(route, _Histogram()).observe(seconds)

    def retried(self) -> None:
        """Count a request that is repeated."""
        self._count("retries")

    def resent(self) -> None:
        """Count a whole window that is sent because the service asked for it."""
        self._count("window_resends")

    def breaker_opened(self) -> None:
        """Count that the breaker opened."""
        self._count("breaker_opened")

    def set_breaker(self, state: BreakerName) -> None:
        """Tell the breaker's state."""
        with self._lock:
            self._breaker = state

    def set_health(self, health: Health) -> None:
        """Tell what the last look at the service came to."""
        if health in _HEALTH:
            self._set("health", _HEALTH[health])

    def set_skew(self, skew_ms: int) -> None:
        """Tell the service's clock less the client's, ms."""
        self._set("clock_skew_seconds", skew_ms / 1000)

    def signalled(self, version: int, at_ms: int) -> None:
        """Tell which version gave the last signal, and when, UTC ms."""
        self._set("version", version)
        self._set("last_signal_timestamp_seconds", at_ms / 1000)

    def heartbeat(self, *, sent: bool) -> None:
        """Count a sign of life."""
        with self._lock:
            self._heartbeats["sent" if sent else "failed"] += 1

    def text(self) -> str:
        """Everything, as Prometheus reads it."""
        with self._lock:
            return "\n".join(self._lines()) + "\n"

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def _set(self, name: str, value: float) -> None:
        with self._lock:
            self._gauges[name] = value

    def _lines(self) -> list[str]:
        lines = _head("decisions_total", "counter", "Decisions by who decided, and why not the model.")
        for (source, reason), count in sorted(self._decisions.items()):
            labels = {**self._strategy, "source": source, "reason": reason}
            lines.append(_sample("decisions_total", labels, count))
        lines += _head("decide_seconds", "histogram", "From the question to the decision.")
        lines += self._decide.lines("decide_seconds", self._strategy)
        lines += _head("requests_total", "counter", "Requests by route and what came of them.")
        for (route, outcome), count in sorted(self._requests.items()):
            lines.append(_sample("requests_total", {"route": route, "outcome": outcome}, count))
        lines += _head("request_seconds", "histogram", "From a request to its answer, or to giving up.")
        for route, histogram in sorted(self._request.items()):
            lines += histogram.lines("request_seconds", {"route": route})
        for name, told in _COUNTERS.items():
            lines += [*_head(f"{name}_total", "counter", told), _sample(f"{name}_total", {}, self._counts[name])]
        lines += _head("heartbeats_total", "counter", "Signs of life.")
        lines += [_sample("heartbeats_total", {"result": result}, n) for result, n in sorted(self._heartbeats.items())]
        return lines + self._gauge_lines()

    def _gauge_lines(self) -> list[str]:
        values = {**self._gauges, "breaker_state": _BREAKER[self._breaker], "dry_run": int(self._dry_run)}
        lines: list[str] = []
        for name, (told, has_strategy) in _GAUGES.items():
            if name in values:
                labels = self._strategy if has_strategy else {}
                lines += [*_head(name, "gauge", told), _sample(name, labels, values[name])]
        build = {"version": __version__, "language": "python"}
        return [*lines, *_head("build_info", "gauge", "The client."), _sample("build_info", build, 1)]


_COUNTERS: Final = {
    "retries": "Requests that were repeated.",
    "window_resends": "Whole windows that the service asked for.",
    "breaker_opened": "Times that the breaker opened.",
}
_GAUGES: Final = {
    "breaker_state": ("0 closed, 1 half open, 2 open.", False),
    "health": ("1 ready, 0 not ready, -1 unreachable.", False),
    "version": ("The last version that gave a signal.", True),
    "clock_skew_seconds": ("The service's clock less the client's, at the last answer.", False),
    "last_signal_timestamp_seconds": ("When the last signal came, by the client's clock.", True),
    "dry_run": ("1 while nothing is acted on.", False),
}


def _head(name: str, kind: str, told: str) -> list[str]:
    return [f"# HELP {_PREFIX}{name} {told}", f"# TYPE {_PREFIX}{name} {kind}"]


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{_PREFIX}{name}{{{inside}}} {value}" if inside else f"{_PREFIX}{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
