"""The weekly rows that rules answer."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tests import monitoring_records

from tidegate.bars.interval import DAY_MS
from tidegate.pipeline.job import Job
from tidegate.pipeline.monitor_checklist import weekly_rows
from tidegate.pipeline.monitor_job import monitor_job
from tidegate.rollback import rules
from tidegate.settings.settings import Settings

AS_OF = 20_000 * DAY_MS


@pytest.mark.parametrize(
    ("wins_a_day", "newest_two_days", "row"),
    [
        (55, 0, "fail"),  # 39 % today, and 55 % two days ago: no alarm yet, and no target met either
        (55, 55, "pass"),
        (52, 52, "pass"),  # at the target
    ],
)
def test_the_row_asks_for_the_target_and_not_for_the_alarm(wins_a_day: int, newest_two_days: int, row: str) -> None:
    strategy = monitoring_records.healthy().strategy
    won, exits = [], []
    for back in range(10):
        wins = newest_two_days if back < 2 else wins_a_day
        won += [1.0] * wins + [0.0] * (100 - wins)
        exits += [AS_OF - (back + 1) * DAY_MS + at for at in range(100)]
    finding = rules.win_rate(np.array(won), np.array(exits), AS_OF, strategy.rollback)
    assert finding.verdict == "quiet"
    job = monitor_job(Job(strategy, Settings(), Path(), AS_OF, AS_OF, "test"), "weekly")

    found = {each.row: each for each in weekly_rows(job, None, [finding])}

    assert found["win rate against its target"].verdict == row
    assert found["Sharpe ratio against its target"].verdict == "not_measured"


def test_a_figure_that_is_not_known_meets_no_target() -> None:
    strategy = monitoring_records.healthy().strategy
    job = monitor_job(Job(strategy, Settings(), Path(), AS_OF, AS_OF, "test"), "weekly")
    quiet = rules.sharpe(1.5, trades=40, days=30, since=0, rules=strategy.rollback)

    for observed, verdict in ((1.5, "pass"), (None, "not_measured"), (float("nan"), "not_measured")):
        rows = weekly_rows(job, None, [dataclasses.replace(quiet, observed=observed)])
        assert {row.row: row.verdict for row in rows}["Sharpe ratio against its target"] == verdict
