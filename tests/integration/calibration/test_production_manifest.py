"""Where no run is left, the manifest in production tells how a strategy trades: with a real MLflow server and ledger."""

import json
import math
import shutil
from pathlib import Path

import pytest
from tests.calibration_worlds import STRATEGIES
from tests.registry_factories import FEATURES, REAL, decision, write_bundle
from tests.servers import mlflow_server
from tests.unit.cli.run import CommandLine

from tidegate.calibration.figures import Figures, day_moments
from tidegate.registry.opening import open_promoter
from tidegate.registry.tracking import Tracking
from tidegate.settings.loading import load_settings

pytestmark = [pytest.mark.servers, pytest.mark.slow]

METRICS = {
    "win_rate": 0.6,
    "payoff_ratio": 0.8,
    "trades_per_day": 1.5,
    "annual_return": 0.2,
    "sharpe": 1.8,
    "trades": 390.0,
}


def test_the_manifest_in_production_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(STRATEGIES.parent, tmp_path / "configs")
    monkeypatch.setenv("TIDEGATE_ROOT", str(tmp_path))
    with mlflow_server(tmp_path / "mlflow") as address:
        monkeypatch.setenv("TIDEGATE_MLFLOW__TRACKING_URI", address)
        settings = load_settings(tmp_path)
        tracking = Tracking(settings)
        made = write_bundle(tmp_path / "bundle", out_of_sample=METRICS)
        with tracking.start_run(REAL, "2026-11") as run:
            version = tracking.register(tmp_path / "bundle", run, FEATURES, description="For the test.")
        promoter = open_promoter(settings, tracking)
        promoter.promote(REAL, version, decision(made), actor="a test", reason="a test", champion=None)
        words = ("calibrate", REAL, "--worlds", "2", "--years", "1", "--checked", "0", "--json")
        told = CommandLine(monkeypatch, capsys)(*words)
    assert told.code == 0, told.err
    found = json.loads(told.out)
    figures = found["figures"]
    assert figures["source"] == f"manifest of v{version}, in production"
    assert (figures["trades_per_day"], figures["win_rate"], figures["measured_sharpe"]) == (1.5, 0.6, 1.8)
    assert "correlation" in figures["assumed"]
    # The size of losses follows from the volatility: 0.2 / 1.8 a year.
    day = day_moments(Figures(**figures | {"regimes": tuple(figures["regimes"])}))
    assert math.sqrt(day.variance * 260) == pytest.approx(0.2 / 1.8, rel=1e-6)
