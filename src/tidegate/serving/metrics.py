"""The service's Prometheus metrics, all in one place. Names start with `tidegate_`, times are seconds; those of the process keep their usual names.

No label takes a value that a stranger can choose without limit: routes, reasons and kinds are the code's own, strategies, symbols and
versions those that are served, keys those of the key file, and bots at most `serving.max_bots` with 16 sources each. Requests without a key are
counted under one name.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidegate import __version__

_LATENCY_S = (
    0.00025,
    0.0005,
    0.00075,
    0.001,
    0.0015,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.02,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
)


class Metrics:
    """One set of metrics for one process, with a registry of its own so that tests do not share state."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "tidegate_request_seconds",
            "From the request's last byte to the answer's first, by route.",
            ["route"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.requests = Counter(
            "tidegate_requests", "Requests by route and status.", ["route", "status"], registry=registry
        )
        self.predictions = Counter(
            "tidegate_predictions", "Answered predictions.", ["strategy", "role", "version"], registry=registry
        )
        self.outcomes = Counter(
            "tidegate_prediction_outcomes",
            "Predictions by the version in production (0: none) and what came of them: ok, failed, or fallback, answered by the model before.",
            ["strategy", "version", "outcome"],
            registry=registry,
        )
        self.abstentions = Counter(
            "tidegate_abstentions", "Abstentions by reason.", ["strategy", "reason"], registry=registry
        )
        self.problems = Counter(
            "tidegate_problems", "Refused requests and symbols by kind.", ["kind"], registry=registry
        )
        self.rate_limited = Counter("tidegate_rate_limited", "Requests over a key's limit.", ["key"], registry=registry)
        self.model_version = Gauge(
            "tidegate_model_version", "Version that serves.", ["strategy", "role"], registry=registry
        )
        self.model_loaded_at = Gauge(
            "tidegate_model_loaded_timestamp_seconds",
            "When the model that serves was loaded.",
            ["strategy", "role"],
            registry=registry,
        )
        self.model_expires_at = Gauge(
            "tidegate_model_expires_timestamp_seconds",
            "When the model that serves expires.",
            ["strategy", "role"],
            registry=registry,
        )
        self.halted = Gauge("tidegate_halted", "1 while the strategy is halted.", ["strategy"], registry=registry)
        self.reloads = Counter(
            "tidegate_reloads", "Changes of model by result.", ["strategy", "result"], registry=registry
        )
        self.refused_version = Gauge(
            "tidegate_refused_version",
            "Version that the registry names and this service refuses; 0: none.",
            ["strategy"],
            registry=registry,
        )
        self.registry_reached_at = Gauge(
            "tidegate_registry_reached_timestamp_seconds", "Last answer of the registry.", registry=registry
        )
        self.fallbacks = Counter(
            "tidegate_fallbacks", "Predictions answered by the model before.", ["strategy"], registry=registry
        )
        self.data_age_seconds = Gauge(
            "tidegate_data_age_seconds",
            "Age of the newest bar at its last prediction.",
            ["strategy", "symbol"],
            registry=registry,
        )
        self.out_of_distribution = Histogram(
            "tidegate_out_of_distribution",
            "Share of features outside the training range.",
            ["strategy"],
            buckets=(0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
            registry=registry,
        )
        self.log_rows = Counter("tidegate_log_rows", "Rows made durable in the prediction log.", registry=registry)
        self.log_bytes = Gauge("tidegate_log_bytes", "Size of the prediction log.", registry=registry)
        self.log_failures = Counter(
            "tidegate_log_failures", "Writes to the prediction log that failed.", registry=registry
        )
        self.unlogged = Counter(
            "tidegate_unlogged_answers", "Answers that left without a durable row.", registry=registry
        )
        self.shadow_dropped = Counter(
            "tidegate_shadow_dropped", "Shadow predictions left out under load.", ["strategy"], registry=registry
        )
        self.bot_seen_at = Gauge(
            "tidegate_bot_seen_timestamp_seconds", "Last heartbeat of a bot.", ["bot", "strategy"], registry=registry
        )
        self.bot_version = Gauge(
            "tidegate_bot_version", "Version a bot saw last.", ["bot", "strategy"], registry=registry
        )
        self.bot_breaker = Gauge(
            "tidegate_bot_breaker",
            "A bot's breaker: 0 closed, 1 half open, 2 open, which means that it does without the service.",
            ["bot", "strategy"],
            registry=registry,
        )
        self.bot_decisions = Gauge(
            "tidegate_bot_decisions",
            "Decisions of a bot since its start, by what it decided on.",
            ["bot", "strategy", "source"],
            registry=registry,
        )
        self.start_after_sign_off = Gauge(
            "tidegate_start_after_sign_off",
            "1 where the process before had signed off in the registry, 0 where it had not, -1 while that is not known.",
            registry=registry,
        )
        self.start_after_sign_off.set(-1)
        self.ready = Gauge("tidegate_ready", "1 while the service is ready.", registry=registry)
        # Of this process: processor time, memory, open files, start. Read from the system at each scrape.
        ProcessCollector(registry=registry)
        Gauge("tidegate_build_info", "1, with the version of tidegate.", ["version"], registry=registry).labels(
            __version__
        ).set(1)

    def watch_log_folder(self, folder: Path, max_bytes: int) -> None:
        """Show what the prediction log may take, and what its disk has left.

        Args:
            folder: of the log; need not be there yet.
            max_bytes: of the whole log, `serving.log_max_mb`.
        """
        self.registry.register(_LogRoom(folder, max_bytes))


class _LogRoom(Collector):
    """Room for the prediction log, looked at when asked. A disk that cannot be looked at gives no sample: nobody takes it for an empty one."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The families, as the library wants them."""
        yield GaugeMetricFamily("tidegate_log_max_bytes", "Size at which the log counts as full.", self._max_bytes)
        free = GaugeMetricFamily("tidegate_log_disk_free_bytes", "Room left on the log's disk.", labels=())
        size = GaugeMetricFamily("tidegate_log_disk_bytes", "Size of the log's disk.", labels=())
        with contextlib.suppress(OSError):
            found = os.statvfs(self._folder)
            free.add_metric((), found.f_bavail * found.f_frsize)
            size.add_metric((), found.f_blocks * found.f_frsize)
        yield free
        yield size

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names only, so that registering looks at no disk."""
        for name in ("tidegate_log_max_bytes", "tidegate_log_disk_free_bytes", "tidegate_log_disk_bytes"):
            yield GaugeMetricFamily(name, "")
