"""What an installation decides: where things are kept, which servers are used, how strict validation is.

What a *strategy* decides (features, costs, gates) stands in its own file: see `tidegate.strategy`.
"""

from pathlib import Path
from typing import Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidegate.settings.backup import Backup
from tidegate.settings.checklist import Checklist
from tidegate.settings.deploy import Deploy
from tidegate.settings.operations import Logs, Monitoring, Notify, Watch, refuse_unencrypted
from tidegate.settings.section import Section
from tidegate.settings.serving import Serving, Signing, refuse_open
from tidegate.settings.work_pool import WorkPool

Severity = Literal["fatal", "quarantine", "warn", "off"]


class Paths(Section):
    """Folders, relative to the project unless absolute."""

    data: Path = Field(Path("data"), description="Bar store, snapshots and the SQLite ledger.")
    runs: Path = Field(Path("runs"), description="Reports, data docs and out-of-sample files, one folder a run.")
    mlruns: Path = Field(
        Path("mlruns"), description="MLflow's database and artifacts when tidegate starts MLflow itself."
    )
    strategies: Path = Field(Path("configs/strategies"), description="Strategy files.")
    cache: Path = Field(Path(".cache"), description="Caches that can be deleted at any time.")


class Mlflow(Section):
    """The MLflow server."""

    tracking_uri: str | None = Field(
        None,
        description="Address of the tracking server, such as http://127.0.0.1:5000. Empty: the server of `tidegate up`, or one for each command, on paths.mlruns.",
    )
    timeout_s: int = Field(30, ge=1, le=600, description="Seconds before a request to MLflow is given up.")
    retries: int = Field(3, ge=0, le=20, description="How often a failed request to MLflow is tried again.")
    port: int = Field(5000, ge=1, le=65535, description="Port on which `tidegate up` starts MLflow.")


class Ledger(Section):
    """The promotion ledger's database."""

    url: SecretStr | None = Field(
        None,
        description="SQLAlchemy address, such as postgresql+psycopg://user@host/tidegate. Empty: a SQLite file under paths.data.",
    )
    busy_timeout_s: int = Field(30, ge=1, le=600, description="Seconds to wait for another promotion's lock.")


class Prefect(Section):
    """The Prefect server that `tidegate up` starts."""

    port: int = Field(4200, ge=1, le=65535, description="Port on which `tidegate up` starts Prefect.")
    database_url: SecretStr | None = Field(
        None,
        description="Database address, such as postgresql+asyncpg://user@host/prefect. Empty: SQLite under paths.data.",
    )
    start_timeout_s: int = Field(120, ge=5, le=900, description="Seconds to wait for a server to become ready.")
    time_zone: str = Field(
        "UTC",
        description="Time zone of all schedules, such as Europe/Berlin. What runs look at are UTC days whatever it is, so a zone east of UTC runs monitoring before the day has ended there.",
    )
    catch_up_days: float = Field(
        7.0,
        ge=0,
        le=27,
        description="A monthly run that was missed is caught up within so many days of its time; later it is skipped, and people are told.",
    )

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"is no time zone: {value!r}")
        return value


