import math
from dataclasses import replace

import pytest
from tests import monitoring_records

from tidegate.monitoring.page.record import ChecklistRow, MonitorRecord
from tidegate.monitoring.page.sections.changes import drift
from tidegate.monitoring.page.sections.difference import adds_up, difference
from tidegate.monitoring.page.sections.judgement import check_rows, checklist_lead, finding_rows, findings_lead
from tidegate.monitoring.page.sections.performance import performance
from tidegate.monitoring.page.sections.rows import rows, total
from tidegate.monitoring.page.sections.versions import regimes, versions
from tidegate.monitoring.page.sections.wins import wins
from tidegate.monitoring.page.tiles import tiles
from tidegate.monitoring.result import Balance, DriftItem, Reconciliation
from tidegate.report import formats
from tidegate.report.table import Cell, Table

NAN = math.nan


def first_table(blocks: object) -> Table:
    found = [block.table for block in blocks if block.table is not None]  # type: ignore[attr-defined]
    assert found
    return found[0]  # type: ignore[no-any-return]


def item(name: str, effect: float, q_value: float, *, drifted: bool = False, kind: str = "feature") -> DriftItem:
    return DriftItem(name, kind, effect, q_value, q_value, drifted, 168, 0.0, 0.1)  # type: ignore[arg-type]


def with_items(*items: DriftItem) -> MonitorRecord:
    made = monitoring_records.healthy()
    assert made.drift is not None
    return replace(made, drift=replace(made.drift, items=items))


def with_balance(**changes: int) -> MonitorRecord:
    made = monitoring_records.healthy()
    assert made.live is not None
    return replace(made, live=replace(made.live, balance=replace(made.live.balance, **changes)))


def reconciliation(record: MonitorRecord) -> Reconciliation:
    assert record.live is not None
    assert record.live.reconciliation is not None
    return record.live.reconciliation


class TestDrift:
    def test_drifted_first_then_unknown_then_far_or_sure_and_the_rest_is_folded(self) -> None:
        near = [item(f"near_{at}", 0.01 * at, 0.9) for at in range(9)]
        made = with_items(
            *near,
            item("sure", 0.05, 0.01),
            item("far", 0.5, 0.4),
            item("unknown", NAN, NAN),
            item("label_rate", 0.06, 0.001, drifted=True, kind="label"),
            item("gone", 0.3, 0.02, drifted=True),
        )
        part = drift(made)
        shown = first_table(part.section.blocks)
        assert [row[0].text for row in shown.rows] == ["gone", "Label rate", "unknown", "far", "sure"]
        assert [row[3].text for row in shown.rows] == [
            "drifted",
            "drifted",
            "not measured",
            "far, not sure",
            "sure, not far",
        ]
        assert [row[1].text for row in shown.rows][2] == formats.NOT_MEASURED
        assert part.folded[0].summary == "9 other items, neither far nor sure"
        assert part.section.lead.startswith("2 of 13 items drifted (Label rate and gone)")
        assert "Not measured: 1 item (unknown)." in part.section.lead

    def test_what_was_not_compared_is_not_called_free_of_drift(self) -> None:
        for made in (monitoring_records.early(), replace(monitoring_records.healthy(), drift=None)):
            lead = drift(made).section.lead
            assert "not measured" in lead
            assert "None of" not in lead

    def test_nothing_comparable_is_not_none_drifted(self) -> None:
        lead = drift(with_items(item("one", NAN, NAN), item("two", NAN, NAN))).section.lead
        assert lead == "Drift was not measured: none of 2 items could be compared."
        assert drift(monitoring_records.healthy()).section.lead.startswith("None of 18 items drifted, comparing")

    def test_the_label_rate_has_a_bound_of_its_own(self) -> None:
        words = [
            first_table(drift(with_items(item("label_rate", effect, 0.9, kind="label"))).section.blocks).rows[0][3].text
            for effect in (0.04, 0.06)
        ]
        assert words == ["no drift seen", "far, not sure"]

    def test_importance_is_held_against_the_strategys_bound(self) -> None:
        made = monitoring_records.healthy()
        assert made.importance is not None

        def remark(moved: float) -> str:
            changed = replace(made, importance=replace(made.importance, moved=moved))  # type: ignore[type-var]
            return drift(changed).section.blocks[-1].remark

        assert "within the" in remark(0.5)
        assert "more than the" in remark(0.51)
        assert "not measured" in remark(NAN)
        assert "within" not in remark(NAN)
        assert "Not compared" in drift(replace(made, importance=None)).section.blocks[-1].remark


