"""Requests by route and status in Prometheus, at two dictionary look-ups a request."""

from prometheus_client import Counter, Histogram

from tidegate.serving.metrics import Metrics


class RequestCounts:
    """Keeps each label's own counters at hand, since finding them costs more than counting.

    Args:
        metrics: where they live.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._requests: dict[tuple[str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        found = self._requests.get((route, status))
        if found is None:
            found = self._requests[route, status] = self._metrics.requests.labels(route, str(status))
        found.inc()
        timed = self._seconds.get(route)
        if timed is None:
            timed = self._seconds[route] = self._metrics.request_seconds.labels(route)
        timed.observe(seconds)
