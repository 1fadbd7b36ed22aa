"""What probes look at, opened at first use and kept for one look: ledgers, registry, live processes, records, files.

Effects live here and in `web` and `programs`. Nothing is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tidegate.backup.listing import list_backups
from tidegate.backup.manifest import BackupManifest
from tidegate.backup.opening import open_repository
from tidegate.bars.bars import iso
from tidegate.checklist.finding import NotMeasured
from tidegate.checklist.kept import Kept, once
from tidegate.checklist.programs import Programs
from tidegate.checklist.service import Samples, Service, samples
from tidegate.checklist.web import Prometheus, Web
from tidegate.errors import RegistryError, ServiceError
from tidegate.gates.result import Decision, GateResult
from tidegate.model.manifest import Manifest
from tidegate.registry.events import Event, EventLedger, Kind
from tidegate.registry.instances import Instances
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Versions
from tidegate.registry.state import StrategyState
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.loading import read_yaml
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy

DAY_MS: Final = 86_400_000
ALERTS: Final = Path("docker/prometheus/rules/alerts.yml")
JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Produced:
    """The version that is looked at, verified."""

    version: int
    manifest: Manifest
    decision: Decision | None

    def gate(self, name: str) -> GateResult | None:
        """A gate's result, None where the registry keeps none, keeps two, or keeps a decision about another manifest."""
        decision = self.decision
        if decision is None or decision.manifest_digest != self.manifest.digest():
            return None
        found = [one for one in decision.results if one.name == name]
        return found[0] if len(found) == 1 else None


