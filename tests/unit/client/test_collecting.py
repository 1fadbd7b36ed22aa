"""Automatic collections wait for the end of every decision, and are left as they were."""

import gc
from collections.abc import Iterator

import pytest

from tidegate.client import collecting
from tidegate.client.collecting import Held


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The process's collector, on as it was."""
    assert gc.isenabled()
    yield
    gc.enable()


def test_collections_wait_for_the_last_of_several_decisions() -> None:
    held = Held()
    with held:
        with held:
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_switched_them_off_finds_them_off() -> None:
    gc.disable()
    with Held():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_a_decision_that_fails_holds_nothing_back() -> None:
    with pytest.raises(ZeroDivisionError), Held():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_decisions_without_end_let_collections_through(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    with held:
        monkeypatch.setattr(collecting, "LONGEST_S", -1.0)
        with held:
            assert gc.isenabled()
        assert gc.isenabled()
    assert gc.isenabled()
    monkeypatch.setattr(collecting, "LONGEST_S", 10.0)
    with held:
        assert not gc.isenabled()
