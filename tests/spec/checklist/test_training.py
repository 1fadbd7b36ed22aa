"""The lines about the model, one row a case: what is registered, and what the line says."""

from pathlib import Path
from typing import Any

import pytest
from tests.checklist_places import DAY_MS, FOLD, NOW, context, found, promoted, registered, settings_of
from tests.registry_factories import FakeVersions

from tidegate.dataset.windows import FoldWindows, Window
from tidegate.features.spec import FeatureSpec
from tidegate.gates.result import Verdict
from tidegate.registry.retrains import RetrainLedger


def trained(days: float) -> tuple[FoldWindows, ...]:
    return (
        FoldWindows(
            train=Window(start_at=FOLD.train.end_at - round(days * DAY_MS), end_at=FOLD.train.end_at), test=FOLD.test
        ),
    )


def figures(**changes: float | None) -> dict[str, Any]:
    return {"out_of_sample": {"win_rate": 0.6, "sharpe": 1.8, "max_drawdown": 0.1, **changes}}


FAIL, FEW = {"verdict": Verdict.FAIL}, {"verdict": Verdict.NOT_ENOUGH_EVIDENCE}
ABSENT = {"observed": "absent"}
OVERLAP = (FoldWindows(train=FOLD.train, test=Window(start_at=FOLD.train.end_at - 1, end_at=FOLD.test.end_at)),)
IDLE = {
    "features": (FeatureSpec(name="return_1", use="return", length=1, lookback=2),),
    "importance": {"return_1": 0.0},
}
USED = {**IDLE, "importance": {"return_1": 1.0}}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # probe, what the manifest says, what the gates say, verdict
    ("training.days", {}, {}, "pass"),
    ("training.days", {"windows": trained(60)}, {}, "pass"),
    ("training.days", {"windows": trained(59.9)}, {}, "fail"),
    ("training.out_of_sample", {}, {}, "pass"),
    ("training.out_of_sample", {"windows": OVERLAP}, {}, "fail"),
    ("training.out_of_sample", {}, {"no_look_ahead": FAIL}, "fail"),
    ("training.out_of_sample", {}, {"out_of_sample_folds": ABSENT}, "fail"),
    ("training.win_rate", figures(win_rate=0.58), {}, "pass"),
    ("training.win_rate", figures(win_rate=0.5799), {}, "fail"),
    ("training.win_rate", figures(win_rate=0.63), {}, "pass"),
    ("training.win_rate", figures(win_rate=0.63), {"too_good_win_rate": FAIL}, "fail"),
    ("training.win_rate", figures(win_rate=None), {}, "fail"),
    ("training.win_rate", {"out_of_sample": {}}, {}, "fail"),
    ("training.sharpe", figures(sharpe=1.5), {}, "pass"),
    ("training.sharpe", figures(sharpe=1.49), {}, "fail"),
    ("training.sharpe", figures(sharpe=2.4), {"too_good_sharpe": FAIL}, "fail"),
    ("training.latency", {}, {}, "pass"),
    ("training.latency", {}, {"latency_p95_ms": {"observed": 10.0}}, "fail"),
    ("training.latency", {}, {"latency_p95_ms": {"observed": None}}, "fail"),
    ("training.latency", {}, {"latency_p95_ms": ABSENT}, "fail"),
    ("training.drawdown", {}, {}, "pass"),
    ("training.drawdown", figures(max_drawdown=0.15), {}, "fail"),
    ("training.drawdown", figures(max_drawdown=-0.1), {}, "fail"),
    # A good whole hides no bad test window, whatever bound the strategy's own gate has.
    ("training.drawdown", {}, {"max_drawdown": {"observed": 0.15}}, "fail"),
    ("training.drawdown", {}, {"max_drawdown": {"observed": None}}, "fail"),
    ("training.drawdown", {}, {"max_drawdown": {"observed": 0.11, **FAIL}}, "fail"),
    ("training.drawdown", {}, {"max_drawdown": ABSENT}, "fail"),
    ("training.costs", {}, {}, "pass"),
    ("training.costs", {"costs": {"fee_bps": 0.0}}, {}, "fail"),
    ("training.costs", {}, {"engines_agree": FAIL}, "fail"),
    ("training.costs", {}, {"costs_above_zero": ABSENT}, "fail"),
    ("training.regimes", {}, {}, "pass"),
    ("training.regimes", {}, {"regime_volatile": FAIL}, "fail"),
    ("training.regimes", {}, {"regime_volatile": FEW}, "not_measured"),
    ("training.regimes", {}, {"regime_volatile": ABSENT}, "fail"),
    ("score.schema", {}, {}, "pass"),
    ("score.schema", {}, {"validation_passed": FAIL}, "fail"),
    ("score.baselines", {}, {}, "pass"),
    ("score.baselines", {}, {"permuted_labels": FEW}, "not_measured"),
    ("score.baselines", {}, {"permuted_labels": FEW, "random_entries": FAIL}, "fail"),
    ("score.reproducible", {}, {}, "pass"),
    ("score.reproducible", {}, {"reproducible": FAIL}, "fail"),
    ("score.parity", {}, {}, "pass"),
    ("score.parity", {}, {"serving_parity": ABSENT}, "fail"),
    ("score.features_used", USED, {}, "pass"),
    ("score.features_used", IDLE, {}, "fail"),
    ("score.dependencies", {"library_versions": {"no-such-library": "1.0"}}, {}, "fail"),
    ("score.fresh", {}, {}, "pass"),
    ("score.fresh", {"expires_at": NOW}, {}, "fail"),
    ("score.fresh", {"created_at": NOW - 36 * DAY_MS}, {}, "fail"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("probe", "told", "gates", "verdict"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_registered_decides(
    tmp_path: Path, probe: str, told: dict[str, Any], gates: dict[str, Any], verdict: str
) -> None:
    versions = FakeVersions()
    version = registered(versions, gates, **told)
    finding = found(probe, context(tmp_path, version=version, versions=versions))
    assert (finding.verdict, f"v{version}" in finding.evidence) == (verdict, True), finding


@pytest.mark.parametrize("probe", sorted({case[0] for case in CASES}))
def test_nothing_in_production_is_not_measured_and_an_unreachable_registry_a_fail(tmp_path: Path, probe: str) -> None:
    versions = FakeVersions()
    assert found(probe, context(tmp_path, versions=versions)).verdict == "not_measured"
    settings = settings_of(tmp_path)
    promoted(settings, registered(versions))
    versions.reachable = False
    finding = found(probe, context(tmp_path, settings, versions=versions))
    assert (finding.verdict, "could not be reached" in finding.evidence) == ("fail", True)


def test_what_is_installed_is_compared_with_what_was_trained_with(tmp_path: Path) -> None:
    import numpy as np

    versions = FakeVersions()
    same = registered(versions, library_versions={"numpy": np.__version__})
    other = registered(versions, library_versions={"numpy": "1.0"})
    assert found("score.dependencies", context(tmp_path, version=same, versions=versions)).verdict == "pass"
    assert "numpy 1.0, now" in found("score.dependencies", context(tmp_path, version=other, versions=versions)).evidence


def test_a_decision_about_other_bytes_is_none(tmp_path: Path) -> None:
    versions = FakeVersions()
    good = registered(versions)
    assert found("score.gated", context(tmp_path, version=good, versions=versions)).verdict == "pass"
    other = registered(versions)
    versions.decisions[other] = versions.decisions[good]
    assert found("score.gated", context(tmp_path, version=other, versions=versions)).verdict == "fail"
    del versions.decisions[good]
    assert found("score.gated", context(tmp_path, version=good, versions=versions)).verdict == "fail"


def test_a_simulated_market_has_no_today_but_that_of_its_newest_retrain(tmp_path: Path) -> None:
    settings, versions = settings_of(tmp_path), FakeVersions("simulated")
    version = registered(versions, kind="simulated", created_at=NOW - 900 * DAY_MS, expires_at=NOW - 5 * DAY_MS)
    looked = context(tmp_path, settings, version=version, versions=versions)
    assert found("score.fresh", looked).verdict == "fail"
    with RetrainLedger.from_settings(settings).retrain_lock(looked.strategy.name, "2026-11") as lock:
        lock.record("finished", as_of=NOW - 10 * DAY_MS, run_id="r", version=version)
    assert found("score.fresh", context(tmp_path, settings, version=version, versions=versions)).verdict == "pass"


def test_a_link_of_a_server_that_ends_with_the_look_is_told_as_a_command(tmp_path: Path) -> None:
    versions = FakeVersions()
    version = registered(versions)
    settings = settings_of(tmp_path, mlflow={"tracking_uri": "http://127.0.0.1:34567"})
    stays = context(tmp_path, settings, version=version, versions=versions)
    ends = context(tmp_path, settings, version=version, versions=versions, pages_at="http://127.0.0.1:5000")
    name = stays.strategy.name
    assert found("training.days", stays).link == f"http://127.0.0.1:34567/#/models/{name}/versions/{version}"
    told = f"tidegate up shows it at http://127.0.0.1:5000/#/models/{name}/versions/{version}"
    assert found("training.days", ends).link == told
