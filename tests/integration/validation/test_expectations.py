"""Great Expectations itself, over the same table."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from tests.unit.validation.sound_bars import HOUR_MS, START_MS, as_of, edited, sound_bars

from tidegate.bars.bars import COLUMNS, Bars
from tidegate.settings.settings import Validation
from tidegate.validation import validate as validate_module
from tidegate.validation.constraints import constraints, violations
from tidegate.validation.expectations import ExpectationOutcome, ExpectationResult, expect
from tidegate.validation.validate import disagreements, validate

N = 200
BARS = sound_bars(N)
AS_OF = as_of(BARS)
RULES = Validation()
NAN, INF = float("nan"), float("inf")


def random_damage(seed: int) -> Bars:
    """Bars with some of everything that can be wrong with a row."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {name: getattr(BARS, name).copy() for name in COLUMNS}
    numbers = [NAN, INF, -INF, 0.0, -0.0, -1.0, 1e308, 5e-324, 99.0]
    times = [-1, np.iinfo(np.int64).min, np.iinfo(np.int64).max, START_MS // 1000, AS_OF, AS_OF + HOUR_MS, START_MS + 1]
    for _ in range(random.integers(1, 120)):
        name = random.choice(COLUMNS)
        columns[name][random.integers(N)] = random.choice(times if name == "opened_at" else numbers)
    return replace(BARS, **columns).take(random.permutation(N) if seed % 3 == 0 else np.arange(N))


def test_sound_bars_meet_all_expectations() -> None:
    outcome = expect(BARS, RULES, AS_OF)
    assert outcome.success
    assert len(outcome.results) >= 15
    assert {result.name for result in outcome.results} > {c.name for c in constraints(BARS.interval, AS_OF)}
    assert all(result.success and result.error is None for result in outcome.results)


@pytest.mark.parametrize("seed", range(8))
def test_great_expectations_and_the_table_reject_the_same_rows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tidegate.validation.expectations._RESULT_FORMAT", {"result_format": "SUMMARY", "partial_unexpected_count": N}
    )
    bad = random_damage(seed)
    table = {violation.constraint.name: violation.rows.tolist() for violation in violations(bad, AS_OF)}
    outcome = expect(bad, RULES, AS_OF)
    said = {result.name: list(result.unexpected_rows) for result in outcome.results if result.rule != "columns"}
    assert len(table) > 5
    assert not outcome.success
    assert {name: rows for name, rows in said.items() if rows} == table


@pytest.mark.parametrize("seed", [1, 3])
def test_the_second_opinion_is_part_of_the_verdict_and_agrees(seed: int) -> None:
    validated = validate(random_damage(seed), rules=RULES, calendar="24/7", as_of_ms=AS_OF)
    assert validated.expectations is not None
    assert not validated.expectations.success
    assert "expectations" not in {finding.rule for finding in validated.findings}
    summary = validated.summary()["expectations"]
    assert summary["evaluated"] == len(summary["results"])
    assert summary["failed"] == sum(not result["success"] for result in summary["results"]) > 5


@pytest.mark.parametrize("n", [0, 1])
def test_no_bars_and_one_bar(n: int) -> None:
    validated = validate(sound_bars(n), rules=RULES, calendar="24/7", as_of_ms=START_MS + HOUR_MS)
    assert validated.passed is bool(n)
    assert {finding.rule for finding in validated.findings} == (set() if n else {"no_bars"})


def altered(
    outcome: ExpectationOutcome, name: str, change: Callable[[ExpectationResult], ExpectationResult]
) -> ExpectationOutcome:
    results = tuple(change(result) if result.name == name else result for result in outcome.results)
    return replace(outcome, results=results)


def test_any_disagreement_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = edited(BARS, "high", [3, 4], 1.0)
    honest = expect(bad, RULES, AS_OF)
    assert disagreements(bad, RULES, AS_OF, honest) == []
    lies = [
        altered(
            honest,
            "high_over_low",
            lambda result: replace(result, success=True, unexpected_count=0, unexpected_rows=()),
        ),
        altered(honest, "high_over_low", lambda result: replace(result, unexpected_count=3)),
        altered(honest, "high_over_low", lambda result: replace(result, unexpected_rows=(3, 5))),
        altered(honest, "close_present", lambda result: replace(result, success=False)),
        altered(honest, "close_present", lambda result: replace(result, error="metric could not be computed")),
        altered(honest, "close_type", lambda result: replace(result, success=False, observed="object")),
        altered(honest, "row_count", lambda result: replace(result, success=False, observed="0")),
        replace(honest, results=tuple(r for r in honest.results if r.name != "ascending")),
        replace(honest, results=()),
    ]
    for lie in lies:
        assert disagreements(bad, RULES, AS_OF, lie)
        monkeypatch.setattr(validate_module, "expect", lambda *_, lie=lie: lie)
        validated = validate(bad, rules=RULES, calendar="24/7", as_of_ms=AS_OF)
        assert not validated.passed
        assert validated.failures[0].rule == "expectations"


