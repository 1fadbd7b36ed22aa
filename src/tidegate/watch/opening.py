"""Opens the watch that the settings name, with its real ports."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tidegate.errors import ConfigurationError
from tidegate.notify.notifier import Notifier
from tidegate.registry.database import system_clock
from tidegate.registry.events import EventLedger
from tidegate.registry.instances import Instances
from tidegate.registry.opening import open_promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.rollback.act import carry_out, finish
from tidegate.rollback.decision import Decision
from tidegate.rollback.procedure import Procedure, open_procedure
from tidegate.settings.settings import Settings
from tidegate.watch.desk import ACTOR, Ports, RegistryDesk
from tidegate.watch.exporter import WatchMetrics, exporting
from tidegate.watch.history import History
from tidegate.watch.judging import judge
from tidegate.watch.lookout import Lookout
from tidegate.watch.scrape import Scraper
from tidegate.watch.strategies import Strategies, Watched
from tidegate.watch.watch import Parts, Watch

log = logging.getLogger(__name__)

MINUTES_FILE: Final = Path("watch") / "minutes.jsonl"
"""Within `paths.runs`."""


@contextmanager
def opened(settings: Settings, names: Sequence[str] = ()) -> Iterator[tuple[Watch, str]]:
    """A watch that shows its metrics, and their address; it looks at nothing until it is run.

    Args:
        settings: all of the installation; `mlflow.tracking_uri` names a server that answers.
        names: strategies to watch; empty: all of the project, those too that are added later.

    Raises:
        ConfigurationError: a named strategy, the API key's file or the signing key cannot be used.
        ServiceError: the address of its metrics is taken.
    """
    strategies = Strategies(settings.paths.strategies, names)
    scraper = Scraper(settings.watch.timeout_s, api_key(settings.watch.api_key_file), system_clock)
    promoter, metrics = open_promoter(settings), WatchMetrics()
    events = EventLedger(promoter.ledger.database)
    with closing(Notifier(settings, events, background=True)) as notifier:
        procedure = open_procedure(settings, notifies=notifier, promoter=promoter)
        ports = Ports(
            promoter=promoter,
            events=events,
            retrains=RetrainLedger(promoter.ledger.database),
            instances=Instances(settings),
            notifier=notifier,
            carry_out=partial(_carry_out, procedure, settings.watch.act),
            finish=lambda model: finish(procedure, model),
        )
        watch = Watch(
            Parts(
                settings=settings.watch,
                strategies=strategies,
                lookout=Lookout(scraper.look, settings.watch.timeout_s, system_clock),
                judge=judge,
                desk=RegistryDesk(settings.watch, ports, system_clock),
                history=History(settings.paths.runs / MINUTES_FILE),
                metrics=metrics,
                now_ms=system_clock,
                monotonic=time.monotonic,
            )
        )
        with exporting(settings.watch.host, settings.watch.port, metrics, watch.is_turning) as address:
            yield watch, address


def api_key(path: Path | None) -> Callable[[], str | None]:
    """What gives the API key, read anew each time, so that a key may be changed while the watch runs.

    Raises:
        ConfigurationError: the file cannot be read now; later the key that was read last is used on.
    """
    if path is None:
        return lambda: None
    try:
        last = [path.read_text(encoding="utf-8").strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the API key's file {path} cannot be read", actual=str(error)[:200], setting="watch.api_key_file"
        ) from error

    def read() -> str:
        try:
            last[0] = path.read_text(encoding="utf-8").strip() or last[0]
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the API key's file %s cannot be read: %s", path, error)
        return last[0]

    return read


def _carry_out(procedure: Procedure, acting_allowed: bool, decision: Decision, watched: Watched) -> None:
    report = carry_out(decision, procedure, watched.rules, actor=ACTOR, acting_allowed=acting_allowed)
    if report.changed:
        log.warning("%s", report.message)
