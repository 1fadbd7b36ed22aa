"""Runs whose evidence is old, thin or of another time: none calls the model healthy, and none acts on it."""

from pathlib import Path

import pytest
from tests.integration.monitoring.flow.story import NAME, Story, bars_at, elsewhere, installed, story

from tidegate.pipeline.monitor import Monitored, compute_run, conclude
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
