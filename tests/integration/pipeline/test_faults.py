"""Faults put into a real run, each caught by the gate that is meant for it, by name, and none promoted."""

import dataclasses
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.pipeline.small_market import CONTENT, job, settings, strategy

from tidegate.backtest import vectorbt_engine
from tidegate.backtest.positions import decide
from tidegate.bars.bars import Bars
from tidegate.dataset.dataset import Dataset
from tidegate.errors import BundleError
from tidegate.gates.evaluation import Measurement, evaluate
from tidegate.gates.result import GateResult, Verdict
from tidegate.labels import labels as labelling
from tidegate.labels.labels import Labels
from tidegate.model import training
from tidegate.model.bundle import ONNX, UBJ, load_bundle, sha256, write_bundle
from tidegate.model.export import to_onnx
from tidegate.model.manifest import Calibration
from tidegate.pipeline import checks, contest, fold, judge, points
from tidegate.pipeline.data import Gathered, Prepared, gather, prepare
from tidegate.pipeline.fold import Fold
from tidegate.pipeline.job import Job
from tidegate.pipeline.judge import Judged
from tidegate.pipeline.publish import champion_of, promote, record_run
from tidegate.pipeline.retrain import retrain, run_folds
from tidegate.registry.opening import open_promoter
from tidegate.serving.predictor import Predictor
from tidegate.settings.settings import Settings
from tidegate.statistics.bootstrap import metric_intervals
from tidegate.strategy.strategy import Costs
from tidegate.strategy.strategy import Labels as LabelRule

pytestmark = pytest.mark.slow

Fault = Callable[[pytest.MonkeyPatch], None]


@dataclasses.dataclass(frozen=True)
class Stages:
    """A sound run, stage by stage, up to the gates."""

    job: Job
    gathered: Gathered
    prepared: Prepared
    folds: tuple[Fold, ...]
    judged: Judged


def run_stages(chosen: Job, gathered: Gathered | None = None) -> Stages:
    gathered = gathered or gather(chosen)
    prepared = prepare(chosen, gathered)
    folds = run_folds(chosen, prepared)
    return Stages(chosen, gathered, prepared, folds, judge.judge(chosen, gathered, prepared, folds, None))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def numbers() -> "itertools.count[int]":
    return itertools.count(1)


@pytest.fixture(scope="module")
def sound(installation: Settings) -> Stages:
    return run_stages(job(strategy(), installation))


@pytest.fixture
def refused(
    installation: Settings, sound: Stages, numbers: "itertools.count[int]"
) -> Callable[..., dict[str, GateResult]]:
    """Run the stages of a strategy and give what each refusing gate said; the run must not be promotable."""

    def run(**changes: Any) -> dict[str, GateResult]:  # noqa: ANN401  parts of a strategy file
        chosen = job(strategy(**changes), installation, run=next(numbers))
        decision = run_stages(chosen, None if "source" in changes else sound.gathered).judged.decision
        assert not decision.promote
        return {result.name: result for result in decision.refusals}

    return run


def leak(name: str, lookback: int) -> list[dict[str, object]]:
    own = {"use": f"tests.integration.pipeline.leaks:{name}", "lookback": lookback}
    return [*CONTENT["features"], own]


def test_sound_run_is_promotable(sound: Stages) -> None:
    assert sound.judged.decision.promote


