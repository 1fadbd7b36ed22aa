"""Monitoring runs on a simulated market with a real registry: on time, late, twice, with a second replica; and what follows when the edge ends."""

from pathlib import Path
from typing import Any

import pytest
from tests.integration.monitoring.flow.story import GOOD_DAYS, NAME, Story, bars_at, elsewhere, story

from tidegate.errors import LogDamaged, SourceError
from tidegate.pipeline.monitor import Monitored, compute_run, conclude, monitor
from tidegate.registry.events import Event, EventLedger, Kind
from tidegate.registry.opening import open_promoter
from tidegate.registry.promotion import PRODUCTION
from tidegate.registry.tracking.versions import Tracking
from tidegate.rollback.incidents import open_incidents
from tidegate.strategy.strategy import FileSource

pytestmark = [pytest.mark.slow]


def look(made: Story, days: float, **changes: Any) -> Monitored:  # noqa: ANN401  of `Story.run`
    """A run without its first stage, which has tests of its own and takes the longest."""
    job = made.run(days, **changes)
    return conclude(job, compute_run(job, bars_at(days)))


def runs(made: Story) -> list[Event]:
    return events(made, "monitor_run")


def events(made: Story, kind: Kind) -> list[Event]:
    return EventLedger.from_settings(made.settings).rows(NAME, kinds=(kind,))


def verdicts(monitored: Monitored) -> dict[str, str]:
    return {line.rule: line.verdict for line in monitored.record.findings}


def checked(monitored: Monitored) -> dict[str, str]:
    return {row.row: row.verdict for row in monitored.record.checklist}


@pytest.fixture
def made(tmp_path: Path) -> Story:
    """The small story; rules act at once, so that two failures can follow each other in a test."""
    return story(tmp_path, rollback={"cooldown_minutes": 0})


def test_a_run_on_time_late_twice_or_with_a_second_replica_gives_the_same_figures(made: Story) -> None:
    rows = made.answers()
    made.write(
        [row for row in rows if row.bar_closed_at is not None and row.bar_closed_at <= made.run(GOOD_DAYS).as_of]
    )

    on_time = look(made, GOOD_DAYS)
    again = look(made, GOOD_DAYS)
    made.write([elsewhere(row, instance="c:8080") for row in rows[GOOD_DAYS * 96 :]])
    late = look(made, GOOD_DAYS, now_later=5 * 86_400_000)

    assert on_time.is_new
    assert not again.is_new
    assert not late.is_new
    assert on_time.content == again.content == late.content
    assert on_time.page == again.page
    assert (
        on_time.content["balance"]["counted"] == GOOD_DAYS * 96 - 1
    )  # the outcome of the newest answer is not known yet
    assert len(runs(made)) == 1

    made.write([elsewhere(row, instance="b:8080", received_at=row.received_at + 5) for row in rows[: GOOD_DAYS * 96]])
    doubled = look(made, GOOD_DAYS)

    assert doubled.subject == f"{on_time.subject}/again-1"
    assert runs(made)[-1].content["differs"] == ["balance.repeated", "balance.rows"]
    assert doubled.content["live"] == on_time.content["live"]
    assert doubled.page != on_time.page


def test_a_good_model_stays_and_what_it_earned_is_recorded(made: Story) -> None:
    made.write(made.answers(GOOD_DAYS))

    monitored = look(made, GOOD_DAYS)

    assert verdicts(monitored) | {"drift": ""} == {
        "sequential": "quiet",
        "win_rate": "quiet",
        "sharpe": "not_enough_evidence",  # it looks back on 30 days, and there are ten
        "drift": "",
    }
    assert monitored.record.outcome in {"healthy", "watch"}
    assert open_promoter(made.settings).current(NAME) == 2
    (event,) = runs(made)
    assert event.content["live"]["trades"] == len(monitored.record.own.trade_won) > 20  # type: ignore[union-attr]
    assert event.content["sequential"]["alarm"] is False
    assert event.content["reconciliation"]["causes"]["skew"] == 0.0
    assert Path(event.content["report"]).read_text().count("SIMULATED MARKET") == 1
    assert event.content["importance_moved"] == 0.0


