"""Runs whose evidence is old, thin or of another time: none calls the model healthy, and none acts on it."""

from pathlib import Path

import pytest
from tests.integration.monitoring.flow.story import NAME, Story, bars_at, elsewhere, installed, story

from tidegate.pipeline.monitor import Monitored, compute_run, conclude, monitor
from tidegate.registry.events import EventLedger
from tidegate.registry.opening import open_promoter
from tidegate.settings.settings import Settings

pytestmark = [pytest.mark.slow]


class ByTheClock(Story):
    """The story in a real market, where an answer's time is its bar's."""

    @property
    def settings(self) -> Settings:
        found = installed(self.folder)
        return found.model_copy(update={"serving": found.serving.model_copy(update={"clock": "system"})})


def look(made: Story, days: float, *, bars_until: float | None = None) -> Monitored:
    """A run, with the bars of that day or of an earlier one."""
    job = made.run(days)
    return conclude(job, compute_run(job, bars_at(days if bars_until is None else bars_until)))


@pytest.fixture
def made(tmp_path: Path) -> Story:
    return story(tmp_path, rollback={"cooldown_minutes": 0})


def test_a_version_that_was_brought_back_today_is_not_judged_by_what_it_did_before(made: Story) -> None:
    real = ByTheClock(made.folder, made.strategy.model_copy(update={"kind": "real"}), made.bundle, made.notes)
    real.write([elsewhere(row, received_at=(row.bar_closed_at or 0) + 100) for row in real.answers()])
    promoter = open_promoter(real.settings)
    promoter.rollback(NAME, actor="a person", reason="maintenance", leaving=2, bar=False)
    promoter.rollback(NAME, actor="a person", reason="over", to_version=2, leaving=1, bar=False)

    monitored = look(real, 30)  # the run's time is before both, and the edge ended twenty days before it

    assert monitored.record.since is None
    assert {line.rule: line.verdict for line in monitored.record.findings}["sequential"] == "not_enough_evidence"
    assert (monitored.decision.act == "roll_back", monitored.record.outcome) == (False, "watch")
    assert promoter.current(NAME) == 2


def alerts(monitored: Monitored) -> str:
    return "\n".join(monitored.record.alerts)


def test_bars_that_end_before_the_run_speak_against_the_model_and_cover_no_days(made: Story) -> None:
    made.write(made.answers(30))

    monitored = look(made, 30, bars_until=9)

    findings = {line.rule: line for line in monitored.record.findings}
    assert findings["sequential"].verdict == "quiet"  # of the nine good days, all that the bars tell of
    assert findings["sharpe"].reason == "9 days, 30 are needed"
    assert monitored.record.outcome == "watch"
    assert "the bars of SIM/USD are old: the newest bar closed 2016 trading bars before" in alerts(monitored)
    assert "2,016 of 2,880 answers are about bars that the store does not hold" in alerts(monitored)
    assert [told.title for told in made.notes.told if "are old" in told.body and told.severity == "warning"]


@pytest.mark.parametrize("status", ["silent", "abstain"])
def test_a_model_that_says_nothing_for_weeks_is_not_called_healthy(made: Story, status: str) -> None:
    rows = made.answers(28)
    said, rest = rows[: 6 * 96], rows[6 * 96 :]
    changes = {"target_position": None, "abstain_reason": "model_expired", "status": status}
    made.write([*said, *(elsewhere(row, **changes) for row in rest if status != "silent")])

    monitored = look(made, 28)

    assert {line.rule: line.verdict for line in monitored.record.findings}["sequential"] == "quiet"
    assert monitored.record.outcome == "watch"
    assert "v2 named no position for SIM/USD in the newest day" in alerts(monitored)
    assert "production named a position at 576 of 2,688 bars since its first answer" in alerts(monitored)
    assert "named no position" in "\n".join(told.body for told in made.notes.told)


def test_a_model_that_abstains_at_every_third_bar_is_told_of_though_it_answers_today(made: Story) -> None:
    rows = made.answers(4)
    made.write(
        [elsewhere(row, target_position=None, abstain_reason="stale_data", status="abstain") if at % 3 == 0 else row for at, row in enumerate(rows)]
    )  # fmt: skip

    monitored = look(made, 4)

    (doubt,) = monitored.record.doubts
    assert doubt.startswith("production named a position at 256 of 384 bars since its first answer: ")


def test_a_model_that_answers_up_to_the_newest_bar_is_not_doubted(made: Story) -> None:
    made.write(made.answers(9))

    monitored = look(made, 9)

    assert monitored.record.doubts == ()
    assert monitored.content["doubts"] == []


def test_a_run_that_fails_after_its_act_says_that_it_acted(made: Story) -> None:
    made.write(made.answers())
    job = made.run(30)
    (job.folder / "report.html").mkdir(parents=True)  # the page cannot be written

    with pytest.raises(OSError, match=r"report\.html"):
        monitor(job)

    promoter = open_promoter(made.settings)
    row = promoter.ledger.state(NAME).last_change
    assert promoter.current(NAME) == 1
    assert row is not None
    said = f"Production was changed all the same: rolled back from v2 to v1 by test, incident {NAME}/{row.id}."
    failed = made.notes.told[-1]
    assert failed.title.endswith("the daily monitoring run failed after production was changed")
    assert said in failed.body
    (alarm,) = EventLedger.from_settings(made.settings).rows(NAME, kinds=["alarm"])
    assert alarm.content["acted"] == [said]
