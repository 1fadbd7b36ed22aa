"""Trials as the ledger holds them, from seeded noise with a drift, and a ledger that holds them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tidegate.backtest.ratios import sharpe
from tidegate.bars.bars import Floats, parse_time
from tidegate.bars.interval import DAY_MS
from tidegate.dataset.windows import FoldWindows, Window
from tidegate.pipeline.files import write_trial
from tidegate.pipeline.fold import Trial
from tidegate.pipeline.tried import Tried
from tidegate.registry.trials import Trial as TrialRow
from tidegate.registry.trials import TrialLedger
from tidegate.settings.settings import Settings
from tidegate.strategy.strategy import SEARCHABLE, Model, Strategy

NAME = "btc-1h"
HOUR = DAY_MS // 24
START = parse_time("2024-01-01")
MARGINS = (0.02, 0.06, 0.10)
OWN = {name: getattr(Model(), name) for name in SEARCHABLE}
EQUAL = dict.fromkeys(MARGINS, 0.0)


def strategy(**changes: object) -> Strategy:
    """A strategy of hourly bars with three margins."""
    fields: dict[str, object] = {
        "version": 1, "name": NAME, "kind": "real", "symbols": ["BTC/USDT"], "interval": "1h",
        "source": {"type": "file", "path": "x.parquet"}, "policy": {"margins": list(MARGINS)},
    }  # fmt: skip
    return Strategy.model_validate(fields | changes)


def windows(fold: int, train_days: int = 90) -> FoldWindows:
    """One fold a month."""
    end = START + (90 + 30 * fold) * DAY_MS
    return FoldWindows(
        train=Window(start_at=end - train_days * DAY_MS, end_at=end),
        test=Window(start_at=end, end_at=end + 30 * DAY_MS),
    )


def noise(rng: np.random.Generator, drift: float) -> Floats:
    """Two months of hourly net returns."""
    return rng.normal(drift, 0.001, 60 * 24)


def trial(
    fold: int,
    parameters: Mapping[str, object],
    net: Floats,
    *,
    train_days: int = 90,
    key: str = f"{NAME}/2025-01",
    score: float | None = None,
) -> Tried:
    """A trial on the last 60 days of its fold's training window."""
    found = windows(fold, train_days)
    closed_at = np.arange(found.train.end_at - len(net) * HOUR, found.train.end_at, HOUR, dtype=np.int64) + HOUR
    judged = sharpe(net, 8760.0) if score is None else score
    return Tried(key, found, {"objective": "binary:logistic", "nthread": 2, **parameters}, judged, closed_at, net)


def trials(drifts: Mapping[float, float], folds: int = 12, seed: int = 1, **model: object) -> list[Tried]:
    """Margins with a drift each, on all folds; windows overlap, and a bar has the same return in each fold that holds it."""
    rng = np.random.default_rng(seed)
    whole = {margin: rng.normal(drift, 0.001, (90 + 30 * folds) * 24) for margin, drift in drifts.items()}
    return [
        trial(fold, OWN | model | {"margin": margin}, series[(30 + 30 * fold) * 24 : (90 + 30 * fold) * 24])
        for fold in range(folds)
        for margin, series in whole.items()
    ]


def record(settings: Settings, tried: Sequence[Tried], folder: Path) -> list[Path]:
    """Write trials to the ledger that the settings name, and their returns to a folder."""
    rows = []
    for number, each in enumerate(tried):
        path, digest = write_trial(folder, Trial(each.parameters, each.score, 0, each.closed_at, each.net_return, (1,)))
        score = each.score if np.isfinite(each.score) else None
        key = f"{NAME}/2025-01"
        rows.append(TrialRow(f"{key}/{number}", NAME, key, 0, each.parameters, 7, each.windows, score, 1, path, digest))
    TrialLedger.from_settings(settings).record(*rows)
    return [row.returns_path for row in rows]
