"""What a monitoring run reads: what is in production, verified bundles, the prediction log."""

import logging
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegate.backtest.result import Trades
from tidegate.errors import BundleError
from tidegate.model.bundle import Bundle, load_bundle
from tidegate.monitoring.fills import read_fills
from tidegate.monitoring.predictions import Predictions, read_predictions
from tidegate.pipeline.monitor_job import MonitorJob
from tidegate.registry.promotion import Promoter
from tidegate.registry.repair import repair
from tidegate.registry.tracking.versions import Tracking

log = logging.getLogger(__name__)

_SLACK_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Production:
    """What the promotion ledger says.

    Attributes:
        version: the version in production, None where there is none.
        halted: why the strategy is halted, None where it is not.
        before: the version in production before it, None where there was none.
        entered_at: UTC ms by the clock when it entered production, None where there is none.
        digests: bundle digest by version, of those that the ledger has seen.
        alerts: what the repair found that people must look at.
    """

    version: int | None
    halted: str | None
    before: int | None
    entered_at: int | None
    digests: Mapping[int, str]
    alerts: tuple[str, ...] = ()


def production_of(job: MonitorJob, promoter: Promoter) -> Production:
    """What is in production, after open intents were finished or undone.

    Raises:
        RegistryError: MLflow or the ledger cannot be reached.
    """
    name = job.strategy.name
    found = repair(promoter, name)
    state = promoter.ledger.state(name)
    others = [version for version in state.productions if version != state.current]
    return Production(
        version=state.current,
        halted=None if state.halt is None else state.halt.reason,
        before=others[0] if others else None,
        entered_at=None if state.last_change is None else state.last_change.created_at,
        digests=dict(state.digests),
        alerts=tuple(found.alerts),
    )


def fetch_bundles(
    job: MonitorJob, tracking: Tracking, versions: Iterable[int], digests: Mapping[int, str]
) -> tuple[dict[int, Bundle], tuple[str, ...]]:
    """Verified bundles by version, kept in the cache's folder between runs.

    Args:
        job: names the cache.
        tracking: MLflow.
        versions: what is wanted.
        digests: of versions that the ledger knows; a bundle in the cache that is another one is fetched anew.
    Returns:
        the bundles, and a sentence for each that is not to be had.
    Raises:
        RegistryError: MLflow could not be reached.
    """
    found: dict[int, Bundle] = {}
    missing = []
    for version in sorted(set(versions)):
        try:
            found[version] = _bundle(job, tracking, version, digests.get(version))
        except BundleError as error:
            missing.append(f"v{version} has no bundle to compare with: {error}")
            log.warning("%s %s", job.strategy.name, missing[-1])
    return found, tuple(missing)


def _bundle(job: MonitorJob, tracking: Tracking, version: int, digest: str | None) -> Bundle:
    folder = job.settings.paths.cache / "bundles" / job.strategy.name / f"v{version}"
    if folder.exists():
        try:
            bundle = load_bundle(folder)
        except BundleError as error:
            log.warning("the cached %s is fetched again: %s", folder, error)
        else:
            # Without the ledger's word, as for a challenger, a registry that was made anew could not be told from the old one.
            if digest == bundle.digest:
                return bundle
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    bundle = load_bundle(tracking.fetch_bundle(job.strategy.name, version, folder))
    if digest not in {None, bundle.digest}:
        raise BundleError(
            f"{job.strategy.name} v{version} in MLflow is not what the ledger promoted",
            expected=digest,
            actual=bundle.digest,
        )
    return bundle


def read_log(job: MonitorJob, window_start_at: int) -> Predictions | None:
    """The log's rows since a time; None where there is no log at all.

    Raises:
        LogDamaged: the log is damaged, and `monitoring.damaged_log` is `refuse`.
        FiguresRefused: rows do not fit together.
    """
    settings = job.settings
    folder = settings.serving.log_folder
    if not folder.is_dir():
        return None

    def tell(damage: object) -> None:
        log.warning("the prediction log is damaged, and what is damaged is left out: %s", damage)

    slack = settings.serving.clock_skew_ms + _SLACK_MS
    return read_predictions(
        folder,
        job.strategy.name,
        window_start_at=window_start_at,
        as_of=job.as_of,
        received_since_ms=window_start_at - slack if job.by_clock else None,
        bar_less_until_ms=job.as_of if job.by_clock else None,
        on_corrupt=tell if settings.monitoring.damaged_log == "skip" else None,
    )


def fills_of(job: MonitorJob, window_start_at: int) -> Trades | None:
    """The bot's own fills, None where it writes none.

    Raises:
        FiguresRefused: they cannot be read.
    """
    folder = job.settings.monitoring.fills
    if folder is None:
        return None
    return read_fills(folder, job.strategy.symbols, window_start_at=window_start_at, as_of=job.as_of)
