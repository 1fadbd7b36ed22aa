"""XGBoost's own fits inside a piece of work: noted while it runs, and run once more by themselves."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import xgboost


@dataclass(slots=True, eq=False)
class Fit:
    """One fit: the arrays and options that XGBoost was given, and the booster's bytes that came of it."""

    tables: tuple[Mapping[str, Any], ...]
    parameters: Mapping[str, Any]
    options: Mapping[str, Any]
    ubj: bytes

    @property
    def rows(self) -> int:
        """Training rows."""
        return len(self.tables[0]["data"])


@dataclass(slots=True)
class Fits:
    """All fits of a piece of work, and the seconds spent in them, summed over threads."""

    found: list[Fit] = field(default_factory=list)
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spent(self, start: float) -> None:
        """Add the seconds since `start`."""
        with self.lock:
            self.seconds += time.perf_counter() - start


@contextmanager
def noted() -> Iterator[Fits]:
    """Note every table and fit that is made inside the context."""
    fits = Fits()
    given: dict[int, Mapping[str, Any]] = {}
    train, table = xgboost.train, xgboost.QuantileDMatrix

    class Table(table):  # type: ignore[misc, valid-type]  # XGBoost carries no types
        def __init__(self, data: object, label: object = None, **how: Any) -> None:  # noqa: ANN401
            start = time.perf_counter()
            super().__init__(data, label, **how)
            fits.spent(start)
            like = how.pop("ref", None)
            given[id(self)] = {"data": data, "label": label, "like": None if like is None else given[id(like)]} | how

    def fit(parameters: Mapping[str, Any], made: xgboost.DMatrix, **options: Any) -> xgboost.Booster:  # noqa: ANN401
        start = time.perf_counter()
        booster = train(parameters, made, **options)
        fits.spent(start)
        evaluated = [each for each, _ in options.pop("evals", ())]
        tables = tuple(given[id(each)] for each in (made, *evaluated))
        with fits.lock:
            fits.found.append(Fit(tables, dict(parameters), options, bytes(booster.save_raw("ubj"))))
        return booster

    xgboost.train, xgboost.QuantileDMatrix = fit, Table
    try:
        yield fits
    finally:
        xgboost.train, xgboost.QuantileDMatrix = train, table


def bare(fit: Fit) -> bytes:
    """The same fit with nothing around it: tables, boosting, and no prediction."""
    made = [_table(fit.tables[0], None)]
    made += [_table(each, made[0]) for each in fit.tables[1:]]
    evals = [(each, "block") for each in made[1:]]
    booster = xgboost.train(dict(fit.parameters), made[0], evals=evals, **fit.options)
    return bytes(booster.save_raw("ubj"))


def bare_all(fits: Sequence[Fit], places: int) -> list[bytes]:
    """All fits by themselves, `places` at a time."""
    with ThreadPoolExecutor(places) as pool:
        return list(pool.map(bare, fits))


def _table(given: Mapping[str, Any], like: xgboost.DMatrix | None) -> xgboost.DMatrix:
    how = {name: value for name, value in given.items() if name not in {"data", "label", "like"}}
    return xgboost.QuantileDMatrix(given["data"], given["label"], ref=like, **how)


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
