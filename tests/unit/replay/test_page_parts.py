from dataclasses import replace

import numpy as np
import pytest
from tests import replay_records

from tidegate.backtest.ratios import sharpe, sharpe_standard_error
from tidegate.bars.interval import DAY_MS
from tidegate.replay.page_compared import _daily, compared
from tidegate.replay.page_decisions import decision_rows, decisions_lead, differences, hindsight
from tidegate.replay.page_figures import daily, days_with_return, drawdown, fit_share, judged, profit, too_few
from tidegate.replay.page_headline import basis, earned, headline, sharpe_with_error, tiles
from tidegate.replay.page_made import facts, timings
from tidegate.replay.page_paths import _terms, equity, paths, pointer_rows
from tidegate.replay.result import Act, Hindsight, MonthRecord, PathResult, ReplayResult
from tidegate.report.formats import NBSP


def deployed(result: ReplayResult, **changes: object) -> ReplayResult:
    """The result with other figures of its deployed path."""
    path = result.paths[0]
    summary = replace(path.summary, **{"trades": 300, **changes})  # type: ignore[arg-type]
    return replace(result, paths=(replace(path, summary=summary), *result.paths[1:]))


def often(path: PathResult) -> PathResult:
    """The path with trades enough to judge it by."""
    return replace(path, summary=replace(path.summary, trades=300))


def lucky() -> ReplayResult:
    """The long replay, whose deployed path made one trade of twelve bars and won."""
    made = replay_records.replay()
    path = made.paths[0]
    net = np.zeros(len(path.net_return))
    net[5000:5012] = 0.02 / 12 + np.random.default_rng(0).normal(0.0, 0.001, 12)
    summary = replace(
        path.summary, trades=1, total_return=float(net.sum()),
        sharpe=sharpe(net, made.periods_per_year), sharpe_standard_error=sharpe_standard_error(net, made.periods_per_year),
    )  # fmt: skip
    return replace(made, paths=(replace(path, net_return=net, summary=summary), *made.paths[1:]))


MADE = replay_records.short()
PATH = MADE.paths[0]


@pytest.mark.parametrize(
    ("total", "sharpe", "error", "word", "tone"),
    [
        (0.31, 2.1, 1.0, "PROFIT", "good"),
        (0.31, 1.9, 1.0, "PROFIT, WITHIN CHANCE", "warn"),
        (0.31, 1.9, None, "PROFIT, WITHIN CHANCE", "warn"),
        (0.31, None, None, "PROFIT, WITHIN CHANCE", "warn"),
        (-0.02, -0.1, 1.0, "LOSS", "bad"),
        (0.0, 0.0, 1.0, "NO PROFIT", "bad"),
        (float("nan"), 2.1, 1.0, "NO PROFIT", "bad"),
    ],
)
def test_a_gain_within_chance_is_never_called_a_profit_alone(
    total: float, sharpe: float | None, error: float | None, word: str, tone: str
) -> None:
    said = headline(deployed(MADE, total_return=total, sharpe=sharpe, sharpe_standard_error=error))
    assert (said.word, said.tone) == (word, tone)


def test_one_winning_trade_is_neither_a_profit_nor_skill() -> None:
    made = lucky()
    path = made.paths[0]
    assert path.summary.sharpe is not None
    assert path.summary.sharpe_standard_error is not None
    # By its standard error the one trade would be beyond chance: that error is for many trades.
    assert path.summary.sharpe > 1.96 * path.summary.sharpe_standard_error
    said = headline(made)
    assert (said.word, said.tone) == ("TOO FEW TRADES", "warn")
    words = basis(made)
    assert words.startswith("1 trade on 1 day with a return: too few to tell skill from chance")
    assert "speaks for" not in words
    tile = next(each for each in tiles(made) if each.title == "Sharpe ratio")
    assert tile.gauge is None
    assert "too few to tell" in tile.detail
    side, against = (block.table for block in paths(made).blocks)
    assert side is not None
    assert side.rows[0][3].text.endswith(f"\u00b1{NBSP}?")
    assert against is not None
    assert {row[-1].text for row in against.rows} == {"too few to tell"}
    assert {row[3].text for row in against.rows} == {"\u2013"}


def test_a_loss_of_few_trades_is_a_loss_that_says_nothing_about_the_procedure() -> None:
    made = lucky()
    path = made.paths[0]
    summary = replace(path.summary, total_return=-path.summary.total_return, sharpe=-3.0, sharpe_standard_error=1.0)
    lost = replace(made, paths=(replace(path, net_return=-path.net_return, summary=summary), *made.paths[1:]))
    assert headline(lost).word == "LOSS"
    assert "speaks for" not in basis(lost)


