import re
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from tests import replay_records
from tests.pages import (
    HOSTILE,
    Page,
    assert_charts_inside,
    assert_only_its_own_script,
    assert_stands_alone,
    links_and_places,
)

from tidegate.replay.page import markdown, render, write_page, write_pages
from tidegate.replay.result import Act, Hindsight, ReplayResult
from tidegate.report.markdown_text import MOST_BYTES

SECTIONS = {"equity", "paths", "decisions", "policies", "made"}


def bare() -> ReplayResult:
    """One path, no month traded, nothing measured."""
    made = replay_records.never_traded()
    path = replace(made.paths[0], closed_at=np.empty(0, np.int64), net_return=np.empty(0), months=())
    training = replace(made.training, seconds={}, fits=0, fit_s=0.0)
    return replace(made, paths=(path,), costs={}, libraries={}, training=training)


def profit() -> ReplayResult:
    return replay_records.replay(12, 6, 2, 8.0)


VARIANTS: dict[str, Callable[[], ReplayResult]] = {
    "long": replay_records.replay,
    "short": replay_records.short,
    "profit": profit,
    "never": replay_records.never_traded,
    "bare": bare,
}


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render(make()) for name, make in VARIANTS.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_page_is_well_formed_small_and_loads_nothing(pages: dict[str, str], name: str) -> None:
    assert_stands_alone(pages[name], 500_000)
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", Page(pages[name]).text)


@pytest.mark.parametrize("name", VARIANTS)
def test_ids_are_unique_and_every_anchor_leads_somewhere(pages: dict[str, str], name: str) -> None:
    links, places = links_and_places(pages[name])
    assert links == {f"#{name}" for name in SECTIONS}
    assert links <= places


@pytest.mark.parametrize("name", VARIANTS)
def test_every_chart_is_xml_with_a_title_inside_its_frame(pages: dict[str, str], name: str) -> None:
    assert_charts_inside(pages[name], 0 if name == "bare" else 2, letter_px=6.2, over_px=4)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_table_has_a_caption_and_heads(pages: dict[str, str], name: str) -> None:
    tables = re.findall(r"<table.*?</table>", pages[name], re.DOTALL)
    assert tables
    for table in tables:
        assert re.search(r"<caption>\s*\S", table)
        assert "<thead>" in table
        assert 'scope="col"' in table


@pytest.mark.parametrize("name", VARIANTS)
def test_the_page_says_that_one_history_proves_nothing(pages: dict[str, str], name: str) -> None:
    assert "This is one history; it proves nothing by itself." in Page(pages[name]).text


def test_its_script_is_the_one_that_its_policy_allows(pages: dict[str, str]) -> None:
    assert_only_its_own_script(pages["short"])


def test_the_verdict_comes_before_every_figure_and_names_every_path(pages: dict[str, str]) -> None:
    text = Page(pages["long"]).text
    body = text[text.index("Replay of the whole procedure") :]
    made = replay_records.replay()
    lost = f"{-made.paths[0].summary.total_return * 100:.1f}"
    assert body.index("LOSS") < body.index(f"would have lost {lost} % of its capital") < body.index("Net return")
    for path in made.paths:
        assert body.count(path.title) >= 2, path.title


def test_every_month_is_a_row_with_its_decision_and_what_happened(pages: dict[str, str]) -> None:
    made = replay_records.replay()
    table = pages["long"][pages["long"].index('months" role=') :]
    table = table[: table.index("</table>")]
    words = Page(table).text
    assert re.findall(r'<th scope="row">(\d{4}-\d\d)</th>', table) == [month.month for month in made.paths[0].months]
    assert words.count(" Promoted ") == made.paths[0].summary.promotions
    assert words.count(" No model ") == 1
    for word, count in (("Rolled back", 2), ("Halted", 4), ("Expired", 1)):
        assert words.count(word) == count
    assert "Training: too little history" in words


def test_signs_of_every_kind_are_drawn_and_told_in_the_legend(pages: dict[str, str]) -> None:
    made = replay_records.replay().paths[0].summary
    chart = re.search(r'<svg class="chart wide".*?</svg>', pages["long"], re.DOTALL)
    assert chart
    drawn = re.findall(r'<path class="(sign[^"]*)"', chart[0])
    assert drawn.count("sign good") == made.promotions
    assert drawn.count("sign bad") == made.rollbacks + made.halts
    assert drawn.count("sign open") == made.expiries
    assert drawn.count("sign stroke") == made.refusals
    legend = pages["long"][pages["long"].index('class="signs') :]
    for word in ("promoted", "refused", "no model could be trained", "rolled back", "halted", "expired"):
        assert word in legend[: legend.index("</ul>")]


def test_what_never_happened_is_not_in_the_legend(pages: dict[str, str]) -> None:
    assert "a version in production" in pages["long"]
    assert "a version in production" not in pages["never"]
    assert "promoted</li>" not in pages["never"]


def test_a_simulated_market_says_so_loudly(pages: dict[str, str]) -> None:
    simulated = Page(render(replace(replay_records.short(), kind="simulated"))).text
    assert simulated.index("SIMULATED MARKET") < simulated.index("Net return")
    assert "SIMULATED" not in Page(pages["short"]).text


