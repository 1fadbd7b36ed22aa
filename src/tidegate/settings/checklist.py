"""Settings of the checklist: where its probes look, and whether a promotion needs it."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tidegate.settings.section import Names, Section


class Checklist(Section):
    """`tidegate checklist`: what is asked, with which key, and how old a record may be."""

    require: Literal["nothing", "promotion", "deployment"] = Field(
        "nothing",
        description="Lines without which the monthly run refuses to promote. promotion: those about the model; deployment: also every other that blocks a deployment, such as signatures, backups and bots.",
    )
    instances: Names = Field(
        (),
        description="Addresses of serving processes to probe. Empty: watch.instances, else those that have registered themselves in MLflow.",
    )
    api_key_file: Path | None = Field(
        None,
        description="File with an API key of the probes' own (scopes predict, admin, metrics). Its limit is used up for a second.",
    )
    prometheus_url: str | None = Field(None, description="Prometheus, such as http://127.0.0.1:9090. Empty: not asked.")
    grafana_url: str | None = Field(None, description="Grafana, such as http://127.0.0.1:3000. Empty: not asked.")
    bot_metrics_urls: Names = Field(
        (), description="Addresses of the bots' own metrics, such as http://127.0.0.1:9465/metrics. Empty: not asked."
    )
    records: Path = Field(
        Path("runs/checklist"),
        description="Folder of records that others write: tests.xml (`make test`), bot-check.json, conformance.json, load.json.",
    )
    bot_config: Path | None = Field(
        None, description="The bot's TOML file, which `tidegate checklist --gather` checks. Empty: it is not checked."
    )
    driver: str = Field(
        "python -m tidegate.client.driver",
        min_length=1,
        description="Command that starts the conformance driver of the bot's client, for `tidegate checklist --gather`.",
    )
    access_log: Path | None = Field(
        None, description="File that holds the standard output of a serving process, where its access log goes."
    )
    image: str = Field("tidegate-serving", min_length=1, description="Name of the serving image in the local engine.")
    record_days: int = Field(31, ge=1, le=400, description="Days after which such a record proves nothing any more.")
    timeout_s: float = Field(5.0, gt=0, le=60, description="Seconds before something asked counts as not answering.")
    burst: int = Field(
        1200, ge=40, le=20_000, description="Most requests that the probe of the rate limit sends to the service."
    )
