import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.registry_factories import NOW

from tidegate.dataset.windows import FoldWindows, Window
from tidegate.errors import LedgerError
from tidegate.registry.database import Database
from tidegate.registry.trials import HoldoutRead, Trial, TrialLedger

WINDOWS = FoldWindows(train=Window(start_at=0, end_at=100), test=Window(start_at=100, end_at=130))


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return TrialLedger(Database(f"sqlite:///{tmp_path}/ledger.db", clock=lambda: NOW))


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    path = tmp_path / "returns.parquet"
    path.write_bytes(b"returns")
    return Trial(
        trial_id="t1",
        strategy="eurusd-sample",
        retrain_key="eurusd-sample/2026-11",
        fold=0,
        parameters={"max_depth": 4, "learning_rate": 0.05},
        seed=7,
        windows=WINDOWS,
        score=1.25,
        rounds=80,
        returns_path=path,
        returns_sha256=hashlib.sha256(b"returns").hexdigest(),
    )


def test_trials_come_back_as_recorded(ledger: TrialLedger, trial: Trial) -> None:
    second = replace(trial, trial_id="t2", retrain_key="eurusd-sample/2026-12", score=None)
    ledger.record(trial, second)
    assert ledger.trials("eurusd-sample") == [trial, second]
    assert ledger.trials("eurusd-sample", "eurusd-sample/2026-12") == [second]
    assert ledger.count_trials("eurusd-sample") == 2
    assert ledger.count_trials("other") == 0


def test_recording_a_trial_again_changes_nothing(ledger: TrialLedger, trial: Trial) -> None:
    ledger.record(trial)
    ledger.record(trial)
    assert ledger.trials("eurusd-sample") == [trial]


def test_another_trial_under_the_same_id_is_refused(ledger: TrialLedger, trial: Trial) -> None:
    ledger.record(trial)
    with pytest.raises(LedgerError, match="already recorded with other rounds, score"):
        ledger.record(replace(trial, trial_id="t2"), replace(trial, score=9.0, rounds=1))
    assert ledger.count_trials("eurusd-sample") == 1, "all or none"


def test_the_returns_file_must_be_the_one(ledger: TrialLedger, trial: Trial) -> None:
    trial.returns_path.write_bytes(b"other returns")
    with pytest.raises(LedgerError, match="is another one"):
        ledger.record(trial)
    trial.returns_path.unlink()
    with pytest.raises(LedgerError, match="cannot be read"):
        ledger.record(trial)


@pytest.mark.parametrize(
    ("start", "end", "reads"),
    [(100, 130, 2), (90, 100, 0), (90, 101, 1), (115, 116, 1), (129, 131, 2), (140, 150, 1), (150, 200, 0)],
)
def test_every_read_of_any_part_of_a_window_counts(ledger: TrialLedger, start: int, end: int, reads: int) -> None:
    key = "eurusd-sample/2026-11"
    first = ledger.record_read(HoldoutRead("eurusd-sample", key, "run a", "a" * 64, Window(start_at=100, end_at=130)))
    second = ledger.record_read(HoldoutRead("eurusd-sample", key, "run b", "b" * 64, Window(start_at=120, end_at=150)))
    ledger.record_read(HoldoutRead("other", "other/2026-11", "run c", "a" * 64, Window(start_at=0, end_at=500)))
    assert (first, second) == (1, 2)
    assert ledger.count_reads("eurusd-sample", Window(start_at=start, end_at=end)) == reads


def test_the_same_read_counts_once(ledger: TrialLedger) -> None:
    read = HoldoutRead("s", "s/2026-11", "run a", "a" * 64, Window(start_at=100, end_at=130))
    assert [ledger.record_read(read), ledger.record_read(read)] == [1, 1]
    others = [
        replace(read, retrain_key="s/2026-12"),
        replace(read, reader="run b"),
        replace(read, snapshot="b" * 64),
        replace(read, window=Window(start_at=100, end_at=131)),
        replace(read, window=Window(start_at=99, end_at=130)),
    ]
    assert [ledger.record_read(other) for other in others] == [2, 3, 4, 5, 6]
    assert [ledger.record_read(other) for other in others] == [6] * 5