def test_hostile_text_is_shown_and_never_runs() -> None:
    made = replay_records.short()
    path = made.paths[0]
    act = Act(path.months[0].as_of_ms + 1, "rollback", 2, 1, HOSTILE)
    seen = Hindsight("rollback", 2, act.at_ms, act.at_ms + 1, "wrong", -0.01)
    month = replace(path.months[0], month=HOSTILE, refusals=(f"{HOSTILE}: {HOSTILE}",), acts=(act,), hindsight=(seen,))
    evil_path = replace(path, title=HOSTILE, policy=HOSTILE, months=(month, *path.months[1:]))
    evil = replace(
        made, strategy=HOSTILE, symbols=(HOSTILE,), interval=HOSTILE, policy=HOSTILE, folder=HOSTILE, first_month=HOSTILE,
        libraries={HOSTILE: HOSTILE}, costs={HOSTILE: 1.0}, paths=(evil_path, *made.paths[1:]),
        training=replace(made.training, seconds={HOSTILE: 1.0}),
    )  # fmt: skip
    page = Page(render(evil))
    assert page.faults == []
    assert [tag for tag, _ in page.tags if tag == "script"] == ["script", "script", "script"]
    assert not any(tag == "img" for tag, _ in page.tags)
    assert "50337" not in page.text
    assert page.text.count("alert(1)") >= 12
    assert "<script" not in markdown(evil)
    assert "<img" not in markdown(evil)


def test_the_same_result_gives_the_same_page() -> None:
    made = replay_records.short()
    assert render(made) == render(ReplayResult.from_json(made.to_json()))


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "new" / "replay.html"
    write_page(replay_records.short(), target)
    before = target.read_text(encoding="utf-8")
    assert before.endswith("</html>")
    monkeypatch.setattr("os.fsync", _full_disk)
    with pytest.raises(OSError, match="disk full"):
        write_page(profit(), target)
    assert target.read_text(encoding="utf-8") == before
    assert [each.name for each in target.parent.iterdir()] == ["replay.html"]


def test_the_page_has_its_result_beside_it_named_by_the_months(tmp_path: Path) -> None:
    made = replay_records.short()
    page = write_pages(made, tmp_path / "new")
    assert page.stem == f"{made.first_month}-{made.last_month}"
    assert page.read_text(encoding="utf-8") == render(made)
    assert ReplayResult.from_json(page.with_suffix(".json").read_text(encoding="utf-8")).to_json() == made.to_json()


def _full_disk(_descriptor: int) -> None:
    raise OSError("disk full")


def test_a_replay_without_the_deployed_path_is_refused() -> None:
    made = replay_records.short()
    with pytest.raises(ValueError, match="deployed"):
        render(replace(made, paths=made.paths[1:]))


def test_markdown_leads_with_the_verdict_and_keeps_the_newest_months() -> None:
    made = replay_records.replay()
    text = markdown(made)
    assert text.startswith("# LOSS: replay of btc-1h\n")
    assert text.index("proves nothing by itself") < text.index("| Path |")
    assert len(text.encode()) < MOST_BYTES
    wordy = [
        replace(month, refusals=tuple("\u00e9" * 40 + f"{n}: x" for n in range(9))) for month in made.paths[0].months
    ]
    long = markdown(replace(made, paths=(replace(made.paths[0], months=tuple(wordy)), *made.paths[1:])))
    assert len(long.encode()) < MOST_BYTES
    kept = len(re.findall(r"^\| 20\d\d-\d\d \|", long, re.MULTILINE))
    assert 10 < kept < 72
    assert f"{72 - kept} earlier months do not fit here" in long
    assert "| 2023-12 |" in long


@pytest.mark.parametrize("name", VARIANTS)
def test_every_markdown_row_has_its_table_s_columns(name: str) -> None:
    widths = []
    for line in markdown(VARIANTS[name]()).splitlines():
        if line.startswith("|"):
            widths.append(line.replace("\\|", "").count("|"))
        elif widths:
            assert len(set(widths)) == 1
            widths = []


def test_lines_of_paths_stand_out_in_light_and_dark() -> None:
    from tests.unit.report.test_style import contrast, palette

    report = (files("tidegate.report") / "templates" / "style.css").read_text(encoding="utf-8")
    style = (files("tidegate.replay") / "templates" / "replay.css").read_text(encoding="utf-8")
    cut, own = report.index("@media"), style.index("@media")
    end = style.index(".line.path-deployed")
    for papers, lines in ((report[:cut], style[:own]), (report[cut:], style[own:end])):
        colours = palette(lines)
        assert len(colours) == 5
        for name, colour in colours.items():
            assert contrast(colour, palette(papers)["paper"]) >= 3, name


def test_lines_differ_by_more_than_colour() -> None:
    style = (files("tidegate.replay") / "templates" / "replay.css").read_text(encoding="utf-8")
    drawn = dict(re.findall(r"\.line\.path-(\w+) \{([^}]*)\}", style))
    strokes = {
        name: (re.search(r"dasharray: ([\d ]+)", rule) or [""])[0] + (re.search(r"width: ([\d.]+)", rule) or [""])[0]
        for name, rule in drawn.items()
    }
    assert set(strokes) == {"deployed", "checklist", "balanced", "strict", "always", "never", "hold", "flat"}
    assert len(set(strokes.values())) == 8
