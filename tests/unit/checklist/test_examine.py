"""A look at a list: fails closed, sums up, asks nothing twice; and signatures, which expire."""

from pathlib import Path
from typing import Any

import pytest
from tests.checklist_places import DAY_MS, NAME, context, settings_of, strategy

from tidegate.checklist.catalogue import probes
from tidegate.checklist.checklist import look_at_all, require, signable
from tidegate.checklist.context import Context
from tidegate.checklist.examine import examine, look
from tidegate.checklist.finding import Finding, NotMeasured, failed, passed
from tidegate.checklist.items import Item, Rubric, Section
from tidegate.checklist.ml_test_score import MlTest, MlTests, reading, score_of
from tidegate.checklist.signatures import newest, sign
from tidegate.checklist.words import headline
from tidegate.errors import ConfigurationError, PromotionRefused, ServiceError
from tidegate.registry.database import system_clock
from tidegate.registry.events import EventLedger

REPOSITORY = Path(__file__).parents[3]
MANUAL = Item(id="people.reviewed", text="Reviewed", manual=90)


def broken(_context: Context) -> Finding:
    raise ZeroDivisionError("division by zero")


def away(_context: Context) -> Finding:
    raise ServiceError("nobody answers", expected="somebody")


def nothing(_context: Context) -> Finding:
    raise NotMeasured("set something")


PROBES: dict[str, Any] = {
    "good": lambda _context: passed("seen"),
    "bad": lambda _context: failed("seen"),
    "broken": broken,
    "away": away,
    "nothing": nothing,
}


def rubric(*items: Item) -> Rubric:
    return Rubric(sections=(Section(path=("Outer", "Inner"), items=items),))


@pytest.mark.parametrize(
    ("probe", "verdict", "told"),
    [
        ("good", "pass", "seen"),
        ("bad", "fail", "seen"),
        ("broken", "fail", "ZeroDivisionError: division by zero"),
        ("away", "fail", "nobody answers"),
        ("nothing", "not_measured", "set something"),
        ("no such probe", "fail", "there is no probe"),
    ],
)
def test_whatever_a_probe_does_becomes_a_finding(tmp_path: Path, probe: str, verdict: str, told: str) -> None:
    found = look(context(tmp_path), probe, PROBES)
    assert (found.verdict, told in found.evidence) == (verdict, True)


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        (("good", "good"), "pass"),
        (("good", "bad"), "fail"),
        (("good", "nothing"), "not_measured"),
        (("nothing", "bad"), "fail"),
    ],
)
def test_a_sum_is_as_good_as_its_worst_part(tmp_path: Path, parts: tuple[str, ...], state: str) -> None:
    items = [Item(id=f"a.p{at}", text="part", probe=name) for at, name in enumerate(parts)]
    lines = examine(context(tmp_path), rubric(Item(id="a.sum", text="sum", parts=("a.p0", "a.p1")), *items), PROBES)
    assert [line.item.id for line in lines] == ["a.sum", "a.p0", "a.p1"]
    assert lines[0].state == state


def test_several_probes_for_one_line_are_as_good_as_the_worst_and_are_asked_once(tmp_path: Path) -> None:
    asked = []

    def count(_context: Context) -> Finding:
        asked.append(1)
        return passed("seen")

    counted = {**PROBES, "counted": count}
    one, two = Item(id="a.one", text="x", probe="counted"), Item(id="a.two", text="y", probe="counted+nothing")
    lines = examine(context(tmp_path), rubric(one, two), counted)
    assert [line.state for line in lines] == ["pass", "not_measured"]
    assert asked == [1]


def test_only_what_is_wanted_is_looked_at_and_a_sum_brings_its_parts(tmp_path: Path) -> None:
    items = (
        Item(id="a.sum", text="sum", parts=("a.part",)),
        Item(id="a.part", text="part", probe="good"),
        Item(id="b.other", text="other", probe="broken"),
    )
    lines = examine(context(tmp_path), rubric(*items), PROBES, wanted=lambda item, _path: item.id == "a.sum")
    assert [line.item.id for line in lines] == ["a.sum", "a.part"]


