"""The tree of errors is the one drawn, messages say everything in one line, and errors cross process borders whole."""

import pickle
import re
from concurrent.futures import ProcessPoolExecutor

import pytest

import tidegate.errors
from tidegate.errors import (
    ConfigurationError,
    DataError,
    LedgerError,
    NotEnoughHistory,
    PromotionConflict,
    TidegateError,
)


def every(kind: type[TidegateError] = TidegateError) -> list[type[TidegateError]]:
    """The kind and all below it in this module, depth first."""
    below = [each for each in kind.__subclasses__() if each.__module__ == "tidegate.errors"]
    return [kind, *(found for each in below for found in every(each))]


def drawn() -> list[tuple[str, str, int | None]]:
    """Name, name of the parent and exit code (where one is written) of each line of the drawing."""
    found: list[tuple[str, str, int | None]] = []
    last = {0: "Exception"}
    for line in (tidegate.errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│├└─ ]*)(\w+)(?: +(?:exit code )?(\d+)\b)?", line)
        if match:
            depth = len(match[1]) // 4 + 1
            last[depth] = match[2]
            found.append((match[2], last[depth - 1], int(match[3]) if match[3] else None))
    return found


def test_the_drawing_is_the_tree() -> None:
    real = [(kind.__name__, kind.__bases__[0].__name__) for kind in every()]
    assert [(name, parent) for name, parent, _ in drawn()] == real
    assert len(real) == 21


def test_the_drawn_exit_codes_are_the_real_ones() -> None:
    for name, parent, code in drawn():
        kind = getattr(tidegate.errors, name)
        if code is None:
            assert kind.exit_code == getattr(tidegate.errors, parent).exit_code
        else:
            assert kind.exit_code == code


def test_codes_are_unique_and_stable_words() -> None:
    codes = [kind.code for kind in every()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)
    exits = {kind.exit_code for kind in every()}
    assert exits == set(range(1, 8))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TidegateError("it broke"), "error: it broke"),
        (DataError("no bars", expected="some"), "data: no bars, expected some"),
        (DataError("no bars", actual=0), "data: no bars, was 0"),
        (DataError("no bars", setting="source.path"), "data: no bars, see source.path"),
        (
            NotEnoughHistory("too few", expected=60, actual=59.5, setting="windows", next_step="ingest more"),
            "not_enough_history: too few, expected 60 (windows), was 59.5; ingest more",
        ),
        (ConfigurationError("wrong", next_step="mend it"), "configuration: wrong; mend it"),
    ],
)
def test_messages(error: TidegateError, text: str) -> None:
    assert str(error) == text
    assert error.args == (text,)


def fields(error: TidegateError) -> tuple[object, ...]:
    return type(error), error.what, error.expected, error.actual, error.setting, error.next_step, str(error)


@pytest.mark.parametrize("kind", every())
def test_pickling_keeps_type_and_fields(kind: type[TidegateError]) -> None:
    error = kind("what", expected=(1, 2), actual={"a": None}, setting="a.b", next_step="go on")
    assert fields(pickle.loads(pickle.dumps(error))) == fields(error)  # noqa: S301  our own bytes


def refuse(version: int) -> None:
    """What a process of its own may raise."""
    raise PromotionConflict("overtaken", expected=version, next_step="decide again")


def test_an_error_of_another_process_arrives_whole() -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(PromotionConflict) as raised:
        pool.submit(refuse, 7).result(timeout=60)
    assert (raised.value.expected, raised.value.next_step) == (7, "decide again")


def test_a_whole_branch_can_be_caught() -> None:
    with pytest.raises(DataError):
        raise NotEnoughHistory("x")
    assert LedgerError("x").exit_code == 6