class Validation(Section):
    """How strict validation is. `quarantine` sets rows aside with their reason, `warn` reports, `off` does not look."""

    columns: Severity = Field("fatal", description="A column is missing or of the wrong type.")
    non_finite: Severity = Field("quarantine", description="NaN or infinite values.")
    non_positive_price: Severity = Field("quarantine", description="A price of zero or less.")
    negative_volume: Severity = Field("quarantine", description="Volume under zero.")
    high_low: Severity = Field(
        "quarantine", description="High below open, close or low; low above open, close or high."
    )
    order: Severity = Field("warn", description="Bars not in ascending order; they are sorted.")
    duplicate_identical: Severity = Field("warn", description="The same bar twice; one is kept.")
    duplicate_conflicting: Severity = Field("fatal", description="Two different bars for one time.")
    off_grid: Severity = Field("quarantine", description="Opening times that are not a multiple of the interval.")
    future: Severity = Field("fatal", description="Bars that open after the time of validation.")
    unfinished: Severity = Field("quarantine", description="The last bar has not closed yet.")
    stale: Severity = Field("warn", description="The newest bar is older than stale_after_bars.")
    gaps: Severity = Field("warn", description="Bars missing against the market's calendar.")
    missing_share: Severity = Field(
        "fatal", description="More than max_missing_share of the calendar's bars are missing."
    )
    outside_calendar: Severity = Field("warn", description="Bars while the market is closed.")
    zero_volume: Severity = Field("warn", description="Runs of bars without volume.")
    flat: Severity = Field("warn", description="Runs of bars with one and the same price.")
    jumps: Severity = Field("warn", description="Returns beyond jump_sigmas; flagged, since real crashes are real.")
    unit_mixup: Severity = Field(
        "fatal", description="A price level that moves by a factor of 50 or more and stays there or comes back."
    )
    quarantined_share: Severity = Field(
        "fatal", description="More than max_quarantined_share of the rows were set aside."
    )
    max_missing_share: float = Field(0.05, ge=0, le=1, description="Largest tolerated share of missing bars.")
    missing_share_min_days: int = Field(
        7,
        ge=0,
        description="Days under which the share says nothing: one outage fills much of a day. Gaps are still reported.",
    )
    max_quarantined_share: float = Field(0.01, ge=0, le=1, description="Largest tolerated share of quarantined rows.")
    stale_after_bars: int = Field(3, ge=1, description="Age in bars after which the newest bar is stale.")
    run_bars: int = Field(12, ge=2, description="Length in bars from which a zero-volume or flat run is reported.")
    jump_sigmas: float = Field(
        10.0, gt=0, description="Size, in robust standard deviations, from which a return is flagged."
    )

    @field_validator("unfinished", "order", "duplicate_identical")
    @classmethod
    def _never_silent(cls, value: Severity) -> Severity:
        if value == "off":
            raise ValueError("this rule changes rows and cannot be switched off")
        return value


SET_ASIDE: Final = ("non_finite", "non_positive_price", "future", "unfinished", "duplicate_conflicting")
"""Rules whose rows are set aside at any severity: no computation downstream is right with them."""
WHOLE_SERIES: Final = ("columns", "order", "stale", "gaps", "missing_share", "quarantined_share")
"""Rules that judge the whole series: they have no rows to set aside, so `quarantine` could only mean `fatal` to them."""


def refuse_reinterpreted(validation: Validation) -> None:
    """Refuse severities that validation would have to read as others.

    Raises:
        ValueError: names every such rule.
    """
    faults = [
        f"validation.{rule} cannot be `{severity}`: its rows are set aside in any case, so say `quarantine` or `fatal`"
        for rule in SET_ASIDE
        if (severity := getattr(validation, rule)) in {"warn", "off"}
    ]
    faults += [
        f"validation.{rule} cannot be `quarantine`: it judges the whole series and has no rows to set aside, so say `fatal` or `warn`"
        for rule in WHOLE_SERIES
        if getattr(validation, rule) == "quarantine"
    ]
    if faults:
        raise ValueError("; ".join(faults))


LIMITS: Final = ("max_missing_share", "max_quarantined_share", "missing_share_min_days", "stale_after_bars")
"""Numbers that loosen a rule as they grow."""


def refuse_loosened(validation: Validation) -> None:
    """Refuse, for production, to only report or ignore what is fatal or set aside by default, and limits above their defaults.

    Raises:
        ValueError: names every such rule and limit.
    """
    defaults = Validation()
    loosened = [
        f"validation.{rule} cannot be `{severity}` in production, where it is `{getattr(defaults, rule)}` or `fatal`"
        for rule in Validation.model_fields
        if getattr(defaults, rule) in {"fatal", "quarantine"}
        and (severity := getattr(validation, rule)) in {"warn", "off"}
    ]
    loosened += [
        f"validation.{limit} cannot be {given} in production, where it is at most {allowed}"
        for limit in LIMITS
        if (given := getattr(validation, limit)) > (allowed := getattr(defaults, limit))
    ]
    if loosened:
        raise ValueError("; ".join(loosened))


