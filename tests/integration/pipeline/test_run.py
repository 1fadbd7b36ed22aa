"""One real retraining from end to end, and what later months make of it: MLflow on SQLite, no orchestrator."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from tests.integration.pipeline.small_market import job, settings, strategy

from tidegate.backtest.result import Trades
from tidegate.bars.interval import DAY_MS
from tidegate.gates.result import Decision, GateResult
from tidegate.gates.specifications import SPECIFICATIONS
from tidegate.model.bundle import load_bundle
from tidegate.pipeline.job import Job
from tidegate.pipeline.publish import Retrained
from tidegate.pipeline.retrain import retrain
from tidegate.registry.looks import LookLedger
from tidegate.registry.opening import open_promoter
from tidegate.registry.retrains import RetrainLedger
from tidegate.registry.tracking.versions import Tracking
from tidegate.registry.trials import TrialLedger
from tidegate.settings.settings import Settings

pytestmark = pytest.mark.slow

NAME = "simulated-small"
KEY = f"{NAME}/2025-06"


@dataclass(frozen=True)
class Done:
    job: Job
    outcome: Retrained

    def gate(self, name: str) -> GateResult:
        return next(result for result in self.outcome.record.decision.results if result.name == name)

    def parquet(self, path: str) -> dict[str, np.ndarray]:
        table = pq.read_table(self.job.folder / path)
        return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings(tmp_path_factory.mktemp("run"))


def done(installation: Settings, *, days_later: int = 0, run: int = 0) -> Done:
    chosen = job(strategy(), installation, days_later=days_later, run=run)
    return Done(chosen, retrain(chosen))


@pytest.fixture(scope="module")
def first(installation: Settings) -> Done:
    return done(installation)


@pytest.fixture(scope="module")
def rerun(first: Done, installation: Settings) -> Done:
    assert first.outcome.record.promotion.outcome == "promoted"
    return done(installation, run=1)


@pytest.fixture(scope="module")
def short_month(rerun: Done, installation: Settings) -> Done:
    del rerun
    return done(installation, days_later=28)


@pytest.fixture(scope="module")
def client(first: Done, installation: Settings) -> MlflowClient:
    del first
    return MlflowClient(tracking_uri=installation.tracking_uri, registry_uri=installation.tracking_uri)


class TestFirst:
    def test_is_promoted_with_one_result_a_gate(self, first: Done) -> None:
        record = first.outcome.record

        assert (record.promotion.outcome, record.promotion.version, record.promotion.previous_version) == (
            "promoted",
            1,
            None,
        )
        assert [result.name for result in record.decision.results] == [each.name for each in SPECIFICATIONS]
        assert first.gate("champion").reason == "first model: there is no champion"

    def test_bundle_verifies_and_the_decision_is_bound_to_it(self, first: Done) -> None:
        bundle = load_bundle(first.job.folder / "bundle")
        decision = Decision.model_validate_json((first.job.folder / "bundle" / "decision.json").read_bytes())

        assert decision == first.outcome.record.decision
        assert decision.manifest_digest == bundle.digest == bundle.manifest.digest()
        assert bundle.manifest.last_seen_at <= first.job.as_of_ms
        assert len(bundle.golden) == 3

    def test_full_training_window_counts_whole(self, first: Done) -> None:
        assert first.gate("min_train_days").observed == 65.0

    def test_returns_and_positions_share_their_time_stamps(self, first: Done) -> None:
        returns, positions = (
            first.parquet("out_of_sample/returns.parquet"),
            first.parquet("out_of_sample/positions.parquet"),
        )

        assert set(returns) == {
            "role",
            "opened_at",
            "closed_at",
            "net_return",
            "cost",
            "turnover",
            "equity",
            "equity_low",
            "market_return",
            "regime",
        }
        assert set(positions) == {"role", "opened_at", "closed_at", "position"}
        assert len(returns["closed_at"]) == 3 * 30 * 96
        np.testing.assert_array_equal(returns["closed_at"], positions["closed_at"])
        np.testing.assert_array_equal(np.diff(returns["closed_at"]), 900_000)
        assert set(returns["role"]) == {"challenger"}

    def test_trades_and_signals_lie_within_the_returns(self, first: Done) -> None:
        returns, trades, signals = (
            first.parquet(f"out_of_sample/{name}.parquet") for name in ("returns", "trades", "signals")
        )

        assert set(trades) == {"role", *Trades.names()}
        assert len(trades["side"]) == first.gate("trades").observed
        assert np.isin(trades["signal_at"], returns["closed_at"]).all()
        assert set(signals) == {"fold", "symbol", "closed_at", "probability", "target"}
        np.testing.assert_array_equal(signals["closed_at"], returns["closed_at"])
        assert sorted(set(signals["fold"])) == [0, 1, 2]

    def test_net_returns_add_up_to_the_trades(self, first: Done) -> None:
        returns, trades = first.parquet("out_of_sample/returns.parquet"), first.parquet("out_of_sample/trades.parquet")
        capital = first.job.strategy.capital

        assert returns["net_return"].sum() * capital == pytest.approx(trades["net_pnl"].sum(), rel=1e-9)

    def test_every_trial_is_in_the_ledger_with_its_returns(self, first: Done, installation: Settings) -> None:
        trials = TrialLedger.from_settings(installation).trials(NAME, KEY)

        assert [(trial.fold, trial.parameters["margin"]) for trial in trials] == [
            (fold, margin) for fold in range(3) for margin in (0.08, 0.12)
        ]
        for trial, windows in zip(trials[::2], first.outcome.record.manifest.windows, strict=True):
            assert trial.windows == windows
        for trial in trials:
            digest = hashlib.sha256(trial.returns_path.read_bytes()).hexdigest()
            assert digest == trial.returns_sha256
            assert trial.returns_path == installation.paths.data / "trials" / f"{digest}.parquet"
            table = pq.read_table(trial.returns_path)
            assert table.column_names == ["closed_at", "net_return"]
            assert table["closed_at"][-1].as_py() <= trial.windows.train.end_at

    def test_each_look_at_a_test_window_is_counted(self, first: Done, installation: Settings) -> None:
        ledger = TrialLedger.from_settings(installation)

        for windows in first.outcome.record.manifest.windows:
            assert ledger.count_reads(NAME, windows.test) >= 1

    def test_report_and_summary_tell_the_verdict(self, first: Done) -> None:
        page = first.outcome.report.read_text(encoding="utf-8")

        assert first.outcome.report == first.job.folder / "report.html"
        assert "promoted" in page.lower()
        assert "simulated" in page.lower()
        assert "promoted" in first.outcome.markdown.lower()

    def test_promotion_ledger_says_who_when_why_and_what(self, first: Done, installation: Settings) -> None:
        rows = open_promoter(installation).history(NAME)[:2]

        assert [(row.action, row.state, row.from_version, row.to_version) for row in rows] == [
            ("promote", "intent", None, 1),
            ("promote", "committed", None, 1),
        ]
        assert {row.actor for row in rows} == {"test"}
        assert {row.bundle_digest for row in rows} == {first.outcome.record.decision.manifest_digest}
        assert KEY in rows[0].reason

    def test_retrain_is_recorded_from_start_to_end(self, first: Done, installation: Settings) -> None:
        runs = RetrainLedger.from_settings(installation).runs(NAME, "2025-06")[:2]

        assert [run.state for run in runs] == ["started", "finished"]
        assert (runs[1].run_id, runs[1].version, runs[1].as_of) == (
            first.outcome.record.run_id,
            1,
            first.job.as_of_ms,
        )


class TestInMlflow:
    def test_run_has_parameters_and_metrics_under_the_table_s_names(self, first: Done, client: MlflowClient) -> None:
        run = client.get_run(first.outcome.record.run_id)

        assert run.info.status == "FINISHED"
        assert run.data.params["model.max_depth"] == "3"
        assert run.data.params["interval"] == "15m"
        wanted = {name: value for name, value in first.outcome.record.metrics.items() if np.isfinite(value)}
        assert {name: run.data.metrics[name] for name in wanted} == pytest.approx(wanted)
        assert run.data.metrics["gate/onnx_parity"] <= 1e-5
        assert run.data.tags["gate.sharpe"] == "pass"
        assert (run.data.tags["verdict"], run.data.tags["outcome"]) == ("promote", "promoted")

    def test_names_and_notes_tell_versions_apart(self, first: Done, client: MlflowClient) -> None:
        record = first.outcome.record
        noted = client.get_model_version(NAME, "1").description

        assert client.get_run(record.run_id).info.run_name == f"{record.retrain_key.rpartition('/')[2]} v1 promoted"
        assert noted.startswith(f"Sharpe ratio {record.metrics['sharpe']:.2f}, Maximum drawdown ")
        assert f" {record.metrics['trades']:.0f}. promote (balanced): " in noted
        assert f"Retrain {record.retrain_key} as of " in noted

    def test_run_has_every_statistic_and_what_each_policy_says(self, first: Done, client: MlflowClient) -> None:
        data, decision = client.get_run(first.outcome.record.run_id).data, first.outcome.record.decision

        measured = [each for each in decision.results if each.family == "statistic" and each.observed is not None]
        assert len(measured) == 11, "all but the contest without a champion and labels that were not permuted"
        for result in measured:
            assert data.metrics[f"gate/{result.name}"] == pytest.approx(result.observed)
        skill = next(each for each in measured if each.name == "skill")
        assert data.metrics["gate/skill.level"] == pytest.approx(0.05 / 12)
        assert data.metrics["gate/skill.power"] == pytest.approx(skill.power)
        assert (
            data.metrics["gate/sharpe.low"] < first.outcome.record.metrics["sharpe"] < data.metrics["gate/sharpe.high"]
        )
        assert data.tags["policy"] == "balanced"
        said = {name: data.tags[f"verdict.{name}"] for name in ("points", "statistics", "policy.balanced")}
        assert set(said.values()) == {"promote"}
        assert data.tags["verdict.policy.strict"] == "refuse"

    def test_run_and_rerun_are_one_look_with_its_outcome(
        self, first: Done, rerun: Done, client: MlflowClient, installation: Settings
    ) -> None:
        (look,) = LookLedger.from_settings(installation).looks(NAME)[:1]
        skill = next(each for each in first.outcome.record.decision.results if each.name == "skill")

        assert (look.level, look.p_value, look.promote) == (0.05 / 12, skill.observed, True)
        counts = [client.get_run(each.outcome.record.run_id).data.metrics["ledger/looks"] for each in (first, rerun)]
        assert counts == [1, 1]

    def test_run_says_how_often_was_tried_and_looked(self, first: Done, rerun: Done, client: MlflowClient) -> None:
        one, two = (client.get_run(each.outcome.record.run_id).data.metrics for each in (first, rerun))

        assert (one["ledger/trials"], one["ledger/holdout_reads"]) == (6, 1)
        assert (two["ledger/trials"], two["ledger/holdout_reads"]) == (6, 2)

    def test_run_names_its_data(self, first: Done, client: MlflowClient) -> None:
        (dataset,) = client.get_run(first.outcome.record.run_id).inputs.dataset_inputs
        snapshot = load_bundle(first.job.folder / "bundle").manifest.snapshots["SIM/USD"]

        assert dataset.dataset.name == "SIM/USD 15m"
        assert json.loads(dataset.dataset.source)["snapshot"] == snapshot

    def test_each_fold_is_a_run_below_it(self, first: Done, client: MlflowClient) -> None:
        run = client.get_run(first.outcome.record.run_id)
        below = client.search_runs(
            [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'", order_by=["tags.fold"]
        )

        assert [child.data.tags["fold"] for child in below] == ["1", "2", "3"]
        assert all({"sharpe", "win_rate", "trades"} <= set(child.data.metrics) for child in below)

    def test_files_are_kept_with_the_run(self, first: Done, client: MlflowClient) -> None:
        run_id = first.outcome.record.run_id
        kept = {file.path for file in client.list_artifacts(run_id)}

        assert {"decision.json", "out_of_sample", "report.html", "validation"} <= kept
        assert {file.path for file in client.list_artifacts(run_id, "out_of_sample")} == {
            f"out_of_sample/{name}.parquet" for name in ("returns", "trades", "positions", "signals")
        }

    def test_version_carries_the_bundle_that_was_judged(
        self, first: Done, client: MlflowClient, installation: Settings, tmp_path: Path
    ) -> None:
        version = client.get_model_version(NAME, "1")
        fetched = load_bundle(Tracking(installation).fetch_bundle(NAME, 1, tmp_path / "bundle"))

        assert version.run_id == first.outcome.record.run_id
        assert version.tags["kind"] == "simulated"
        assert fetched.digest == first.outcome.record.decision.manifest_digest


class TestRerunInTheSameMonth:
    def test_contest_fails_for_a_window_that_the_champion_has_seen(self, rerun: Done) -> None:
        champion = rerun.gate("champion")

        assert champion.verdict == "fail"
        assert champion.reason.startswith("champion has seen this window: v1 ")
        assert "0.0 unseen days are left of 20 wanted" in champion.reason

    def test_nothing_is_promoted(self, rerun: Done, installation: Settings, client: MlflowClient) -> None:
        promotion = rerun.outcome.record.promotion

        assert (promotion.outcome, promotion.version, promotion.previous_version) == ("refused", 2, 1)
        assert open_promoter(installation).current(NAME) == 1
        assert int(client.get_model_version_by_alias(NAME, "production").version) == 1
        assert int(client.get_model_version_by_alias(NAME, "challenger").version) == 2

    def test_same_bars_and_seed_give_the_same_model(self, first: Done, rerun: Done) -> None:
        one, other = (load_bundle(each.job.folder / "bundle") for each in (first, rerun))

        assert one.manifest.files == other.manifest.files
        assert one.manifest.snapshots == other.manifest.snapshots

    def test_same_trials_are_counted_once(self, rerun: Done, installation: Settings) -> None:
        del rerun
        assert len(TrialLedger.from_settings(installation).trials(NAME, KEY)) == 6

    def test_the_second_look_is_counted(self, rerun: Done, installation: Settings) -> None:
        newest = rerun.outcome.record.manifest.windows[-1].test
        assert TrialLedger.from_settings(installation).count_reads(NAME, newest) >= 2


class TestLaterMonth:
    def test_shorter_month_contests_on_the_unseen_part(self, first: Done, short_month: Done) -> None:
        seen_until = load_bundle(first.job.folder / "bundle").manifest.last_seen_at
        contest = short_month.parquet("contest/returns.parquet")
        challenger, champion = (contest["closed_at"][contest["role"] == role] for role in ("challenger", "champion"))

        assert short_month.gate("champion").n == 28 * 96
        np.testing.assert_array_equal(challenger, champion)
        assert challenger[0] - 900_000 == seen_until
        assert challenger[-1] == short_month.job.as_of_ms

    def test_improvement_is_the_relative_difference_of_the_two_ratios(self, short_month: Done) -> None:
        champion = short_month.gate("champion")
        ours, theirs = (float(champion.evidence[f"{side}_sharpe"] or 0) for side in ("challenger", "champion"))
        contest = short_month.parquet("contest/returns.parquet")
        recomputed = []
        for role in ("challenger", "champion"):
            returns = contest["net_return"][contest["role"] == role]
            recomputed.append(returns.mean() / returns.std(ddof=1) * np.sqrt(365 * 96))

        assert [ours, theirs] == pytest.approx(recomputed, rel=1e-6)
        assert champion.observed == pytest.approx((ours - theirs) / max(abs(theirs), 0.5))
        assert (champion.verdict == "pass") == (champion.observed is not None and champion.observed > 0.05)

    def test_outcome_is_recorded_as_the_gates_decided(self, short_month: Done, installation: Settings) -> None:
        record = short_month.outcome.record
        expected = "promoted" if record.decision.promote else "refused"

        assert record.promotion.outcome == expected
        assert record.promotion.previous_version == 1
        assert open_promoter(installation).current(NAME) == (3 if record.decision.promote else 1)

    def test_whole_unseen_window_is_contested(self, short_month: Done, installation: Settings) -> None:
        champion = open_promoter(installation).current(NAME)
        later = done(installation, days_later=28 + 32)
        gate = later.gate("champion")

        assert gate.evidence["champion_version"] == champion
        assert gate.n == 30 * 96
        assert later.job.as_of_ms - short_month.job.as_of_ms == 32 * DAY_MS
