"""Settings of what runs after promotion: monitoring, the watch, notifications, logs."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from tidegate.settings.section import Names, Section


class Monitoring(Section):
    """The daily, weekly and monthly monitoring runs."""

    fills: Path | None = Field(
        None,
        description="Folder of the bot's own fills, Parquet files or JSON lines with the columns of trades.parquet. Empty: costs paid are those of the strategy file.",
    )
    damaged_log: Literal["refuse", "skip"] = Field(
        "refuse",
        description="What a monitoring run does when the prediction log is damaged: refuse, or leave damaged rows out, count them and say so.",
    )
    late_after_hours: float = Field(
        30.0, gt=0, le=1000, description="Hours after which a missing monitoring run is alarmed."
    )
    retrain_late_after_days: float = Field(
        35.0, gt=0, le=400, description="Days without a finished retrain after which an alarm is raised."
    )


class Watch(Section):
    """`tidegate watch`: looks at every serving process every few seconds, and acts by the rollback rules."""

    host: str = Field("127.0.0.1", description="Address on which the watch shows its own metrics.")
    port: int = Field(9464, ge=0, le=65535, description="Port of its metrics; 0 takes a free one and says which.")
    poll_s: float = Field(5.0, ge=0.1, le=300, description="Seconds between two looks at the serving processes.")
    registry_poll_s: float = Field(
        15.0, ge=0.1, le=3600, description="Seconds between two looks at MLflow's aliases and the ledger."
    )
    instances: Names = Field(
        (), description="Addresses of serving processes. Empty: those that have registered themselves in MLflow."
    )
    timeout_s: float = Field(2.0, gt=0, le=60, description="Seconds before a serving process counts as not answering.")
    api_key_file: Path | None = Field(
        None, description="File with an API key (scopes admin and metrics) for the serving processes."
    )
    verify_s: float = Field(
        30.0,
        gt=0,
        le=600,
        description="Seconds in which every serving process must answer with the version gone back to.",
    )
    act: bool = Field(True, description="Whether rules may roll back; false only alerts.")


class Notify(Section):
    """Where people are told: webhooks and mail. Alerts of Prometheus go through Alertmanager's own settings."""

    webhook_urls: Names = Field((), description="Addresses that get each notification as JSON by POST.")
    webhook_secret_file: Path | None = Field(
        None, description="File with the secret that signs webhook bodies (HMAC-SHA256, header X-Tidegate-Signature)."
    )
    smtp_host: str | None = Field(None, description="Mail server. Empty: no mail.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the mail server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection to the mail server is encrypted; none is refused in production."
    )
    smtp_username: str | None = Field(None, description="User name at the mail server.")
    smtp_password_file: Path | None = Field(None, description="File with the password of smtp_username.")
    mail_from: str = Field("tidegate@localhost", description="Sender of mail.")
    mail_to: Names = Field((), description="Receivers of mail.")
    timeout_s: float = Field(10.0, gt=0, le=120, description="Seconds before a delivery is given up.")
    attempts: int = Field(3, ge=1, le=20, description="How often a delivery is tried before it counts as failed.")
    least: Literal["info", "warning", "critical"] = Field(
        "warning", description="Least severity that is sent; everything is recorded."
    )
    alertmanager_url: str | None = Field(
        None, description="Alertmanager's address, where a maintenance window makes its silence. Empty: none is made."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.smtp_host is not None and not self.mail_to:
            raise ValueError("smtp_host needs mail_to")
        if self.smtp_username is not None and self.smtp_password_file is None:
            raise ValueError("smtp_username needs smtp_password_file")
        return self


class Logs(Section):
    """The processes' own logs: JSON lines."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of tidegate's own lines."
    )
    file: Path | None = Field(
        None, description="File that gets the lines beside standard error, rotated. `{process}` is the process's name."
    )
    max_mb: float = Field(50, gt=0, le=10_000, description="Size at which the file is rotated.")
    keep: int = Field(10, ge=1, le=1000, description="Rotated files that are kept.")
    syslog: str | None = Field(
        None, description="Address host:port of a syslog server that gets the lines over TCP (RFC 5424). Empty: none."
    )


def refuse_unencrypted(notify: Notify) -> None:
    """Refuse, for production, mail in the clear.

    Raises:
        ValueError: names the setting.
    """
    if notify.smtp_host is not None and notify.smtp_security == "none":
        raise ValueError("notify.smtp_security cannot be `none` in production")