def test_a_signature_holds_until_it_expires_and_no_longer(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    events = EventLedger.from_settings(settings)

    def state(days: float) -> str:
        now_ms = system_clock() + round(days * DAY_MS)
        return examine(context(tmp_path, settings, now_ms=now_ms), rubric(MANUAL), {})[0].state

    assert state(0) == "unsigned"
    sign(events, MANUAL, NAME, by="Ada", note="merge request 12", actor="test", days=30)
    assert [state(days) for days in (0, 29.9, 30.1, -1)] == ["signed", "signed", "fail", "fail"]
    line = examine(context(tmp_path, settings, now_ms=system_clock() + 31 * DAY_MS), rubric(MANUAL), {})[0]
    assert ("EXPIRED" in line.evidence, "Ada" in line.evidence, "test" in line.evidence) == (True, True, True)
    sign(events, MANUAL, NAME, by="Grace", note="again", actor="test")
    assert state(89) == "signed", "the newest counts"


def test_a_signature_is_about_one_strategy_or_about_all(tmp_path: Path) -> None:
    events = EventLedger.from_settings(settings_of(tmp_path))
    sign(events, MANUAL, "another", by="Ada", note="seen", actor="test")
    assert newest(events, MANUAL.id, NAME) is None
    sign(events, MANUAL, "", by="Ada", note="seen", actor="test")
    found = newest(events, MANUAL.id, NAME)
    assert found is not None
    assert (found.by, found.note, found.actor) == ("Ada", "seen", "test")


@pytest.mark.parametrize(
    ("item", "by", "note", "days"),
    [
        (Item(id="a.b", text="x", probe="good"), "Ada", "seen", None),
        (MANUAL, " ", "seen", None),
        (MANUAL, "Ada", " ", None),
        (MANUAL, "Ada", "seen", 91),
        (MANUAL, "Ada", "seen", 0),
    ],
)
def test_what_cannot_be_signed_is_refused(tmp_path: Path, item: Item, by: str, note: str, days: int | None) -> None:
    events = EventLedger.from_settings(settings_of(tmp_path))
    with pytest.raises(ConfigurationError):
        sign(events, item, NAME, by=by, note=note, actor="test", days=days)
    assert events.rows() == []


def test_lines_to_sign_are_found_by_their_id_in_both_lists() -> None:
    assert signable(REPOSITORY, "approval.security").manual == 90
    assert signable(REPOSITORY, "score.data.privacy").manual == 365
    for name in ("approval.nobody", "score.data.nothing"):
        with pytest.raises(ConfigurationError, match="has no item"):
            signable(REPOSITORY, name)


def test_the_score_is_that_of_the_worst_section(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    sign(
        EventLedger.from_settings(settings),
        MlTest(id="score.model.b", section="model", text="b", manual=9).item,
        "",
        by="Ada",
        note="x",
        actor="t",
    )
    tests = MlTests(
        tests=(
            MlTest(id="score.data.a", section="data", text="a", probes=("good",)),
            MlTest(id="score.data.b", section="data", text="b", probes=("good", "bad")),
            MlTest(id="score.model.a", section="model", text="a", probes=("good",)),
            MlTest(id="score.model.b", section="model", text="b", manual=9),
            MlTest(id="score.infrastructure.a", section="infrastructure", text="a", probes=("good",)),
            MlTest(id="score.infrastructure.b", section="infrastructure", text="b", manual=9),
            MlTest(id="score.monitoring.a", section="monitoring", text="a", probes=("good",)),
            MlTest(id="score.monitoring.b", section="monitoring", text="b", probes=("good",)),
        )
    )
    found = score_of(context(tmp_path, settings, now_ms=system_clock()), tests, PROBES, {})
    assert found.sections == (("data", 1.0), ("model", 1.5), ("infrastructure", 1.0), ("monitoring", 2.0))
    assert (found.score, found.reading) == (1.0, reading(1.0))


@pytest.mark.parametrize(("score", "word"), [(0.0, "research"), (0.5, "serious"), (1.0, "serious"), (1.5, "first step"), (3.0, "reasonably"), (5.0, "strong"), (5.5, "exceptional")])  # fmt: skip
def test_what_a_score_means(score: float, word: str) -> None:
    assert word in reading(score)


def project(folder: Path) -> Path:
    """A project with the lists."""
    settings_of(folder)
    for name in ("checklist.yaml", "ml-test-score.yaml"):
        (folder / "configs" / name).write_text(
            (REPOSITORY / "configs" / name).read_text(encoding="utf-8"), encoding="utf-8"
        )
    return folder


def test_a_section_is_found_by_heading_or_id_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    root = project(tmp_path)
    settings = settings_of(root)
    by_heading = look_at_all(settings, root, None, section="resource alloc")
    by_id = look_at_all(settings, root, None, section="resources.")
    assert [line.item.id for line in by_heading.lines] == [line.item.id for line in by_id.lines]
    assert len(by_id.lines) == 4
    assert by_id.test_score is None
    with pytest.raises(ConfigurationError, match="no line is in the section"):
        look_at_all(settings, root, None, section="nothing of the kind")


def test_a_promotion_is_refused_while_its_lines_do_not_pass_and_only_where_that_is_asked_for(tmp_path: Path) -> None:
    root = project(tmp_path)
    require(settings_of(root), root, strategy(), 1)
    away = {"tracking_uri": "http://127.0.0.1:1", "retries": 0, "timeout_s": 1}
    settings = settings_of(root, checklist={"require": "promotion"}, mlflow=away)
    with pytest.raises(PromotionRefused, match=r"8 lines of the checklist do not pass.*training\.days"):
        require(settings, root, strategy(), 1)


def test_every_line_that_blocks_a_deployment_may_be_asked_of_a_promotion(tmp_path: Path) -> None:
    root = project(tmp_path)
    away = {"tracking_uri": "http://127.0.0.1:1", "retries": 0, "timeout_s": 1}
    settings = settings_of(root, checklist={"require": "deployment"}, mlflow=away)
    with pytest.raises(PromotionRefused, match=r"lines of the checklist do not pass") as refused:
        require(settings, root, strategy(), 1)
    told = str(refused.value.actual)
    assert "training.days" in told
    assert "approval.development unsigned" in told


@pytest.mark.parametrize("blocks", ["deployment", "nothing"])
def test_a_list_of_which_no_line_blocks_promotions_refuses_them_all(tmp_path: Path, blocks: str) -> None:
    root = project(tmp_path)
    path = root / "configs" / "checklist.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("blocks: promotion", f"blocks: {blocks}"), encoding="utf-8"
    )
    with pytest.raises(PromotionRefused, match="no line"):
        require(settings_of(root, checklist={"require": "promotion"}), root, strategy(), 1)


def test_a_signature_holds_no_longer_than_the_list_allows_now(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    sign(EventLedger.from_settings(settings), MANUAL, NAME, by="Ada", note="seen", actor="test", days=90)
    shorter = MANUAL.model_copy(update={"manual": 30})
    where = context(tmp_path, settings, now_ms=system_clock() + 31 * DAY_MS)
    assert [examine(where, rubric(item), {})[0].state for item in (MANUAL, shorter)] == ["signed", "fail"]


@pytest.mark.parametrize(
    "content", [{}, {"by": "Ada", "note": "x", "days": "many"}, {"by": "Ada", "note": "x", "days": -1}]
)
def test_a_signature_that_cannot_be_read_fails_its_line_and_not_the_look(
    tmp_path: Path, content: dict[str, Any]
) -> None:
    settings = settings_of(tmp_path)
    EventLedger.from_settings(settings).append(
        "signature", strategy=NAME, subject=MANUAL.id, actor="test", content=content
    )
    good = Item(id="a.good", text="x", probe="good")
    lines = examine(context(tmp_path, settings, now_ms=system_clock()), rubric(MANUAL, good), PROBES)
    assert [line.state for line in lines] == ["fail", "pass"]


def test_what_a_person_notes_moves_no_cursor(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    note = "seen\x1b[2J\nall \x1b[32mpass"
    sign(EventLedger.from_settings(settings), MANUAL, NAME, by="Ada\x1b[1m", note=note, actor="test")
    line = examine(context(tmp_path, settings, now_ms=system_clock()), rubric(MANUAL), {})[0]
    assert line.state == "signed"
    assert line.evidence.isprintable()


def test_a_look_at_a_part_does_not_call_the_whole_ready(tmp_path: Path) -> None:
    root = project(tmp_path)
    looked = look_at_all(settings_of(root), root, None, section="resources.")
    assert looked.plain()["section"] == "resources."
    told = headline(looked)
    assert (told.word, "resources." in told.sentence) == ("In part", True)
    assert look_at_all(settings_of(root), root, None, section="").section is None


def test_a_test_of_the_score_stands_once() -> None:
    test = MlTest(id="score.data.a", section="data", text="a", probes=("good",))
    with pytest.raises(ValueError, match="stands twice"):
        MlTests(tests=(test, test))


def test_a_test_that_a_person_has_a_part_in_gives_half_a_point(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    events = EventLedger.from_settings(settings)

    def state(*probes: str) -> tuple[str, float]:
        test = MlTest(id="score.model.both", section="model", text="b", probes=probes, manual=9)
        where = context(tmp_path, settings, now_ms=system_clock())
        found = score_of(where, MlTests(tests=(test,)), PROBES, {})
        return found.lines[0].state, dict(found.sections)["model"]

    assert state("good") == ("unsigned", 0.0)
    sign(events, MANUAL.model_copy(update={"id": "score.model.both"}), "", by="Ada", note="x", actor="t")
    assert state("good") == ("signed", 0.5)
    assert state("bad") == ("fail", 0.0)
    assert state("nothing") == ("not_measured", 0.0)


def test_probes_are_named_once() -> None:
    assert len(probes()) == 119 + 15
