import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import report_records
from tests.pages import (
    HOSTILE,
    Page,
    assert_charts_inside,
    assert_only_its_own_script,
    assert_stands_alone,
    links_and_places,
)

from tidegate.backtest.result import Backtest, Trades
from tidegate.gates.result import GateResult, Verdict
from tidegate.report import formats
from tidegate.report.document import unbroken_dates
from tidegate.report.page import render, write_report
from tidegate.report.record import CalibrationCurve, ContestRecord, PromotionRecord, RunRecord, SymbolRecord
from tidegate.report.sections.gates import Tile, tiles


def bare() -> RunRecord:
    """Nothing at all: no symbols, folds, bars, gates or timings, and what numbers there are are no numbers."""
    made = report_records.empty()
    nothing, times = np.empty(0), np.empty(0, np.int64)
    pooled = Backtest(
        opened_at=times, closed_at=times, position=nothing, net_return=nothing, cost=nothing, turnover=nothing,
        equity=nothing, equity_low=nothing, market_return=nothing, regime=np.empty(0, np.int8), capital=1e4,
        trades=Trades.empty(),
    )  # fmt: skip
    odd = {"sharpe": math.inf, "win_rate": math.nan, "total_return": -math.inf, "max_drawdown": math.nan}
    return replace(
        made, symbols=(), folds=(), pooled=pooled, metrics=odd, regimes={}, stress={}, random_baseline=None,
        calibration=CalibrationCurve(nothing, nothing, nothing),
        decision=made.decision.model_copy(update={"results": ()}),
        manifest=made.manifest.model_copy(update={"windows": (), "importance": {}, "library_versions": {}}),
    )  # fmt: skip


