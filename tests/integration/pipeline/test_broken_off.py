"""Runs that do not come to their end: what was read stays counted, and what was decided stays decided."""

import itertools
from pathlib import Path

import pytest
from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.bars.interval import DAY_MS
from tidegate.dataset.windows import Window
from tidegate.pipeline import publish
from tidegate.pipeline import retrain as retrain_module
from tidegate.pipeline.publish import ReportFailed
from tidegate.pipeline.retrain import retrain
from tidegate.registry.opening import open_promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.trials import TrialLedger
from tidegate.settings.settings import Settings

pytestmark = pytest.mark.slow


@pytest.fixture
def installation(tmp_path: Path) -> Settings:
    return settings(tmp_path)


def test_report_that_fails_leaves_the_promotion_finished(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "write_report", full)
    chosen = job(strategy(), installation)

    with pytest.raises(ReportFailed, match="No space left on device") as failure:
        retrain(chosen)

    assert "v1 was promoted over no model" in str(failure.value)
    assert "nothing has to be undone" in str(failure.value)
    assert open_promoter(installation).current(chosen.strategy.name) == 1
    runs = RetrainLedger.from_settings(installation).runs(chosen.strategy.name)
    assert [run.state for run in runs] == ["started", "finished"]
    assert runs[-1].version == 1
    assert str(runs[-1].run_id) in str(failure.value)


def test_run_that_dies_in_training_has_read_its_test_windows(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(Exception):
        pass

    def dies(*_given: object) -> None:
        raise PowerCut

    monkeypatch.setattr(retrain_module, "run_fold", dies)
    numbers = itertools.count(1)
    ledger = TrialLedger.from_settings(installation)
    chosen = job(strategy(), installation)
    newest = Window(start_at=chosen.as_of_ms - 30 * DAY_MS, end_at=chosen.as_of_ms)
    assert ledger.count_reads(chosen.strategy.name, newest) == 0

    for count in (1, 2):
        with pytest.raises(PowerCut):
            retrain(job(strategy(), installation, run=next(numbers)))
        assert ledger.count_reads(chosen.strategy.name, newest) == count
    assert ledger.count_trials(chosen.strategy.name) == 0
    states = [run.state for run in RetrainLedger.from_settings(installation).runs(chosen.strategy.name)]
    assert states == ["started", "failed"] * 2
