"""Trials of many retrains as series that can be compared: each alternative beside the present choice, every bar counted once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from tidegate.bars.bars import Floats, Times
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.windows import FoldWindows
from tidegate.strategy.strategy import SEARCHABLE, Strategy

MARGIN: Final = "margin"
Parameters = tuple[tuple[str, float], ...]
"""The model's parameters that a search may change, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """One trial with its returns.

    Attributes:
        retrain_key: strategy and month.
        windows: of the fold.
        parameters: the booster's, and the margin where margins were tried; a search's own trials have none.
        score: annual Sharpe ratio over the inner validation blocks, NaN where there is none.
        closed_at, net_return: (k,) of the bars in those blocks.
    """

    retrain_key: str
    windows: FoldWindows
    parameters: Mapping[str, Any]
    score: float
    closed_at: Times
    net_return: Floats

    @property
    def model(self) -> Parameters:
        """The parameters that a strategy file may change."""
        return tuple((name, float(self.parameters[name])) for name in SEARCHABLE if name in self.parameters)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Net returns of one configuration over all folds: ascending, no bar twice."""

    closed_at: Times
    net_return: Floats
    folds: int

    def covers(self, other: "Series") -> float:
        """Share of another series' bars that this one has; 0 where the other has none."""
        return float(np.isin(other.closed_at, self.closed_at).mean()) if len(other.closed_at) else 0.0

    def beside(self, other: "Series") -> tuple[Floats, Floats]:
        """(n,) net returns of both over the bars that both have."""
        common = np.intersect1d(self.closed_at, other.closed_at, assume_unique=True)
        return self.at(common), other.at(common)

    def at(self, closed_at: Times) -> Floats:
        """Net returns of bars that the series has."""
        return self.net_return[np.searchsorted(self.closed_at, closed_at)]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """An alternative beside the present choice; `patch` is the change as a part of the strategy file."""

    kind: Literal["margin", "parameters", "training window"]
    title: str
    patch: Mapping[str, Any]
    present: Series
    alternative: Series


@dataclass(slots=True, eq=False)
class _Fold:
    """One fold's trials: by parameters the margins tried with them, and what a search tried beside."""

    windows: FoldWindows
    margins: dict[Parameters, dict[float, Tried]] = field(default_factory=dict)
    searched: dict[Parameters, Tried] = field(default_factory=dict)

    def chosen(self, strategy: Strategy) -> Parameters | None:
        """The parameters of the present configuration: its own, or those that the search chose; None where they were not tried."""
        if strategy.model.search.trials:
            return next(reversed(self.margins), None)
        own = _own(strategy)
        return own if own in self.margins else None


def compare(strategy: Strategy, tried: Sequence[Tried]) -> list[Compared]:
    """Every alternative that was tried beside the present choice.

    - A margin for all folds, against the margin that the present rule had chosen one fold before: on bars which that choice had not seen.
    - Model parameters that a search passed over, or that an earlier configuration had, at their folds' best margin, against the
      present ones at theirs.
    - A training window of another length, in the same way.
    """
    folds = _folds(tried)
    days = strategy.windows.train_days
    present = [fold for fold in folds if _train_days(fold.windows) == days and fold.chosen(strategy) is not None]
    return [
        *_margins(strategy, present),
        *_parameters(strategy, present, [fold for fold in folds if _train_days(fold.windows) == days]),
        *_train_windows(strategy, present, folds),
    ]


def _train_days(windows: FoldWindows) -> int:
    return round((windows.train.end_at - windows.train.start_at) / DAY_MS)


def _folds(tried: Sequence[Tried]) -> list[_Fold]:
    """Trials by retrain and training window, by the end of that window."""
    found: dict[tuple[str, int, int], _Fold] = {}
    for trial in tried:
        train = trial.windows.train
        fold = found.setdefault((trial.retrain_key, train.start_at, train.end_at), _Fold(trial.windows))
        if MARGIN in trial.parameters:
            of_model = fold.margins.pop(trial.model, {})
            # Put back last: of several configurations in one fold the newest is the present one.
            fold.margins[trial.model] = of_model | {float(trial.parameters[MARGIN]): trial}
        elif len(trial.closed_at):
            fold.searched[trial.model] = trial
    return sorted(found.values(), key=lambda fold: (fold.windows.train.end_at, fold.windows.train.start_at))