class TestLeaks:
    @pytest.mark.parametrize("name", ["centred_mean", "whole_frame_scaled", "next_close"])
    def test_feature_that_reads_the_future(self, refused: Callable[..., dict[str, GateResult]], name: str) -> None:
        refusals = refused(features=leak(name, lookback=40))

        assert refusals["no_look_ahead"].verdict == "fail"
        assert int(refusals["no_look_ahead"].evidence["features"] or 0) > 0
        assert "serving_parity" in refusals

    def test_feature_that_needs_more_bars_than_it_says(self, refused: Callable[..., dict[str, GateResult]]) -> None:
        found = refused(features=leak("longer_than_declared", lookback=2))["serving_parity"]

        assert found.verdict == "fail"
        assert "features differ" in found.reason
        assert "longer_than_declared" in found.reason

    @pytest.mark.parametrize("by", [1, -1], ids=["later", "earlier"])
    def test_labels_moved_by_one_bar(
        self, refused: Callable[..., dict[str, GateResult]], monkeypatch: pytest.MonkeyPatch, by: int
    ) -> None:
        """The same wrong labels in training and in the check: only the second, slow judgement can tell."""

        def moved(bars: Bars, rule: LabelRule, costs: Costs) -> Labels:
            found = labelling.label(bars, rule, costs)
            names = ("won", "gain", "ends_at", "end_row", "width")
            return dataclasses.replace(found, **{name: np.roll(getattr(found, name), by) for name in names})

        monkeypatch.setattr("tidegate.dataset.dataset.label", moved)
        monkeypatch.setattr(checks, "label", moved)
        found = refused()["no_look_ahead"]

        assert found.verdict == "fail"
        assert int(found.evidence["shifted_labels"] or 0) > 100

    @pytest.mark.parametrize("name", ["best_close_in_hindsight", "first_close_under_all_before"])
    def test_own_label_that_ends_where_nobody_could_know(
        self, refused: Callable[..., dict[str, GateResult]], name: str
    ) -> None:
        rule = {"method": f"tests.integration.pipeline.leaks:{name}", "horizon_bars": 6, "lookback": 20}
        found = refused(labels=rule)["no_look_ahead"]

        assert found.verdict == "fail"
        assert int(found.evidence["shifted_labels"] or 0) > 0

    def test_own_label_that_is_sound_does_not_look_ahead(self, installation: Settings, sound: Stages) -> None:
        rule = {"method": "tests.own_labels:trailing_stop", "horizon_bars": 6, "lookback": 1}
        judged = run_stages(job(strategy(labels=rule), installation, run=99), sound.gathered).judged
        gates = {result.name: result for result in judged.decision.results}

        assert gates["no_look_ahead"].verdict == "pass"
        assert gates["reproducible"].verdict == "pass"

    def test_position_that_knows_the_next_probability(
        self, refused: Callable[..., dict[str, GateResult]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def early(probability: np.ndarray, *rest: Any) -> np.ndarray:  # noqa: ANN401
            return decide(np.append(probability[1:], np.nan), *rest)

        monkeypatch.setattr(fold, "decide", early)

        assert int(refused()["no_look_ahead"].evidence["positions"] or 0) > 0


class TestPerformance:
    def test_shuffled_labels_earn_nothing(
        self, refused: Callable[..., dict[str, GateResult]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        honest = Dataset.training_rows

        def shuffled(self: Dataset, window: Any) -> Any:  # noqa: ANN401
            rows = honest(self, window)
            return dataclasses.replace(rows, y=np.random.default_rng(3).permutation(rows.y))

        monkeypatch.setattr(Dataset, "training_rows", shuffled)
        refusals = refused()

        assert {"win_rate", "sharpe", "trades"} & set(refusals)
        assert "reproducible" not in refusals
        assert "no_look_ahead" not in refusals

    def test_trading_for_nothing(self, refused: Callable[..., dict[str, GateResult]]) -> None:
        costs = {"fee_bps": 0.0, "half_spread_bps": 0.0, "slippage_bps": 0.0}

        assert refused(costs=costs)["costs_above_zero"].observed == 0.0

    def test_results_that_are_too_good(self, refused: Callable[..., dict[str, GateResult]]) -> None:
        """A market that is far too easy, and a label that is known before the trade."""
        assert "too_good_sharpe" in refused(source={"edge": 3.0})
        known = refused(
            features=leak("next_close", lookback=2),
            labels={"horizon_bars": 1},
            costs={"fee_bps": 0.5},
            policy={"margins": [0.3], "take_profit_barriers": 1.0},
        )
        assert "too_good_win_rate" in known

    def test_slow_answers(self, refused: Callable[..., dict[str, GateResult]], monkeypatch: pytest.MonkeyPatch) -> None:
        answer = Predictor.answer

        def slow(self: Predictor, window: Bars) -> Any:  # noqa: ANN401
            time.sleep(0.011)
            return answer(self, window)

        monkeypatch.setattr(Predictor, "answer", slow)
        found = refused(gates={"latency_p95_ms": {"threshold": 10}})["latency_p95_ms"]

        assert found.observed is not None
        assert found.observed >= 11


class TestModel:
    def test_exported_graph_that_is_not_the_booster(
        self, refused: Callable[..., dict[str, GateResult]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def other(ubj: bytes, calibration: Calibration, count: int) -> bytes:
            return to_onnx(ubj, calibration.model_copy(update={"intercept": calibration.intercept + 0.01}), count)

        monkeypatch.setattr(fold, "to_onnx", other)
        refusals = refused()

        assert (refusals["onnx_parity"].observed or 0) > 1e-3
        assert refusals["reproducible"].evidence["differing"] == "model.onnx"

    def test_training_that_differs_each_time(
        self, refused: Callable[..., dict[str, GateResult]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seeds = itertools.count()
        honest = training.booster_parameters
        monkeypatch.setattr(training, "booster_parameters", lambda *given: honest(*given) | {"seed": next(seeds)})
        found = refused()["reproducible"]

        assert found.observed == 2.0
        assert found.evidence["differing"] == "model.ubj, model.onnx"

    def test_engine_that_forgets_a_part_of_the_costs(
        self, refused: Callable[..., dict[str, GateResult]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def cheap(bars: Bars, target: Any, costs: Costs, *rest: Any) -> Any:  # noqa: ANN401
            return vectorbt_engine.run(bars, target, costs.model_copy(update={"slippage_bps": 0.0}), *rest)

        monkeypatch.setattr(fold, "run", cheap)

        assert (refused()["engines_agree"].observed or 0) > 1e-6


class TestBundle:
    """Bytes that change after the run, with digests that tell of it and with digests that were made to fit."""

    @pytest.mark.parametrize("name", [ONNX, UBJ])
    def test_flipped_byte_is_refused_by_digest(self, sound: Stages, tmp_path: Path, name: str) -> None:
        folder = copy_bundle(sound, tmp_path)
        (folder / name).write_bytes(flipped((folder / name).read_bytes()))

        with pytest.raises(BundleError, match=rf"{name} was altered"):
            load_bundle(folder)

    def test_wrong_graph_with_an_honest_digest_fails_the_golden_vectors(self, sound: Stages, tmp_path: Path) -> None:
        bundle = sound.judged.bundle
        wrong = bundle.manifest.calibration.model_copy(update={"slope": bundle.manifest.calibration.slope * 1.1})
        graph = to_onnx(bundle.ubj, wrong, len(bundle.manifest.features))
        forged = rewritten(sound, tmp_path, {ONNX: graph})

        with pytest.raises(BundleError, match="golden vector 0 is answered wrongly"):
            Predictor(forged)
        assert (checks.onnx_parity(forged, sound.folds[-1], 1).value or 0) > 1e-5

    def test_flipped_byte_of_the_booster_with_an_honest_digest_breaks_parity(
        self, sound: Stages, tmp_path: Path
    ) -> None:
        ubj = sound.judged.bundle.ubj
        forged = rewritten(sound, tmp_path, {UBJ: other_leaf(ubj)})

        assert forged.ubj != ubj
        assert (checks.onnx_parity(forged, sound.folds[-1], 1).value or 0) > 1e-5

    def test_bundle_altered_in_the_registry_is_not_promoted(
        self, installation: Settings, sound: Stages, numbers: "itertools.count[int]"
    ) -> None:
        stages = run_stages(job(strategy(name="simulated-altered"), installation, run=next(numbers)), sound.gathered)
        champion = champion_of(stages.job)
        registered = record_run(stages.job, stages.gathered, stages.folds, stages.judged)
        for kept in installation.paths.mlruns.rglob(f"simulated-altered/**/{UBJ}"):
            kept.write_bytes(flipped(kept.read_bytes()))
        promotion = promote(stages.job, stages.judged, registered, champion)

        assert promotion.outcome == "refused"
        assert "bundle_broken" in promotion.message
        assert open_promoter(installation).current("simulated-altered") is None

    def test_decision_about_another_bundle_promotes_nothing(
        self, installation: Settings, sound: Stages, numbers: "itertools.count[int]"
    ) -> None:
        stages = run_stages(job(strategy(name="simulated-swapped", model={"seed": 8}), installation, run=next(numbers)))
        registered = record_run(stages.job, stages.gathered, stages.folds, stages.judged)
        swapped = dataclasses.replace(
            stages.judged,
            decision=sound.judged.decision.model_copy(update={"strategy": "simulated-swapped"}),
        )
        promotion = promote(stages.job, swapped, registered, None)

        assert promotion.outcome == "refused"
        assert open_promoter(installation).current("simulated-swapped") is None


class TestMissing:
    @pytest.mark.parametrize("record", [{}, {"findings": [], "rows_clean": 0}], ids=["no record", "no bars"])
    def test_validation(self, sound: Stages, record: dict[str, object]) -> None:
        symbols = tuple(dataclasses.replace(each, validation=record) for each in sound.gathered.symbols)
        found = measured(dataclasses.replace(sound, gathered=dataclasses.replace(sound.gathered, symbols=symbols)))
        result = by_name(sound, found)["validation_passed"]

        assert (result.verdict, result.reason, result.refuses) == ("fail", "not validated: SIM/USD", True)

    def test_symbol(self, sound: Stages) -> None:
        found = measured(dataclasses.replace(sound, gathered=dataclasses.replace(sound.gathered, symbols=())))

        assert by_name(sound, found)["validation_passed"].verdict == "fail"

    def test_any_measurement(self, sound: Stages) -> None:
        """What no stage measured refuses, gate by gate; so does what is not a number."""
        policy = sound.job.strategy.gates
        alone, first = sound.judged.measured.measurements, Measurement(None, ruling=Verdict.PASS)
        whole = {**alone, "skill": dataclasses.replace(alone["skill"], bound=0.05)}
        whole |= {"champion": first, "champion_difference": first, "deflated_sharpe": Measurement(0.99, n=6)}
        assert set(whole) == set(policy.rules())
        assert not any(result.refuses for result in evaluate(whole, policy))

        for name in (name for name, rule in policy.rules().items() if rule.blocking):
            without = {key: value for key, value in whole.items() if key != name}
            broken = without | {name: Measurement(float("nan"), n=1000, standard_error=0.1)}
            for measurements in (without, broken):
                assert [result.name for result in evaluate(measurements, policy) if result.refuses] == [name]

    def test_check_that_breaks_ends_the_run_without_a_version(
        self, installation: Settings, monkeypatch: pytest.MonkeyPatch, numbers: "itertools.count[int]"
    ) -> None:
        def broken(*_given: object) -> Measurement:
            raise BundleError("cannot be checked")

        monkeypatch.setattr(checks, "no_look_ahead", broken)
        chosen = job(strategy(name="simulated-broken"), installation, run=next(numbers))

        with pytest.raises(BundleError, match="cannot be checked"):
            retrain(chosen)
        assert open_promoter(installation).history("simulated-broken") == []
        assert champion_of(chosen) is None


def test_champion_that_cannot_be_compared_is_not_beaten(sound: Stages) -> None:
    bundle = sound.judged.bundle
    other = dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"interval": "1h"}))
    held = contest.hold_contest(sound.judged.measured.bars, bundle, contest.Champion(4, other), sound.job.strategy)

    assert held.measurement.ruling == Verdict.FAIL
    assert held.measurement.reason == "champion v4 is for SIM/USD 1h, not comparable"


def measured(stages: Stages) -> dict[str, Measurement]:
    judged = stages.judged
    chosen = stages.job.strategy
    intervals = metric_intervals(judged.pooled, chosen.periods_per_year, seed=1, draws=20)
    return points.measure_points(
        chosen, stages.gathered, stages.prepared.dataset, stages.folds, judged.metrics, judged.regimes, intervals
    )


def by_name(stages: Stages, found: dict[str, Measurement]) -> dict[str, GateResult]:
    return {result.name: result for result in evaluate(found, stages.job.strategy.gates)}


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def other_leaf(ubj: bytes) -> bytes:
    """The booster with one bit flipped: the sign of the first tree's last leaf.

    Any other flipped byte may make XGBoost's reader crash the process, which is why digests are checked before it is asked.
    """
    key = b"split_conditions"
    start = ubj.index(key) + len(key)
    assert ubj[start : start + 5] == b"[$d#L"  # UBJSON: an array of float32, big-endian, and its length
    count = int.from_bytes(ubj[start + 5 : start + 13], "big")
    sign = start + 13 + 4 * (count - 1)
    return ubj[:sign] + bytes([ubj[sign] ^ 0x80]) + ubj[sign + 1 :]


def copy_bundle(stages: Stages, folder: Path) -> Path:
    bundle = stages.judged.bundle
    golden = (stages.job.folder / "bundle" / "golden.json").read_bytes()
    write_bundle(folder / "copy", bundle.manifest, {ONNX: bundle.onnx, UBJ: bundle.ubj, "golden.json": golden})
    return folder / "copy"


def rewritten(stages: Stages, folder: Path, changed: dict[str, bytes]) -> Any:  # noqa: ANN401
    """The bundle with other files and digests that fit them."""
    bundle = stages.judged.bundle
    golden = (stages.job.folder / "bundle" / "golden.json").read_bytes()
    files = {ONNX: bundle.onnx, UBJ: bundle.ubj, "golden.json": golden} | changed
    manifest = bundle.manifest.model_copy(update={"files": {name: sha256(content) for name, content in files.items()}})
    return write_bundle(folder / "forged", manifest, files)