class TestReconciliation:
    def test_rows_sum_from_promise_to_live(self) -> None:
        made = monitoring_records.edge_gone()
        table = first_table(difference(made).blocks)
        values = [row[1].sort for row in table.rows]
        assert all(value is not None for value in values)
        assert math.fsum(value or 0.0 for value in values[:-1]) == pytest.approx(values[-1])
        assert adds_up(reconciliation(made))

    @pytest.mark.parametrize("live", [0.5, NAN, math.inf])
    def test_parts_that_do_not_sum_are_said_to(self, live: float) -> None:
        made = monitoring_records.edge_gone()
        found = replace(reconciliation(made), live=live)
        assert not adds_up(found)
        assert made.live is not None
        table = first_table(difference(replace(made, live=replace(made.live, reconciliation=found))).blocks)
        assert table.rows[-1][2] == Cell("NOT the sum of the rows above", tone="bad")

    def test_the_sentence_names_the_largest_cause(self) -> None:
        lead = difference(monitoring_records.edge_gone()).lead
        assert "less than the backtest promised for 30 days" in lead
        assert "The largest cause is market" in lead
        assert "Not reconciled" in difference(monitoring_records.nothing()).lead


class TestBalance:
    def test_every_part_is_in_the_sum(self) -> None:
        parts = [name for name in Balance.__slots__ if name not in {"rows", "bars_without_answer", "damaged"}]
        balance = Balance(**dict.fromkeys(Balance.__slots__, 1))
        assert total(balance) == len(parts)

    def test_it_adds_up_in_words(self) -> None:
        lead = rows(monitoring_records.healthy()).lead
        assert "rows of the prediction log add up: 720 counted, 1 not yet known" in lead
        assert "At 6 bars production neither answered nor abstained; all of the log could be read." in lead

    def test_rows_that_do_not_add_up_are_said_to(self) -> None:
        made = with_balance(counted=1)
        assert "do NOT add up" in rows(made).lead
        assert first_table(rows(made).blocks).rows[-1][2].text == "NOT the sum of the rows above"

    def test_damage_is_said(self) -> None:
        assert (
            "2 places of the log could not be read, and how many rows were there is not known"
            in rows(with_balance(damaged=2)).lead
        )


class TestWins:
    def test_the_alarm_is_named_with_its_trade_and_day(self) -> None:
        made = monitoring_records.edge_gone()
        assert made.sequential is not None
        assert made.sequential.alarm_trade is not None
        section = wins(made)
        assert f"the edge is gone: alarm at trade {made.sequential.alarm_trade + 1}, 2026-10-" in section.lead
        assert f"alarm at trade {made.sequential.alarm_trade + 1}" in str(
            section.blocks[0].figure and section.blocks[0].figure.markup
        )

    def test_a_quiet_test_says_how_near_it_is(self) -> None:
        lead = wins(monitoring_records.healthy()).lead
        assert "% of its threshold after 208 closed trades" in lead.replace(formats.NBSP, " ")
        assert "false alarms a year" in lead

    def test_what_cannot_be_tested_says_why(self) -> None:
        made = monitoring_records.healthy()
        assert made.sequential is not None
        untestable = replace(made.sequential, testable=False, reason="the backtest gives no payoff_ratio")
        assert "cannot be made: the backtest gives no payoff_ratio" in wins(replace(made, sequential=untestable)).lead
        assert "No trade has been closed" in wins(monitoring_records.early()).lead
        assert "There is no sequential test" in wins(monitoring_records.nothing()).lead
        assert "is not a number, so it says nothing" in wins(monitoring_records.broken()).lead

    def test_win_rates_come_with_their_intervals(self) -> None:
        figure = wins(monitoring_records.healthy()).blocks[1].figure
        assert figure is not None
        words = str(figure.markup).replace(formats.NBSP, " ")
        # 120 of 208, Wilson.
        assert "Since production: 57.7 %, 50.9 % to 64.2 %" in words
        assert [entry.name for entry in figure.legend] == ["Promised", "Rule's bound", "Edge gone"]


