"""A rollback while the artifact store is gone: no version can be verified, so it halts, says why, and is taken back by hand."""

from pathlib import Path

import pytest
from tests.integration.pipeline.small_market import give_mlflow
from tests.integration.registry.test_tracking import register
from tests.registry_factories import NOW, REAL, decision

from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.promotion import Promoter
from tidegate.registry.repair import repair
from tidegate.registry.tracking import Tracking
from tidegate.settings.settings import Paths, Settings

pytestmark = pytest.mark.slow


def test_it_halts_and_three_steps_lead_back(tmp_path: Path) -> None:
    give_mlflow(tmp_path)
    tracking = Tracking(Settings(paths=Paths(mlruns=tmp_path / "mlruns")))
    ledger = Ledger(Database(f"sqlite:///{tmp_path}/ledger.db"))
    promoter = Promoter(ledger, tracking, today=lambda _strategy: NOW)
    for seed in (1, 2):
        version, made = register(tracking, tmp_path / str(seed) / "bundle", seed=seed)
        promoter.promote(REAL, version, decision(made), actor="ann", reason="test", champion=promoter.current(REAL))
    store, away = tmp_path / "mlruns" / "artifacts", tmp_path / "away"
    store.rename(away)
    done = promoter.rollback(REAL, actor="ann", reason="bad", leaving=2, bar=False)
    away.rename(store)

    assert done.row is not None
    assert (done.row.action, done.row.to_version, tracking.alias(REAL, "production")) == ("halt", None, None)
    (intent,) = [row for row in ledger.rows(REAL) if row.action == "halt" and row.state == "intent"]
    assert [one.partition(":")[0] for one in intent.evidence["passed_over"]] == ["v1"]
    assert "artifact store is there" in intent.evidence["passed_over"][0]
    assert not promoter.rollback(REAL, actor="ann", reason="again", leaving=2).changed
    assert (repair(promoter, REAL).rows, ledger.state(REAL).halt is not None) == ([], True)

    promoter.resume(REAL, actor="ann", reason="the store is back")
    promoter.promote(REAL, 1, tracking.decision(REAL, 1), actor="ann", reason="back", champion=None)
    assert (ledger.state(REAL).current, tracking.alias(REAL, "production")) == (1, 1)