def test_when_the_edge_ends_the_sequential_test_rolls_back_once_and_a_second_failure_halts(made: Story) -> None:
    made.write(made.answers())

    monitored = monitor(made.run(30))

    assert monitored.decision.act == "roll_back"
    assert monitored.decision.rule == "sequential"
    assert monitored.record.outcome == "rolled_back"
    promoter = open_promoter(made.settings)
    assert promoter.current(NAME) == Tracking(made.settings).alias(NAME, PRODUCTION) == 1
    assert promoter.ledger.state(NAME).barred == {2}
    assert [one.id for one in open_incidents(EventLedger.from_settings(made.settings))] == [monitored.act.incident]
    assert [told.severity for told in made.notes.told if "rolled back" in told.title] == ["critical"]
    assert "ROLLED BACK" in monitored.page.read_text()

    after = look(made, 30)

    assert after.record.outcome == "nothing_to_monitor"  # the version gone back to has not answered yet
    assert after.act.changed is False
    assert "ROLLED BACK" in monitored.page.read_text()
    assert promoter.current(NAME) == 1

    digest = promoter.ledger.state(NAME).digests[1]
    made.write(
        [elsewhere(row, version=1, bundle_digest=digest, received_at=row.received_at - 50) for row in made.answers()]
    )
    second = look(made, 30)

    assert second.record.outcome == "halted"
    assert promoter.ledger.state(NAME).halt is not None
    assert look(made, 30).record.outcome == "nothing_to_monitor"


def test_what_was_answered_before_it_entered_production_is_not_held_against_it(made: Story) -> None:
    days = 4
    rows = made.answers(GOOD_DAYS)
    made.write([elsewhere(row, received_at=row.bar_closed_at) for row in rows[: days * 96]])
    made.write([elsewhere(row, instance="b:8080") for row in rows[days * 96 :]])

    monitored = look(made, GOOD_DAYS)

    assert monitored.record.own is not None
    assert monitored.record.own.first_bar_at == rows[0].bar_closed_at
    assert monitored.record.since is not None
    assert monitored.record.since.first_bar_at == rows[days * 96].bar_closed_at
    assert monitored.content["sequential"]["trades"] == len(monitored.record.since.trade_won)
    assert 0 < len(monitored.record.since.trade_won) < len(monitored.record.own.trade_won)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (None, "there is no prediction log"),
        ({"strategy": "another"}, "named no position"),
        ({"target_position": None, "abstain_reason": "stale_data", "status": "abstain"}, "named no position"),
    ],
)
def test_where_there_is_nothing_to_monitor_the_run_says_so_and_never_that_all_is_well(
    made: Story, rows: dict[str, Any] | None, reason: str
) -> None:
    if rows is not None:
        made.write([elsewhere(row, **rows) for row in made.answers(2)])

    monitored = look(made, 2)

    assert monitored.record.outcome == "nothing_to_monitor"
    assert reason in monitored.record.reason
    assert "pass" not in checked(monitored).values()
    assert verdicts(monitored).get("sequential", "not_enough_evidence") == "not_enough_evidence"
    assert runs(made)[0].content["outcome"] == "nothing_to_monitor"
    assert reason in made.notes.told[0].body


def test_a_halted_strategy_is_not_judged(made: Story) -> None:
    made.write(made.answers(2))
    open_promoter(made.settings).halt(NAME, actor="test", reason="a holiday")

    monitored = look(made, 2)

    assert monitored.record.outcome == "nothing_to_monitor"
    assert "a holiday" in monitored.record.reason
    assert monitored.record.findings == ()


def test_without_bars_nothing_is_decided_and_people_are_told(made: Story) -> None:
    made.write(made.answers())
    made.strategy = made.strategy.model_copy(update={"source": FileSource(type="file", path="nothing.csv")})

    with pytest.raises(SourceError):
        monitor(made.run(30))

    assert [event.subject for event in events(made, "alarm")] == [f"monitor/{made.run(30).subject}"]
    assert runs(made) == []
    assert open_promoter(made.settings).current(NAME) == 2
    assert [(told.severity, "failed" in told.title) for told in made.notes.told] == [("critical", True)]


def test_a_damaged_log_is_refused(made: Story) -> None:
    made.write(made.answers(2))
    segment = next(
        path
        for path in sorted((made.folder / "predictions").rglob("*"))
        if path.is_file() and path.stat().st_size > 1000
    )
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)

    with pytest.raises(LogDamaged):
        monitor(made.run(2))

    assert runs(made) == []
    assert "Nothing was done about production." in made.notes.told[-1].body


def test_weekly_and_monthly_runs_have_their_rows(made: Story) -> None:
    made.write(made.answers(GOOD_DAYS))

    daily, weekly, monthly = (checked(look(made, GOOD_DAYS, period=each)) for each in ("daily", "weekly", "monthly"))

    assert set(daily) < set(weekly) < set(monthly)
    assert weekly["win rate against its target"] == "pass"
    assert weekly["Sharpe ratio against its target"] == "not_measured"
    assert weekly["feature importance is stable"] == "pass"
    assert monthly["retrained with new data"] == "pass"
    assert monthly["backtested"] == "pass"
    assert monthly["configuration reviewed"] == "not_measured"
    assert {event.subject.split("/")[0] for event in runs(made)} == {"daily", "weekly", "monthly"}
