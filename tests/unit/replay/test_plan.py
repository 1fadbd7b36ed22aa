"""Which months, in which folder, and what is refused before the start."""

from pathlib import Path
from typing import Any

import pytest

from tidegate.bars.bars import parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.errors import ConfigurationError
from tidegate.replay.plan import (
    Plan,
    first_wanted_ms,
    make_plan,
    months_between,
    permuted_of,
    read_configuration,
    require_past,
    write_configuration,
)
from tidegate.settings.settings import Compute, Settings, Validation
from tidegate.strategy.strategy import Strategy

CONTENT: dict[str, Any] = {
    "version": 1,
    "name": "btc",
    "kind": "real",
    "symbols": ["BTC/USDT"],
    "interval": "1h",
    "source": {"type": "file", "path": "bars.parquet"},
}


def plan(tmp_path: Path, first: str = "2018-01", last: str = "2018-03", **changes: Any) -> Plan:  # noqa: ANN401
    return make_plan(Strategy.model_validate(CONTENT | changes), Settings(), tmp_path, first, last, out=tmp_path)


def test_a_month_is_traded_until_the_next_one_s_first_moment() -> None:
    found = months_between("2018-12", "2019-02")
    assert [month.name for month in found] == ["2018-12", "2019-01", "2019-02"]
    assert [month.as_of_ms for month in found[1:]] == [month.end_ms for month in found[:-1]]
    assert (found[0].as_of_ms, found[-1].end_ms) == (parse_time("2018-12-01"), parse_time("2019-03-01"))


@pytest.mark.parametrize(
    ("first", "last"), [("2018-13", "2019-01"), ("2018", "2019-01"), ("2019-01-01", "2019-02"), ("2019-02", "2019-01")]
)
def test_other_words_are_no_months(first: str, last: str) -> None:
    with pytest.raises(ConfigurationError):
        months_between(first, last)


def test_other_months_gates_and_rules_share_a_folder(tmp_path: Path) -> None:
    usual = plan(tmp_path).folder
    assert plan(tmp_path, "2019-01", "2020-01").folder == usual
    assert plan(tmp_path, gates={"policy": "strict"}, rollback={"min_trades": 5}).folder == usual


@pytest.mark.parametrize("changes", [{"costs": {"fee_bps": 7}}, {"capital": 5}, {"model": {"seed": 8}}])
def test_another_model_has_a_folder_of_its_own(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert plan(tmp_path, **changes).folder != plan(tmp_path).folder


def test_workers_read_what_was_written(tmp_path: Path) -> None:
    made = plan(tmp_path)
    write_configuration(made)
    found = read_configuration(made.folder)
    assert found.strategy == made.strategy
    assert found.settings.validation == made.settings.validation
    assert found.settings.paths.cache.is_relative_to(made.folder)
    assert found.permuted == permuted_of(made)


def test_a_damaged_configuration_is_told(tmp_path: Path) -> None:
    (tmp_path / "configuration.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"configuration\.json cannot be read"):
        read_configuration(tmp_path)


def test_the_named_policies_are_walked_besides_the_own_one(tmp_path: Path) -> None:
    assert list(plan(tmp_path).policies) == ["deployed", "checklist", "strict"]
    assert list(plan(tmp_path, gates={"policy": "strict"}).policies) == ["deployed", "checklist", "balanced"]
    own = plan(tmp_path, gates={"sharpe": {"threshold": 0.7}})
    assert {gates.sharpe.threshold for gates in own.policies.values()} == {0.7}


def test_permutations_are_those_of_the_policy_that_asks_for_most_where_skill_may_pass(tmp_path: Path) -> None:
    strict = plan(tmp_path).policies["strict"]
    expected = (strict.permutations, strict.yearly_error / strict.looks_per_year)
    for own in ("checklist", "balanced", "strict"):
        found = permuted_of(plan(tmp_path, gates={"policy": own}))
        assert (found.draws, found.p_value) == expected
    # Where skill does not block, it cannot stand in for the permutations.
    shown = permuted_of(plan(tmp_path, gates={"policy": "strict", "skill": {"blocking": False}}))
    assert (shown.draws, shown.p_value) == (strict.permutations, 1.0)


def test_what_cannot_be_judged_is_refused_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a replay does not judge drift"):
        plan(tmp_path, rollback={"drift_action": "roll_back"})
    with pytest.raises(ConfigurationError, match="bars of 7h lie across their ends"):
        plan(tmp_path, interval="7h")


@pytest.mark.parametrize(
    ("setting", "value"),
    [*((rule, "quarantine") for rule in ("zero_volume", "flat", "jumps", "unit_mixup")), ("max_missing_share", 1)],
)
def test_validation_that_a_replay_cannot_follow_is_refused_before_the_start(
    tmp_path: Path, setting: str, value: str | int
) -> None:
    settings = Settings(validation=Validation.model_validate({setting: value}))
    with pytest.raises(ConfigurationError, match=f"validation.{setting}"):
        make_plan(Strategy.model_validate(CONTENT), settings, tmp_path, "2018-01", "2018-01", out=tmp_path)


@pytest.mark.parametrize("gates", [{"max_drawdown": {"threshold": 15}}, {"win_rate": {"threshold": 58}}])
def test_a_threshold_that_production_refuses_is_refused(tmp_path: Path, gates: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="gates"):
        plan(tmp_path, gates=gates)


def test_a_month_that_is_not_over_is_refused_for_a_real_market(tmp_path: Path) -> None:
    made = plan(tmp_path)
    require_past(made, made.end_ms)
    with pytest.raises(ConfigurationError, match="the last month of a replay is not over"):
        require_past(made, made.end_ms - 1)


def test_bars_reach_back_over_all_windows_and_what_may_be_missing(tmp_path: Path) -> None:
    made = plan(tmp_path, windows={"train_days": 90, "test_days": 30, "max_folds": 4})
    reach = (made.start_ms - first_wanted_ms(made.strategy, made.start_ms, 0.0)) / DAY_MS
    more = (made.start_ms - first_wanted_ms(made.strategy, made.start_ms, 0.05)) / DAY_MS
    assert 210 < reach < 260
    assert more - 7 == pytest.approx((reach - 7) / 0.95, abs=1e-6)


def test_threads_and_validation_take_part_in_the_folder_s_name_and_workers_do_not(tmp_path: Path) -> None:
    def folder(settings: Settings) -> Path:
        return make_plan(
            Strategy.model_validate(CONTENT), settings, tmp_path, "2018-01", "2018-01", out=tmp_path
        ).folder

    usual = folder(Settings())
    assert folder(Settings(compute=Compute(workers=8, parallel_folds=1))) == usual
    assert folder(Settings(compute=Compute(threads=2))) != usual
    assert folder(Settings(validation=Validation(jump_sigmas=9))) != usual
