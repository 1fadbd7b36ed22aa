"""The page, Markdown and JSON of a calibration."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.calibration_worlds import FIGURES, strategy
from tests.pages import assert_charts_inside, assert_only_its_own_script, assert_stands_alone, links_and_places

from tidegate.calibration.calibrate import Options, calibrate
from tidegate.calibration.charts import earned_chart, percent, power_chart, rates_chart
from tidegate.calibration.headline import headline, tiles
from tidegate.calibration.markdown import markdown
from tidegate.calibration.page import render, write_pages
from tidegate.calibration.page_sections import figures_facts, legend, sections
from tidegate.calibration.result import Calibration, Outcome, Share, WorldResult
from tidegate.strategy.policies import built_in

CREATED = 1_796_000_000_000


@pytest.fixture(scope="module")
def found() -> Calibration:
    policies = {name: built_in()[name] for name in ("checklist", "balanced", "strict")}
    return calibrate(strategy(), FIGURES, policies, Options(worlds=6, years=1, checked=4))


def changed(found: Calibration, world: str, **values: object) -> Calibration:
    """The chosen policy's outcome in one world, altered."""

    def alter(result: WorldResult) -> WorldResult:
        first: Outcome = replace(result.outcomes[0], **values)  # type: ignore[arg-type]
        return replace(result, outcomes=(first, *result.outcomes[1:]))

    return replace(found, results=tuple(alter(result) if result.name == world else result for result in found.results))


def test_the_page_loads_nothing_and_is_the_same_each_time(found: Calibration) -> None:
    text = render(found, CREATED)
    assert text == render(found, CREATED)
    assert re.findall(r"(?:src|href)=\"(?!#|data:)", text) == []
    assert_stands_alone(text, 400_000)
    assert_only_its_own_script(text)
    assert_charts_inside(text, 3)
    links, places = links_and_places(text)
    assert links <= places


def test_its_script_needs_nothing_that_the_page_does_not_have(found: Calibration) -> None:
    text = render(found, CREATED)
    script = text[text.rindex("<script>") : text.rindex("</script>")]
    needed = set(re.findall(r'getElementById\("(\w+)"\)\.', script))
    assert needed <= set(re.findall(r' id="([^"]+)"', text))
    assert 'querySelectorAll("table.sortable")' in script
    assert '<table class="sortable">' in text


