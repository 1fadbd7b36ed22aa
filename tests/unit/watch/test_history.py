import logging
from pathlib import Path

import pytest

from tidegate.rollback.finding import Minute
from tidegate.watch.history import KEEP_MS, History
from tidegate.watch.minutes import Kept

NOW = 10 * KEEP_MS


def kept(ends_at: int, strategy: str = "s") -> Kept:
    return Kept(strategy, Minute("one", ends_at - 60_000, ends_at, True, 3, None, 5, 7, 1, 2.5), 1.25)


def test_what_was_appended_is_loaded(tmp_path: Path) -> None:
    history = History(tmp_path / "watch" / "minutes.jsonl")
    assert history.load(NOW) == []
    history.append([kept(NOW), kept(NOW, "t")], NOW)
    history.append([], NOW)
    assert History(history.path).load(NOW) == [kept(NOW), kept(NOW, "t")]


def test_old_minutes_are_left_out_and_leave_the_file(tmp_path: Path) -> None:
    history = History(tmp_path / "minutes.jsonl")
    history.append([kept(NOW - KEEP_MS), kept(NOW - KEEP_MS + 1)], NOW)
    assert history.load(NOW) == [kept(NOW - KEEP_MS + 1)]
    assert len(history.path.read_text().splitlines()) == 1


def test_a_line_that_a_kill_cut_off_costs_only_itself(tmp_path: Path) -> None:
    history = History(tmp_path / "minutes.jsonl")
    history.append([kept(NOW)], NOW)
    with history.path.open("a") as file:
        file.write('{"strategy": "s", "inst')
    assert history.load(NOW) == [kept(NOW)]
    history.append([kept(NOW + 1)], NOW)
    assert history.load(NOW) == [kept(NOW), kept(NOW + 1)]


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", "{}", '{"strategy":"s","latency_mean_ms":null}', "\x00" * 40, '{"requests": 1'],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    history = History(tmp_path / "minutes.jsonl")
    history.append([kept(NOW)], NOW)
    text = history.path.read_text()
    history.path.write_text(text + line + "\n" + text)
    with caplog.at_level(logging.WARNING):
        assert history.load(NOW) == []
    assert "damaged" in caplog.text
    assert (tmp_path / "minutes.damaged").read_text() == text + line + "\n" + text
    history.append([kept(NOW)], NOW)
    assert history.load(NOW) == [kept(NOW)]


def test_numbers_of_another_type_are_damage(tmp_path: Path) -> None:
    history = History(tmp_path / "minutes.jsonl")
    history.append([kept(NOW)], NOW)
    history.path.write_text(history.path.read_text().replace(f'"ends_at":{NOW}', f'"ends_at":{NOW}.5'))
    assert history.load(NOW) == []


def test_the_file_stays_bounded(tmp_path: Path) -> None:
    history = History(tmp_path / "minutes.jsonl", keep_ms=60_000, slack_bytes=10_000)
    history.load(NOW)
    largest = 0
    for at in range(NOW, NOW + 200):
        history.append([kept(at)] * 5, NOW + 120_000)
        largest = max(largest, history.path.stat().st_size)
    assert largest < 12_000
    assert history.path.stat().st_size < largest