class Compute(Section):
    """Threads, processes side by side, and memory."""

    threads: int = Field(
        1, ge=1, le=256, description="Threads for one XGBoost fit; part of what makes a model repeatable."
    )
    parallel_folds: int = Field(2, ge=1, le=64, description="Walk-forward folds trained at the same time.")
    latency_samples: int = Field(500, ge=50, le=100_000, description="Predictions timed for the latency gate.")
    workers: int = Field(
        2, ge=1, le=256, description="Processes of the local Dask cluster: months or models trained side by side."
    )
    worker_memory_gb: float = Field(
        4.0,
        gt=0.1,
        le=1024,
        description="Memory of one of those processes; one that needs more is ended and tried again.",
    )
    dask_address: str | None = Field(
        None,
        min_length=1,
        description="Address of a Dask scheduler, such as tls://scheduler:8786. Empty: a local cluster, made for the run and closed after it.",
    )
    max_training_mb: float = Field(
        1000.0,
        ge=0,
        description="A table of features of more megabytes lies in a file under paths.cache, and is trained on by XGBoost's external memory.",
    )

    def inner_places(self, folds: int) -> int:
        """Inner folds to fit at a time while `folds` folds are trained: places that those leave free."""
        return max(1, self.parallel_folds // folds)


def refuse_plain_scheduler(compute: Compute) -> None:
    """Refuse, for production, a Dask scheduler in the clear: whoever reaches it runs code of theirs on every worker.

    Raises:
        ValueError: names the setting.
    """
    address = compute.dask_address
    if address is not None and not address.startswith("tls://"):
        raise ValueError(f"compute.dask_address must begin with tls:// in production, was {address}")


class Settings(BaseSettings):
    """All settings. Later sources win: defaults, `configs/base.yaml`, `configs/<environment>.yaml`, the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="TIDEGATE_", env_nested_delimiter="__", validate_default=True
    )

    environment: Literal["development", "production"] = Field(
        "development",
        description="Which configs/<environment>.yaml is read; production refuses loosened safety settings.",
    )
    paths: Paths = Field(default_factory=Paths, description="Folders.")
    mlflow: Mlflow = Field(default_factory=Mlflow, description="The MLflow server.")
    ledger: Ledger = Field(default_factory=Ledger, description="The promotion ledger.")
    prefect: Prefect = Field(default_factory=Prefect, description="The Prefect server.")
    work_pool: WorkPool = Field(default_factory=WorkPool, description="Where flow runs run.")
    validation: Validation = Field(default_factory=Validation, description="How strict validation is.")
    compute: Compute = Field(default_factory=Compute, description="Threads, processes and memory.")
    signing: Signing = Field(default_factory=Signing, description="Keys that sign and verify models.")
    serving: Serving = Field(default_factory=Serving, description="The serving container.")
    monitoring: Monitoring = Field(default_factory=Monitoring, description="Monitoring runs.")
    watch: Watch = Field(default_factory=Watch, description="The watch over serving processes.")
    notify: Notify = Field(default_factory=Notify, description="Where people are told.")
    logs: Logs = Field(default_factory=Logs, description="The processes' own logs.")
    backup: Backup = Field(default_factory=Backup, description="Backups, and how long they stay.")
    checklist: Checklist = Field(default_factory=Checklist, description="The production checklist's probes.")
    deploy: Deploy = Field(default_factory=Deploy, description="Deployments by `tidegate deploy`.")

    @field_validator("validation")
    @classmethod
    def _means_what_it_says(cls, validation: Validation) -> Validation:
        refuse_reinterpreted(validation)
        return validation

    @model_validator(mode="after")
    def _strict_in_production(self) -> Self:
        if self.environment == "production":
            refuse_loosened(self.validation)
            refuse_open(self.serving)
            refuse_unencrypted(self.notify)
            refuse_plain_scheduler(self.compute)
        return self

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: the configured one, or a SQLite file under `paths.mlruns`."""
        return self.mlflow.tracking_uri or f"sqlite:///{self.paths.mlruns.resolve()}/mlflow.db"

    @property
    def ledger_url(self) -> str:
        """The ledger's SQLAlchemy address: the configured one, or a SQLite file under `paths.data`."""
        if self.ledger.url is not None:
            return self.ledger.url.get_secret_value()
        return f"sqlite:///{self.paths.data.resolve()}/ledger/ledger.db"