def test_the_page_tells_everything_once(found: Calibration) -> None:
    text = render(found, CREATED)
    for section in sections(found):
        assert text.count(f'id="{section.anchor}"') == 1
    identifiers = re.findall(r' id="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))
    for sentence in ("SIMULATED MARKET", "seed 7", *found.policies):
        assert sentence in text
    assert text.count("<li>") >= len(found.assumptions)
    assert text.count('role="img"') >= 3


def test_a_hostile_name_stays_text(found: Calibration) -> None:
    hostile = replace(found, strategy="<script>alert(1)</script>")
    assert "<script>alert" not in render(hostile, CREATED)


def test_the_markdown_has_every_table(found: Calibration) -> None:
    text = markdown(found, CREATED)
    for section in sections(found):
        assert f"## {section.heading}" in text
        for block in section.blocks:
            if block.table is not None:
                assert block.table.rows[0][0].text in text
    assert all(f"- {sentence}" in text for sentence in found.assumptions)


def test_all_three_files_are_written_whole(found: Calibration, tmp_path: Path) -> None:
    page = write_pages(found, tmp_path / "new" / "folder", created_ms=CREATED)
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "calibration.html",
        "calibration.json",
        "calibration.md",
    ]
    content = json.loads((page.parent / "calibration.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert content["schema_version"] == 1
    assert content["seed"] == 7
    assert content["figures"]["trades_per_day"] == FIGURES.trades_per_day


@pytest.mark.parametrize(
    ("low", "value", "high", "power", "word", "tone"),
    [
        (0.0, 0.01, 0.03, 0.6, "PROMISE KEPT", "good"),
        (0.0, 0.01, 0.05, 0.6, "PROMISE KEPT", "good"),
        (0.0, 0.01, 0.03, 0.1, "PROMISE KEPT, AT THE PRICE OF SKILL", "warn"),
        (0.02, 0.04, 0.07, 0.6, "TOO FEW WORLDS TO TELL", "warn"),
        (0.06, 0.2, 0.3, 0.6, "PROMISE BROKEN", "bad"),
    ],
)
def test_the_headline(
    found: Calibration, low: float, value: float, high: float, power: float, word: str, tone: str
) -> None:
    made = changed(found, "no_skill", years=Share(value, low, high, 100))
    curve = tuple(replace(point, year=dict(point.year) | {"checklist": Share(power, 0, 1, 10)}) for point in made.curve)
    said = headline(replace(made, curve=curve))
    assert (said.word, said.tone) == (word, tone)
    assert f"{value * 100:.1f}" in said.sentence
    assert ("Most of these looks fail" in said.sentence) == (power < 0.2)


def test_an_interval_that_is_not_known_keeps_no_promise(found: Calibration) -> None:
    said = headline(changed(found, "no_skill", years=Share(math.nan, math.nan, math.nan, 0)))
    assert (said.word, said.tone) == ("TOO FEW WORLDS TO TELL", "warn")


def test_key_figures_are_six_with_numbers(found: Calibration) -> None:
    shown = tiles(found)
    assert len(shown) == 6
    assert all(re.search(r"\d", tile.value) for tile in shown)


def test_assumed_figures_are_marked(found: Calibration) -> None:
    marked = dict(figures_facts(replace(found, figures=replace(FIGURES, assumed=("correlation", "gain_spread")))))
    assert marked["Champion and challenger"].endswith("assumed")
    assert marked["Profit of a winner"].endswith("assumed")
    assert not marked["Loss of a loser"].endswith("assumed")


def test_charts_of_nothing_are_nothing(found: Calibration) -> None:
    assert power_chart("p", (), found.policies, yearly=True) == ""
    assert rates_chart("r", {}, 0.05) == ""
    idle = found.world("no_skill").outcomes[0].earned
    assert earned_chart("e", "title", replace(idle, counts=(0,) * len(idle.counts))) == ""
    assert earned_chart("e", "title", replace(idle, counts=(19, *(0,) * (len(idle.counts) - 1)))) == ""


def test_years_that_lost_are_told_from_years_that_gained(found: Calibration) -> None:
    spread = replace(found.world("equal").outcomes[0].earned, edges=(-0.02, -0.01, 0.0, 0.01), counts=(5, 15, 30))
    chart = str(earned_chart("e", "title", spread))
    assert chart.count('class="bar loss"') == 2
    assert chart.count('class="bar gain"') == 1


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0.0 %"), (0.0004, "< 0.1 %"), (0.0006, "0.1 %"), (0.5, "50.0 %"), (1.0, "100.0 %")]
)
def test_a_small_share_is_not_shown_as_none(value: float, shown: str) -> None:
    assert percent(value).replace("\N{NO-BREAK SPACE}", " ") == shown


def test_charts_say_in_words_what_they_show(found: Calibration) -> None:
    chart = str(power_chart("power", found.curve, found.policies, yearly=False))
    assert "checklist:" in chart
    assert chart.count("<circle") == 3 * len(found.curve)
    groups = {world.title: {one.policy: one.years for one in world.outcomes} for world in found.results}
    assert str(rates_chart("rates", groups, 0.05)).count('class="bar ') == 12


def test_a_policy_of_one_s_own_is_drawn_beside_the_three(found: Calibration) -> None:
    policies = ("mine", *found.policies)
    curve = tuple(replace(point, look={"mine": point.look["strict"], **point.look}) for point in found.curve)
    assert str(power_chart("power", curve, policies, yearly=False)).count("<circle") == 4 * len(curve)
    share = found.results[0].outcomes[0].years
    assert str(rates_chart("rates", {"Equal": dict.fromkeys(policies, share)}, None)).count('class="bar ') == 4
    assert [line.name for line in legend(replace(found, policies=policies))] == list(policies)
