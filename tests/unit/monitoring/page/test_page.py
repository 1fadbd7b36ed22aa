import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import monitoring_records
from tests.pages import (
    HOSTILE,
    Page,
    assert_charts_inside,
    assert_only_its_own_script,
    assert_stands_alone,
    links_and_places,
)

from tidegate.backtest.result import Backtest, Trades
from tidegate.monitoring.page.page import render, write_page
from tidegate.monitoring.page.record import ChecklistRow, FindingLine, MonitorRecord

VARIANTS: dict[str, Callable[[], MonitorRecord]] = {
    name: getattr(monitoring_records, name)
    for name in ("healthy", "early", "edge_gone", "rolled_back", "halted", "nothing", "several", "broken")
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render(make()) for name, make in VARIANTS.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_page_is_well_formed_small_and_loads_nothing(pages: dict[str, str], name: str) -> None:
    assert_stands_alone(pages[name], 400_000)
    assert not re.search(r"\b(nan|inf|None(?! of)|Undefined)\b", Page(pages[name]).text)


@pytest.mark.parametrize("name", VARIANTS)
def test_ids_are_unique_and_every_anchor_leads_somewhere(pages: dict[str, str], name: str) -> None:
    links, places = links_and_places(pages[name])
    assert {"#rules", "#checklist", "#provenance"} <= links <= places
    sections = {
        f"#{attributes['id']}" for tag, attributes in Page(pages[name]).tags if tag == "section" and "id" in attributes
    }
    assert sections == links


@pytest.mark.parametrize("name", VARIANTS)
def test_every_chart_is_xml_with_a_title_inside_its_frame(pages: dict[str, str], name: str) -> None:
    assert_charts_inside(pages[name], {"nothing": 0, "broken": 0, "early": 2}.get(name, 6))


def test_the_verdict_comes_first_and_simulated_markets_say_so(pages: dict[str, str]) -> None:
    text = Page(pages["rolled_back"]).text
    assert text.index("SIMULATED MARKET") < text.index("ROLLED BACK Version 5 was left") < text.index("Win rate")
    assert "SIMULATED MARKET" not in Page(pages["several"]).text


@pytest.mark.parametrize("name", ["healthy", "edge_gone", "several"])
def test_every_rule_with_its_error_rate_and_every_row_is_there(pages: dict[str, str], name: str) -> None:
    text, made = Page(pages[name]).text, VARIANTS[name]()
    for line in made.findings:
        assert line.reason in text
        assert f"How often it errs: {line.error_rate}" in text
    for row in made.checklist:
        assert row.row in text


def test_what_was_not_measured_is_listed_in_one_place(pages: dict[str, str]) -> None:
    page = Page(pages["nothing"])
    assert 'id="absent"' in pages["nothing"]
    assert "No row of the prediction log was read." in page.text
    assert 'class="tiles"' not in pages["nothing"]
    assert 'id="absent"' not in pages["healthy"]


def test_alerts_and_the_trail_are_shown(pages: dict[str, str]) -> None:
    assert "production was moved by hand at 2026-10-28 14:02 UTC" in Page(pages["several"]).text
    assert "Promotion ledger, newest first 2026-11-01 00:01 UTC rollback v5 to v4" in Page(pages["rolled_back"]).text
    assert "Promotion ledger" not in pages["healthy"]


def test_hostile_text_is_shown_and_never_runs() -> None:
    made = monitoring_records.edge_gone()
    assert made.live is not None
    assert made.drift is not None
    assert made.live.reconciliation is not None
    causes = (replace(made.live.reconciliation.causes[0], name=HOSTILE, reason=HOSTILE),)
    live = replace(
        made.live, reconciliation=replace(made.live.reconciliation, causes=causes), snapshot={HOSTILE: HOSTILE}
    )
    evil = replace(
        made, reason=HOSTILE, alerts=(HOSTILE,), trail=(HOSTILE,), live=live,
        drift=replace(made.drift, items=(replace(made.drift.items[0], name=HOSTILE),)),
        findings=(FindingLine(HOSTILE, HOSTILE, "fired", 1.0, 1.0, HOSTILE, 1, HOSTILE, HOSTILE),),
        checklist=(ChecklistRow(HOSTILE, HOSTILE, "fail", HOSTILE, HOSTILE, HOSTILE),),
    )  # fmt: skip
    page = Page(render(evil))
    assert page.faults == []
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert page.text.count("alert(1)") > 10
    assert "50337" not in page.text


def test_the_policy_allows_the_pages_own_script_only(pages: dict[str, str]) -> None:
    assert_only_its_own_script(pages["healthy"])


def test_the_same_record_gives_the_same_page(pages: dict[str, str]) -> None:
    assert render(monitoring_records.several()) == pages["several"]


def test_a_year_of_minutes_and_thousands_of_trades_stay_under_a_megabyte() -> None:
    made = monitoring_records.edge_gone()
    assert made.live is not None
    assert made.live.series is not None
    assert made.sequential is not None
    series, n = made.live.series, 525_600
    times = made.window_start_at + 60_000 * np.arange(1, n + 1)
    noise = np.random.default_rng(3).standard_normal(n)
    equity, flat = 1e4 + np.cumsum(noise), np.zeros(n)
    long = Backtest(
        opened_at=times - 60_000, closed_at=times, position=flat, net_return=noise * 1e-5, cost=flat, turnover=flat, equity=equity,
        equity_low=equity, market_return=flat, regime=np.zeros(n, np.int8), capital=series.capital, trades=Trades.empty(),
    )  # fmt: skip
    test = replace(made.sequential, statistic=np.abs(noise[:20_000]), alarm_trade=19_999)
    text = render(replace(made, live=replace(made.live, series=long), sequential=test))
    assert len(text.encode()) < 1_000_000


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = monitoring_records.nothing()
    path = tmp_path / "runs" / "report.html"
    write_page(made, path)
    assert path.read_text(encoding="utf-8") == render(made)
    path.write_text("the older page")

    def fail(*_: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk is full"):
        write_page(made, path)
    assert path.read_text() == "the older page"
    assert list(path.parent.iterdir()) == [path]


def test_one_bar_and_one_trade_do_not_break_the_page() -> None:
    made = monitoring_records.edge_gone()
    assert made.live is not None
    assert made.live.series is not None
    assert made.sequential is not None
    series = made.live.series
    one = Backtest(
        opened_at=series.opened_at[:1], closed_at=series.closed_at[:1], position=series.position[:1], net_return=series.net_return[:1],
        cost=series.cost[:1], turnover=series.turnover[:1], equity=series.equity[:1], equity_low=series.equity_low[:1],
        market_return=series.market_return[:1], regime=series.regime[:1], capital=series.capital, trades=Trades.empty(),
    )  # fmt: skip
    tiny = replace(
        made,
        live=replace(made.live, series=one),
        sequential=replace(made.sequential, statistic=np.array([math.log(2)]), alarm_trade=0),
    )
    assert Page(render(tiny)).faults == []