@pytest.mark.parametrize(("trades", "days", "few"), [(30, 30, False), (29, 30, True), (30, 29, True)])
def test_the_floor_is_of_trades_and_of_days(trades: int, days: int, few: bool) -> None:
    net = np.where(PATH.closed_at <= PATH.closed_at[0] // DAY_MS * DAY_MS + days * DAY_MS, 0.001, 0.0)
    path = replace(PATH, net_return=net, summary=replace(PATH.summary, trades=trades))
    assert days_with_return(path) == days
    assert too_few(path) is few
    # Who buys and holds closes no trade.
    assert too_few(replace(path, name="hold")) is (days < 30)


def test_the_sentence_counts_who_did_better() -> None:
    best = headline(deployed(MADE, total_return=9.0)).sentence
    assert best.endswith("none of the 6 other ways did better.")
    assert headline(deployed(MADE, total_return=-9.0)).sentence.endswith("all 6 other ways did better.")
    alone = replace(MADE, paths=MADE.paths[:1])
    assert "other way" not in headline(alone).sentence


@pytest.mark.parametrize(
    ("sharpe", "error", "says"),
    [
        (0.5, 0.4, "zero among them, so chance alone may have brought it"),
        (1.5, 0.4, "speaks for skill"),
        (-1.5, 0.4, "speaks for a procedure that loses money"),
        (None, None, "There is no Sharpe ratio to judge by"),
        (1.0, None, "There is no Sharpe ratio to judge by"),
    ],
)
def test_the_basis_reads_the_standard_error(sharpe: float | None, error: float | None, says: str) -> None:
    text = basis(deployed(MADE, sharpe=sharpe, sharpe_standard_error=error))
    assert says in text
    assert text.endswith("This is one history; it proves nothing by itself.")


def test_amounts_in_words() -> None:
    assert earned(0.2) == f"earned 20.0{NBSP}%"
    assert earned(-0.2) == f"lost 20.0{NBSP}%"
    assert earned(-0.0004) == "neither earned nor lost anything to speak of"
    assert "not measured" in earned(float("nan"))
    assert sharpe_with_error(None, None) == "\u2013"
    assert sharpe_with_error(1.0, None) == f"1.00 \u00b1{NBSP}?"


def test_tiles_hold_the_interval_of_promotions_that_were_right() -> None:
    tile = next(each for each in tiles(replay_records.replay()) if each.title == "Promotions that were right")
    assert tile.value == "6 of 13"
    assert tile.detail == f"95 % interval 23{NBSP}% to 71{NBSP}%; 0 undecided"
    none = next(each for each in tiles(replay_records.never_traded()) if each.title == "Promotions that were right")
    assert none.detail == "none has turned out yet; 0 undecided"


def test_drawdown_starts_at_the_capital_and_ends_at_its_summary() -> None:
    path = replace(PATH, net_return=np.array([-0.1, 0.05, 0.25, -0.3]))
    assert profit(path) == pytest.approx([-0.1, -0.05, 0.2, -0.1])
    assert drawdown(path) == pytest.approx([0.1, 0.05, 0.0, 0.25])
    for each in MADE.paths:
        assert drawdown(each).max() == pytest.approx(each.summary.max_drawdown, abs=1e-12)


def test_undecided_decisions_are_neither_right_nor_wrong() -> None:
    seen = [Hindsight("promotion", 1, 0, 1, judgement, 0.01) for judgement in ("right", "right", "wrong", "undecided")]
    month = replace(PATH.months[0], hindsight=(*seen, Hindsight("refusal", 2, 0, 1, "right", 0.5)))
    found = judged(replace(PATH, months=(month,)), "promotion")
    assert (found.right, found.wrong, found.undecided, found.decided) == (2, 1, 1, 3)
    assert found.difference == pytest.approx(0.04)
    assert 0.2 < found.low < 2 / 3 < found.high < 0.95
    assert np.isnan(judged(replace(PATH, months=()), "promotion").low)


def test_the_share_of_fits_is_of_the_time_that_all_workers_had() -> None:
    training = replace(MADE.training, fit_s=60.0, workers=2, fits_at_once=1, seconds={"training": 40.0, "total": 50.0})
    assert fit_share(training) == pytest.approx(0.6)
    assert np.isnan(fit_share(replace(training, seconds={})))
    assert f"60{NBSP}% of the workers' time" in dict(facts(replace(MADE, training=training)))["XGBoost's own fits"]
    assert (
        "workers' time" not in dict(facts(replace(MADE, training=replace(training, seconds={}))))["XGBoost's own fits"]
    )
    # One process that trains two folds at a time: 127 % would be a share of nothing.
    beside = replace(training, fit_s=63.5, workers=1, fits_at_once=2)
    assert fit_share(beside) == pytest.approx(0.635)
    assert dict(facts(replace(MADE, training=beside)))["XGBoost's own fits"].endswith("each with 2 fits side by side")
    beside = replace(beside, fits_at_once=1)
    assert np.isnan(fit_share(beside))
    told = dict(facts(replace(MADE, training=beside)))["XGBoost's own fits"]
    assert told.endswith("not measurable")
    assert "%" not in told
    assert timings(replace(MADE, training=replace(training, seconds={}))) is None


def months(*productions: tuple[int | None, tuple[Act, ...]]) -> PathResult:
    made: list[MonthRecord] = [
        replace(PATH.months[0], as_of_ms=at * 100, production_after=after, acts=acts)
        for at, (after, acts) in enumerate(productions)
    ]
    return replace(PATH, months=tuple(made))


def test_a_version_s_time_in_production_runs_over_months_and_ends_with_an_act() -> None:
    left = Act(150, "rollback", 2, 1, "because")
    halted = Act(160, "halt", 1, None, "because")
    path = months((2, ()), (2, (left, halted)), (None, ()), (4, ()))
    found = [(term.start_ms, term.end_ms, term.words.partition(":")[0]) for term in _terms(path, 400)]
    assert found == [(0, 150, "v2"), (150, 160, "v1"), (300, 400, "v4")]


def test_an_act_is_told_with_its_own_hindsight() -> None:
    act = Act(150, "rollback", 2, 1, "the sequential test fired")
    seen = Hindsight("rollback", 2, 150, 200, "right", 0.012)
    other = Hindsight("rollback", 2, 151, 200, "wrong", -0.5)
    month = replace(PATH.months[0], acts=(act,), hindsight=(other, seen))
    (row,) = decision_rows(replace(MADE, paths=(replace(PATH, months=(month,)),)))
    (told,) = row.acts
    assert told.seen is not None
    assert told.seen.mark.word == "Right"
    assert told.seen.difference == f"+1.20{NBSP}%"
    assert told.reason == "The sequential test fired."
    assert told.where == "1970-01-01, v2 to v1"
    assert row.seen is None


def test_figures_that_are_not_known_are_dashes_and_small_chances_are_not_zero() -> None:
    metrics = {"sharpe": None, "skill_p": 0.0002, "skill_level": 0.05 / 12}
    month = replace(PATH.months[0], metrics=metrics)
    (row,) = decision_rows(replace(MADE, paths=(replace(PATH, months=(month,)),)))
    assert (row.sharpe, row.p, row.level) == ("\u2013", "2 \u00d7 10\u207b\u2074", "0.0042")


def test_counts_are_said_with_their_intervals() -> None:
    lead = decisions_lead(replay_records.replay())
    assert lead.startswith("72 months: 13 promotions, 58 refusals, 1 month without a model, 2 rollbacks, 4 halts.")
    assert f"Promotions right: 6 of 13 (95 % interval 23{NBSP}% to 71{NBSP}%)." in lead
    assert hindsight(replay_records.never_traded()) == ()


def test_only_months_that_policies_decide_differently_are_listed() -> None:
    section = differences(MADE)
    (block,) = section.blocks
    assert block.table is not None
    policies = [path for path in MADE.paths if path.policy]
    expected = [
        row[0].month
        for row in zip(*(path.months for path in policies), strict=True)
        if len({month.outcome for month in row}) > 1
    ]
    assert 0 < len(expected) < len(PATH.months)
    assert [row[0].text for row in block.table.rows] == expected
    assert f"differently in {len(expected)} of 6 months" in section.lead


def test_equal_or_single_policies_have_nothing_to_list() -> None:
    twin = replace(PATH, name="checklist", policy="checklist", title="Twin")
    assert differences(replace(MADE, paths=(PATH, twin))).blocks == ()
    assert "nothing to compare" in differences(replace(MADE, paths=(PATH,))).lead


def test_the_others_get_a_picture_of_their_own_only_where_buy_and_hold_dwarfs_them() -> None:
    held = next(path for path in MADE.paths if path.name == "hold")
    low, high = (replace(held, net_return=held.net_return * times) for times in (0.1, 10.0))
    rest = tuple(path for path in MADE.paths if path.name != "hold")
    assert len(equity(replace(MADE, paths=(*rest, low))).blocks) == 1
    assert len(equity(replace(MADE, paths=(*rest, high))).blocks) == 2
    assert len(equity(replace(MADE, paths=rest)).blocks) == 1


def test_the_pointer_knows_every_path_s_profit_at_the_first_and_the_last_close() -> None:
    rows = pointer_rows(replay_records.replay())
    made = replay_records.replay()
    assert len(rows) == 400
    assert rows[0][0] == made.paths[0].closed_at[0]
    assert rows[-1] == [made.paths[0].closed_at[-1], *(round(path.summary.total_return, 4) for path in made.paths)]


def test_paths_are_told_apart_only_beyond_chance() -> None:
    rng = np.random.default_rng(3)
    year = replay_records.replay(12, 6)
    size = len(year.paths[0].net_return)
    noise = rng.normal(0.0, 0.002, size)
    own = replace(often(year.paths[0]), net_return=noise + 0.0006)
    same, worse = (
        replace(often(path), net_return=rng.normal(0.0, 0.002, size) + drift)
        for path, drift in zip(year.paths[1:3], (0.0006, -0.0006), strict=True)
    )
    block = compared(replace(year, paths=(own, same, worse, year.paths[-1])))
    assert block is not None
    assert block.table is not None
    assert [row[-1].text for row in block.table.rows] == ["cannot be told apart", "deployed is better"]
    turned = compared(replace(year, paths=(replace(worse, name="deployed"), replace(own, name="always"))))
    assert turned is not None
    assert turned.table is not None
    assert [row[-1].text for row in turned.table.rows] == ["deployed is worse"]


def test_a_path_that_is_the_deployed_one_has_no_difference_to_judge() -> None:
    own = often(PATH)
    twin = replace(own, name="checklist", title="Twin")
    block = compared(replace(MADE, paths=(own, twin)))
    assert block is not None
    assert block.table is not None
    assert [cell.text for cell in block.table.rows[0]][2:] == ["\u2013", "\u2013", "\u2013", "cannot be computed"]
    assert compared(replay_records.never_traded()) is None
    assert compared(replace(MADE, paths=(PATH,))) is None


def test_a_day_s_returns_end_with_its_midnight() -> None:
    path = replace(PATH, closed_at=np.array([0, 1, DAY_MS, DAY_MS + 1, 3 * DAY_MS]) + DAY_MS, net_return=np.arange(5.0))
    assert daily(path).tolist() == [0.0, 3.0, 3.0, 4.0]
    assert len(daily(replace(path, closed_at=np.empty(0, np.int64), net_return=np.empty(0)))) == 0


def test_buy_and_hold_s_ratio_on_the_page_is_of_returns_on_its_own_equity() -> None:
    held = next(path for path in MADE.paths if path.name == "hold")
    worth = 1.0 + np.concatenate(([0.0], np.cumsum(held.net_return)))
    (block,) = paths(replace(MADE, paths=(PATH, held))).blocks[:1]
    assert block.table is not None
    assert block.table.rows[1][3].text.startswith(f"{sharpe(worth[1:] / worth[:-1] - 1.0, MADE.periods_per_year):.2f}")


def test_buy_and_hold_is_compared_by_days_on_what_it_was_worth_the_day_before() -> None:
    held = next(path for path in MADE.paths if path.name == "hold")
    closes = 1.0 + np.cumsum(held.net_return)
    evening = closes[(held.closed_at % DAY_MS) == 0]
    assert _daily(held) == pytest.approx(evening / np.concatenate(([1.0], evening[:-1])) - 1.0)
    own = next(path for path in MADE.paths if path.name == "never")
    assert _daily(own).tolist() == daily(own).tolist()


def test_a_series_with_a_hole_has_no_deepest_fall() -> None:
    broken = replace(PATH, net_return=np.where(np.arange(len(PATH.net_return)) == 5, np.nan, PATH.net_return))
    section = equity(replace(MADE, paths=(broken, *MADE.paths[1:])))
    assert "not known for every bar" in section.lead


def test_a_halt_is_told_with_its_hindsight_and_an_expiry_has_none() -> None:
    made = replay_records.replay()
    acts = [(act, told) for month, row in zip(made.paths[0].months, decision_rows(made), strict=True)
            for act, told in zip(month.acts, row.acts, strict=True)]  # fmt: skip
    assert {act.kind for act, _ in acts} == {"rollback", "halt", "expiry"}
    for act, told in acts:
        assert (told.seen is None) == (act.kind == "expiry"), act
    halted = judged(made.paths[0], "rollback")
    assert halted.decided + halted.undecided == made.paths[0].summary.rollbacks + made.paths[0].summary.halts


def test_two_acts_of_one_moment_keep_their_own_hindsights() -> None:
    left, halted = Act(150, "rollback", 3, 2, "first"), Act(150, "halt", 2, None, "then")
    seen = (Hindsight("rollback", 2, 150, 200, "wrong", -0.02), Hindsight("rollback", 3, 150, 200, "right", 0.01))
    month = replace(PATH.months[0], acts=(left, halted), hindsight=seen)
    (row,) = decision_rows(replace(MADE, paths=(replace(PATH, months=(month,)),)))
    words = [told.seen.mark.word for told in row.acts if told.seen is not None]
    assert words == ["Right", "Wrong"]
