"""The service's Prometheus metrics, all in one place. Names start with `tidegate_`, times are seconds."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
        self.ready = Gauge("tidegate_ready", "1 while the service is ready.", registry=registry)
