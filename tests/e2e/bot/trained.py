"""A small simulated market with two trained versions in a real MLflow, for the stories of bots."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.integration.pipeline.small_market import job, settings, strategy
from tests.servers import mlflow_server

from tidegate.bars.bars import Bars
from tidegate.pipeline.data import gather, prepare
from tidegate.pipeline.fold import Fold, Tested
from tidegate.pipeline.judge import judge
from tidegate.pipeline.retrain import run_folds
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.tracking.versions import Tracking
from tidegate.settings.settings import Mlflow
from tidegate.strategy.strategy import Costs, Strategy

NAME: Final = "simulated-small"
SYMBOL: Final = "SIM/USD"
# Costs with market impact: what a bot must compute from the bars before each fill.
COSTS: Final = {"fee_bps": 2.0, "half_spread_bps": 0.5, "slippage_bps": 0.3, "impact_coefficient": 0.1}


@dataclass(frozen=True)
class Trained:
    """Versions in the registry, none in production yet.

    Attributes:
        registry: MLflow's address.
        registry_port: its port.
        promoter: moves them into production.
        strategy: what they were trained for.
        bars: of the whole market.
        folds: by version, the newest fold: the version is the model that was tested there.
        digests: by version, of its bundle.
        rows: of the newest fold's test window, into `bars`.
        lookback: bars of a whole window.
    """

    folder: Path
    registry: str
    registry_port: int
    promoter: Promoter
    strategy: Strategy
    bars: Bars
    folds: dict[int, Fold]
    digests: dict[int, str]
    rows: slice
    lookback: int

    def tested(self, version: int) -> Tested:
        """What the backtest of a version says about the test window."""
        return self.folds[version].tested[SYMBOL]

    def promote(self, version: int) -> None:
        """Put a version into production."""
        champion = self.promoter.current(NAME)
        self.promoter.promote(NAME, version, None, actor="test", reason="test", champion=champion, override=True)


@contextlib.contextmanager
def trained(folder: Path, *models: dict[str, Any], **changes: Any) -> Iterator[Trained]:  # noqa: ANN401  parts of a strategy file
    """Train one version a model, on one market, and register them.

    Args:
        folder: where everything lies.
        models: changes of the strategy's section `model`, one for each version.
        changes: of other sections.
    """
    installation = settings(folder)
    # The server begins with tables that are there: making them takes seconds.
    (folder / "mlflow").mkdir()
    shutil.copy(installation.paths.mlruns / "mlflow.db", folder / "mlflow")
    with mlflow_server(folder / "mlflow") as address:
        installation = installation.model_copy(update={"mlflow": Mlflow(tracking_uri=address)})
        tracking = Tracking(installation)
        folds: dict[int, Fold] = {}
        digests: dict[int, str] = {}
        for run, model in enumerate(models):
            sections = {"windows": {"max_folds": 1}, "costs": COSTS, "model": model} | changes
            chosen = job(strategy(**sections), installation, run=run)
            gathered = gather(chosen)
            prepared = prepare(chosen, gathered)
            found = run_folds(chosen, prepared)
            bundle = judge(chosen, gathered, prepared, found, None).bundle
            with tracking.start_run(NAME, f"test {run}") as started:
                names = [spec.name for spec in bundle.manifest.features]
                version = tracking.register(chosen.folder / "bundle", started, names, description="test")
            folds[version], digests[version] = found[-1], bundle.digest
        promoter = Promoter(Ledger.from_settings(installation), tracking, today=lambda _strategy: chosen.as_of_ms)
        dataset = prepared.dataset
        rows = dataset.rows_within(0, found[-1].windows.test)
        assert Costs.model_validate(COSTS) == chosen.strategy.costs
        yield Trained(
            folder=folder,
            registry=address,
            registry_port=int(address.rsplit(":", 1)[1]),
            promoter=promoter,
            strategy=chosen.strategy,
            bars=dataset.tables[0].bars,
            folds=folds,
            digests=digests,
            rows=rows,
            lookback=dataset.features.lookback,
        )