VARIANTS: dict[str, Callable[[], RunRecord]] = {
    "promoted": lambda: report_records.promoted(champion=6),
    "first": lambda: report_records.promoted(simulated=False),
    "refused": report_records.refused,
    "three symbols": lambda: report_records.record(0.002, simulated=True, champion=2, symbols=3),
    "empty": report_records.empty,
    "bare": bare,
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render(make()) for name, make in VARIANTS.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_page_is_well_formed_small_and_loads_nothing(pages: dict[str, str], name: str) -> None:
    assert_stands_alone(pages[name], 600_000)
    assert not re.search(
        r"\b(nan|inf|None|Undefined)\b", Page(pages[name]).text.replace("is nan", "").replace("is inf", "")
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_ids_are_unique_and_every_anchor_leads_somewhere(pages: dict[str, str], name: str) -> None:
    links, places = links_and_places(pages[name])
    within = {link for link in links if link[0] == "#"}
    assert {"#gates", "#equity", "#trades", "#data", "#provenance"} <= within <= places


@pytest.mark.parametrize("name", VARIANTS)
def test_every_chart_is_xml_with_a_title_inside_its_frame(pages: dict[str, str], name: str) -> None:
    assert_charts_inside(pages[name], 0 if name == "bare" else 3)


@pytest.mark.parametrize("name", ["promoted", "refused", "empty"])
def test_every_gate_is_shown_with_its_verdict_in_words(pages: dict[str, str], name: str) -> None:
    page = Page(pages[name])
    for result in VARIANTS[name]().decision.results:
        assert result.title in page.text
        assert f" {result.name} " in page.text
    assert " Fail " in page.text or name == "promoted"


def test_the_verdict_comes_before_any_figure_and_refusals_before_passes(pages: dict[str, str]) -> None:
    text = Page(pages["refused"]).text
    body = text[text.index("Retraining report") :]
    assert body.index("REFUSED") < body.index("Win rate")
    assert body.index("6 of 36 gates refuse: win rate (53.97") < body.index("95 % interval")
    table = pages["refused"][pages["refused"].index('<table class="gates"') :]
    names = re.findall(r"<code>(\w+)</code>", table)
    refusing = {result.name for result in VARIANTS["refused"]().decision.refusals}
    assert set(names[: len(refusing)]) == refusing


def test_simulated_runs_say_so_loudly_and_real_ones_do_not(pages: dict[str, str]) -> None:
    promoted = Page(pages["promoted"]).text
    assert promoted.index("SIMULATED MARKET") < promoted.index("PROMOTED Version")
    assert "SIMULATED MARKET" not in Page(pages["refused"]).text


def test_contest_is_shown_or_said_to_be_missing(pages: dict[str, str]) -> None:
    assert 'id="contest-wide-title"' in pages["promoted"]
    assert "First model, no champion" in Page(pages["first"]).text
    held = replace(report_records.refused(), contest=ContestRecord(3, "the champion has seen this window"))
    text = Page(render(held)).text
    assert "could not be held: the champion has seen this window" in text


def test_what_was_not_measured_says_so(pages: dict[str, str]) -> None:
    text = Page(pages["empty"]).text
    assert "not measured" in text
    assert "win rate, Sharpe ratio and maximum drawdown could not be measured" in text
    assert "\u221e" in Page(pages["bare"]).text
    assert "No gate was judged, and nothing is promoted without a judgement" in Page(pages["bare"]).text


def test_hostile_text_is_shown_and_never_runs() -> None:
    made = report_records.refused()
    symbol = made.symbols[0]
    findings = [{"rule": HOSTILE, "severity": HOSTILE, "count": HOSTILE, "share": None, "message": HOSTILE}]
    evil_symbol = replace(
        symbol, notes=(HOSTILE,), origin=HOSTILE, snapshot=HOSTILE, validation={"passed": HOSTILE, "findings": findings}
    )
    gate = made.decision.results[0]
    evil_gate = gate.model_copy(
        update={
            "title": HOSTILE,
            "reason": HOSTILE,
            "evidence": {HOSTILE: HOSTILE},
            "verdict": Verdict.FAIL,
            "refuses": True,
        }
    )
    evil = replace(
        made,
        symbols=(evil_symbol,),
        decision=made.decision.model_copy(update={"results": (evil_gate, *made.decision.results[1:])}),
        promotion=PromotionRecord("promoted", 9, None, HOSTILE),
        run_id=HOSTILE,
        timings_s={HOSTILE: 1.0},
        contest=replace(made.contest, reason=HOSTILE),
        links={
            "bad": "javascript:alert(1)",
            "sly": " \tjava\nscript:alert(1)",
            "data": "data:text/html,<script>",
            "elsewhere": "//evil.example/x",
            HOSTILE: HOSTILE,
            "good": "data_docs/index.html",
            "web": "https://mlflow.example/#/runs/1",
        },
    )
    text = render(evil)
    page = Page(text)
    assert page.faults == []
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "alert(1)" in page.text
    assert "50337" not in page.text
    targets = {str(attributes["href"]) for tag, attributes in page.tags if tag == "a"}
    assert {target for target in targets if target[0] != "#"} == {
        "data_docs/index.html",
        "https://mlflow.example/#/runs/1",
    }


def test_the_policy_allows_the_pages_own_script_only(pages: dict[str, str]) -> None:
    assert_only_its_own_script(pages["refused"])


def test_the_same_record_gives_the_same_page() -> None:
    assert render(report_records.refused()) == render(report_records.refused())


def test_a_long_history_stays_far_under_two_megabytes() -> None:
    made = report_records.refused()
    times = 40
    pooled = made.pooled
    step = int(pooled.closed_at[-1] - pooled.opened_at[0])
    series = {
        name: np.tile(getattr(pooled, name), times)
        for name in ("position", "net_return", "cost", "turnover", "equity", "equity_low", "market_return", "regime")
    }
    shift = np.repeat(np.arange(times) * step, len(pooled))
    opened, closed = np.tile(pooled.opened_at, times) + shift, np.tile(pooled.closed_at, times) + shift
    trades = Trades.concatenate([pooled.trades] * times)
    long = replace(made, pooled=Backtest(opened, closed, **series, capital=pooled.capital, trades=trades))
    assert len(long.pooled) > 170_000
    assert len(render(long).encode()) < 1_000_000


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = report_records.empty()
    path = tmp_path / "runs" / "report.html"
    write_report(made, path)
    assert path.read_text(encoding="utf-8") == render(made)
    path.write_text("the older report")
    reader = tmp_path / "open by a reader"
    reader.hardlink_to(path)
    write_report(made, path)
    assert reader.read_text() == "the older report", "an old report is replaced, never rewritten under a reader"
    path.write_text("the older report")

    def fail(*_: object) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk is full"):
        write_report(made, path)
    assert path.read_text() == "the older report"
    assert list(path.parent.iterdir()) == [path]


def test_dates_are_kept_together_and_text_is_escaped() -> None:
    assert str(unbroken_dates("<b> 2026-05-05 00:00 UTC to 2026-06-01")) == (
        '&lt;b&gt; <span class="date">2026-05-05 00:00 UTC</span> to <span class="date">2026-06-01</span>'
    )


def test_failed_and_missing_validation_are_no_pass() -> None:
    made = report_records.refused()

    def shown(passed: object) -> str:
        symbol: SymbolRecord = replace(made.symbols[0], validation={"passed": passed})
        return Page(render(replace(made, symbols=(symbol,)))).text

    assert "Validation failed" in shown(False)
    assert "Validation missing" in shown(None)
    assert "Validation passed" in shown(True)


def test_gates_without_threshold_or_with_odd_numbers_do_not_break_the_page() -> None:
    made = report_records.refused()
    odd = GateResult(
        name="odd", title="Odd", scope="run", observed=1e300, interval=(-1e300, 1e300), threshold=None, comparison="==",
        unit="furlongs", blocking=False, verdict=Verdict.FAIL, refuses=False, reason="", power=1.0, power_at=None, n=0,
        evidence={"nothing": None, "endless": math.inf, "real": 1e-9},
    )  # fmt: skip
    page = Page(render(replace(made, decision=made.decision.model_copy(update={"results": (odd,)}))))
    assert page.faults == []
    assert "endless: \u221e" in page.text
    assert "advisory" in page.text


def test_a_tile_shows_the_figure_that_its_gate_judged() -> None:
    made = report_records.promoted()
    judged = next(one for one in made.decision.results if one.name == "max_drawdown")

    def tile(observed: float | None) -> Tile:
        results = [
            one.model_copy(update={"observed": observed}) if one is judged else one for one in made.decision.results
        ]
        changed = replace(made, decision=made.decision.model_copy(update={"results": tuple(results)}))
        return next(one for one in tiles(changed) if one.title == "Maximum drawdown")

    pooled = formats.percent(made.metrics["max_drawdown"])
    worst = tile(0.1437)
    assert (worst.value, pooled in worst.detail, pooled != worst.value) == (formats.percent(0.1437), True, True)
    assert "14.37" in (worst.gauge or "")
    assert tile(None).value == formats.percent(None)