def _joined(trials: Iterable[Tried], after: Iterable[int] | None = None) -> Series:
    """Trials of ascending folds as one series: a bar counts in the first fold that has it, and only after the fold's own limit."""
    parts: list[tuple[Times, Floats]] = []
    last, folds = -1, 0
    limits = iter(after) if after is not None else None
    for trial in trials:
        first = last if limits is None else max(last, next(limits))
        new = trial.closed_at > first
        if new.any():
            parts.append((trial.closed_at[new], trial.net_return[new]))
            last, folds = int(trial.closed_at[-1]), folds + 1
    if not parts:
        return Series(np.empty(0, np.int64), np.empty(0), 0)
    return Series(np.concatenate([times for times, _ in parts]), np.concatenate([part for _, part in parts]), folds)


def _best(margins: Mapping[float, Tried], allowed: Iterable[float]) -> float | None:
    """The margin that the search for one takes: the highest score, the smallest margin where no score is finite."""
    known = [margin for margin in allowed if margin in margins]
    scores = [margins[margin].score for margin in known]
    return known[int(np.argmax(np.where(np.isfinite(scores), scores, -np.inf)))] if known else None


def _margins(strategy: Strategy, present: Sequence[_Fold]) -> list[Compared]:
    groups = [fold.margins[chosen] for fold in present if (chosen := fold.chosen(strategy)) is not None]
    ends = [fold.windows.train.end_at for fold in present]
    picked: list[tuple[Tried, int]] = []
    for at, group in enumerate(groups):
        before = next((each for each in range(at - 1, -1, -1) if ends[each] < ends[at]), None)
        if before is None:
            continue
        margin = _best(groups[before], strategy.policy.margins)
        if margin is not None and margin in group:
            picked.append((group[margin], ends[before]))
    series = _joined([trial for trial, _ in picked], [end for _, end in picked])
    alternatives = sorted({margin for group in groups for margin in group})
    return [
        Compared(
            "margin",
            f"always enter at a margin of {margin:g}",
            {"policy": {"margins": [margin]}},
            series,
            _joined(group[margin] for group in groups if margin in group),
        )
        for margin in alternatives
        if strategy.policy.margins != (margin,)
    ]


def _at_best_margin(strategy: Strategy, fold: _Fold, model: Parameters) -> Tried | None:
    margins = fold.margins.get(model, {})
    best = _best(margins, strategy.policy.margins)
    return fold.searched.get(model) if best is None else margins[best]


def _present(strategy: Strategy, folds: Sequence[_Fold]) -> Series:
    chosen = [(fold, model) for fold in folds if (model := fold.chosen(strategy)) is not None]
    return _joined(trial for fold, model in chosen if (trial := _at_best_margin(strategy, fold, model)) is not None)


def _parameters(strategy: Strategy, present: Sequence[_Fold], folds: Sequence[_Fold]) -> list[Compared]:
    series, own = _present(strategy, present), _own(strategy)
    search = strategy.model.search
    found = []
    for model in dict.fromkeys(model for fold in folds for model in (*fold.margins, *fold.searched)):
        changed = [
            (name, value)
            for name, value in model
            if (name, value) not in own or (search.trials and name in search.space)
        ]
        if not changed:
            continue
        # A search would choose anew; to hold on to these parameters is to search no more.
        off: dict[str, Any] = {"search": {"trials": 0}} if search.trials else {}
        tried = _joined(trial for fold in folds if (trial := _at_best_margin(strategy, fold, model)) is not None)
        title = ", ".join(f"{name} {value:g}" for name, value in changed)
        patch = {"model": {name: _natural(name, value) for name, value in changed} | off}
        found.append(Compared("parameters", title, patch, series, tried))
    return found


def _own(strategy: Strategy) -> Parameters:
    return tuple((name, float(getattr(strategy.model, name))) for name in SEARCHABLE)


def _natural(name: str, value: float) -> float | int:
    return int(value) if name in {"max_depth", "max_bin"} else value


def _train_windows(strategy: Strategy, present: Sequence[_Fold], folds: Sequence[_Fold]) -> list[Compared]:
    series, own = _present(strategy, present), strategy.windows.train_days
    lengths = sorted({_train_days(fold.windows) for fold in folds} - {own})
    return [
        Compared(
            "training window",
            f"train on {days} days",
            {"windows": {"train_days": days}},
            series,
            _present(strategy, [fold for fold in folds if _train_days(fold.windows) == days]),
        )
        for days in lengths
    ]
