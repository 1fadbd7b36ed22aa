"""Settings of the serving container, and of the keys that sign and verify models."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from tidegate.settings.section import Files, Names, Section


class Signing(Section):
    """Ed25519 keys: the pipeline signs with the private one, the service verifies with the public ones."""

    private_key_file: Path | None = Field(
        None,
        description="Private key (PEM) with which promotions are signed. Needed in production where models are promoted.",
    )
    public_key_files: Files = Field(
        (), description="Public keys (PEM) whose signatures the service trusts; several while keys are changed."
    )


class Serving(Section):
    """The serving container."""

    strategies: Names = Field((), description="Strategies to serve, by name. At least one.")
    instance: str = Field("", description="Name of this process among its replicas. Empty: host name and port.")
    address: str = Field(
        "", description="Address under which others reach this instance. Empty: made of host and port."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; the container listens on 0.0.0.0.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one and says which.")
    registry_uri: str | None = Field(None, description="MLflow's address. Empty: mlflow.tracking_uri.")
    registry_username: str | None = Field(None, description="User name at MLflow (basic auth).")
    registry_password_file: Path | None = Field(None, description="File with the password of registry_username.")
    registry_token_file: Path | None = Field(None, description="File with a bearer token for MLflow.")
    registry_timeout_s: float = Field(5.0, gt=0, le=120, description="Seconds before a request to MLflow is given up.")
    registry_retries: int = Field(2, ge=0, le=10, description="How often a failed request to MLflow is tried again.")
    poll_s: float = Field(10.0, ge=0.1, le=3600, description="Seconds between two looks at the registry.")
    start_wait_s: float = Field(
        1.0, ge=0, le=60, description="Seconds that a start with a cached model waits for the registry's word on it."
    )
    cache: Path = Field(Path(".cache/serving"), description="Folder of the last good bundles, read again at a start.")
    allow_unsigned: bool = Field(False, description="Serve models without a signature. Refused in production.")
    clock: Literal["system", "bars"] = Field(
        "system",
        description="bars: now is the newest bar's close, for replays and paper trading. Refused in production.",
    )
    clock_skew_ms: int = Field(
        1000, ge=0, le=60_000, description="How far a bar's close may lie ahead of this machine's clock."
    )
    shadow: bool = Field(True, description="Let the challenger predict beside production; both are logged.")
    abstain_out_of_distribution_above: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Abstain when a larger share of the features lies outside the training range. Empty: only told, as the backtest did not abstain either.",
    )
    log_folder: Path = Field(Path("runs/predictions"), description="Folder of the prediction log.")
    log_sync: bool = Field(
        True, description="Make each answer durable (fdatasync) before it leaves. Must be on in production."
    )
    log_segment_mb: int = Field(16, ge=1, le=1024, description="Size at which a file of the prediction log is closed.")
    log_max_mb: int = Field(
        10_240, ge=2, le=10_000_000, description="Size of the whole prediction log that counts as full."
    )
    log_keep_days: int = Field(
        400, ge=1, le=36_500, description="Closed files of the prediction log older than this are deleted."
    )
    log_unavailable: Literal["refuse", "degrade"] = Field(
        "refuse",
        description="What happens when the log cannot be written (disk full): refuse predictions, or answer and say that the answer was not logged.",
    )
    api_keys_file: Path | None = Field(
        None, description="API keys, hashed. Empty: no key is asked for. Needed in production."
    )
    max_body_kb: int = Field(1024, ge=1, le=65_536, description="Largest request body.")
    max_bars: int = Field(5000, ge=1, le=100_000, description="Most bars of one symbol in one request.")
    max_symbols: int = Field(50, ge=1, le=1000, description="Most symbols in one request.")
    max_bots: int = Field(200, ge=1, le=10_000, description="Most bots whose heartbeats are kept.")
    expected_rps: float = Field(20.0, gt=0, le=100_000, description="Requests per second that are expected at most.")
    rate_limit_rps: float | None = Field(
        None, gt=0, le=1_000_000, description="Requests per second allowed to one key. Empty: five times expected_rps."
    )
    body_timeout_s: float = Field(5.0, gt=0, le=300, description="Seconds in which a request must have arrived whole.")
    keep_alive_s: int = Field(75, ge=1, le=3600, description="Seconds that an idle connection is kept.")
    max_connections: int = Field(
        512, ge=1, le=100_000, description="Connections beyond which new ones are answered with 503."
    )
    drain_s: float = Field(10.0, ge=0, le=600, description="Seconds that a stop waits for requests under way.")
    cors_origins: Names = Field((), description="Web origins that may call the service. `*` is refused in production.")
    tls_certificate_file: Path | None = Field(
        None, description="Certificate chain (PEM); with tls_key_file the service speaks HTTPS."
    )
    tls_key_file: Path | None = Field(None, description="Private key (PEM) of the certificate.")
    docs: bool = Field(True, description="Serve /docs and /openapi.json.")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file must be given both or not at all")
        if self.registry_token_file is not None and self.registry_username is not None:
            raise ValueError("registry_token_file and registry_username cannot both be given")
        if self.registry_username is not None and self.registry_password_file is None:
            raise ValueError("registry_username needs registry_password_file")
        return self

    @property
    def key_rate_rps(self) -> float:
        """Requests per second allowed to one key."""
        return 5.0 * self.expected_rps if self.rate_limit_rps is None else self.rate_limit_rps


def refuse_open(serving: Serving) -> None:
    """Refuse, for production, what opens the service or loosens its promises.

    Raises:
        ValueError: names every such setting.
    """
    faults = [
        fault
        for wrong, fault in (
            (serving.allow_unsigned, "serving.allow_unsigned cannot be true in production"),
            (serving.clock == "bars", "serving.clock cannot be `bars` in production"),
            (not serving.log_sync, "serving.log_sync must be true in production"),
            ("*" in serving.cors_origins, "serving.cors_origins cannot hold `*` in production"),
        )
        if wrong
    ]
    if faults:
        raise ValueError("; ".join(faults))
