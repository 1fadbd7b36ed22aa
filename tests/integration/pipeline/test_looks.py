"""A retraining's look at its results: reserved before it looks, the same one only once, and refused where the year is spent."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.pipeline.small_market import AS_OF_MS, job, settings, strategy

from tidegate.bars.bars import iso
from tidegate.bars.interval import DAY_MS
from tidegate.gates.result import Decision, GateResult, Verdict
from tidegate.pipeline import judge
from tidegate.pipeline.data import Gathered, Prepared, gather, prepare
from tidegate.pipeline.fold import Fold
from tidegate.pipeline.job import Job
from tidegate.pipeline.looking import look_key
from tidegate.pipeline.permuted import permuted_labels
from tidegate.pipeline.publish import record_reads
from tidegate.pipeline.retrain import run_folds
from tidegate.registry.database import Database
from tidegate.registry.looks import LookLedger
from tidegate.strategy.strategy import FeatureUse

pytestmark = pytest.mark.slow
SHARE = 0.05 / 12


@dataclasses.dataclass(frozen=True)
class Stages:
    """A run up to what is known of it by itself."""

    job: Job
    gathered: Gathered
    prepared: Prepared
    folds: tuple[Fold, ...]
    measured: judge.Measured

    def key(self, **changes: Any) -> str:  # noqa: ANN401  parts of a strategy file
        changed = dataclasses.replace(self.job, strategy=strategy(**changes))
        return look_key(changed, self.gathered, self.prepared)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    chosen = job(strategy(), settings(tmp_path_factory.mktemp("looks")))
    gathered = gather(chosen)
    prepared = prepare(chosen, gathered)
    folds = run_folds(chosen, prepared)
    return Stages(chosen, gathered, prepared, folds, judge.measure_run(chosen, gathered, prepared, folds))


@pytest.fixture
def looks(tmp_path: Path) -> LookLedger:
    return LookLedger(Database(f"sqlite:///{tmp_path}/ledger.db"))


def spend(looks: LookLedger, times: int) -> None:
    for number in range(times):
        looks.reserve(
            "simulated-small", f"{number:064x}", AS_OF_MS - 100 * DAY_MS, yearly_error=0.05, looks_per_year=12
        )


def skill_of(decision: Decision) -> GateResult:
    return next(result for result in decision.results if result.name == "skill")


def test_a_run_that_dies_after_it_has_read_its_windows_has_spent_its_level(stages: Stages) -> None:
    ledger = LookLedger.from_settings(stages.job.settings)
    record_reads(stages.job, stages.gathered, stages.prepared)
    (look,) = ledger.looks("simulated-small")
    assert (look.key, look.looked_at, look.level) == (stages.measured.look, AS_OF_MS, SHARE)
    assert (look.p_value, look.promote) == (None, None)

    judged = judge.decide_run(stages.job, stages.measured, None, ledger, {})
    (again,) = ledger.looks("simulated-small")
    skill = skill_of(judged.decision)
    assert (again.level, again.p_value, again.promote) == (SHARE, skill.observed, judged.decision.promote)
    assert skill.threshold == SHARE


def test_the_look_is_on_record_though_the_decision_fails(
    stages: Stages, looks: LookLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_given: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(judge, "hold_contest", broken)
    with pytest.raises(RuntimeError, match="killed"):
        judge.decide_run(stages.job, stages.measured, None, looks, {})
    assert [look.level for look in looks.looks("simulated-small")] == [SHARE]


def test_what_makes_another_look(stages: Stages) -> None:
    same = stages.measured.look
    assert stages.key() == same
    assert stages.key(gates={"policy": "strict", "yearly_error": 0.3}) == same
    assert stages.key(monitor={"window_days": 60}) == same
    assert stages.key(source={"seed": 13}) == same, "what was read is told by the snapshots"
    others = [
        stages.key(policy={"margins": [0.08, 0.13]}),
        stages.key(model={"max_depth": 4}),
        stages.key(costs={"fee_bps": 4.0}),
        look_key(stages.job, stages.gathered, dataclasses.replace(stages.prepared, folds=stages.prepared.folds[1:])),
    ]
    records = (dataclasses.replace(stages.gathered.symbols[0], snapshot="f" * 64),)
    others.append(look_key(stages.job, dataclasses.replace(stages.gathered, symbols=records), stages.prepared))
    assert len({same, *others}) == len(others) + 1


def test_another_source_of_an_own_feature_is_another_look(
    stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "feature_of_my_own.py"
    own = FeatureUse(use="feature_of_my_own:drift", lookback=2)
    job = dataclasses.replace(stages.job, strategy=stages.job.strategy.model_copy(update={"features": (own,)}))
    keys = []
    for content in ("ONE = 1\n", "ONE = 2\n", "ONE = 1\n"):
        module.write_text(content)
        keys.append(look_key(job, stages.gathered, stages.prepared))
    assert keys[0] == keys[2] != keys[1]


def test_a_year_that_is_spent_refuses_what_points_alone_would_promote(stages: Stages, looks: LookLedger) -> None:
    assert judge.decide_run(stages.job, stages.measured, None, looks, {}).decision.promote
    other = LookLedger(Database(f"{looks.database.address}.2"))
    spend(other, 12)
    decision = judge.decide_run(stages.job, stages.measured, None, other, {}).decision
    skill = skill_of(decision)
    assert [result.name for result in decision.refusals] == ["skill"]
    assert decision.verdicts["checklist"].promote
    assert not decision.verdicts["strict"].promote
    assert iso(AS_OF_MS + 265 * DAY_MS) in skill.change
    assert other.looks("simulated-small")[-1].promote is False


def test_what_is_left_of_the_year_is_the_level(stages: Stages, looks: LookLedger) -> None:
    looks.reserve("simulated-small", "a" * 64, AS_OF_MS, yearly_error=0.0499, looks_per_year=1)
    decision = judge.decide_run(stages.job, stages.measured, None, looks, {}).decision
    skill = skill_of(decision)
    assert skill.threshold == pytest.approx(0.0001)
    assert skill.verdict is Verdict.FAIL


def test_trials_of_earlier_runs_count_once_and_raise_the_bar(stages: Stages, looks: LookLedger) -> None:
    def deflated(tried: dict[str, float]) -> GateResult:
        decision = judge.decide_run(stages.job, stages.measured, None, looks, tried).decision
        return next(result for result in decision.results if result.name == "deflated_sharpe")

    alone = deflated({})
    assert alone.n == len(stages.measured.trials) == sum(len(fold.trials) for fold in stages.folds)
    assert deflated(dict(stages.measured.trials)) == alone
    rng = np.random.default_rng(1)
    more = deflated({f"earlier/{number}": float(rng.normal(0, 3)) for number in range(2000)})
    assert more.n == alone.n + 2000
    assert more.observed is not None
    assert alone.observed is not None
    assert more.observed < alone.observed


def test_a_model_that_knows_something_beats_those_trained_on_permuted_labels(stages: Stages) -> None:
    dataset, newest = stages.prepared.dataset, stages.folds[-1]
    found = permuted_labels(dataset, newest, stages.job.strategy, 4, threads=1, workers=2)
    assert (found.value, found.n) == (1 / 5, 4)
    tested = newest.tested["SIM/USD"]
    shuffled = dataclasses.replace(tested, probability=np.random.default_rng(2).permutation(tested.probability))
    guessing = dataclasses.replace(newest, tested={"SIM/USD": shuffled})
    none = permuted_labels(dataset, guessing, stages.job.strategy, 4, threads=1, workers=2)
    assert none.value is not None
    assert none.value > 1 / 5
    assert none.evidence["highest_permuted_area"] == found.evidence["highest_permuted_area"]
