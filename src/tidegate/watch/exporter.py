"""The watch's own `/metrics`, with the figures of flows and ledgers, and `/healthz`, which fails when the loop does not turn any more."""

import contextlib
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidegate.errors import ServiceError
from tidegate.watch.figures import Sample

log = logging.getLogger(__name__)

Request = socket.socket | tuple[bytes, socket.socket]

DESCRIPTIONS: Final = {
    "tidegate_instance_up": "1 while the instance answers the watch.",
    "tidegate_instance_version": "Version in production on the instance; 0: none.",
    "tidegate_production_version": "Version in production as the ledger has it; 0: none.",
    "tidegate_strategy_halted": "1 while the strategy is halted in the ledger.",
    "tidegate_promoted_timestamp_seconds": "When the version in production came there.",
    "tidegate_retrain_finished_timestamp_seconds": "When a retrain finished last.",
    "tidegate_ledger_acts": "Committed acts of the promotion ledger.",
    "tidegate_open_incidents": "Incidents that no person has closed.",
    "tidegate_maintenance": "1 during a maintenance window.",
    "tidegate_monitor_last_run_timestamp_seconds": "When the period's monitoring run of the newest time was first recorded.",
    "tidegate_live_win_rate": "Live win rate over the window of the newest run.",
    "tidegate_live_sharpe": "Live annual Sharpe ratio.",
    "tidegate_live_max_drawdown": "Live largest drawdown, a fraction of the capital.",
    "tidegate_live_trades": "Live closed trades.",
    "tidegate_live_return": "Live net profit over the capital.",
    "tidegate_promised_win_rate": "Win rate of the backtest.",
    "tidegate_promised_sharpe": "Annual Sharpe ratio of the backtest.",
    "tidegate_calibration_error": "Expected calibration error of live probabilities.",
    "tidegate_estimated_win_rate": "Win rate that live probabilities foretell.",
    "tidegate_shadow_win_rate": "Win rate of the newest challenger beside production.",
    "tidegate_shadow_sharpe": "Annual Sharpe ratio of the newest challenger beside production.",
    "tidegate_drift_effect": "Population stability index; of label_rate the difference of rates.",
    "tidegate_drifted_features": "Features, predictions and label rates that drifted.",
    "tidegate_sequential_statistic": "The sequential test's statistic after the newest closed trade.",
    "tidegate_sequential_threshold": "The sequential test alarms at or above it.",
    "tidegate_importance_moved": "Share of importance that moved since the model before.",
    "tidegate_rule_fired": "1 fired, 0 quiet, -1 not enough evidence.",
    "tidegate_undelivered_notifications": "Notifications that did not reach their receivers yet.",
    "tidegate_backup_taken_timestamp_seconds": "When the newest whole backup was taken.",
    "tidegate_backup_whole": "1 while the newest look at the backups found no damage.",
    "tidegate_restore_drill_passed_timestamp_seconds": "When a restore drill passed last.",
    "tidegate_bars_newest_timestamp_seconds": "Close of the newest bar that monitoring knew.",
}
"""Every gauge that is shown from samples."""
MOST_CONNECTIONS: Final = 32
WHOLE_S: Final = 10.0
"""A connection lasts no longer, however it is used."""
_READ_S: Final = 5.0


class Shown(Collector):
    """Samples that are replaced whole, group by group, so that nothing outlives what it was computed from."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[Sample, ...]] = {}
        self._lock = threading.Lock()

    def replace(self, group: str, samples: Iterable[Sample]) -> None:
        """Show these in place of the group's samples before."""
        found = tuple(samples)
        with self._lock:
            self._groups[group] = found

    def describe(self) -> Iterable[Metric]:
        """Names without samples; the registry asks for them once."""
        return [GaugeMetricFamily(name, text) for name, text in DESCRIPTIONS.items()]

    def collect(self) -> Iterable[Metric]:
        """Every metric that has a sample now. Of two samples with the same labels the later group's counts."""
        with self._lock:
            groups = tuple(self._groups.values())
        found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        for group in groups:
            for sample in group:
                found.setdefault(sample.name, {})[sample.labels] = sample.value
        for name, values in found.items():
            labels = [label for label, _ in next(iter(values))]
            family = GaugeMetricFamily(name, DESCRIPTIONS[name], labels=labels)
            for named, value in values.items():
                family.add_metric([text for _, text in named], value)
            yield family


class WatchMetrics:
    """All metrics of one watch, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.shown = Shown()
        self.registry.register(self.shown)
        ProcessCollector(registry=self.registry)
        self.looks = Counter(
            "tidegate_watch_looks", "Looks at instances by result.", ["instance", "result"], registry=self.registry
        )
        self.errors = Counter(
            "tidegate_watch_errors", "What failed inside the watch, by kind.", ["kind"], registry=self.registry
        )
        self.last_look = Gauge(
            "tidegate_watch_last_look_timestamp_seconds", "When the loop turned last.", registry=self.registry
        )


@contextmanager
def exporting(host: str, port: int, metrics: WatchMetrics, is_turning: Callable[[], bool]) -> Iterator[str]:
    """Serve `/metrics` and `/healthz` while the block runs; yields the address.

    Args:
        host: to listen on.
        port: 0 takes a free one.
        metrics: what is shown.
        is_turning: whether the loop still turns; where it does not, `/healthz` answers 503.

    Raises:
        ServiceError: the address cannot be listened on.
    """

    class Handler(_Handler):
        registry = metrics.registry

        def healthy(self) -> bool:
            return is_turning()

    try:
        server = _Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise ServiceError(
            f"the watch cannot show its metrics on {host}:{port}: {error}",
            setting="watch.port",
            next_step="choose another port with watch.port or TIDEGATE_WATCH__PORT; 0 takes a free one",
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="watch metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """A thread each connection, few at a time and none for long: whoever drips bytes must not keep the watch from its work."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._began: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Request, client_address: object) -> None:
        """Begin with a connection, or close it where too many are open."""
        assert isinstance(request, socket.socket)
        with self._lock:
            room = len(self._began) < MOST_CONNECTIONS
            if room:
                self._began[request] = time.monotonic()
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Request) -> None:
        """End a connection, and make room."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self._began.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Several times a second: end what has lasted too long."""
        too_long = time.monotonic() - WHOLE_S
        with self._lock:
            for request, began in self._began.items():
                if began < too_long:
                    with contextlib.suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that left early, and tell everything else in the log."""
        del request
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("a question of %s was not answered", client_address, exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    """Two pages, no logs; a client that sends nothing is let go after a while."""

    registry: CollectorRegistry
    timeout = _READ_S
    server_version = "tidegate"
    sys_version = ""

    def healthy(self) -> bool:
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, kind = _encoder(self.headers.get("Accept", ""))
            self._answer(200, kind, encode(self.registry))
        elif path == "/healthz":
            healthy = self.healthy()
            self._answer(200 if healthy else 503, "application/json", json.dumps({"turning": healthy}).encode())
        else:
            self._answer(404, "text/plain", b"/metrics and /healthz are what there is\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a line each scrape would drown what matters."""


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # the library does not bear every version that a client may name
        return choose_encoder("")