def test_an_expectation_that_raises_is_an_error_and_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def frame_without_volume(columns: dict[str, NDArray[np.generic]]) -> pd.DataFrame:
        return pd.DataFrame({name: values for name, values in columns.items() if name != "volume"})

    monkeypatch.setattr("tidegate.frames.numbered_frame", frame_without_volume)
    validated = validate(BARS, rules=RULES, calendar="24/7", as_of_ms=AS_OF)
    assert validated.expectations is not None
    assert {result.name for result in validated.expectations.results if result.error is not None} >= {
        "volume_present",
        "volume_finite",
        "volume_not_negative",
    }
    (failure,) = validated.failures
    assert failure.rule == "expectations"
    assert "columns: expected columns are opened_at, open, high, low, close, volume" in failure.message


def test_rules_that_are_off_are_not_expected() -> None:
    rules = Validation(high_low="off", off_grid="off", columns="off")
    names = {result.name for result in expect(BARS, rules, AS_OF).results}
    assert not names & {"high_over_low", "low_under_open", "on_grid", "columns", "row_count", "close_type"}
    assert "close_present" in names


class Addresses(HTMLParser):
    """All addresses a page loads or links to, and whether it runs scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.found += [value for name, value in attrs if name in {"href", "src"} and value]


def test_data_docs_need_nothing_from_outside_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "notes.txt").write_text("not ours", encoding="utf-8")
    bad = edited(edited(BARS, "high", [3, 4], 1.0), "close", slice(20, 60), NAN)
    expect(BARS, RULES, AS_OF, folder)
    index = expect(bad, RULES, AS_OF, folder).docs_index
    assert index == folder / "index.html"
    pages = sorted(folder.rglob("*.html"))
    assert len(pages) == 3  # the first validation's pages are gone
    assert (folder / "notes.txt").exists()
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".html", ".txt"}
    linked = {index}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        parser = Addresses()
        parser.feed(text)
        assert parser.scripts == 0
        assert not re.search(r"url\(|@import|https?://", text)
        for address in parser.found:
            if not address.startswith("#"):
                target = (page.parent / address).resolve()
                assert target.is_relative_to(folder)
                assert target.exists()
                linked.add(target)
    assert linked == set(pages)
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 500_000


def test_data_docs_show_rows_and_verdicts(tmp_path: Path) -> None:
    bad = edited(edited(BARS, "high", [3, 4], 1.0), "close", slice(20, 60), NAN)
    index = expect(bad.with_symbol("<b>&/USDT"), RULES, AS_OF, tmp_path / "docs").docs_index
    assert index is not None
    text = index.read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;/USDT 1h" in text
    assert "29 of 33 expectations met by 200 raw bars" in text
    assert "<td>high is not under low</td><td>validation.high_low</td><td>2: row 3, 4</td>" in text
    assert f"<td>40: row {', '.join(map(str, range(20, 40)))}, ...</td>" in text
    (results,) = (index.parent / "validations").rglob("*.html")
    page = results.read_text(encoding="utf-8")
    assert "Show All" not in page
    assert "high is not under low" in page


@pytest.mark.slow
def test_nothing_is_written_to_the_home_folder_printed_or_sent(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from tests.integration.validation.test_expectations import *\n"
        "validate(random_damage(1), rules=RULES, calendar='24/7', as_of_ms=AS_OF, docs_folder=Path('docs'))\n"
        "import os; os._exit(0)\n"
    )
    path = os.pathsep.join(entry for entry in (str(Path.cwd()), *sys.path) if entry)
    environment = {"HOME": str(home), "TMPDIR": str(tmp_path / "temp"), "PATH": os.environ["PATH"], "PYTHONPATH": path}
    (tmp_path / "temp").mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []
    assert list((tmp_path / "temp").rglob("*")) == []
    assert (tmp_path / "docs" / "index.html").exists()
