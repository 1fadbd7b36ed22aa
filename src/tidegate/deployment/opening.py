"""Opens the ports that the settings name."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tidegate.backup.require import take_or_refuse
from tidegate.deployment.haproxy import Backend
from tidegate.deployment.journal import Plan
from tidegate.deployment.looking import Looks, bots_follow, watch_until
from tidegate.deployment.ports import Ports, Replicas
from tidegate.deployment.processes import Processes
from tidegate.deployment.proxied import Proxied
from tidegate.deployment.replicas import Commands, Following
from tidegate.model.bundle import load_bundle
from tidegate.notify.notifier import Notifier
from tidegate.registry.database import system_clock
from tidegate.registry.events import EventLedger
from tidegate.registry.instances import Instances
from tidegate.registry.opening import open_promoter
from tidegate.registry.promotion import Promoter
from tidegate.registry.tracking.runs import TrackedRun
from tidegate.registry.tracking.versions import Tracking
from tidegate.rollback.maintenance import Alertmanager
from tidegate.rollback.verification import Target as Asked
from tidegate.rollback.verification import Verification, verify
from tidegate.serving.served import ready_predictor
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import Strategy
from tidegate.watch.lookout import Lookout
from tidegate.watch.opening import api_key
from tidegate.watch.scrape import Scraper, Target
from tidegate.watch.strategies import Watched
from tidegate.watch.targets import configured, registered

_MINUTE_MS: Final = 60_000
FOLDER: Final = "deployments"
"""Within the model's folder of `paths.runs`."""


@contextmanager
def opened(
    settings: Settings,
    root: Path,
    strategy: Strategy,
    model: str,
    *,
    actor: str,
    on_step: Callable[[str], None] = lambda _step: None,
) -> Iterator[Ports]:
    """The ports of a deployment of a model.

    Args:
        settings: `mlflow.tracking_uri` names a server that answers.
        root: the project's folder.
        strategy: whose rules hold.
        model: the model's name.
        actor: who deploys.
        on_step: told each step.

    Raises:
        ConfigurationError: a key's file cannot be used.
    """
    tracking = Tracking(settings)
    promoter = open_promoter(settings, tracking)
    events = EventLedger(promoter.ledger.database)
    folder = settings.paths.runs / model / FOLDER
    scraper = Scraper(settings.watch.timeout_s, api_key(settings.watch.api_key_file), system_clock)
    lookout = Lookout(scraper.look, settings.watch.timeout_s, system_clock)
    there = There(settings, root, folder)
    looks = Looks(lookout, there.targets, system_clock, settings.watch.poll_s)
    url = settings.notify.alertmanager_url
    with closing(Notifier(settings, events)) as notifier, closing(lookout):
        yield Ports(
            promoter=promoter,
            events=events,
            notifies=notifier,
            replicas=there.replicas,
            back_up=lambda reason: take_or_refuse(settings, reason, actor=actor, root=root).id,
            answers=partial(answers_golden, tracking),
            verifies=there.verifies,
            bots=lambda name, version, since: bots_follow(
                looks, name, version, since, round(settings.deploy.bot_minutes * _MINUTE_MS)
            ),
            watches=lambda name, version, until: watch_until(
                looks, Watched(name, strategy), version, until, lambda: in_production(promoter, name)
            ),
            shows=partial(show, tracking),
            alertmanager=None if url is None else Alertmanager(url, settings.notify.timeout_s),
            folder=folder,
            on_step=on_step,
        )


@dataclass
class There:
    """The serving processes of an installation, with those that a deployment started.

    Where the settings name whom to ask, a process that was started beside them would else be neither verified nor watched.

    Args:
        settings: `watch.instances`, `deploy.*`.
        root: the project's folder.
        folder: where records are written.
    """

    settings: Settings
    root: Path
    folder: Path
    _made: Replicas | None = None

    def replicas(self, name: str, plan: Plan) -> Replicas:
        """Those of a deployment, which are known from here on."""
        self._made = replicas_of(self.settings, self.root, self.folder, name, plan)
        return self._made

    def targets(self) -> list[Target]:
        """Processes to look at, as the watch has them."""
        if self.settings.watch.instances:
            return configured(self._addresses())
        now_ms = system_clock()
        return registered(Instances(self.settings).all(now_ms), now_ms)

    def verifies(self, strategy: str, version: int | None, digest: str | None) -> Verification:
        """Ask them which version answers."""
        asked = None
        if self.settings.watch.instances:
            asked = [Asked(one.instance, one.address) for one in configured(self._addresses())]
        return verify(self.settings, strategy, version, digest, instances=asked)

    def _addresses(self) -> list[str]:
        named = list(self.settings.watch.instances)
        known = {one.rstrip("/") for one in named}
        new = [] if self._made is None else self._made.addresses()
        return named + [one for one in new if one.rstrip("/") not in known]


def in_production(promoter: Promoter, strategy: str) -> int | None:
    """The version that bots may use, None where there is none or it is halted."""
    state = promoter.ledger.state(strategy)
    return state.current if state.halt is None else None


def replicas_of(settings: Settings, root: Path, folder: Path, name: str, plan: Plan) -> Replicas:
    """The serving processes, by `deploy.replicas`; behind HAProxy, by `deploy.proxy_socket`."""
    match settings.deploy.replicas:
        case "processes":
            return proxied(settings, folder, name, Processes(settings, root, name, plan, folder))
        case "commands":
            return proxied(settings, folder, name, Commands(settings, root, name, plan))
        case _:
            return Following(settings)


def proxied(settings: Settings, folder: Path, name: str, inner: Replicas) -> Replicas:
    """Replicas of which HAProxy is told, where `deploy.proxy_socket` names one."""
    at = settings.deploy.proxy_socket
    if at is None:
        return inner
    backend = Backend(at, settings.deploy.proxy_backend, settings.watch.timeout_s)
    return Proxied(inner, backend, settings, folder / f"{name}.proxy")


def answers_golden(tracking: Tracking, strategy: str, version: int) -> str:
    """Fetch a version's bundle, load it as the service does, and have it answer its golden windows.

    Raises:
        BundleError: it does not answer as it did when it was made.
        RegistryError: MLflow cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="tidegate-deploy-") as folder:
        bundle = load_bundle(tracking.fetch_bundle(strategy, version, Path(folder) / "bundle"))
        ready_predictor(bundle)
    return f"v{version} answers {len(bundle.golden)} golden windows as when it was made"


def show(tracking: Tracking, plan: Plan, tags: Mapping[str, str], paths: tuple[Path, ...]) -> None:
    """Keep the record with the version's run, and name it in the version's tags."""
    version = tracking.version(plan.strategy, plan.version)
    run = TrackedRun(tracking.connection, plan.strategy, "", version.run_id)
    for path in paths:
        run.artifact(path, FOLDER)
    tracking.show(plan.strategy, {plan.version: dict(tags)}, {})
