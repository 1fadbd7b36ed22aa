"""The demonstration shows the same on every day, and a second one says why the simulated market is refused now."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integration.pipeline.small_market import strategy
from tests.unit.cli.run import CommandLine

from tidegate.bars.interval import DAY_MS
from tidegate.cli import retrain_commands
from tidegate.pipeline import contest

LATER: list[str] = []
ASKED: list[tuple[str, str | None]] = []


def refusal_of_a_second_run() -> str:
    """What the contest says when the model in production has seen the test window."""
    small = strategy()
    manifest = SimpleNamespace(
        symbols=small.symbols, interval=small.interval, kind=small.kind, last_seen_at=60 * DAY_MS
    )
    champion: Any = SimpleNamespace(version=1, bundle=SimpleNamespace(manifest=manifest))
    test: Any = SimpleNamespace(start_at=30 * DAY_MS, end_at=60 * DAY_MS)
    return contest._cannot_compare(champion, test, small)


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[CommandLine, list[str]]:
    refusals: list[str] = []

    @contextmanager
    def no_server(*, quiet: bool) -> Iterator[None]:
        del quiet
        yield

    def run(_project: None, name: str, as_of: str | None, _title: str, *, quiet: bool) -> list[dict[str, Any]]:
        del quiet
        ASKED.append((name, as_of))
        simulated = name.startswith("simulated")
        own = refusals if simulated else ["Win rate: is 0.44, wanted >= 0.58 (gates.win_rate)"]
        return [
            {
                "strategy": name,
                "kind": "simulated" if simulated else "real",
                "outcome": "refused" if own or LATER else "promoted",
                "version": 1,
                "message": LATER[0] if LATER else "told",
                "refusals": own,
                "changes": ["needs 22 more wins among these 140 trades" for _ in own],
                "policy": "balanced",
                "verdicts": {"points": "promote", "statistics": "refuse", "policy.balanced": "refuse"},
                "metrics": {},
                "report": str(Path.cwd() / "report.html"),
                "seconds": {"bars": 1.0},
            }
        ]

    ASKED.clear()
    LATER.clear()
    monkeypatch.setattr(retrain_commands, "served_project", no_server)
    monkeypatch.setattr(retrain_commands, "_run", run)
    return CommandLine(monkeypatch, capsys), refusals


def test_a_first_demonstration_has_nothing_to_explain(demo: tuple[CommandLine, list[str]]) -> None:
    tidegate, _ = demo
    told = tidegate("demo")
    assert told.code == 0
    assert "PROMOTED simulated-demo" in told.out
    assert "needs 22 more wins among these 140 trades" in told.out
    assert "would say: points promote, statistics refuse, balanced refuse; balanced decides" in told.out
    assert "This is right" not in told.out


def test_a_second_demonstration_says_why_it_is_refused_and_that_this_is_right(
    demo: tuple[CommandLine, list[str]],
) -> None:
    tidegate, refusals = demo
    refusals.append(f"Better than the champion: {refusal_of_a_second_run()}")
    told = tidegate("demo")
    assert told.code == 0
    assert told.out.count("This is right: the model in production comes from an earlier demonstration") == 1
    assert "has seen this very window" in told.out


def test_what_refuses_after_the_gates_is_told(demo: tuple[CommandLine, list[str]]) -> None:
    tidegate, _ = demo
    LATER.append("simulated-demo v1 not promoted: no backup could be taken before it")
    told = tidegate("demo")
    assert "REFUSED simulated-demo" in told.out
    assert "  simulated-demo v1 not promoted: no backup could be taken before it" in told.out


def test_another_refusal_is_not_explained_away(demo: tuple[CommandLine, list[str]]) -> None:
    tidegate, refusals = demo
    refusals.append("Sharpe ratio: is 0.2, wanted >= 1.5 (gates.sharpe)")
    assert "This is right" not in tidegate("demo").out


def test_its_times_are_fixed(demo: tuple[CommandLine, list[str]]) -> None:
    tidegate, _ = demo
    tidegate("demo")
    assert ASKED == [("eurusd-sample", "2018-01-01T00:00:00Z"), ("simulated-demo", "2026-11-01T00:00:00Z")]