class Context:
    """What one look at the checklist sees.

    Args:
        settings: of the installation; `mlflow.tracking_uri` names a server that answers.
        root: the project's folder.
        strategy: of one model; None: items about a strategy are not measured.
        now_ms: UTC ms.
        version: the version to look at; None: the one in production.
        versions: the model registry; by default MLflow.
        environment: variables for programs, beside those of this process.
        pages_at: where `tidegate up` would show MLflow's pages, when the server that answers now ends with this look; None: it stays.
    """

    def __init__(
        self,
        settings: Settings,
        root: Path,
        strategy: Strategy | None,
        now_ms: int,
        *,
        version: int | None = None,
        versions: Versions | None = None,
        environment: Mapping[str, str] | None = None,
        pages_at: str | None = None,
    ) -> None:
        self.settings = settings
        self.root = root
        self.now_ms = now_ms
        self._strategy = strategy
        self.version = version
        self._pages_at = pages_at
        self.kept: Kept = {}
        self._versions = versions
        self.web = Web(settings.checklist.timeout_s)
        self.programs = Programs(root, environment)

    # -- strategy, ledgers, registry

    @property
    def strategy(self) -> Strategy:
        """The strategy.

        Raises:
            NotMeasured: none was named.
        """
        if self._strategy is None:
            raise NotMeasured("no strategy was named: tidegate checklist STRATEGY")
        return self._strategy

    @property
    def name(self) -> str:
        """The strategy's name, empty where none was named."""
        return "" if self._strategy is None else self._strategy.name

    @cached_property
    def ledger(self) -> Ledger:
        """The promotion ledger."""
        return Ledger.from_settings(self.settings)

    @cached_property
    def events(self) -> EventLedger:
        """The event ledger."""
        return EventLedger(self.ledger.database)

    @cached_property
    def versions(self) -> Versions:
        """The model registry."""
        return self._versions if self._versions is not None else Tracking(self.settings)

    @cached_property
    def state(self) -> StrategyState:
        """What the promotion ledger says of the strategy."""
        return self.ledger.state(self.strategy.name)

    @once
    def produced(self) -> Produced:
        """The version that is looked at.

        Raises:
            NotMeasured: none is in production.
            BundleError: it does not verify.
            RegistryError: the registry cannot be reached.
        """
        version = self.state.current if self.version is None else self.version
        if version is None:
            raise NotMeasured(f"no version of {self.strategy.name} is in production: tidegate retrain {self.name}")
        manifest = self.versions.verified_manifest(self.strategy.name, version)
        return Produced(version, manifest, self.versions.decision(self.strategy.name, version))

    def link(self, version: int | None = None) -> str:
        """Where a version, or else the model, is shown by MLflow; with the command that shows it where no server stays; empty where MLflow has no page."""
        address = self._pages_at or self.settings.tracking_uri
        if not address.startswith("http") or not self.name:
            return ""
        page = f"{address.rstrip('/')}/#/models/{self.name}" + ("" if version is None else f"/versions/{version}")
        return page if self._pages_at is None else f"tidegate up shows it at {page}"

    def newest(self, kind: Kind, *, strategy: str | None = None) -> Event | None:
        """The newest event of a kind about the strategy, or about another name; an empty name is about none."""
        return self.events.newest(self.strategy.name if strategy is None else strategy, kind)

    def rows(
        self, kind: Kind, strategy: str | None = None, *, subject: str | None = None, since_ms: int | None = None
    ) -> list[Event]:
        """Events of a kind, oldest first, of one strategy or of all; arguments as those of the ledger."""
        return self.events.rows(strategy, kinds=[kind], subject=subject, since_ms=since_ms)

    def needed(self, kind: Kind, otherwise: str, *, strategy: str | None = None) -> Event:
        """The newest event of a kind.

        Raises:
            NotMeasured: there is none; `otherwise` says what to do.
        """
        found = self.newest(kind, strategy=strategy)
        if found is None:
            raise NotMeasured(otherwise)
        return found

    def age_days(self, at_ms: int) -> float:
        """Days since a time."""
        return (self.now_ms - at_ms) / DAY_MS

    @once
    def backup(self) -> BackupManifest:
        """What the newest backup holds, read from the repository itself.

        Raises:
            NotMeasured: no repository is set.
            BackupError: it cannot be read, or holds no backup.
        """
        if self.settings.backup.repository is None:
            raise NotMeasured("there are no backups: set backup.repository (docs/backups.md)")
        repository = open_repository(self.settings)
        return list_backups(repository).newest().manifest(repository)

    # -- live processes

    @cached_property
    def key(self) -> str | None:
        """The probes' API key."""
        path = self.settings.checklist.api_key_file or self.settings.watch.api_key_file
        return None if path is None else path.read_text(encoding="utf-8").strip()

    @once
    def services(self) -> tuple[Service, ...]:
        """Serving processes.

        Raises:
            NotMeasured: none is named, and none has registered itself.
        """
        addresses = list(self.settings.checklist.instances or self.settings.watch.instances)
        if not addresses:
            try:
                alive = [one for one in Instances(self.settings).all(self.now_ms) if one.alive]
            except RegistryError as error:
                raise ServiceError("MLflow cannot say which serving processes there are", actual=error.what) from error
            addresses = [one.address for one in alive]
        if not addresses:
            raise NotMeasured("no serving process is known: start one (tidegate serve), or set checklist.instances")
        return tuple(Service(self.web, address, self.key) for address in addresses)

    @property
    def are_configured(self) -> bool:
        """Whether a person has named the serving processes."""
        return bool(self.settings.checklist.instances or self.settings.watch.instances)

    @property
    def service(self) -> Service:
        """The first serving process, for what is the same in all of them."""
        return self.services[0]

    @cached_property
    def bots(self) -> list[JsonObject]:
        """The bots' last heartbeats about the strategy, from all processes; of each bot the newest.

        Raises:
            NotMeasured: no process has heard of a bot.
        """
        name = self.strategy.name
        newest: dict[str, JsonObject] = {}
        for service in self.services:
            for told in service.json("/v1/bots"):
                before = newest.get(told["bot"])
                if told["strategy"] == name and (before is None or before["received_at"] < told["received_at"]):
                    newest[told["bot"]] = told
        if not newest:
            raise NotMeasured("no bot has sent a heartbeat for this strategy: start the bot (docs/bot.md)")
        return [newest[name] for name in sorted(newest)]

    @once
    def bot_metrics(self) -> dict[str, Samples]:
        """The bots' own metrics by address.

        Raises:
            NotMeasured: no address is set.
        """
        addresses = self.settings.checklist.bot_metrics_urls
        if not addresses:
            raise NotMeasured("no bot's metrics are named: set checklist.bot_metrics_urls")
        return {address: samples(self.web.ask(address).body) for address in addresses}

    @cached_property
    def prometheus(self) -> Prometheus:
        """Prometheus.

        Raises:
            NotMeasured: no address is set.
        """
        address = self.settings.checklist.prometheus_url
        if address is None:
            raise NotMeasured("Prometheus is not asked: set checklist.prometheus_url")
        return Prometheus(self.web, address)

    # -- files

    def text(self, path: str) -> str:
        """A file of the project.

        Raises:
            NotMeasured: the project does not have it.
        """
        found = self.root / path
        if not found.is_file():
            raise NotMeasured(f"{path} is not in this project's folder")
        return found.read_text(encoding="utf-8")

    @cached_property
    def alerts(self) -> dict[str, JsonObject]:
        """Rules of alerts by name, as the project's files have them."""
        self.text(str(ALERTS))
        groups = read_yaml(self.root / ALERTS)["groups"]
        return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}

    def record(self, name: str, how: str) -> JsonObject:
        """A record that somebody else has written, young enough.

        Args:
            name: of its file in `checklist.records`.
            how: what writes it.

        Raises:
            NotMeasured: it is not there.
            ServiceError: it is too old, or not JSON.
        """
        path = self.recorded(name, how)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise ServiceError(f"the record {path} cannot be read", actual=str(error)[:120]) from error
        if not isinstance(content, dict):
            raise ServiceError(f"the record {path} is no record", actual=type(content).__name__)
        return content

    def recorded(self, name: str, how: str) -> Path:
        """Where a record is, if it is young enough; arguments and errors as those of `record`."""
        path = self.settings.checklist.records / name
        if not path.is_file():
            raise NotMeasured(f"there is no record {path}: {how}")
        written_ms = round(path.stat().st_mtime * 1000)
        days = self.settings.checklist.record_days
        if not 0 <= self.age_days(written_ms) + 1 <= days + 1:
            raise ServiceError(
                f"the record {path} is too old",
                expected=f"of the last {days} days",
                actual=iso(written_ms),
                next_step=how,
            )
        return path
