"""Months of a path on disk: whole or not there, with the ledgers of the same moment."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.replay.test_result import month

from tidegate.backtest.result import Trades
from tidegate.errors import LedgerError
from tidegate.registry.database import Database
from tidegate.registry.ledger import Ledger
from tidegate.registry.state import Draft
from tidegate.replay.journal import LEDGER, Journal, chained
from tidegate.replay.life import Stepped
from tidegate.replay.trading import Traded


def stepped() -> Stepped:
    returns = np.random.default_rng(1).normal(size=4)
    trades = Trades.of(
        **{name: [1] for name in Trades.names() if name not in {"symbol", "forced_exit"}},
        symbol=["BTC/USDT"],
        forced_exit=[True],
    )
    return Stepped(month(), Traded(np.arange(4), returns, np.abs(returns), np.ones(4), trades))


def ledger(journal: Journal) -> Ledger:
    return Ledger(Database(f"sqlite:///{journal.work / LEDGER}", clock=lambda: 5))


def write_row(journal: Journal, version: int) -> None:
    with ledger(journal).writing() as writer:
        writer.append(Draft("btc", "bar", None, version, "test", "test"), "committed")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    found = Journal(tmp_path / "path")
    assert found.begin(None) == ""
    return found


def test_a_month_comes_back_as_it_was_kept(journal: Journal) -> None:
    given = stepped()
    journal.keep("2018-01", "abc", given, "the state\n")
    found = journal.read("2018-01")
    assert found.record == given.record
    for name in ("closed_at", "net_return", "cost", "position"):
        assert getattr(found.traded, name).tobytes() == getattr(given.traded, name).tobytes()
    assert all(
        (getattr(found.traded.trades, name) == getattr(given.traded.trades, name)).all() for name in Trades.names()
    )


def test_a_month_counts_for_the_inputs_it_was_lived_through_with(journal: Journal) -> None:
    journal.keep("2018-01", "abc", stepped(), "")
    assert journal.holds("2018-01", "abc")
    assert not journal.holds("2018-01", "abd")
    assert not journal.holds("2018-02", "abc")
    assert chained("", "a", "b") != chained("", "ab")
    assert chained(chained("", "a"), "b") != chained(chained("", "b"), "a")


def test_going_on_begins_with_the_ledgers_of_that_month(journal: Journal) -> None:
    write_row(journal, 1)
    journal.keep("2018-01", "abc", stepped(), "after January\n")
    write_row(journal, 2)
    journal.keep("2018-02", "abd", stepped(), "after February\n")
    write_row(journal, 3)  # and then the process died
    assert journal.begin("2018-01") == "after January\n"
    assert ledger(journal).state("btc").barred == {1}
    assert journal.begin("2018-02") == "after February\n"
    assert ledger(journal).state("btc").barred == {1, 2}


def test_a_month_lived_through_again_takes_the_old_one_s_place(journal: Journal) -> None:
    journal.keep("2018-01", "abc", stepped(), "first\n")
    journal.keep("2018-01", "abd", stepped(), "second\n")
    assert not journal.holds("2018-01", "abc")
    assert journal.begin("2018-01") == "second\n"


def test_what_was_begun_and_not_finished_is_swept_away(journal: Journal) -> None:
    (journal.folder / ".2018-01-abc" / "2018-01").mkdir(parents=True)
    journal.keep("2018-01", "abc", stepped(), "")
    journal.sweep()
    assert sorted(path.name for path in journal.folder.iterdir()) == ["2018-01", "work"]


def test_a_damaged_month_is_told(journal: Journal) -> None:
    journal.keep("2018-01", "abc", stepped(), "")
    (journal.folder / "2018-01" / "series.npz").write_bytes(b"rubbish")
    with pytest.raises(LedgerError, match=r"2018-01 is damaged"):
        journal.read("2018-01")