class TestJudgement:
    def test_what_fired_comes_first_and_each_has_its_error_rate(self) -> None:
        made = monitoring_records.edge_gone()
        quiet = replace(made.findings[0], verdict="quiet")
        blind = replace(made.findings[1], verdict="not_enough_evidence", observed=None, error_rate="")
        found = finding_rows(replace(made, findings=(quiet, blind, made.findings[2])))
        assert [row.rule for row in found] == ["sharpe", "win_rate", "sequential"]
        assert [row.mark.word for row in found] == ["Fired", "Too little evidence", "Quiet"]
        assert found[1].observed == formats.NOT_MEASURED
        assert [row.error_rate for row in found] == [made.findings[2].error_rate, "not known", quiet.error_rate]
        assert findings_lead(replace(made, findings=(quiet, blind))).startswith(
            "2 rules: 0 fired, 1 with too little evidence, 1 quiet."
        )
        assert findings_lead(monitoring_records.nothing()) == "No rule was judged."

    def test_only_an_acting_rule_that_fired_is_red(self) -> None:
        tones = {row.rule: row.mark.tone for row in finding_rows(monitoring_records.edge_gone())}
        assert tones == {"sequential": "bad", "win_rate": "warn", "sharpe": "warn", "drift": "warn"}

    def test_failed_and_unmeasured_rows_come_first_and_unknown_words_never_pass(self) -> None:
        checklist = tuple(
            ChecklistRow(word, "daily", word, "", "", "")  # type: ignore[arg-type]
            for word in ("pass", "odd", "not_measured", "fail")
        )
        made = replace(monitoring_records.healthy(), checklist=checklist)
        found = check_rows(made)
        assert [row.row for row in found] == ["fail", "odd", "not_measured", "pass"]
        assert [row.mark.tone for row in found] == ["bad", "warn", "warn", "good"]
        assert checklist_lead(made).startswith("4 rows: 1 failed, 1 not measured, 1 passed")


class TestPerformance:
    def test_how_far_from_the_promise_in_words(self) -> None:
        assert (
            "standard errors under its promise, outside the band"
            in performance(monitoring_records.edge_gone()).section.lead
        )
        made = replace(monitoring_records.edge_gone(), promised={})
        assert "There is no promise to hold it against" in performance(made).section.lead

    def test_each_figure_stands_beside_its_promise(self) -> None:
        made = monitoring_records.healthy()
        assert made.own is not None
        table = first_table(performance(made).section.blocks)
        sharpe = next(row for row in table.rows if row[0].text == "Sharpe ratio")
        assert (sharpe[1].sort, sharpe[3].sort) == (made.own.metrics["sharpe"], made.promised["sharpe"])

    def test_tiles_say_not_measured_and_never_zero(self) -> None:
        values = {tile.title: tile.value for tile in tiles(monitoring_records.broken())}
        assert {
            values[name] for name in ("Win rate", "Sharpe ratio", "Maximum drawdown", "Net return", "Closed trades")
        } == {formats.NOT_MEASURED}


class TestVersions:
    def test_newest_first_and_shadow_after_production(self) -> None:
        table = first_table(versions(monitoring_records.several()).blocks)
        assert [(row[0].text, row[1].text) for row in table.rows] == [
            ("v5 (now)", "production"),
            ("v4", "production"),
            ("v3", "production"),
            ("v6", "shadow"),
        ]
        lead = versions(monitoring_records.several()).lead
        assert lead.startswith("v3, v4 and v5 answered in production. In shadow, challenger v6 would have won ")
        assert "No challenger ran in shadow." in versions(monitoring_records.healthy()).lead

    def test_regimes_that_lose_are_named(self) -> None:
        assert (
            regimes(monitoring_records.edge_gone()).lead
            == "Version 5 lost money in trending, ranging and volatile markets."
        )
        assert "Not measured" in regimes(monitoring_records.nothing()).lead
